package identity

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// refetch is the shortest time between two reads of the keys, fresh how long a set is used without a look.
	refetch = time.Minute
	fresh   = 5 * time.Minute
	// fetchTimeout bounds one read.
	fetchTimeout = 5 * time.Second
	maxJWKS      = 64 << 10
	maxKeys      = 64
)

// PublicKey is a signing key's public half.
type PublicKey struct {
	// ID is its kid.
	ID  string
	Key ed25519.PublicKey
}

// jwk is one key of a JSON Web Key Set (RFC 7517, RFC 8037).
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
}

// JWKS returns the keys as a JSON Web Key Set, in the given order.
func JWKS(keys []PublicKey) []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: make([]jwk, 0, len(keys))}
	for _, k := range keys {
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", strictEncoding.EncodeToString(k.Key), k.ID, "sig", "EdDSA"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic("identity: " + err.Error()) // strings always marshal
	}
	return b
}

// ParseJWKS reads a JSON Web Key Set and returns its Ed25519 signing keys; keys of other kinds are left out. It refuses sets
// without such a key, keys without an id, and two keys of one id.
func ParseJWKS(b []byte) ([]PublicKey, error) {
	if len(b) > maxJWKS {
		return nil, errors.New("identity: the key set is too large")
	}
	o, err := parseObject(b)
	if err != nil {
		return nil, errors.New("identity: the key set is not strict JSON")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(o["keys"], &list); err != nil || len(list) > maxKeys {
		return nil, errors.New("identity: the key set has no list of keys")
	}
	var keys []PublicKey
	for _, raw := range list {
		k, ok, err := parseJWK(raw)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		for _, other := range keys {
			if other.ID == k.ID {
				return nil, errors.New("identity: the key set has two keys of one id")
			}
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("identity: the key set has no Ed25519 signing key")
	}
	return keys, nil
}

func parseJWK(raw json.RawMessage) (PublicKey, bool, error) {
	o, err := parseObject(raw)
	if err != nil {
		return PublicKey{}, false, errors.New("identity: the key set is not strict JSON")
	}
	var k jwk
	for name, to := range map[string]*string{"kty": &k.Type, "crv": &k.Curve, "x": &k.X, "kid": &k.ID, "use": &k.Use, "alg": &k.Algorithm} {
		if *to, _, err = o.text(name); err != nil {
			return PublicKey{}, false, errors.New("identity: a key of the set is malformed")
		}
	}
	if k.Type != "OKP" || k.Curve != "Ed25519" || (k.Use != "" && k.Use != "sig") ||
		(k.Algorithm != "" && k.Algorithm != "EdDSA" && k.Algorithm != "Ed25519") {
		return PublicKey{}, false, nil
	}
	x, err := decodeSegment(k.X)
	if err != nil || len(x) != ed25519.PublicKeySize || k.ID == "" {
		return PublicKey{}, false, errors.New("identity: an Ed25519 key of the set is malformed or has no id")
	}
	return PublicKey{ID: k.ID, Key: x}, true, nil
}

// keySource finds signing keys: an error is RefusedKey or ErrKeysUnavailable.
type keySource interface {
	find(ctx context.Context, kid string) (ed25519.PublicKey, error)
}

// staticKeys never change.
type staticKeys map[string]ed25519.PublicKey

func (s staticKeys) find(_ context.Context, kid string) (ed25519.PublicKey, error) {
	if k, ok := s[kid]; ok {
		return k, nil
	}
	return nil, RefusedKey
}

func newKeySource(c Config) (keySource, error) {
	n := 0
	for _, given := range []bool{len(c.SigningKeys) > 0, c.JWKSFile != "", c.JWKSURL != ""} {
		if given {
			n++
		}
	}
	if n != 1 {
		return nil, errors.New("identity: a verifier needs exactly one of SigningKeys, JWKSFile and JWKSURL")
	}
	switch {
	case c.JWKSFile != "":
		l := newLoader(c.Now, func(context.Context) ([]PublicKey, error) { return readJWKS(c.JWKSFile) })
		return l, l.load(context.Background())
	case c.JWKSURL != "":
		if err := checkURL(c.JWKSURL); err != nil {
			return nil, err
		}
		client := http.Client{}
		if c.Client != nil {
			client = *c.Client
		}
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return newLoader(c.Now, func(ctx context.Context) ([]PublicKey, error) { return fetchJWKS(ctx, &client, c.JWKSURL) }), nil
	}
	s := staticKeys{}
	for _, k := range c.SigningKeys {
		if k.ID == "" || len(k.Key) != ed25519.PublicKeySize || s[k.ID] != nil {
			return nil, errors.New("identity: signing keys have an id each of their own, and 32 bytes")
		}
		s[k.ID] = k.Key
	}
	return s, nil
}

// checkURL accepts https, and http to this machine only.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("identity: the key set's URL is malformed")
	}
	host := strings.ToLower(u.Hostname())
	addr, err := netip.ParseAddr(host)
	loopback := (err == nil && addr.IsLoopback()) || host == "localhost" || strings.HasSuffix(host, ".localhost")
	if u.Scheme == "https" || (u.Scheme == "http" && loopback) {
		return nil
	}
	return errors.New("identity: the key set's URL must be https (http only to a loopback address)")
}

