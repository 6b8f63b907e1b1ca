package gate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
)

// AssertionConfig says in which form a site passes the identity on.
type AssertionConfig struct {
	// Given reports whether the site itself says so: an inner site that does not passes the identity on as the outer one does.
	Given  bool
	Header string
	// Format is empty where no assertion is wanted.
	Format identity.Format
	TTL    time.Duration
	// Key or PublicKey is the configured encryption key; without either it comes from the key ring, by audience.
	Key       []byte
	PublicKey *ecdsa.PublicKey
	// SignKeys are the configured keys that verify what the app sends the gate; without them it comes from the key ring as well.
	SignKeys [][]byte
}

// minter makes the assertions of one audience in one form. Its cache key names all that they depend on beside session and
// account.
type minter struct {
	*identity.Minter
	audience, cacheKey string
}

// minters are those of one handler. A site with a star may have many audiences.
type minters struct {
	config  AssertionConfig
	runtime *Runtime

	mu sync.Mutex
	// byAudience is never changed, but replaced under mu: every request reads it.
	byAudience atomic.Pointer[map[string]*minter]
}

// signKeys returns the keys that verify what the app of an audience sends the gate.
func (m *minters) signKeys(audience string) [][]byte {
	if m.config.SignKeys != nil {
		return m.config.SignKeys
	}
	return [][]byte{m.runtime.Ring.SignKey(audience)}
}

// maxMinters bounds what hosts that a star covers can fill the memory with.
const maxMinters = 1000

func (m *minters) of(audience string) (*minter, error) {
	if all := m.byAudience.Load(); all != nil {
		if one := (*all)[audience]; one != nil {
			return one, nil
		}
	}
	one, err := m.make(audience)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]*minter{}
	if before := m.byAudience.Load(); before != nil && len(*before) < maxMinters {
		all = maps.Clone(*before)
	}
	all[audience] = one
	m.byAudience.Store(&all)
	return one, nil
}

func (m *minters) make(audience string) (*minter, error) {
	c := identity.MinterConfig{
		Format: m.config.Format, Key: m.config.Key, PublicKey: m.config.PublicKey, TTL: m.config.TTL, Now: m.runtime.Clock.Wall,
		Signer: func() (string, ed25519.PrivateKey) {
			k := m.runtime.Signing.Current(m.runtime.Clock.Now())
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
			c.Key = m.runtime.Ring.AudienceKey(audience)
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

// mint returns the assertion of a principal at an origin, from its cache where it is young enough.
func (m *minter) mint(g *Gate, rt *Runtime, at clock.Reading, p principal, origin string) (string, error) {
	mint := func() (string, time.Time, error) {
		id := p.identity(rt)
		id.Issuer, id.Audience = origin, m.audience
		text, exp, err := m.Mint(id)
		if err == nil {
			g.issued()
		}
		return text, exp, err
	}
	// Not through the interface: mint would then be put on the heap for each request.
	switch p := p.(type) {
	case userSession:
		return p.Assertion(at.Wall, m.cacheKey, mint)
	case machineToken:
		return p.Assertion(at.Wall, m.cacheKey, mint)
	default:
		return "", errors.New("an anonymous request has no assertion")
	}
}

// setIdentity puts the identity on a request: the assertion, whose value is stored in value, and the plain headers.
func (s *Site) setIdentity(r *http.Request, st *requestState, p principal, value *[1]string) error {
	from, plain := s, s.Headers
	if st.outer != s {
		delete(r.Header, st.outer.Assertions.Header) // one assertion arrives
		if !s.Assertions.Given {
			from = st.outer
		}
		if len(plain) == 0 {
			plain = st.outer.Headers
		}
	}
	if from.Assertions.Format != "" {
		audience := st.site.Audience
		if s.Audience != "" {
			audience = s.Audience
		}
		m, err := from.minters.of(audience)
		if err != nil {
			return err
		}
		text, err := m.mint(s.gate, st.runtime, st.at, p, st.site.Origin)
		if err != nil {
			return err
		}
		if text == "" {
			return errors.New("the assertion is empty")
		}
		value[0] = text
		r.Header[from.Assertions.Header] = value[:]
	}
	u := user{p.account()}
	for _, one := range plain {
		// Without a value there is no header: many apps take an empty one for a name.
		if text := one.Value.text(u); text != "" {
			r.Header[one.Name] = []string{text}
		}
	}
	return nil
}
