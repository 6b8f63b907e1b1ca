package identity

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// gate is a fake of the gate's key list that counts reads.
type gate struct {
	*httptest.Server
	reads  atomic.Int64
	mu     sync.Mutex
	body   []byte
	status int
	now    time.Time
}

func newGate(t *testing.T, keys ...PublicKey) *gate {
	t.Helper()
	g := &gate{body: JWKS(keys), status: http.StatusOK, now: corpusNow}
	g.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		g.reads.Add(1)
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(g.status)
		_, _ = w.Write(g.body)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gate) set(status int, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status, g.body = status, body
}

func (g *gate) advance(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = g.now.Add(d)
}

func (g *gate) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *gate) verifier(t *testing.T) *Verifier {
	t.Helper()
	return corpusVerifier(t, func(c *Config) {
		c.SigningKeys, c.JWKSURL, c.Client, c.Now = nil, g.URL+"/email-link/jwks.json", g.Client(), g.clock
	})
}

func (g *gate) check(t *testing.T, v *Verifier, kid string, want error, reads int64) {
	t.Helper()
	_, err := v.keys.find(t.Context(), kid)
	if !errors.Is(err, want) {
		t.Errorf("kid %s: got %v, want %v", kid, err, want)
	}
	if n := g.reads.Load(); n != reads {
		t.Errorf("kid %s: %d reads so far, want %d", kid, n, reads)
	}
}

var (
	keyOne = PublicKey{ID: corpusKid, Key: public(corpusSigner)}
	keyTwo = PublicKey{ID: "k2", Key: public(otherSigner)}
)

func TestKEY1_KeysAreRefetchedAtMostOnceAMinute(t *testing.T) {
	g := newGate(t, keyOne)
	v := g.verifier(t)
	g.check(t, v, "k1", nil, 1)
	g.check(t, v, "k1", nil, 1)
	for range 10 {
		g.check(t, v, "k2", RefusedKey, 1)
	}
	g.advance(refetch - time.Second)
	g.check(t, v, "k2", RefusedKey, 1)
	g.set(http.StatusOK, JWKS([]PublicKey{keyOne, keyTwo}))
	g.advance(time.Second)
	g.check(t, v, "k2", nil, 2) // a rotation is seen
	g.set(http.StatusOK, JWKS([]PublicKey{keyTwo}))
	g.advance(fresh)
	g.check(t, v, "k1", RefusedKey, 3) // and so is its end
	g.check(t, v, "k2", nil, 3)
}

func TestKEY1_FailingKeyListRefusesNothingThatIsKnown(t *testing.T) {
	g := newGate(t, keyOne)
	v := g.verifier(t)
	g.check(t, v, "k1", nil, 1)
	for i, bad := range []struct {
		status int
		body   string
	}{{500, "{}"}, {200, "not JSON"}, {200, `{"keys":[]}`}, {302, ""}} {
		g.set(bad.status, []byte(bad.body))
		g.advance(fresh)
		g.check(t, v, "k1", nil, int64(i+2))
		g.check(t, v, "k1", nil, int64(i+2))
	}
}

// TestJWT1_TheFetchOfTheKeysFollowsNoRedirect leads the fetch to keys that would do.
func TestJWT1_TheFetchOfTheKeysFollowsNoRedirect(t *testing.T) {
	g := newGate(t, keyOne)
	elsewhere := newGate(t, keyTwo)
	g.Config.Handler = http.RedirectHandler(elsewhere.URL, http.StatusFound)
	g.check(t, g.verifier(t), "k2", ErrKeysUnavailable, 0)
	if n := elsewhere.reads.Load(); n != 0 {
		t.Errorf("%d reads elsewhere", n)
	}
}

