package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func jwkOf(t *testing.T, key any) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAudienceKeyPairs(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pkix, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
		publicPEM := pemOf(t, "PUBLIC KEY", pkix, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
		privatePEM := pemOf(t, "PRIVATE KEY", pkcs8, err)
		sec1, err := x509.MarshalECPrivateKey(private)
		ecPEM := pemOf(t, "EC PRIVATE KEY", sec1, err)
		for _, text := range [][]byte{publicPEM, jwkOf(t, &private.PublicKey)} {
			if got, err := ParsePublicKey(text); err != nil || !got.Equal(&private.PublicKey) {
				t.Errorf("%s: %v", text, err)
			}
			if _, err := ParsePrivateKey(text); err == nil {
				t.Errorf("%s: taken for a private key", text)
			}
		}
		for _, text := range [][]byte{privatePEM, ecPEM, jwkOf(t, private)} {
			if got, err := ParsePrivateKey(text); err != nil || !got.Equal(private) {
				t.Errorf("%s: %v", text, err)
			}
			if _, err := ParsePublicKey(text); err == nil {
				t.Errorf("%s: taken for a public key", text)
			}
		}
	}
}

func TestAudienceKeysOfOtherKindsAreRefused(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := x509.MarshalPKIXPublicKey(&p224.PublicKey)
	weakPEM := pemOf(t, "PUBLIC KEY", weak, err)
	weak8, err := x509.MarshalPKCS8PrivateKey(p224)
	weak8PEM := pemOf(t, "PRIVATE KEY", weak8, err)
	for _, text := range [][]byte{
		nil, []byte("{}"), []byte("x"), jwkOf(t, ed), jwkOf(t, ed.Public()), weakPEM, weak8PEM,
		[]byte(`{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}`),
		[]byte(`{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"5Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`), // not on the curve
		[]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		[]byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"),
	} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("%s: taken for a public key", text)
		}
		if _, err := ParsePrivateKey(text); err == nil {
			t.Errorf("%s: taken for a private key", text)
		}
	}
}
