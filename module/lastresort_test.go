package module

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/machine"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

// trial is what became of one request.
type trial struct {
	code   int
	header http.Header
	body   string
	// arrived is what the backend got, nil where it got nothing.
	arrived http.Header
	// unlogged says that Caddy's access log has no line of the request.
	unlogged bool
}

// try sends a request through a handler, as Caddy's server does.
func try(t *testing.T, h *Handler, r *http.Request) (got trial) {
	t.Helper()
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		got.arrived = r.Header.Clone()
		w.Header().Set("X-Backend", "yes")
		_, err := io.WriteString(w, "secret of the backend")
		return err
	})
	if err := h.ServeHTTP(w, r, next); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	got.code, got.header, got.body = w.Code, w.Header(), w.Body.String()
	got.unlogged, _ = caddyhttp.GetVar(r.Context(), caddyhttp.LogSkipVar).(bool)
	return got
}

// request is a script's, with a session where cookie is one.
func request(method, target, cookie string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", "*/*")
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: boundary.CookieName("", true), Value: cookie})
	}
	return r
}

// described is what a proxy asks for a request.
func described(method, uri, cookie string) *http.Request {
	r := request(http.MethodGet, "https://gate.internal"+DefaultPath+"/verify", cookie)
	r.RemoteAddr = "127.0.0.1:1234"
	for name, value := range map[string]string{"Method": method, "Proto": "https", "Host": "app.example.com", "Uri": uri} {
		r.Header.Set("X-Forwarded-"+name, value)
	}
	return r
}

// verifying is started, for a proxy on this machine.
func verifying(t *testing.T) (h *Handler, cookie string) {
	t.Helper()
	h, cookie = started(t)
	h.Verify = &Verify{From: []string{"127.0.0.1"}}
	if err := h.readVerify(); err != nil {
		t.Fatal(err)
	}
	return h, cookie
}

// tokenOf makes a machine token for the account of a session, and lets it through.
func tokenOf(t *testing.T, h *Handler, cookie string) string {
	t.Helper()
	c := h.wait(t.Context()).core
	h.Require.Scope = [][]string{{"calendar", machine.People}}
	c.Machines.SetScopes([]string{"calendar"})
	live, err := c.Sessions.Find(t.Context(), cookie, hotOrigin)
	if err != nil || live == nil {
		t.Fatalf("the session: %v, %v", live, err)
	}
	text, _, err := c.Machines.Create(t.Context(), machine.Input{
		Account: live.Account.ID, Site: hotOrigin, Scopes: []string{"calendar"}, TTL: time.Hour, Name: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestHDR3_WhatCannotBeMintedGoesNowhere has each caller of the minter meet one that fails: a name of the app that is too long for
// an assertion.
func TestHDR3_WhatCannotBeMintedGoesNowhere(t *testing.T) {
	h, cookie := verifying(t)
	bearer := "Bearer " + tokenOf(t, h, cookie)
	bearing := func(r *http.Request) *http.Request {
		r.Header.Set("Authorization", bearer)
		return r
	}
	for _, fails := range []bool{false, true} {
		want := http.StatusOK
		if fails {
			want = http.StatusServiceUnavailable
			h.Audience = strings.Repeat("a", 5000)
		}
		for name, r := range map[string]*http.Request{
			"a session":                  request(http.MethodGet, hotOrigin+"/app", cookie),
			"a session, to be written":   request(http.MethodPost, hotOrigin+"/app", cookie),
			"a token":                    bearing(request(http.MethodGet, hotOrigin+"/app", "")),
			"a session, asked by proxy":  described(http.MethodGet, "/app", cookie),
			"a token, asked by a proxy":  bearing(described(http.MethodGet, "/app", "")),
			"a session, open to anybody": request(http.MethodGet, hotOrigin+"/app", cookie),
		} {
			h.Optional = strings.Contains(name, "anybody")
			got := try(t, h, r)
			if got.code != want {
				t.Errorf("fails %v, %s: %d, want %d", fails, name, got.code, want)
			}
			if fails && (got.arrived != nil || got.header[identity.Header] != nil || strings.Contains(got.body, "backend")) {
				t.Errorf("%s: the backend got %v, the answer is %v", name, got.arrived, got.header)
			}
			if asked := strings.Contains(name, "asked"); !fails && !asked && len(got.arrived[identity.Header]) != 1 {
				t.Errorf("%s: the backend got %v", name, got.arrived)
			}
		}
	}
}

// TestHDR3_WhatCannotBeReadIsNotNobody closes the store under each place that looks for a session or a token: none may go on as if there
// were neither.
func TestHDR3_WhatCannotBeReadIsNotNobody(t *testing.T) {
	for _, optional := range []bool{false, true} {
		h, cookie := verifying(t)
		h.Optional = optional
		bearer := "Bearer " + tokenOf(t, h, cookie)
		c := h.wait(t.Context()).core
		live, err := c.Sessions.Find(t.Context(), cookie, hotOrigin)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Store.Close(); err != nil {
			t.Fatal(err)
		}
		c.Sessions.Changed(live.Account.ID) // so that the store is asked again
		for name, r := range map[string]*http.Request{
			"a session":                 request(http.MethodGet, hotOrigin+"/app", cookie),
			"a page of ours":            request(http.MethodGet, hotOrigin+DefaultPath+"/session", cookie),
			"a session, asked by proxy": described(http.MethodGet, "/app", cookie),
			"a token":                   request(http.MethodGet, hotOrigin+"/app", ""),
			"a token, asked by a proxy": described(http.MethodGet, "/app", ""),
		} {
			if strings.Contains(name, "token") {
				r.Header.Set("Authorization", bearer)
			}
			if got := try(t, h, r); got.code != http.StatusServiceUnavailable || got.arrived != nil || got.header[identity.Header] != nil {
				t.Errorf("optional %v, %s: %d, the backend got %v", optional, name, got.code, got.arrived)
			}
		}
	}
}

// meanwhile is a matcher during which something happens: between the look at the session and the answer.
type meanwhile struct{ happens func() }

func (m *meanwhile) MatchWithError(*http.Request) (bool, error) {
	if m.happens != nil {
		m.happens()
	}
	return true, nil
}

// TestSES4_WhatEndsMeanwhileIsNotVouchedFor ends a session, or a token, between the look at it and the answer.
func TestSES4_WhatEndsMeanwhileIsNotVouchedFor(t *testing.T) {
	for name, end := range map[string]func(c *core, live *session.Live) error{
		"here": func(c *core, live *session.Live) error { return c.Sessions.End(context.Background(), live) },
		"everywhere": func(c *core, live *session.Live) error {
			return c.Sessions.EndEverywhere(context.Background(), live.Account.ID)
		},
		"all": func(c *core, _ *session.Live) error { return c.Sessions.EndAll(context.Background()) },
	} {
		for _, byToken := range []bool{false, true} {
			if byToken && name == "here" {
				continue // ends no token
			}
			for _, asked := range []bool{false, true} {
				h, cookie := verifying(t)
				c := h.wait(t.Context()).core
				text := tokenOf(t, h, cookie)
				live, err := c.Sessions.Find(t.Context(), cookie, hotOrigin)
				if err != nil {
					t.Fatal(err)
				}
				m := &meanwhile{}
				h.access.Protect = gate.Sets{{caddyMatcher{caddyhttp.MatcherSet{m}}}}
				send := func() trial {
					r := request(http.MethodGet, hotOrigin+"/app", cookie)
					if asked {
						r = described(http.MethodGet, "/app", cookie)
					}
					if byToken {
						r.Header.Set("Authorization", "Bearer "+text)
					}
					return try(t, h, r)
				}
				if got := send(); got.code != http.StatusOK {
					t.Fatalf("%s: %d while nothing happens", name, got.code)
				}
				m.happens = func() {
					if err := end(c, live); err != nil {
						t.Error(err)
					}
				}
				got := send()
				if got.code != http.StatusUnauthorized || got.header[identity.Header] != nil || strings.Contains(got.body, "backend") {
					t.Errorf("%s, token %v, asked by a proxy %v: %d %v", name, byToken, asked, got.code, got.header)
				}
			}
		}
	}
}

// TestLOG1_NoPlaceLogsALink sends links on every way out of the gate, and looks whether Caddy's access log would have the address,
// or the answer with the assertion.
func TestLOG1_NoPlaceLogsALink(t *testing.T) {
	link := hotOrigin + DefaultPath + "/link?t=" + token.Random(time.Now().Add(time.Hour))
	notUp := func(h *Handler) {
		h.app.gate = startLatch{}
		h.app.gate.init()
	}
	gone := func(h *Handler) {
		if err := h.wait(context.Background()).core.Store.Close(); err != nil {
			panic(err)
		}
	}
	for name, c := range map[string]struct {
		request func(cookie string) *http.Request
		state   func(h *Handler)
		code    int
		logged  bool
	}{
		"a link":                 {request: func(string) *http.Request { return request("GET", link, "") }, code: 303},
		"a link by POST":         {request: func(string) *http.Request { return request("POST", link, "") }, code: 405},
		"a link, traced":         {request: func(string) *http.Request { return request("TRACE", link, "") }, code: 405},
		"at a host of no site":   {request: func(string) *http.Request { return request("GET", strings.Replace(link, "app.", "www.", 1), "") }, code: 421},
		"without a store":        {request: func(string) *http.Request { return request("GET", link, "") }, state: gone, code: 303},
		"with a session, unread": {request: func(cookie string) *http.Request { return request("GET", link, cookie[:len(cookie)-1]+"A") }, state: gone, code: 503},
		"while the gate starts":  {request: func(string) *http.Request { return request("GET", link, "") }, state: notUp, code: 503},
		"beside a bad token": {request: func(string) *http.Request {
			r := request("GET", link, "")
			r.Header.Set("Authorization", "Bearer elt_x")
			return r
		}, code: 401},
		"another page with t": {request: func(string) *http.Request { return request("GET", hotOrigin+DefaultPath+"/cancel?t=x", "") }, code: 410},
		"a proxy that asks":   {request: func(cookie string) *http.Request { return described("GET", "/app", cookie) }, code: 200},
		"a proxy, refused":    {request: func(string) *http.Request { return described("GET", "/app", "") }, code: 401},
		"a proxy, badly":      {request: func(cookie string) *http.Request { return described("GET", DefaultPath+"/link?t=x", cookie) }, code: 403},
		"a token in a header": {request: func(string) *http.Request {
			r := request("GET", hotOrigin+"/app", "")
			r.Header.Set("Email-Link-Token", "elt_x")
			return r
		}, code: 401},
		"a page that holds none":  {request: func(string) *http.Request { return request("GET", hotOrigin+DefaultPath+"/sign-in", "") }, code: 200, logged: true},
		"the app, to a stranger":  {request: func(string) *http.Request { return request("GET", hotOrigin+"/app", "") }, code: 401, logged: true},
		"the app, to a signed-in": {request: func(cookie string) *http.Request { return request("GET", hotOrigin+"/app", cookie) }, code: 200, logged: true},
	} {
		h, cookie := verifying(t)
		r := c.request(cookie)
		if c.state != nil {
			ctx, cancel := context.WithCancel(r.Context())
			cancel() // nobody waits for the start
			if r = r.WithContext(ctx); name != "while the gate starts" {
				r = c.request(cookie)
			}
			c.state(h)
		}
		got := try(t, h, r)
		if got.code != c.code || got.unlogged == c.logged {
			t.Errorf("%s: %d, want %d; in the access log: %v", name, got.code, c.code, !got.unlogged)
		}
	}
}

// TestHDR3_AnAnswerThatIsTakenBackTellsNothing: a matcher that cannot say whether it matches makes no path public.
func TestHDR3_AnAnswerThatIsTakenBackTellsNothing(t *testing.T) {
	h, _ := started(t)
	failing := gate.Sets{{caddyMatcher{caddyhttp.MatcherSet{failingMatcher{}}}}}
	for name, set := range map[string]func(){
		"public":  func() { h.access.Public, h.access.Protect = failing, nil },
		"protect": func() { h.access.Public, h.access.Protect = nil, failing },
	} {
		set()
		if got := try(t, h, request(http.MethodGet, hotOrigin+"/app", "")); got.code != http.StatusUnauthorized || got.arrived != nil {
			t.Errorf("%s: %d, the backend got %v", name, got.code, got.arrived)
		}
	}
}

type failingMatcher struct{}

func (failingMatcher) MatchWithError(*http.Request) (bool, error) {
	return true, errors.New("cannot say")
}