func TestKeysUnavailableAtFirst(t *testing.T) {
	g := newGate(t)
	g.set(http.StatusBadGateway, nil)
	v := g.verifier(t)
	g.check(t, v, "k1", ErrKeysUnavailable, 1)
	g.check(t, v, "k1", ErrKeysUnavailable, 1)
	g.set(http.StatusOK, JWKS([]PublicKey{keyOne}))
	g.advance(refetch)
	g.check(t, v, "k1", nil, 2)
}

func TestKeysOfAWaiterThatGoesAway(t *testing.T) {
	g := newGate(t, keyOne)
	v := g.verifier(t)
	l := v.keys.(*loader)
	l.lock <- struct{}{} // somebody is reading
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.find(ctx, "k1"); !errors.Is(err, ErrKeysUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-l.lock
	// A request that has ended already still reads for the others.
	if _, err := l.find(ctx, "k1"); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	g.check(t, v, "k1", nil, 1)
}

func TestKeysFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(keys ...PublicKey) {
		t.Helper()
		if err := os.WriteFile(path, JWKS(keys), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keyOne)
	now := corpusNow
	v := corpusVerifier(t, func(c *Config) { c.SigningKeys, c.JWKSFile, c.Now = nil, path, func() time.Time { return now } })
	write(keyTwo)
	if _, err := v.keys.find(t.Context(), "k2"); !errors.Is(err, RefusedKey) {
		t.Errorf("read again within a minute: %v", err)
	}
	now = now.Add(refetch)
	if _, err := v.keys.find(t.Context(), "k2"); err != nil {
		t.Error(err)
	}
}

func TestJWKSAndBack(t *testing.T) {
	keys := []PublicKey{keyOne, keyTwo}
	got, err := ParseJWKS(JWKS(keys))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(keys, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if string(JWKS(nil)) != `{"keys":[]}` {
		t.Errorf("empty: %s", JWKS(nil))
	}
}

func TestParseJWKSRefuses(t *testing.T) {
	const key = `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	if got, err := ParseJWKS([]byte(`{"keys":[{"kty":"RSA","kid":"r"},` + key + `]}`)); err != nil || len(got) != 1 {
		t.Errorf("beside an RSA key: %v, %v", got, err)
	}
	for name, text := range map[string]string{
		"empty":           ``,
		"no keys":         `{}`,
		"null":            `{"keys":null}`,
		"only others":     `{"keys":[{"kty":"RSA","kid":"r"}]}`,
		"for encryption":  `{"keys":[` + strings.Replace(key, `{`, `{"use":"enc",`, 1) + `]}`,
		"another alg":     `{"keys":[` + strings.Replace(key, `{`, `{"alg":"HS256",`, 1) + `]}`,
		"no id":           `{"keys":[` + strings.Replace(key, `"kid":"a",`, ``, 1) + `]}`,
		"short":           `{"keys":[` + strings.Replace(key, `11qY`, ``, 1) + `]}`,
		"stray bits":      `{"keys":[` + strings.Replace(key, `URo`, `URp`, 1) + `]}`,
		"two of one id":   `{"keys":[` + key + `,` + key + `]}`,
		"duplicate":       `{"keys":[` + key + `],"keys":[` + key + `]}`,
		"a number as kid": `{"keys":[` + strings.Replace(key, `"a"`, `1`, 1) + `]}`,
		"a list in it":    `{"keys":[[]]}`,
		"too many":        `{"keys":[` + strings.Repeat(`{"kty":"RSA"},`, maxKeys) + key + `]}`,
		"too large":       `{"keys":[` + key + `]}` + strings.Repeat(" ", maxJWKS),
	} {
		if got, err := ParseJWKS([]byte(text)); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func FuzzParseJWKS(f *testing.F) {
	f.Add(JWKS([]PublicKey{keyOne, keyTwo}))
	f.Add([]byte(`{"keys":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := ParseJWKS(b)
		if err == nil && len(keys) == 0 {
			t.Fatal("no keys and no error")
		}
		for _, k := range keys {
			if k.ID == "" || len(k.Key) != 32 {
				t.Fatalf("%+v", k)
			}
		}
	})
}
