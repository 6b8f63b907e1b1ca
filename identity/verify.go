package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// DefaultLeeway is how far the clocks of gate and app may be apart.
const DefaultLeeway = 10 * time.Second

// Config says what a verifier accepts.
type Config struct {
	// Issuers are the origins (iss) that are accepted, as in `base_url`. At least one.
	Issuers []string
	// Audience is the name of this app (aud): the host of its origin where the gate names no other. Required.
	Audience string
	// Type is the typ that is accepted: [TypeAssertion] for requests. Required, so that a token made for one thing is never
	// taken for another.
	Type string
	// Purposes are the purposes of hand-overs that are accepted, such as "activation" and "reset". Nil accepts none: a user who
	// opened a link that the app asked for is not signed in, so a token with a purpose is refused. Otherwise nothing but
	// such hand-overs is accepted: a session proves no such step. An app that takes both has two verifiers.
	Purposes []string
	// Format is the form that is accepted; empty means [FormatJWE]. A signed token is never taken for an encrypted one.
	Format Format

	// Key is the audience's key as text (see [ParseKey]), Keys are more of them as bytes, for a rotation. PrivateKey decrypts
	// what was encrypted to its public half. FormatJWE needs at least one of the three, FormatJWS none.
	Key        string
	Keys       [][]byte
	PrivateKey *ecdsa.PrivateKey

	// SigningKeys, JWKSFile or JWKSURL says where the gate's public keys come from: exactly one of them. A URL is https, or
	// http to a loopback address; redirects are not followed. File and URL are read again when they are older than
	// five minutes or do not know a kid, at most once a minute.
	SigningKeys []PublicKey
	JWKSFile    string
	JWKSURL     string
	// Client fetches JWKSURL; nil means http.DefaultClient. A fetch is given up after five seconds.
	Client *http.Client

	// Now is the time; nil means time.Now.
	Now func() time.Time
	// Leeway is how far the clocks may be apart, applied to exp, nbf and iat; 0 means [DefaultLeeway], a negative one none at
	// all, more than a minute is an error.
	Leeway time.Duration
	// CacheSize is how many verified tokens are remembered until they expire; 0 means 1024, a negative one none.
	CacheSize int
	// Log gets the reason of each refusal in the handlers, never the token; nil means no log.
	Log *slog.Logger
}

// Verifier accepts the tokens of one gate for one audience, and nothing else. It is safe for use by many goroutines.
type Verifier struct {
	config  Config
	leeway  time.Duration
	decrypt map[string]decryptionKey // by kid
	keys    keySource
	cache   *cache
}

// decryptionKey is a key and the one algorithm it is for.
type decryptionKey struct {
	algorithm string
	key       any
}

// NewVerifier checks the configuration. It reads a JWKS file at once; a URL is fetched with the first token.
func NewVerifier(c Config) (*Verifier, error) {
	switch {
	case len(c.Issuers) == 0 || slices.Contains(c.Issuers, ""):
		return nil, errors.New("identity: a verifier needs the issuers it trusts")
	case c.Audience == "":
		return nil, errors.New("identity: a verifier needs its audience")
	case c.Type == "":
		return nil, errors.New("identity: a verifier needs the type it is for, such as identity.TypeAssertion")
	case slices.Contains(c.Purposes, ""):
		return nil, errors.New("identity: a purpose has no name")
	case c.Leeway > time.Minute:
		return nil, errors.New("identity: a leeway of more than a minute")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Issuers, c.Purposes = slices.Clone(c.Issuers), slices.Clone(c.Purposes)
	v := &Verifier{config: c, leeway: c.Leeway, decrypt: map[string]decryptionKey{}}
	switch {
	case c.Leeway == 0:
		v.leeway = DefaultLeeway
	case c.Leeway < 0:
		v.leeway = 0
	}
	switch size := c.CacheSize; {
	case size == 0:
		v.cache = newCache(1024)
	case size > 0:
		v.cache = newCache(size)
	}
	if err := v.addDecryptionKeys(); err != nil {
		return nil, err
	}
	keys, err := newKeySource(c)
	if err != nil {
		return nil, err
	}
	v.keys = keys
	return v, nil
}

func (v *Verifier) addDecryptionKeys() error {
	c := &v.config
	symmetric := slices.Clone(c.Keys)
	if c.Key != "" {
		key, err := ParseKey(c.Key)
		if err != nil {
			return err
		}
		symmetric = append(symmetric, key)
	}
	for _, key := range symmetric {
		if len(key) != keySize {
			return fmt.Errorf("identity: a key has %d bytes, not %d", len(key), keySize)
		}
		v.decrypt[KeyID(key)] = decryptionKey{string(jose.A256KW), slices.Clone(key)}
	}
	if c.PrivateKey != nil {
		kid, err := PublicKeyID(&c.PrivateKey.PublicKey)
		if err != nil {
			return err
		}
		v.decrypt[kid] = decryptionKey{string(jose.ECDH_ES_A256KW), c.PrivateKey}
	}
	switch c.Format {
	case "", FormatJWE:
		c.Format = FormatJWE
		if len(v.decrypt) == 0 {
			return errors.New("identity: format jwe needs a key")
		}
	case FormatJWS:
		if len(v.decrypt) > 0 {
			return errors.New("identity: format jws encrypts nothing: no key belongs to it")
		}
	default:
		return errors.New("identity: format is jwe or jws")
	}
	return nil
}

// Verify returns what the token says, or a [Refusal], or [ErrKeysUnavailable]. The identity is the caller's own.
func (v *Verifier) Verify(ctx context.Context, token string) (*Identity, error) {
	if len(token) > MaxInput {
		return nil, RefusedTooLarge
	}
	now := v.config.Now()
	if id := v.cache.get(token, now); id != nil {
		return id, nil
	}
	id, err := v.verify(ctx, token, now)
	if err != nil {
		return nil, err
	}
	v.cache.put(token, id, now)
	return id, nil
}

func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*Identity, error) {
	jws := token
	if v.config.Format == FormatJWE {
		var err error
		if jws, err = v.open(token); err != nil {
			return nil, err
		}
	}
	payload, err := v.checkSignature(ctx, jws)
	if err != nil {
		return nil, err
	}
	id, err := decodeClaims(payload)
	if err != nil {
		return nil, err
	}
	if err := v.checkClaims(id, now); err != nil {
		return nil, err
	}
	return id, nil
}

