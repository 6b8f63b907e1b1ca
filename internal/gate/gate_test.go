package gate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestHDR3_WhatCannotBeReadIsNotNobody closes the store under each place that looks for a session or a token: none may go on as if there
// were neither.
func TestHDR3_WhatCannotBeReadIsNotNobody(t *testing.T) {
	for _, optional := range []bool{false, true} {
		f := newFixture(t, func(s *Site) {
			s.Peers, s.Access.Optional, s.Require.Scopes = loopback, optional, Scopes{{"calendar", machinetoken.People}}
		})
		bearer := []string{"Authorization", "Bearer " + f.token("calendar")}
		stale := func(tx storage.Tx) error {
			return tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: f.account.ID})
		}
		if err := errors.Join(f.rt.Store.Update(t.Context(), stale), f.rt.Store.Close()); err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]*http.Request{
			"a session":                 request(http.MethodGet, testOrigin+"/app", f.cookie),
			"a page of ours":            request(http.MethodGet, testOrigin+testPrefix+"/session", f.cookie),
			"a session, asked by proxy": described(request(http.MethodGet, testOrigin+"/app", f.cookie)),
			"a token":                   request(http.MethodGet, testOrigin+"/app", "", bearer...),
			"a token, asked by a proxy": described(request(http.MethodGet, testOrigin+"/app", "", bearer...)),
		} {
			if got := try(t, r, f.Site); got.code != http.StatusServiceUnavailable || got.arrived != nil || got.header[identity.Header] != nil {
				t.Errorf("optional %v, %s: %d, the backend got %v", optional, name, got.code, got.arrived)
			}
		}
	}
}

// meanwhile is a matcher during which something happens: between the look at the session and the answer.
type meanwhile struct{ happens func() }

func (m *meanwhile) Opens(r *http.Request) bool { return m.Demands(r) }

func (m *meanwhile) Demands(*http.Request) bool {
	if m.happens != nil {
		m.happens()
	}
	return true
}

