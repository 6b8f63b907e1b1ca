package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestJWT1_ConfigIsChecked(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := []PublicKey{{ID: corpusKid, Key: public(corpusSigner)}}
	for name, edit := range map[string]func(*Config){
		"no issuer":            func(c *Config) { c.Issuers = nil },
		"empty issuer":         func(c *Config) { c.Issuers = []string{corpusIssuer, ""} },
		"no audience":          func(c *Config) { c.Audience = "" },
		"no type":              func(c *Config) { c.Type = "" },
		"unknown format":       func(c *Config) { c.Format = "none" },
		"no key":               func(c *Config) { c.Keys = nil },
		"a bad key":            func(c *Config) { c.Key = "short" },
		"a short key":          func(c *Config) { c.Keys = [][]byte{corpusKey[:16]} },
		"jws with a key":       func(c *Config) { c.Format = FormatJWS },
		"a curve too weak":     func(c *Config) { c.PrivateKey = p224 },
		"an empty purpose":     func(c *Config) { c.Purposes = []string{"reset", ""} },
		"a wide leeway":        func(c *Config) { c.Leeway = time.Minute + 1 },
		"no signing keys":      func(c *Config) { c.SigningKeys = nil },
		"two sources":          func(c *Config) { c.JWKSURL = "https://app.example.com/email-link/jwks.json" },
		"a missing file":       func(c *Config) { c.SigningKeys, c.JWKSFile = nil, "testdata/none" },
		"http":                 func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "http://app.example.com/jwks.json" },
		"http, like localhost": func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "http://localhost.example.com/jwks.json" },
		"http, one label":      func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "http://gate:8080/jwks.json" },
		"http, in a network":   func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "http://10.0.0.2/jwks.json" },
		"http, of no machine":  func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "http://0.0.0.0/jwks.json" },
		"file:":                func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "file:///etc/passwd" },
		"no host":              func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "https:///jwks.json" },
		"a password in it":     func(c *Config) { c.SigningKeys, c.JWKSURL = nil, "https://a:b@app.example.com/jwks.json" },
		"a key without id":     func(c *Config) { c.SigningKeys = []PublicKey{{Key: public(corpusSigner)}} },
		"a short signing key":  func(c *Config) { c.SigningKeys = []PublicKey{{ID: "x", Key: []byte("x")}} },
		"two keys, one id":     func(c *Config) { c.SigningKeys = append(key, key...) },
	} {
		c := corpusConfig()
		edit(&c)
		if v, err := NewVerifier(c); err == nil || v != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, url := range []string{"http://127.0.0.1:2/j", "http://[::1]/j", "http://localhost/j", "http://app.localhost:8080/j", "https://app.example.com/j"} {
		if err := checkURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestJWT1_EdgesOfTime(t *testing.T) {
	token, expiry, err := minter(t, nil).Mint(ordinary())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		leeway time.Duration
		now    time.Time
		want   error
	}{
		{"last moment", -1, expiry.Add(-1), nil},
		{"expired", -1, expiry, RefusedExpired},
		{"first moment", -1, corpusNow, nil},
		{"too early", -1, corpusNow.Add(-1), RefusedNotYet},
		{"last moment with leeway", 0, expiry.Add(DefaultLeeway - 1), nil},
		{"expired with leeway", 0, expiry.Add(DefaultLeeway), RefusedExpired},
		{"first moment with leeway", 0, corpusNow.Add(-DefaultLeeway), nil},
		{"too early with leeway", 0, corpusNow.Add(-DefaultLeeway - 1), RefusedNotYet},
	} {
		v := corpusVerifier(t, func(c *Config) { c.Leeway, c.Now = tc.leeway, func() time.Time { return tc.now } })
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestJWT1_CacheEndsWithTheToken(t *testing.T) {
	var mu sync.Mutex
	now := corpusNow
	v := corpusVerifier(t, func(c *Config) {
		c.CacheSize, c.Leeway = 4, -1
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	token, expiry, err := minter(t, nil).Mint(ordinary())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if v.cache.get(token, now) == nil {
		t.Error("not remembered")
	}
	if _, err := v.Verify(t.Context(), token+"A"); err == nil {
		t.Error("another token was taken for it")
	}
	mu.Lock()
	now = expiry
	mu.Unlock()
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, RefusedExpired) {
		t.Errorf("after its end: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(10)
	id := ordinary()
	id.Expiry = corpusNow.Add(time.Minute)
	for i := range 1000 {
		c.put(fmt.Sprint(i), &id, corpusNow)
		if n := len(c.current) + len(c.previous); n > 10 {
			t.Fatalf("%d entries", n)
		}
		if c.get(fmt.Sprint(i), corpusNow) == nil {
			t.Fatalf("entry %d is not there", i)
		}
	}
	c.put("expired", &id, id.Expiry)
	if c.get("expired", corpusNow) != nil {
		t.Error("an expired token was remembered")
	}
}

func TestVerifyIsSafeForManyGoroutines(t *testing.T) {
	v := corpusVerifier(t, func(c *Config) { c.CacheSize = 4 })
	m := minter(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				token, _, err := m.Mint(ordinary())
				if err != nil {
					t.Error(err)
					return
				}
				for range 2 {
					if id, err := v.Verify(t.Context(), token); err != nil || id.Methods[0] != "link" {
						t.Error(err)
					} else {
						id.Methods[0] = "mine"
					}
				}
			}
		})
	}
	wg.Wait()
}

func FuzzJWT1_Verify(f *testing.F) {
	for _, c := range buildCorpus().Cases {
		f.Add(c.Token)
	}
	valid := map[string]bool{}
	for _, c := range append(acceptedCases(), signInCases()...) {
		valid[c.Token] = true
	}
	v := corpusVerifier(f, nil)
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(t.Context(), token)
		var refusal Refusal
		switch {
		case err == nil && !valid[token]:
			t.Fatalf("accepted: %+v", id)
		case err != nil && (id != nil || !errors.As(err, &refusal)):
			t.Fatalf("%v, %v", id, err)
		}
	})
}

// The parts behind the encryption are fuzzed without it: with it no input would get there.
func FuzzJWT1_Inner(f *testing.F) {
	f.Add(innerHeader().String(), ordinaryClaims().String())
	f.Add(`{"alg":"none"}`, `{"a":1,"a":2}`)
	f.Add("", "null")
	v := corpusVerifier(f, nil)
	f.Fuzz(func(t *testing.T, header, claims string) {
		id, err := v.Verify(t.Context(), seal(outerHeader().String(), sign(header, claims, corpusSigner)))
		if err != nil {
			return
		}
		if id.Issuer != corpusIssuer || id.Audience != corpusAudience || id.Subject == "" || id.Expiry.Sub(id.IssuedAt) > MaxLifetime {
			t.Fatalf("accepted %s: %+v", claims, id)
		}
	})
}
