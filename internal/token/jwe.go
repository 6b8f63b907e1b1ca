package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
)

const (
	// MaxJWE is the longest text that Open looks at, in bytes.
	MaxJWE    = 4096
	nonceSize = 12
	tagSize   = 16
)

// JWE seals and opens one kind of token that carries its own content: a compact JWE (RFC 7516, section 7.1) with `alg` dir and
// `enc` A256GCM. The protected header is constant: Open demands exactly the bytes that Seal writes, so nothing in a text
// chooses an algorithm, a key or a compression. It is safe for use by many goroutines.
type JWE struct {
	// header is the encoded protected header, which is the additional data of the encryption as well.
	header string
	aead   cipher.AEAD
	nonces []byte
}

// NewJWE returns the kind with this key and this `typ`, which must need no escapes in JSON. Give each kind a key of its own.
func NewJWE(key [32]byte, typ string) *JWE {
	nonces, err := hkdf.Expand(sha256.New, key[:], "email_link jwe nonce", sha256.Size)
	if err != nil {
		panic("token: " + err.Error()) // the size is fixed and permitted
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("token: " + err.Error()) // the key has a fixed, valid size
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("token: " + err.Error()) // an AES block is always fit for GCM
	}
	return &JWE{header: jweHeader(typ), aead: aead, nonces: nonces}
}

func jweHeader(typ string) string {
	return encoding.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM","typ":"` + typ + `"}`))
}

// Seal returns the text of a token with a random nonce. One key is good for 2^32 of them.
func (j *JWE) Seal(plain []byte) string {
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
	return j.seal(nonce, plain)
}

// SealAgain returns the text of a token that is the same whenever seed and plain are: the nonce is a MAC of both, so another
// content never meets it, but by a chance of 2^-33 after 2^32 tokens.
func (j *JWE) SealAgain(seed, plain []byte) string {
	mac := hmac.New(sha256.New, j.nonces)
	mac.Write(keyring.Frame(seed, plain))
	return j.seal([nonceSize]byte(mac.Sum(nil)[:nonceSize]), plain)
}

func (j *JWE) seal(nonce [nonceSize]byte, plain []byte) string {
	sealed := j.aead.Seal(nil, nonce[:], plain, []byte(j.header))
	content, tag := sealed[:len(plain)], sealed[len(plain):]
	return strings.Join([]string{
		j.header, "", encoding.EncodeToString(nonce[:]), encoding.EncodeToString(content), encoding.EncodeToString(tag),
	}, ".")
}

// Open returns the content of a text that Seal or SealAgain made under the same key and typ; anything else is [ErrMalformed].
// Each token has one text: no white space, no padding, no stray bits. The length is checked first.
func (j *JWE) Open(text string) ([]byte, error) {
	if len(text) > MaxJWE {
		return nil, ErrMalformed
	}
	rest, ok := strings.CutPrefix(text, j.header+"..")
	if !ok {
		return nil, ErrMalformed
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 3 || strings.ContainsAny(rest, "\r\n") { // the decoder would skip line ends
		return nil, ErrMalformed
	}
	nonce, err := encoding.DecodeString(parts[0])
	if err != nil || len(nonce) != nonceSize {
		return nil, ErrMalformed
	}
	sealed, err := encoding.DecodeString(parts[1])
	if err != nil {
		return nil, ErrMalformed
	}
	tag, err := encoding.DecodeString(parts[2])
	if err != nil || len(tag) != tagSize {
		return nil, ErrMalformed
	}
	plain, err := j.aead.Open(nil, nonce, append(sealed, tag...), []byte(j.header))
	if err != nil {
		return nil, ErrMalformed
	}
	return plain, nil
}