// TestSES4_WhatEndsMeanwhileIsNotVouchedFor ends a session, or a token, between the look at it and the answer.
func TestSES4_WhatEndsMeanwhileIsNotVouchedFor(t *testing.T) {
	for name, end := range map[string]func(rt *Runtime, live *session.Live) error{
		"here": func(rt *Runtime, live *session.Live) error { return rt.Sessions.End(context.Background(), live) },
		"everywhere": func(rt *Runtime, live *session.Live) error {
			return rt.Sessions.EndEverywhere(context.Background(), live.Account.ID)
		},
		"all": func(rt *Runtime, _ *session.Live) error { return rt.Sessions.EndAll(context.Background()) },
	} {
		for _, byToken := range []bool{false, true} {
			if byToken && name == "here" {
				continue // ends no token
			}
			for _, asked := range []bool{false, true} {
				m := &meanwhile{}
				f := newFixture(t, func(s *Site) {
					s.Peers, s.Access.Protect, s.Require.Scopes = loopback, one(m), Scopes{{"calendar", machinetoken.People}}
				})
				text := f.token("calendar")
				live, err := f.rt.Sessions.Find(t.Context(), f.cookie, testOrigin)
				if err != nil {
					t.Fatal(err)
				}
				send := func() trial {
					r := request(http.MethodGet, testOrigin+"/app", f.cookie)
					if byToken {
						r.Header.Set("Authorization", "Bearer "+text)
					}
					if asked {
						r = described(r)
					}
					return try(t, r, f.Site)
				}
				if got := send(); got.code != http.StatusOK {
					t.Fatalf("%s: %d while nothing happens", name, got.code)
				}
				m.happens = func() {
					if err := end(f.rt, live); err != nil {
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

// TestLOG1_NoPlaceLogsALink sends links on every way out of the gate, and looks whether the server's access log would have the address,
// or the answer with the assertion.
func TestLOG1_NoPlaceLogsALink(t *testing.T) {
	mailed := token.Random(time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC))
	link := testOrigin + testPrefix + "/link?t=" + mailed
	notUp := func(f *fixture) { f.gate.latch = startLatch{opened: make(chan struct{})} }
	gone := func(f *fixture) {
		if err := f.rt.Store.Close(); err != nil {
			panic(err)
		}
	}
	for name, c := range map[string]struct {
		request func(f *fixture) *http.Request
		state   func(f *fixture)
		code    int
		logged  bool
	}{
		"a link":                 {request: func(*fixture) *http.Request { return request("GET", link, "") }, code: 303},
		"a link by POST":         {request: func(*fixture) *http.Request { return request("POST", link, "") }, code: 405},
		"a link, traced":         {request: func(*fixture) *http.Request { return request("TRACE", link, "") }, code: 405},
		"at a host of no site":   {request: func(*fixture) *http.Request { return request("GET", strings.Replace(link, "app.", "www.", 1), "") }, code: 421},
		"without a store":        {request: func(*fixture) *http.Request { return request("GET", link, "") }, state: gone, code: 303},
		"with a session, unread": {request: func(f *fixture) *http.Request { return request("GET", link, f.cookie[:len(f.cookie)-1]+"A") }, state: gone, code: 503},
		"while the gate starts": {request: func(*fixture) *http.Request {
			ctx, cancel := context.WithCancel(context.Background())
			cancel() // so that the start is not waited for
			return request("GET", link, "").WithContext(ctx)
		}, state: notUp, code: 503},
		"beside a bad token":  {request: func(*fixture) *http.Request { return request("GET", link, "", "Authorization", "Bearer elt_x") }, code: 401},
		"another page with t": {request: func(*fixture) *http.Request { return request("GET", testOrigin+testPrefix+"/cancel?t=x", "") }, code: 410},
		"a rewritten link":    {request: func(*fixture) *http.Request { return rewritten(request("GET", testOrigin+"/x", ""), link) }, code: 503},
		"in the Referer":      {request: func(f *fixture) *http.Request { return request("GET", testOrigin+"/app", f.cookie, "Referer", link) }, code: 200},
		"a proxy that asks":   {request: func(f *fixture) *http.Request { return described(request("GET", testOrigin+"/app", f.cookie)) }, code: 200},
		"a proxy, refused":    {request: func(*fixture) *http.Request { return described(request("GET", testOrigin+"/app", "")) }, code: 401},
		"a proxy, badly": {request: func(f *fixture) *http.Request {
			return described(request("GET", testOrigin+testPrefix+"/link?t=x", f.cookie))
		}, code: 403},
		"another who asks": {request: func(f *fixture) *http.Request {
			r := described(request("GET", testOrigin+"/app", f.cookie))
			r.RemoteAddr = "192.0.2.7:1"
			return r
		}, code: 404},
		"in the app's query": {request: func(f *fixture) *http.Request {
			return request("GET", testOrigin+"/app?to="+url.QueryEscape(link), f.cookie)
		}, code: 200},
		"in the app's path": {request: func(f *fixture) *http.Request { return request("GET", testOrigin+"/app/"+mailed, f.cookie) }, code: 200},
		"before a rewrite": {request: func(f *fixture) *http.Request {
			return rewritten(request("GET", testOrigin+"/app", f.cookie), testOrigin+"/"+mailed)
		}, code: 200},
		"after a rewrite": {request: func(f *fixture) *http.Request {
			return rewritten(request("GET", testOrigin+"/app?"+mailed, f.cookie), testOrigin+"/app")
		}, code: 200},
		"a token in a header": {request: func(*fixture) *http.Request {
			return request("GET", testOrigin+"/app", "", "Email-Link-Token", "elt_x")
		}, code: 401},
		"a page that holds none":  {request: func(*fixture) *http.Request { return request("GET", testOrigin+testPrefix+"/sign-in", "") }, code: 200, logged: true},
		"the app, to a stranger":  {request: func(*fixture) *http.Request { return request("GET", testOrigin+"/app", "") }, code: 401, logged: true},
		"the app, to a signed-in": {request: func(f *fixture) *http.Request { return request("GET", testOrigin+"/app", f.cookie) }, code: 200, logged: true},
	} {
		f := newFixture(t, func(s *Site) { s.Peers, s.Require.Scopes = loopback, Scopes{{"calendar", machinetoken.People}} })
		r := c.request(f)
		if c.state != nil {
			c.state(f)
		}
		got := try(t, r, f.Site)
		if logged := len(f.host.redacted) == 0; got.code != c.code || logged != c.logged {
			t.Errorf("%s: %d, want %d; in the access log: %v", name, got.code, c.code, logged)
		}
		if got.arrived != nil && (token.Holds(got.arrived.RequestURI, f.now) || RefererHoldsToken(got.arrived.Header, f.now)) {
			t.Errorf("%s: a handler that logs its request shows %s, Referer %q", name, got.arrived.RequestURI, got.arrived.Header["Referer"])
		}
		for _, one := range f.host.redacted {
			if token.Holds(one.Logged.RequestURI, f.now) || token.Holds(one.Path, f.now) || RefererHoldsToken(one.Logged.Header, f.now) {
				t.Errorf("%s: the log shows %s, Referer %q", name, one.Logged.RequestURI, one.Logged.Header["Referer"])
			}
		}
	}
}

// TestLOG1_AnErrorRepeatsNoReferer: an error of a request whose Referer holds a mailed token ends here.
func TestLOG1_AnErrorRepeatsNoReferer(t *testing.T) {
	f := newFixture(t)
	held := testOrigin + testPrefix + "/link?t=" + token.Random(time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC))
	fails := handlerFunc(func(http.ResponseWriter, *http.Request) error { return http.ErrBodyNotAllowed })
	for referer, ends := range map[string]bool{held: true, testOrigin + "/app": false} {
		w := &discard{header: http.Header{}}
		r := arrive(request(http.MethodGet, testOrigin+"/app", f.cookie, "Referer", referer))
		err := f.Site.redactError(w, r, fails(w, r))
		if (err == nil) != ends || (w.status == http.StatusInternalServerError) != ends {
			t.Errorf("%s: %v, %d", referer, err, w.status)
		}
	}
	if strings.Contains(f.log.String(), "link?t=") || !strings.Contains(f.log.String(), FailedRedacted) {
		t.Errorf("the log: %s", f.log)
	}
}

// discard is a ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(code int)        { d.status = code }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// TestPATH1_NoMethodThatTellsOrTunnels refuses TRACE, and CONNECT but for an upgrade.
func TestPATH1_NoMethodThatTellsOrTunnels(t *testing.T) {
	f := newFixture(t)
	for method, want := range map[string]outcome{http.MethodTrace: {405, false}, http.MethodConnect: {405, false}, http.MethodOptions: passes, http.MethodHead: passes} {
		r := request(http.MethodGet, testOrigin+"/app", f.cookie)
		r.Method = method
		f.check(t, method, r, false, want)
	}
}

// TestMAIL1_EveryHostButItsOwnIsRefused: what is not an origin of the site gets a page that names the right one, whatever it asks for, but
// for the health check.
func TestMAIL1_EveryHostButItsOwnIsRefused(t *testing.T) {
	f := newFixture(t)
	for _, host := range []string{"www.example.com", "app.example.com.evil.example", "app.example.com:8443", "", "app.example.com@evil.example"} {
		for path, want := range map[string]int{"/app": 421, testPrefix + "/sign-in": 421, testPrefix + "/health": 200} {
			r := request(http.MethodGet, testOrigin+path, f.cookie)
			r.Host = host
			if got := try(t, r, f.Site); got.code != want || got.arrived != nil {
				t.Errorf("%q%s: %d, want %d; the backend got %v", host, path, got.code, want, got.arrived)
			}
		}
	}
}

// TestCONF4_PagesThatARewriteTakesAwayAreNotPassedOn: what the client asked for is told from what a rewrite made of it.
func TestCONF4_PagesThatARewriteTakesAwayAreNotPassedOn(t *testing.T) {
	f := newFixture(t)
	f.check(t, "a page", rewritten(request(http.MethodGet, testOrigin+"/sign-in", f.cookie), testOrigin+testPrefix+"/sign-in"), false, outcome{503, false})
	f.check(t, "another path", rewritten(request(http.MethodGet, testOrigin+"/app", f.cookie), testOrigin+"/old"), false, passes)
}

// TestHDR1_NothingForgedArrives sends forged names to each kind of path, anonymously and signed in, through one site and through two.
func TestHDR1_NothingForgedArrives(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.Access.Public = one(below("/open")) })
	inner := *f.Site
	inner.Access = Access{Optional: true, See: see}
	for name, sites := range map[string][]*Site{"one site": {f.Site}, "two": {f.Site, &inner}} {
		for _, cookie := range []string{"", f.cookie} {
			r := request(http.MethodGet, testOrigin+"/open/x", cookie, "Remote-User", "root", "remote_user", "root", "Email-Link-Assertion", "forged")
			r.Header["Email-Link-Done"] = []string{"x"}
			r.Trailer = http.Header{"Remote-User": {"root"}, "X-Checksum": {"1"}}
			got := try(t, r, sites...)
			if got.arrived == nil {
				t.Fatalf("%s: %d", name, got.code)
			}
			h := got.arrived.Header
			if h.Get("Remote-User") != "" || h["Remote_user"] != nil || h["Email-Link-Done"] != nil || h.Get(identity.Header) == "forged" || (len(h[identity.Header]) == 1) != (cookie != "") {
				t.Errorf("%s: the backend got %v", name, h)
			}
			if strings.Contains(h.Get("Cookie"), "email_link") {
				t.Errorf("%s: the backend got the cookie", name)
			}
			if trailer := got.arrived.Trailer; trailer.Get("Remote-User") != "" || trailer.Get("X-Checksum") != "1" {
				t.Errorf("%s: the backend gets the trailers %v", name, trailer)
			}
		}
	}
}

// TestHDR2_OneIdentityArrives sends a session through two sites that name their headers differently: of the outer one's nothing arrives
// beside the inner one's, and none of them where the inner one withholds the identity.
func TestHDR2_OneIdentityArrives(t *testing.T) {
	f := newFixture(t, func(s *Site) {
		s.Assertions.Header, s.Headers = "X-Outer", []PlainHeader{{"X-Outer-Email", HeaderValue{{field: fieldEmail}}}}
	})
	f.Stripper = boundary.NewStripper(boundary.Rules{Own: []string{"X-Outer", "X-Outer-Email", "X-Inner", "X-Name"}})
	inner := *f.Site
	inner.Access = Access{Public: one(below("/app")), See: see}
	inner.Assertions.Given, inner.Assertions.Header = true, "X-Inner"
	inner.Headers = []PlainHeader{{"X-Name", HeaderValue{{field: fieldName}}}}
	inner.minters = &minters{config: inner.Assertions, runtime: f.rt}
	inner.InnerStripper = boundary.NewStripper(boundary.Rules{Own: []string{"X-Inner", "X-Name"}})
	for name, c := range map[string]struct {
		roles    [][]string
		identity bool
	}{"it passes": {nil, true}, "it is withheld": {[][]string{{"staff"}}, false}} {
		inner.Require.Roles = c.roles
		got := try(t, request(http.MethodGet, testOrigin+"/app", f.cookie, "X-Inner", "forged"), f.Site, &inner)
		if got.arrived == nil {
			t.Fatalf("%s: %d", name, got.code)
		}
		h := got.arrived.Header
		if h["X-Outer"] != nil || (len(h["X-Inner"]) == 1 && h["X-Inner"][0] != "forged") != c.identity || (h.Get("X-Name") == "Ada Lovelace") != c.identity {
			t.Errorf("%s: the backend got %v", name, h)
		}
		if !c.identity && (h["X-Outer-Email"] != nil || h["X-Inner"] != nil) {
			t.Errorf("%s: what the outer one has set arrives: %v", name, h)
		}
	}
}

// TestCONF5_OnlyPeersGetAnAnswer: to everybody else there is no /verify, and what a peer describes badly does not pass.
func TestCONF5_OnlyPeersGetAnAnswer(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.Peers = loopback })
	for name, c := range map[string]struct {
		change func(r *http.Request)
		want   int
	}{
		"a peer":           {func(*http.Request) {}, 200},
		"another address":  {func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1" }, 404},
		"v4 in v6":         {func(r *http.Request) { r.RemoteAddr = "[::ffff:127.0.0.1]:1" }, 200},
		"a Unix socket":    {func(r *http.Request) { r.RemoteAddr = "@" }, 404},
		"no host":          {func(r *http.Request) { r.Header.Del("X-Forwarded-Host") }, 403},
		"another host":     {func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "www.example.com") }, 403},
		"another scheme":   {func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "http") }, 403},
		"one of our pages": {func(r *http.Request) { r.Header.Set("X-Forwarded-Uri", testPrefix+"/sign-in") }, 403},
		"an offer to tunnel": {func(r *http.Request) {
			r.Header["Upgrade"], r.Header["Connection"] = []string{"h2c"}, []string{"Upgrade"}
		}, 403},
		"another session":    {func(r *http.Request) { r.Header.Set("Cookie", "__Host-email_link=x") }, 401},
		"an identity of its": {func(r *http.Request) { r.Header.Set(identity.Header, "forged") }, 200},
		"a login page, asked": {func(r *http.Request) {
			r.URL.RawQuery = "anonymous=redirect"
			r.Header.Del("Cookie")
			r.Header.Set("Accept", "text/html")
		}, 302},
	} {
		r := described(request(http.MethodGet, testOrigin+"/app", f.cookie))
		c.change(r)
		got := try(t, r, f.Site)
		if got.code != c.want && !(c.want == 302 && got.code == 303) || (got.header.Get(VerifiedHeader) == "1") != (c.want == 200) {
			t.Errorf("%s: %d, want %d; %s is %q", name, got.code, c.want, VerifiedHeader, got.header.Get(VerifiedHeader))
		}
		if text := got.header.Get(identity.Header); (text != "" && text != "forged") != (c.want == 200) {
			t.Errorf("%s: the assertion is %q", name, text)
		}
	}
}