func readJWKS(path string) ([]PublicKey, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxJWKS+1))
	if err != nil {
		return nil, err
	}
	return ParseJWKS(b)
}

func fetchJWKS(ctx context.Context, client *http.Client, address string) ([]PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
	if err != nil {
		return nil, err
	}
	return ParseJWKS(b)
}

// loader keeps the keys of a file or URL. One goroutine reads at a time; a caller whose key is in the set at hand does not
// wait for it.
type loader struct {
	now  func() time.Time
	read func(context.Context) ([]PublicKey, error)
	// lock is held while the keys are read.
	lock chan struct{}

	mu   sync.Mutex
	keys staticKeys
	err  error
	// loadedAt is when keys was read, tried when a read was last begun.
	loadedAt, lastAttempt time.Time
}

func newLoader(now func() time.Time, read func(context.Context) ([]PublicKey, error)) *loader {
	return &loader{now: now, read: read, lock: make(chan struct{}, 1)}
}

func (l *loader) find(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	key, isFresh, _ := l.refresh(kid) // whatever it is, it is asked again below, in turn
	if key != nil && isFresh {
		return key, nil
	}
	if key != nil {
		select {
		case l.lock <- struct{}{}:
		default:
			return key, nil // another caller is reading: what is loaded will do
		}
	} else {
		select {
		case l.lock <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, ctx.Err())
		}
	}
	defer func() { <-l.lock }()
	if l.mayRefetch() {
		// A request that goes away must not cost the others their turn.
		_ = l.load(context.WithoutCancel(ctx))
	}
	key, _, err := l.refresh(kid)
	return key, err
}

// refresh returns the keys at hand, or the error that explains why there are none.
func (l *loader) refresh(kid string) (key ed25519.PublicKey, isFresh bool, err error) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.keys == nil && l.err != nil:
		return nil, false, fmt.Errorf("%w: %w", ErrKeysUnavailable, l.err)
	case l.keys == nil:
		return nil, false, ErrKeysUnavailable
	case l.keys[kid] == nil:
		return nil, false, RefusedKey
	}
	age := now.Sub(l.loadedAt)
	return l.keys[kid], age >= 0 && age < fresh, nil
}

// mayRefetch reports whether the last read was begun long enough ago.
func (l *loader) mayRefetch() bool {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	since := now.Sub(l.lastAttempt)
	return l.lastAttempt.IsZero() || since >= refetch || since < 0
}

func (l *loader) load(ctx context.Context) error {
	now := l.now()
	l.mu.Lock()
	l.lastAttempt = now
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	list, err := l.read(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = err
		return fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
	}
	l.keys, l.err, l.loadedAt = staticKeys{}, nil, now
	for _, k := range list {
		l.keys[k.ID] = k.Key
	}
	return nil
}
