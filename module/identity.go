package module

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// identityConfig is the identity block, resolved.
type identityConfig struct {
	// given says that there was a block: an inner handler without one passes the identity on as the outer one does.
	given  bool
	header string
	// format is empty where no assertion is wanted.
	format identity.Format
	ttl    time.Duration
	// key or public is the configured encryption key; without either it comes from the key ring, by audience.
	key    []byte
	public *ecdsa.PublicKey
	// signKey is the configured key of what the app says; without it it comes from the key ring as well.
	signKey []byte
}

// readIdentity resolves the identity block. The key stays in unexported fields.
func (h *Handler) readIdentity() error {
	c := identityConfig{header: identity.Header, format: identity.FormatJWE, ttl: identity.DefaultTTL}
	if id := h.Identity; id != nil {
		c.given = true
		if id.Header != "" {
			c.header = canonical(id.Header)
		}
		if id.TTL > 0 {
			c.ttl = time.Duration(id.TTL)
		}
		switch id.Format {
		case "jws":
			c.format = identity.FormatJWS
		case "none":
			c.format = ""
		}
		text, err := expand(id.Key)
		if err != nil {
			return fmt.Errorf("identity key: %w", err)
		}
		if text != "" {
			if c.key, c.public, err = parseAudienceKey(text); err != nil {
				return fmt.Errorf("identity key: %w; 'caddy email-link keys audience <name>' prints one", err)
			}
		}
		if c.signKey, err = parseSignKey(id.SignKey); err != nil {
			return err
		}
		if c.signKey != nil && bytes.Equal(c.key, c.signKey) {
			return errors.New("identity: key and sign_key are two keys; whoever opens assertions is not to start flows")
		}
	}
	h.identity = c
	return nil
}

// parseSignKey resolves the key of what the app says.
func parseSignKey(value string) ([]byte, error) {
	text, err := expand(value)
	if err != nil || text == "" {
		return nil, errWith("identity sign_key: %w", err)
	}
	key, err := identity.ParseKey(text)
	return key, errWith("identity sign_key: %w; 'caddy email-link keys audience <name> --sign' prints one", err)
}

// errWith wraps an error, if there is one.
func errWith(format string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format, err)
}

// parseAudienceKey reads 32 bytes of text, or a public key as PEM or JWK for an app that must not share a secret.
func parseAudienceKey(text string) ([]byte, *ecdsa.PublicKey, error) {
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "-----") {
		public, err := identity.ParsePublicKey([]byte(text))
		return nil, public, err
	}
	key, err := identity.ParseKey(text)
	return key, nil, err
}

// minter makes the assertions of one audience in one form. Its cache key names all that they depend on beside session and
// account.
type minter struct {
	*identity.Minter
	audience, cacheKey string
}

// minters are those of one handler. A site with a star may have many audiences.
type minters struct {
	config identityConfig
	core   *core

	mu   sync.RWMutex
	made map[string]*minter // guarded by mu
}

// signKey is the key of what the app of an audience says.
func (m *minters) signKey(audience string) []byte {
	if m.config.signKey != nil {
		return m.config.signKey
	}
	return m.core.Ring.SignKey(audience)
}

// mintersMax bounds what hosts that a star covers can make us keep.
const mintersMax = 1000

func (m *minters) of(audience string) (*minter, error) {
	m.mu.RLock()
	one := m.made[audience]
	m.mu.RUnlock()
	if one != nil {
		return one, nil
	}
	one, err := m.make(audience)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.made == nil || len(m.made) >= mintersMax {
		m.made = map[string]*minter{}
	}
	m.made[audience] = one
	return one, nil
}

func (m *minters) make(audience string) (*minter, error) {
	c := identity.MinterConfig{
		Format: m.config.format, Key: m.config.key, PublicKey: m.config.public, TTL: m.config.ttl, Now: m.core.Clock.Wall,
		Signer: func() (string, ed25519.PrivateKey) {
			k := m.core.Signing.Current(m.core.Clock.Now())
			return k.ID, k.Private
		},
	}
	kid := ""
	if c.Format == identity.FormatJWE {
		switch {
		case c.PublicKey != nil:
			der, err := x509.MarshalPKIXPublicKey(c.PublicKey)
			if err != nil {
				return nil, err
			}
			kid = digest(der)
		case c.Key == nil:
			c.Key = m.core.Ring.AudienceKey(audience)
			kid = digest(c.Key)
		default:
			kid = digest(c.Key)
		}
	}
	made, err := identity.NewMinter(c)
	if err != nil {
		return nil, err
	}
	return &minter{made, audience, strings.Join([]string{audience, string(c.Format), kid, c.TTL.String()}, "\x00")}, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(append([]byte("email_link minter\x00"), b...))
	return hex.EncodeToString(sum[:])
}

// mint returns the assertion for a session or a token at an origin, from its cache where it is young enough.
func (m *minter) mint(c *core, who subject, origin string) (string, error) {
	mint := func() (string, time.Time, error) {
		id := who.identity(c)
		id.Issuer, id.Audience = origin, m.audience
		text, exp, err := m.Mint(id)
		if err == nil {
			metrics.minted.Inc()
		}
		return text, exp, err
	}
	// Not by way of the interface: mint would then be put on the heap for each request.
	switch who := who.(type) {
	case person:
		return who.Assertion(m.cacheKey, mint)
	case program:
		return who.Assertion(m.cacheKey, mint)
	default:
		return "", errors.New("nobody gets an assertion")
	}
}