// TestCONF5_AProxyLearnsWhereItsClientSignsIn: from a header where it asks for no redirect, and where a script asks.
func TestCONF5_AProxyLearnsWhereItsClientSignsIn(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.Peers = loopback })
	const address = testOrigin + testPrefix + "/sign-in"
	for name, c := range map[string]struct {
		query   string
		headers []string
		code    int
		back    bool
	}{
		"a page":                {"", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, 401, true},
		"a page, to be led":     {"anonymous=redirect", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, 303, true},
		"a script":              {"", []string{"Sec-Fetch-Mode", "cors"}, 401, false},
		"a script, not led":     {"anonymous=redirect", []string{"Sec-Fetch-Mode", "cors"}, 401, false},
		"a program, not led":    {"anonymous=redirect", nil, 401, false},
		"another word, not led": {"anonymous=Redirect", []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html"}, 401, true},
	} {
		r := described(request(http.MethodGet, testOrigin+"/app?x=1", "", c.headers...))
		r.URL.RawQuery = c.query
		got := try(t, r, f.Site)
		where := got.header.Get(web.SignInHeader)
		if c.code == 303 {
			where = got.header.Get("Location")
		}
		page, _, back := strings.Cut(where, "?return_to=%2Fapp%3Fx%3D1")
		if got.code != c.code || page != address || back != c.back || got.header.Get("Location") != "" && c.code != 303 {
			t.Errorf("%s: %d, %v", name, got.code, got.header)
		}
	}
}

