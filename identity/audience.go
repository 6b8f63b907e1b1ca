package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// keySize is the size of an A256KW key in bytes.
const keySize = 32

var (
	errPublicKey  = errors.New("identity: not a public key on P-256, P-384 or P-521, as PEM (PUBLIC KEY) or JWK")
	errPrivateKey = errors.New("identity: not a private key on P-256, P-384 or P-521, as PEM (PRIVATE KEY, EC PRIVATE KEY) or JWK")
)

// KeyID returns the kid of an audience key: 3 characters of base64url, from its digest.
func KeyID(key []byte) string { return shortID(append([]byte("email-link audience key\x00"), key...)) }

// PublicKeyID returns the kid of an audience's public key: 3 characters of base64url, from the digest of its PKIX form.
func PublicKeyID(key *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil || (key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521()) {
		return "", errors.New("identity: the public key is not on P-256, P-384 or P-521")
	}
	return shortID(der), nil
}

func shortID(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:3])[:3]
}

// ParseKey reads an audience key: 32 bytes as base64, base64url (padded or not) or hex. The error never repeats the text.
func ParseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if b, err := hex.DecodeString(text); err == nil && len(b) == keySize {
		return b, nil
	}
	plain := strings.TrimRight(text, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.Strict().DecodeString(plain); err == nil && len(b) == keySize {
			return b, nil
		}
	}
	return nil, fmt.Errorf("identity: a key is %d bytes as base64, base64url or hex", keySize)
}

// ParsePublicKey reads an audience's public key, as PEM (PUBLIC KEY) or JWK. A private key is refused: it does not belong on
// the gate.
func ParsePublicKey(text []byte) (*ecdsa.PublicKey, error) {
	var parsed any
	if block, _ := pem.Decode(text); block != nil {
		if block.Type == "PUBLIC KEY" {
			parsed, _ = x509.ParsePKIXPublicKey(block.Bytes) // what is wrong with it stays nil
		}
	} else {
		parsed = parseECJWK(text)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errPublicKey
	}
	if _, err := PublicKeyID(key); err != nil {
		return nil, errPublicKey
	}
	return key, nil
}

// ParsePrivateKey reads the private half for [Config], as PEM (PRIVATE KEY or EC PRIVATE KEY) or JWK.
func ParsePrivateKey(text []byte) (*ecdsa.PrivateKey, error) {
	var parsed any
	if block, _ := pem.Decode(text); block != nil {
		switch block.Type {
		case "PRIVATE KEY":
			parsed, _ = x509.ParsePKCS8PrivateKey(block.Bytes) // what is wrong with it stays nil
		case "EC PRIVATE KEY":
			if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				parsed = key
			}
		}
	} else {
		parsed = parseECJWK(text)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errPrivateKey
	}
	if _, err := PublicKeyID(&key.PublicKey); err != nil {
		return nil, errPrivateKey
	}
	return key, nil
}

// parseECJWK reads one JWK; it returns nil when the value is not one.
func parseECJWK(text []byte) any {
	if len(text) > maxJWKS {
		return nil
	}
	if _, err := parseObject(text); err != nil {
		return nil
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(text); err != nil || !k.Valid() {
		return nil
	}
	return k.Key
}
