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
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
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
	// signKeys are the configured keys of what the app says; without them it comes from the key ring as well.
	signKeys [][]byte
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
		if c.signKeys, err = parseSignKeys(id.SignKey); err != nil {
			return err
		}
		if slices.ContainsFunc(c.signKeys, func(k []byte) bool { return bytes.Equal(k, c.key) }) {
			return errors.New("identity: key and sign_key are two keys; whoever opens assertions is not to start flows")
		}
	}
	h.identity = c
	return nil
}

// parseSignKeys resolves the keys of what the app says.
func parseSignKeys(values []string) (keys [][]byte, err error) {
	for _, value := range values {
		text, err := expand(value)
		if err != nil {
			return nil, fmt.Errorf("identity sign_key: %w", err)
		}
		key, err := identity.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("identity sign_key: %w; 'caddy email-link keys audience <name> --sign' prints one", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
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

	mu sync.Mutex
	// made is never changed, but replaced under mu: every request reads it.
	made atomic.Pointer[map[string]*minter]
}

// signKeys are the keys of what the app of an audience says.
func (m *minters) signKeys(audience string) [][]byte {
	if m.config.signKeys != nil {
		return m.config.signKeys
	}
	return [][]byte{m.core.Ring.SignKey(audience)}
}

// mintersMax bounds what hosts that a star covers can make us keep.
const mintersMax = 1000

func (m *minters) of(audience string) (*minter, error) {
	if made := m.made.Load(); made != nil && (*made)[audience] != nil {
		return (*made)[audience], nil
	}
	one, err := m.make(audience)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	made := map[string]*minter{}
	if old := m.made.Load(); old != nil && len(*old) < mintersMax {
		made = maps.Clone(*old)
	}
	made[audience] = one
	m.made.Store(&made)
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
func (m *minter) mint(c *core, at clock.Reading, who subject, origin string) (string, error) {
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
		return who.Assertion(at.Wall, m.cacheKey, mint)
	case program:
		return who.Assertion(at.Wall, m.cacheKey, mint)
	default:
		return "", errors.New("nobody gets an assertion")
	}
}
