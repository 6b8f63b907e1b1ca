package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

const testType = "email-link-test+jwt"

func testKey(b byte) [32]byte { return sha256.Sum256([]byte{b}) }

func TestTOK6_AJWEHasExactlyOneText(t *testing.T) {
	j := NewJWE(testKey(1), testType)
	plain := []byte(`{"a":1}`)
	text := j.Seal(plain)
	got, err := j.Open(text)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("opened %q, %v", got, err)
	}
	if j.Seal(plain) == text {
		t.Error("the nonce is not random")
	}
	parts := strings.Split(text, ".")
	join := func(i int, part string) string {
		p := append([]string(nil), parts...)
		p[i] = part
		return strings.Join(p, ".")
	}
	header := func(s string) string { return join(0, base64.RawURLEncoding.EncodeToString([]byte(s))) }
	bad := []string{
		"", ".", "....", strings.Repeat("A", 50), text + ".", "." + text, text + "A", text[:len(text)-1], text + "=", text + "\n",
		" " + text, strings.Join(parts[:4], "."), join(1, "AAAA"), join(2, ""), join(2, parts[2]+"AA"), join(3, ""), join(4, ""),
		join(4, parts[4][:20]), join(3, parts[3][:2]+"\n"+parts[3][2:]), join(3, parts[3][:2]+"+/"+parts[3][4:]),
		header(`{"alg":"dir","enc":"A256GCM"}`), header(`{"alg":"dir","enc":"A256GCM","typ":"email-link+jwt"}`),
		header(`{"alg":"none","typ":"` + testType + `"}`), header(`{"alg":"dir","enc":"A256GCM","typ":"` + testType + `","zip":"DEF"}`),
		header(`{"enc":"A256GCM","alg":"dir","typ":"` + testType + `"}`), strings.Repeat("A", MaxJWE+1), strings.Repeat(text+".", 100),
		j.Seal(make([]byte, MaxJWE)),
	}
	for _, text := range bad {
		if plain, err := j.Open(text); !errors.Is(err, ErrMalformed) || plain != nil {
			t.Errorf("opened %.80q", text)
		}
	}
	for name, other := range map[string]*JWE{"key": NewJWE(testKey(2), testType), "typ": NewJWE(testKey(1), "email-link+jwt")} {
		if _, err := other.Open(text); !errors.Is(err, ErrMalformed) {
			t.Errorf("opened with another %s", name)
		}
	}
}

func TestTOK6_EveryChangedByteOfAJWEIsRefused(t *testing.T) {
	j := NewJWE(testKey(1), testType)
	for _, plain := range []string{"a", "ab", "abc", strings.Repeat("x", 300)} {
		text := j.Seal([]byte(plain))
		for i := range len(text) {
			for _, c := range []byte("AQgwB_-.=\n\x00") {
				if text[i] == c {
					continue
				}
				if _, err := j.Open(text[:i] + string(c) + text[i+1:]); err == nil {
					t.Fatalf("byte %d changed to %q was opened", i, c)
				}
			}
			if _, err := j.Open(text[:i] + string(text[i]^1) + text[i+1:]); err == nil {
				t.Fatalf("a bit of byte %d changed was opened", i)
			}
		}
	}
}

func TestMAIL4_SealedAgainIsTheSame(t *testing.T) {
	j := NewJWE(testKey(1), testType)
	text := j.SealAgain([]byte("seed"), []byte("plain"))
	if j.SealAgain([]byte("seed"), []byte("plain")) != text {
		t.Error("it differs")
	}
	nonce := func(text string) string { return strings.Split(text, ".")[2] }
	for _, other := range []string{
		j.SealAgain([]byte("seed2"), []byte("plain")), j.SealAgain([]byte("seed"), []byte("plaim")),
		j.SealAgain([]byte("seedp"), []byte("lain")), NewJWE(testKey(2), testType).SealAgain([]byte("seed"), []byte("plain")),
	} {
		if nonce(other) == nonce(text) {
			t.Errorf("%s has the nonce of %s", other, text)
		}
	}
	if got, err := j.Open(text); err != nil || string(got) != "plain" {
		t.Errorf("opened %q, %v", got, err)
	}
}

func TestJWEIsWhatAnyLibraryReads(t *testing.T) {
	key := testKey(1)
	j := NewJWE(key, testType)
	plain := `{"iss":"https://app.example.com"}`
	for _, text := range []string{j.Seal([]byte(plain)), j.SealAgain([]byte("seed"), []byte(plain))} {
		object, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := object.Decrypt(key[:]); err != nil || string(got) != plain || object.Header.ExtraHeaders[jose.HeaderType] != testType {
			t.Errorf("a library reads %q, %v", got, err)
		}
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key[:]},
		(&jose.EncrypterOptions{}).WithType(testType))
	if err != nil {
		t.Fatal(err)
	}
	object, err := encrypter.Encrypt([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	text, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.Open(text); err != nil || string(got) != plain {
		t.Errorf("of a library's text we read %q, %v", got, err)
	}
}

func FuzzJWE(f *testing.F) {
	j := NewJWE(testKey(1), testType)
	f.Add(j.Seal([]byte("x")))
	f.Add("....")
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := j.Open(text)
		if err != nil {
			return
		}
		nonce, err := encoding.DecodeString(strings.Split(text, ".")[2])
		if err != nil || j.seal([nonceSize]byte(nonce), plain) != text {
			t.Errorf("%q is opened and is not what Seal writes", text)
		}
	})
}
