package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
)

// ErrTooLarge reports that an assertion would be larger than [MaxSize]: too many or too long roles.
var ErrTooLarge = errors.New("identity: the assertion is larger than 4 KiB")

// MinterConfig says how to mint for one audience.
type MinterConfig struct {
	// Type is the typ; empty means [TypeAssertion].
	Type string
	// Format is the form; empty means [FormatJWE].
	Format Format
	// Key is the audience's A256KW key, 32 bytes. PublicKey, on P-256, P-384 or P-521, is for an audience that shares no secret
	// (ECDH-ES+A256KW). FormatJWE needs exactly one of them, FormatJWS none.
	Key       []byte
	PublicKey *ecdsa.PublicKey
	// TTL is the lifetime, in whole seconds; 0 means [DefaultTTL], more than [MaxLifetime] is an error.
	TTL time.Duration
	// Signer answers the key to sign with now, and its kid. Required.
	Signer func() (kid string, key ed25519.PrivateKey)
	// Now is the time others verify; nil means time.Now.
	Now func() time.Time
}

// Minter makes assertions for one audience. It is safe for use by many goroutines.
type Minter struct {
	config    MinterConfig
	encrypter jose.Encrypter
}

// NewMinter checks the configuration and prepares the keys.
func NewMinter(c MinterConfig) (*Minter, error) {
	if c.Type == "" {
		c.Type = TypeAssertion
	}
	if c.Format == "" {
		c.Format = FormatJWE
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Signer == nil:
		return nil, errors.New("identity: a minter needs a signer")
	case c.TTL < time.Second || c.TTL > MaxLifetime || c.TTL%time.Second != 0:
		return nil, fmt.Errorf("identity: ttl %v: whole seconds, from 1s to %v", c.TTL, MaxLifetime)
	}
	m := &Minter{config: c}
	switch c.Format {
	case FormatJWS:
		if c.Key != nil || c.PublicKey != nil {
			return nil, errors.New("identity: format jws encrypts nothing: no key belongs to it")
		}
		return m, nil
	case FormatJWE:
	default:
		return nil, errors.New("identity: format is jwe or jws")
	}
	var rcpt jose.Recipient
	switch {
	case (c.Key == nil) == (c.PublicKey == nil):
		return nil, errors.New("identity: format jwe needs either a key or a public key")
	case c.PublicKey != nil:
		kid, err := PublicKeyID(c.PublicKey)
		if err != nil {
			return nil, err
		}
		rcpt = jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: c.PublicKey, KeyID: kid}
	case len(c.Key) != keySize:
		return nil, fmt.Errorf("identity: the key has %d bytes, not %d", len(c.Key), keySize)
	default:
		rcpt = jose.Recipient{Algorithm: jose.A256KW, Key: c.Key, KeyID: KeyID(c.Key)}
	}
	options := (&jose.EncrypterOptions{}).WithType(jose.ContentType(c.Type)).WithContentType("JWT")
	enc, err := jose.NewEncrypter(jose.A256GCM, rcpt, options)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	m.encrypter = enc
	return m, nil
}

// Mint makes an assertion that says id. IssuedAt, NotBefore and Expiry are set here, ID too when it is empty; issuer, audience
// and, for an assertion, the subject must be there. The time returned is the expiry.
//
// Errors: [ErrTooLarge], and whatever shows that id is incomplete or not valid UTF-8. Without an assertion there is no request
// to hand on.
func (m *Minter) Mint(id Identity) (token string, expiry time.Time, err error) {
	now := m.config.Now().Truncate(time.Second)
	id.IssuedAt, id.NotBefore, id.Expiry = now, now, now.Add(m.config.TTL)
	if id.ID == "" {
		id.ID = randomID()
	}
	if err := m.check(&id); err != nil {
		return "", time.Time{}, err
	}
	payload, err := encodeClaims(&id)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("identity: %w", err)
	}
	token, err = m.sign(payload)
	if err == nil && m.encrypter != nil {
		token, err = m.encrypt(token)
	}
	if err != nil {
		return "", time.Time{}, err
	}
	if len(token) > MaxSize {
		return "", time.Time{}, ErrTooLarge
	}
	return token, id.Expiry, nil
}

func (m *Minter) check(id *Identity) error {
	if id.Issuer == "" || id.Audience == "" || (id.Subject == "" && m.config.Type == TypeAssertion) {
		return errors.New("identity: issuer, audience and subject must not be empty")
	}
	texts := [...]string{id.Issuer, id.Audience, id.Subject, id.ID, id.SessionID, id.Email, id.Name, id.Purpose, id.State}
	for _, list := range [...][]string{texts[:], id.Methods, id.Roles, id.Scope} {
		for _, s := range list {
			if !utf8.ValidString(s) { // JSON would silently make it another text
				return errors.New("identity: a claim is not valid UTF-8")
			}
			if len(s) > MaxSize {
				return ErrTooLarge
			}
		}
	}
	for _, s := range id.Scope {
		if f := strings.Fields(s); len(f) != 1 || f[0] != s {
			return errors.New("identity: a scope is a word without spaces")
		}
	}
	return nil
}

// jwsHeader is the protected header of the signed part.
type jwsHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

func (m *Minter) sign(payload []byte) (string, error) {
	kid, key := m.config.Signer()
	if kid == "" || len(key) != ed25519.PrivateKeySize {
		return "", errors.New("identity: no signing key")
	}
	header, err := json.Marshal(jwsHeader{Algorithm: "EdDSA", KeyID: kid, Type: m.config.Type})
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	b64 := base64.RawURLEncoding
	b := make([]byte, 0, b64.EncodedLen(len(header))+b64.EncodedLen(len(payload))+b64.EncodedLen(ed25519.SignatureSize)+2)
	b = b64.AppendEncode(b, header)
	b = append(b, '.')
	b = b64.AppendEncode(b, payload)
	signature := ed25519.Sign(key, b)
	b = append(b, '.')
	b = b64.AppendEncode(b, signature)
	return string(b), nil
}

func (m *Minter) encrypt(jws string) (string, error) {
	if len(jws) > MaxSize {
		return "", ErrTooLarge
	}
	o, err := m.encrypter.Encrypt([]byte(jws))
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	token, err := o.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	return token, nil
}

func randomID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