// open decrypts the outer JWE.
func (v *Verifier) open(token string) (jws string, err error) {
	parts, err := split(token, 5)
	if err != nil {
		return "", err
	}
	h, err := parseHeader(parts[0], "alg", "enc", "typ", "cty", "kid", "epk")
	if err != nil {
		return "", err
	}
	for _, p := range parts[1:] {
		if _, err := decodeSegment(p); err != nil {
			return "", err
		}
	}
	if h.typ != v.config.Type {
		return "", RefusedType
	}
	if h.cty != "JWT" {
		return "", RefusedContentType
	}
	key, ok := v.decrypt[h.kid]
	switch {
	case h.enc != string(jose.A256GCM) || !v.knowsAlgorithm(h.alg):
		return "", RefusedAlgorithm
	case !ok:
		return "", RefusedKey
	case h.alg != key.algorithm:
		return "", RefusedAlgorithm
	case h.hasEPK != (key.algorithm == string(jose.ECDH_ES_A256KW)):
		return "", RefusedHeader
	}
	o, err := jose.ParseEncryptedCompact(token, []jose.KeyAlgorithm{jose.KeyAlgorithm(key.algorithm)}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return "", RefusedMalformed
	}
	plain, err := o.Decrypt(key.key)
	if err != nil {
		return "", RefusedDecryption
	}
	return string(plain), nil
}

func (v *Verifier) knowsAlgorithm(alg string) bool {
	for _, k := range v.decrypt {
		if k.algorithm == alg {
			return true
		}
	}
	return false
}

// checkSignature verifies the JWS and returns its payload.
func (v *Verifier) checkSignature(ctx context.Context, jws string) (payload []byte, err error) {
	parts, err := split(jws, 3)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(parts[0], "alg", "typ", "kid")
	if err != nil {
		return nil, err
	}
	if payload, err = decodeSegment(parts[1]); err != nil {
		return nil, err
	}
	signature, err := decodeSegment(parts[2])
	if err != nil {
		return nil, err
	}
	switch {
	case h.alg != "EdDSA" && h.alg != "Ed25519": // RFC 8037 and its successor's name for the same
		return nil, RefusedAlgorithm
	case h.typ != v.config.Type:
		return nil, RefusedType
	case h.kid == "":
		return nil, RefusedKey
	}
	key, err := v.keys.find(ctx, h.kid)
	if err != nil {
		return nil, err
	}
	if !ed25519.Verify(key, []byte(jws[:len(parts[0])+1+len(parts[1])]), signature) {
		return nil, RefusedSignature
	}
	return payload, nil
}

func (v *Verifier) checkClaims(id *Identity, now time.Time) error {
	first := id.IssuedAt
	if id.NotBefore.Before(first) {
		first = id.NotBefore
	}
	switch {
	case !slices.Contains(v.config.Issuers, id.Issuer):
		return RefusedIssuer
	case id.Audience != v.config.Audience:
		return RefusedAudience
	case id.Subject == "" && v.config.Type == TypeAssertion:
		return RefusedClaims
	case !id.Expiry.After(id.IssuedAt) || !id.Expiry.After(id.NotBefore) || id.Expiry.Sub(first) > MaxLifetime:
		return RefusedLifetime
	case !now.Before(id.Expiry.Add(v.leeway)):
		return RefusedExpired
	case now.Add(v.leeway).Before(id.NotBefore) || now.Add(v.leeway).Before(id.IssuedAt):
		return RefusedNotYet
	case !v.config.accepts(id.Purpose):
		return RefusedPurpose
	}
	return nil
}

// accepts reports whether a token of this purpose is one of those that the verifier is for; none is the purpose of a sign-in.
func (c *Config) accepts(purpose string) bool {
	if len(c.Purposes) == 0 {
		return purpose == ""
	}
	return slices.Contains(c.Purposes, purpose)
}

// split cuts a compact token into exactly n parts.
func split(token string, n int) ([]string, error) {
	if strings.Count(token, ".") != n-1 {
		return nil, RefusedForm
	}
	return strings.Split(token, "."), nil
}

// header holds what this profile reads of a protected header.
type header struct {
	alg, enc, typ, cty, kid string
	hasEPK                  bool
}

// parseHeader reads a protected header that may have the given members only.
func parseHeader(segment string, allowed ...string) (h header, err error) {
	b, err := decodeSegment(segment)
	if err != nil {
		return h, err
	}
	o, err := parseObject(b)
	if err != nil {
		return h, err
	}
	for name := range o {
		switch name {
		case "zip":
			return h, RefusedCompression
		case "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256":
			return h, RefusedKeyMaterial
		}
	}
	for name := range o {
		if !slices.Contains(allowed, name) {
			return h, RefusedHeader
		}
	}
	for name, to := range map[string]*string{"alg": &h.alg, "enc": &h.enc, "typ": &h.typ, "cty": &h.cty, "kid": &h.kid} {
		if *to, _, err = o.text(name); err != nil {
			return h, RefusedMalformed
		}
	}
	_, h.hasEPK = o["epk"]
	return h, nil
}
