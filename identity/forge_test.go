package identity

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// The keys of the corpus. They are of no use anywhere else.
var (
	corpusNow    = time.Unix(1_800_000_000, 0).UTC()
	corpusKey    = digest("audience key")
	corpusSigner = ed25519.NewKeyFromSeed(digest("signing key"))
	otherSigner  = ed25519.NewKeyFromSeed(digest("another signing key"))
)

const (
	corpusIssuer   = "https://app.example.com"
	corpusAudience = "app.example.com"
	corpusKid      = "k1"
)

func digest(s string) []byte {
	sum := sha256.Sum256([]byte("email-link corpus: " + s))
	return sum[:]
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func corpusConfig() Config {
	return Config{
		Issuers: []string{corpusIssuer}, Audience: corpusAudience, Type: TypeAssertion, Keys: [][]byte{corpusKey},
		SigningKeys: []PublicKey{{ID: corpusKid, Key: public(corpusSigner)}},
		Now:         func() time.Time { return corpusNow }, CacheSize: -1,
	}
}

// members is a JSON object written in the order of its names, so that the corpus is the same each time.
type members map[string]any

func (m members) with(kv ...any) members {
	c := maps.Clone(m)
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] == nil {
			delete(c, kv[i].(string))
		} else {
			c[kv[i].(string)] = kv[i+1]
		}
	}
	return c
}

func (m members) String() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(m)) {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		v, err := json.Marshal(m[name])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s%q:%s", sep, name, v)
	}
	return b.String() + "}"
}

func ordinaryClaims() members {
	now := corpusNow.Unix()
	return members{
		"iss": corpusIssuer, "aud": corpusAudience, "sub": "AAECAwQFBgcICQoL", "iat": now, "nbf": now, "exp": now + 60,
		"jti": "DAsKCQgHBgUEAwIB", "sid": "AQEBAQEBAQEBAQEB", "email": "ada@example.com", "email_verified": true,
		"auth_time": now - 100, "amr": []string{"link"},
	}
}

func innerHeader() members { return members{"alg": "EdDSA", "typ": TypeAssertion, "kid": corpusKid} }

func outerHeader() members {
	return members{"alg": "A256KW", "enc": "A256GCM", "typ": TypeAssertion, "cty": "JWT", "kid": KeyID(corpusKey)}
}

// sign makes a JWS from any texts at all.
func sign(header, payload string, key ed25519.PrivateKey) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(ed25519.Sign(key, []byte(input)))
}

func signHMAC(header, payload string, key []byte) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	h := hmac.New(sha256.New, key)
	h.Write([]byte(input))
	return input + "." + b64(h.Sum(nil))
}

// seal makes a compact JWE from any header and plaintext at all. Its content key and nonce follow from its input.
func seal(header, plain string) string { return sealWith(header, plain, corpusKey, 12) }

func sealWith(header, plain string, kek []byte, ivSize int) string {
	cek := digest("cek" + header + plain)
	iv := digest("iv" + header + plain)[:ivSize]
	block, err := aes.NewCipher(cek)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, ivSize)
	if err != nil {
		panic(err)
	}
	protected := b64([]byte(header))
	out := gcm.Seal(nil, iv, []byte(plain), []byte(protected))
	n := len(out) - 16
	return strings.Join([]string{protected, b64(wrap(kek, cek)), b64(iv), b64(out[:n]), b64(out[n:])}, ".")
}

// wrap is AES key wrap (RFC 3394).
func wrap(kek, key []byte) []byte {
	block, err := aes.NewCipher(kek)
	if err != nil {
		panic(err)
	}
	n := len(key) / 8
	out := append(bytes.Repeat([]byte{0xa6}, 8), key...)
	buf := make([]byte, 16)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(buf, out[:8])
			copy(buf[8:], out[8*i:8*i+8])
			block.Encrypt(buf, buf)
			binary.BigEndian.PutUint64(out[:8], binary.BigEndian.Uint64(buf)^uint64(n*j+i))
			copy(out[8*i:], buf[8:])
		}
	}
	return out
}

func deflate(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte(s)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// strayBits sets a bit of a segment's last character that carries no data.
func strayBits(segment string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(segment)%4 == 0 {
		panic("no stray bits there")
	}
	i := strings.IndexByte(alphabet, segment[len(segment)-1])
	return segment[:len(segment)-1] + string(alphabet[i|1])
}

// change edits one part of a compact token.
func change(token string, part int, f func(string) string) string {
	parts := strings.Split(token, ".")
	parts[part] = f(parts[part])
	return strings.Join(parts, ".")
}

func flipped(segment string) string {
	b, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		panic(err)
	}
	b[0] ^= 1
	return b64(b)
}

func corpusVerifier(tb testing.TB, edit func(*Config)) *Verifier {
	tb.Helper()
	c := corpusConfig()
	if edit != nil {
		edit(&c)
	}
	v, err := NewVerifier(c)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