// TestCONF5_EveryNameIsAnswered: the answer that lets a request pass has each name that the configuration sets, and what may go on of the
// client's own Authorization, empty where there is nothing, so that a proxy that copies them leaves none of the client's in place.
func TestCONF5_EveryNameIsAnswered(t *testing.T) {
	f := newFixture(t, func(s *Site) {
		s.Peers, s.Access.Optional, s.Require.Scopes = loopback, true, Scopes{{"calendar", machinetoken.People}}
	})
	f.Answered = append(f.Answered, "Remote-User", "Remote-Name")
	bearer := "Bearer " + f.token("calendar")
	for name, c := range map[string]struct {
		cookie        string
		authorization []string
		goesOn        string
		identity      bool
	}{
		"a session":                {cookie: f.cookie, identity: true},
		"nobody":                   {},
		"nobody, the app's own":    {authorization: []string{"Basic YTpi"}, goesOn: "Basic YTpi"},
		"a session, the app's own": {cookie: f.cookie, authorization: []string{"Digest x"}, goesOn: "Digest x", identity: true},
		"two of the app's own":     {authorization: []string{"Digest x", "Basic YTpi"}, goesOn: "Digest x, Basic YTpi"},
		"a token":                  {authorization: []string{bearer}, identity: true},
	} {
		r := request(http.MethodGet, testOrigin+"/app", c.cookie, "Remote-User", "root", "Remote-Name", "root")
		if c.authorization != nil {
			r.Header["Authorization"] = c.authorization
		}
		got := try(t, described(r), f.Site)
		if values, ok := got.header[AuthorizationHeader]; got.code != http.StatusOK || !ok || len(values) != 1 || values[0] != c.goesOn {
			t.Errorf("%s: %d, %s is %q, want %q", name, got.code, AuthorizationHeader, values, c.goesOn)
		}
		for _, answered := range f.Answered {
			if values, ok := got.header[answered]; !ok || len(values) != 1 || (values[0] != "") != (c.identity && answered == identity.Header) {
				t.Errorf("%s: %s is %q", name, answered, values)
			}
		}
	}
}

