package gate

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// TestHDR3_WhatCannotBeMintedGoesNowhere has each caller of the minter meet one that fails: a name of the app that is too long for
// an assertion.
func TestHDR3_WhatCannotBeMintedGoesNowhere(t *testing.T) {
	for name, c := range map[string]struct {
		method          string
		byToken, asked  bool
		optional, fails bool
	}{
		"a session":                  {method: http.MethodGet},
		"a session, to be written":   {method: http.MethodPost},
		"a token":                    {method: http.MethodGet, byToken: true},
		"a session, asked by proxy":  {method: http.MethodGet, asked: true},
		"a token, asked by a proxy":  {method: http.MethodGet, byToken: true, asked: true},
		"a session, open to anybody": {method: http.MethodGet, optional: true},
	} {
		for _, fails := range []bool{false, true} {
			f := newFixture(t, func(s *Site) {
				s.Peers, s.Access.Optional, s.Require.Scopes = loopback, c.optional, Scopes{{"calendar", "session"}}
				if fails {
					s.Audience = strings.Repeat("a", 5000)
				}
			})
			r := request(c.method, testOrigin+"/app", f.cookie)
			if c.byToken {
				r = request(c.method, testOrigin+"/app", "", "Authorization", "Bearer "+f.token("calendar"))
			}
			want := http.StatusOK
			if fails {
				want = http.StatusServiceUnavailable
			}
			if c.asked {
				r = described(r)
			}
			got := try(t, r, f.Site)
			if got.code != want {
				t.Errorf("fails %v, %s: %d, want %d", fails, name, got.code, want)
			}
			if fails && (got.arrived != nil || got.header[identity.Header] != nil || strings.Contains(got.body, "backend")) {
				t.Errorf("%s: the backend got %v, the answer is %v", name, got.arrived, got.header)
			}
			if !fails && !c.asked && len(got.arrived.Header[identity.Header]) != 1 {
				t.Errorf("%s: the backend got %v", name, got.arrived.Header)
			}
		}
	}
}

// TestKEY1_AnAssertionIsOfTheConfigurationInForce asks with one session under configurations that differ in one thing each that the
// assertion depends on: none gets what was minted for another.
func TestKEY1_AnAssertionIsOfTheConfigurationInForce(t *testing.T) {
	f := newFixture(t)
	key := func(b string) []byte { return []byte(strings.Repeat(b, 32)) }
	base := AssertionConfig{Header: identity.Header, Format: identity.FormatJWE, TTL: time.Minute, Key: key("a")}
	seen := map[string]string{}
	for name, change := range map[string]func(c *AssertionConfig){
		"the first":      func(*AssertionConfig) {},
		"another key":    func(c *AssertionConfig) { c.Key = key("b") },
		"the ring's key": func(c *AssertionConfig) { c.Key = nil },
		"signed only":    func(c *AssertionConfig) { c.Format, c.Key = identity.FormatJWS, nil },
		"another time":   func(c *AssertionConfig) { c.TTL = 2 * time.Minute },
		"another name":   func(*AssertionConfig) { f.Audience = "shop" },
	} {
		c := base
		f.Audience = ""
		change(&c)
		f.minters, f.Assertions = &minters{config: c, runtime: f.rt}, c
		ask := func() string {
			got := try(t, request(http.MethodGet, testOrigin+"/app", f.cookie), f.Site)
			if got.code != http.StatusOK || len(got.arrived.Header[identity.Header]) != 1 {
				t.Fatalf("%s: %d", name, got.code)
			}
			return got.arrived.Header[identity.Header][0]
		}
		first := ask()
		if first != ask() {
			t.Errorf("%s: it is minted for each request", name)
		}
		if of := seen[first]; of != "" {
			t.Errorf("%s gets the assertion of %s", name, of)
		}
		seen[first] = name
	}
}

// sessionCheck is what the gate does for each request whose session and assertion are cached.
func sessionCheck(t testing.TB) func() {
	f := newFixture(t)
	m, err := f.minters.of("app.example.com")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	return func() {
		at := f.rt.Clock.Read()
		s, err := f.rt.Sessions.FindAt(ctx, at.Now, f.cookie, testOrigin)
		if err != nil || s == nil {
			t.Fatal("no session", err)
		}
		if text, err := m.mint(f.gate, f.rt, at, userSession{s}, testOrigin); err != nil || text == "" {
			t.Fatal("no assertion", err)
		}
	}
}

// TestSessionCheck_AllocatesNothing: a hit in the cache finds the session and its assertion without any allocation.
func TestSessionCheck_AllocatesNothing(t *testing.T) {
	check := sessionCheck(t)
	check()
	if got := testing.AllocsPerRun(1000, check); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkSessionCheck(b *testing.B) {
	check := sessionCheck(b)
	b.ReportAllocs()
	for b.Loop() {
		check()
	}
}
