package smtp

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMAIL6_ThePortSaysWhichTLS: where nothing is said, TLS comes first on the port for it, and STARTTLS is demanded on every other.
func TestMAIL6_ThePortSaysWhichTLS(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"mail.example.com:465": ImplicitTLS, "mail.example.com:smtps": ImplicitTLS, "mail.example.com:Submissions": ImplicitTLS,
		"mail.example.com:587": StartTLS, "mail.example.com:25": StartTLS, "localhost:2525": StartTLS, "[::1]:4650": StartTLS,
	} {
		m, err := New(Config{Addr: addr})
		if err != nil || m.cfg.TLS != want || m.tls.InsecureSkipVerify || m.tls.ServerName == "" {
			t.Errorf("%s: %v, %v", addr, m, err)
		}
	}
}

// TestLOG1_AKeyThatCannotBeReadIsNotQuoted: neither its text nor what a parser says of it stands in the error.
func TestLOG1_AKeyThatCannotBeReadIsNotQuoted(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("secret of the key ", 4)
	for name, content := range map[string][]byte{
		"no PEM":       []byte(secret),
		"another kind": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte(secret)}),
		"PKCS 8":       pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(secret)}),
		"PKCS 1":       pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte(secret)}),
		"half a key":   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}),
	} {
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Config{Addr: "mail.example.com:587", DKIM: []DKIM{{Domain: "example.com", Selector: "s", KeyFile: path}}})
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "secret of") || strings.Contains(err.Error(), "asn1") || strings.Contains(err.Error(), "-----") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDKIM_AKeyThatVerifiersRefuseIsRefused: RFC 8301 section 3.2 has them refuse RSA keys below 1024 bits, and Go makes none.
func TestDKIM_AKeyThatVerifiersRefuseIsRefused(t *testing.T) {
	t.Parallel()
	prime := func(hex string) *big.Int {
		n, _ := new(big.Int).SetString(hex, 16)
		return n
	}
	one := big.NewInt(1)
	p := prime("de7d6b377936d536243d35702c1eea1f265974a7cc966f46c6aa7d550101b811")
	q := prime("cf28f65e408fc146794ec926bc9e28eabee8062610e8ad0186a74a63a8c7d9e1")
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, Primes: []*big.Int{p, q}}
	key.D = new(big.Int).ModInverse(big.NewInt(65537), new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)))
	path := filepath.Join(t.TempDir(), "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Addr: "mail.example.com:587", DKIM: []DKIM{{Domain: "example.com", Selector: "s", KeyFile: path}}})
	if err == nil || !strings.Contains(err.Error(), "512 bits is too short") {
		t.Error(err)
	}
}
