package smtp

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// DKIM names a key that signs mails for a domain (RFC 6376; Ed25519 by RFC 8463).
type DKIM struct {
	// Domain is the signing domain, normally that of the mail's From.
	Domain string
	// Selector is the name under which Domain publishes the public key: <selector>._domainkey.<domain>.
	Selector string
	// KeyFile is a PEM file with an RSA key of at least 1024 bits or an Ed25519 key (PKCS #8, or PKCS #1 for RSA).
	KeyFile string
}

type signer struct{ options dkim.SignOptions }

// signedHeaders are all that this package writes and a reader sees. From, Subject and To stand twice, so that a second one
// added on the way breaks the signature (RFC 6376 section 8.15).
var signedHeaders = []string{
	"From", "From", "To", "To", "Subject", "Subject", "Date", "Message-ID", "Reply-To",
	"Auto-Submitted", "MIME-Version", "Content-Type", "Content-Language",
}

func readSigners(keys []DKIM) ([]signer, error) {
	var out []signer
	for _, k := range keys {
		if !heloName(k.Domain) || !heloName(k.Selector) {
			return nil, fmt.Errorf("smtp: dkim: %q and %q are not a domain and a selector: write `dkim example.com mail2026 <key file>`", k.Domain, k.Selector)
		}
		key, err := readKey(k.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("smtp: dkim: %w", err)
		}
		out = append(out, signer{dkim.SignOptions{
			Domain: k.Domain, Selector: k.Selector, Signer: key, HeaderKeys: signedHeaders,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		}})
	}
	return out, nil
}

func readKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM key: make one with `openssl genpkey -algorithm ed25519` or `-algorithm rsa`", path)
	}
	var key any
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%s holds a %q, not a private key without a passphrase", path, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the private key cannot be read", path) // the parser's words may quote the key
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < 1024 { // RFC 8301 section 3.2: verifiers refuse shorter ones
			return nil, fmt.Errorf("%s: an RSA key of %d bits is too short: use 2048", path, key.N.BitLen())
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%s: DKIM knows RSA and Ed25519 keys only", path)
}

// sign adds one signature for each key above the message, which itself stays as it is. A signature holds the time it was
// made; nothing else of the mail changes when it is sent again.
func (m *Mailer) sign(raw []byte) ([]byte, error) {
	signed := raw
	for i := range m.signers {
		s, err := dkim.NewSigner(&m.signers[i].options)
		if err != nil {
			return nil, mailer.Permanent(fmt.Errorf("smtp: %w", err))
		}
		_, err = s.Write(raw)
		if err = errors.Join(err, s.Close()); err != nil {
			return nil, mailer.Permanent(fmt.Errorf("smtp: %w", err))
		}
		signed = bytes.Join([][]byte{[]byte(s.Signature()), signed}, nil)
	}
	return signed, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil // the system's
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("smtp: ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("smtp: ca: %s holds no PEM certificate", path)
	}
	return roots, nil
}