// TestSiteFor_IsWhatResolveSays: what is looked up by the Host alone is what the list says in its order.
func TestSiteFor_IsWhatResolveSays(t *testing.T) {
	for _, list := range [][]string{
		{"https://app.example.com", "https://app.example.com:8443", "http://localhost", "https://localhost"},
		{"https://*.localhost", "http://app.localhost", "http://[::1]:8080", "https://[::1]"},
		{"http://app.localhost", "https://*.localhost", "https://münchen.example"},
	} {
		s := &Site{Prefix: testPrefix}
		for _, text := range list {
			o, err := ParseOrigin(text)
			if err != nil {
				t.Fatal(err)
			}
			s.Origins = append(s.Origins, o)
		}
		New(&testHost{}, nil, nil).AddSite(s)
		for _, host := range []string{
			"app.example.com", "APP.example.com", "app.example.com.", "app.example.com:443", "app.example.com:80", "app.example.com:8443",
			"localhost", "localhost:80", "localhost:443", "app.localhost", "other.localhost", "app.localhost:80", "[::1]", "[::1]:8080", "::1",
			"xn--mnchen-3ya.example", "example.com", "", ":", "app.example.com:", "app.example.com/", "a.app.localhost",
		} {
			want, wantKnown := Resolve(s.Origins, host)
			site, origin, known := s.siteFor(host)
			if origin != want || known != wantKnown || known && site.Origin != want || !known && site != s.fallback {
				t.Errorf("%q in %q: %q, %v; want %q, %v", host, list, origin, known, want, wantKnown)
			}
		}
	}
}

// lateTrailers is a body behind which trailers come that nothing has announced.
type lateTrailers struct{ into http.Header }

func (b lateTrailers) Read([]byte) (int, error) {
	b.into["Remote-User"], b.into["X-Checksum"] = []string{"root"}, []string{"1"}
	return 0, io.EOF
}

// TestHDR1_TrailersBehindABody: they are known once the body has been read.
func TestHDR1_TrailersBehindABody(t *testing.T) {
	f := newFixture(t)
	r := arrive(request(http.MethodPost, testOrigin+"/app", f.cookie))
	r.Trailer = http.Header{}
	r.Body = io.NopCloser(lateTrailers{r.Trailer})
	err := f.ServeHTTP(&discard{header: http.Header{}}, r, handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := io.ReadAll(r.Body)
		if r.Trailer.Get("Remote-User") != "" || r.Trailer.Get("X-Checksum") != "1" {
			t.Errorf("the backend gets the trailers %v", r.Trailer)
		}
		return err
	}))
	if err != nil {
		t.Error(err)
	}
}
