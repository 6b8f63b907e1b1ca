package gate

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

const testAudience = "app.example.com"

// saying is a backend that answers with headers, in pairs, and a status.
func saying(code int, pairs ...string) handlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) error {
		for i := 0; i < len(pairs); i += 2 {
			w.Header().Add(pairs[i], pairs[i+1])
		}
		w.WriteHeader(code)
		_, err := io.WriteString(w, "of the backend")
		return err
	}
}

// start is what an app says to begin a sign-up.
func (f *fixture) start(change func(s *identity.Start)) string {
	f.t.Helper()
	s := identity.Start{
		Audience: testAudience, Origin: testOrigin, ID: "jti-" + fmt.Sprint(f.rt.Clock.Now().UnixNano()), Purpose: "activation", Email: "new@example.com",
		Subject: "user-1", Continue: "/welcome", Expiry: f.rt.Clock.Wall().Add(time.Minute),
	}
	if change != nil {
		change(&s)
	}
	text, err := s.Sign(f.rt.Ring.SignKey(testAudience), f.rt.Clock.Wall())
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// TestTOK3_AStartIsHandledOnlyAsTheAnswerToItsOwnPOST has an app start flows in answers that differ from a good one in one thing each.
func TestTOK3_AStartIsHandledOnlyAsTheAnswerToItsOwnPOST(t *testing.T) {
	for name, c := range map[string]struct {
		method      string
		code        int
		change      func(s *identity.Start)
		twice       bool
		headers     []string
		closed      bool
		unformatted bool
		reason      string
	}{
		"a POST":            {},
		"answered by 303":   {code: http.StatusSeeOther},
		"a GET":             {method: http.MethodGet, reason: "method"},
		"another site":      {headers: []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, reason: "cross_origin"},
		"a sibling":         {headers: []string{"Sec-Fetch-Site", "same-site"}, reason: "cross_origin"},
		"an app that fails": {code: http.StatusInternalServerError, reason: "failed"},
		"twice":             {twice: true, reason: "doubled"},
		"without a form":    {unformatted: true, reason: "format"},
		"another app":       {change: func(s *identity.Start) { s.Audience = "other" }, reason: "issuer"},
		"another origin":    {change: func(s *identity.Start) { s.Origin = "https://other.example.com" }, reason: "audience"},
		"another page":      {change: func(s *identity.Start) { s.Continue = "https://evil.example/" }, reason: "continue"},
		"a page of ours":    {change: func(s *identity.Start) { s.Continue = testPrefix + "/sign-in" }, reason: "continue"},
		"a closed page":     {closed: true, reason: "closed"},
	} {
		f := newFixture(t, func(s *Site) {
			s.Access.Public = Sets{{below("/register")}, {below("/welcome")}}
			if c.closed {
				s.Access.Public = one(below("/register"))
			}
			if c.unformatted {
				s.Assertions.Format = ""
			}
			s.Template.Methods, _ = flow.ParseMethods("link", "code")
		})
		method, code := c.method, c.code
		if method == "" {
			method = http.MethodPost
		}
		if code == 0 {
			code = http.StatusOK
		}
		says := []string{identity.StartHeader, f.start(c.change), "X-Backend", "yes"}
		if c.twice {
			says = append(says, identity.StartHeader, f.start(c.change))
		}
		r := request(method, testOrigin+"/register", "", "Origin", testOrigin, "Sec-Fetch-Site", "same-origin")
		if method == http.MethodGet {
			r.Header.Del("Origin")
		}
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		w := httptest.NewRecorder()
		if err := f.ServeHTTP(w, arrive(r), saying(code, says...)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		handled := w.Header().Get("X-Backend") == ""
		if handled != (c.reason == "") || handled && (w.Code != http.StatusAccepted && w.Code != http.StatusSeeOther || strings.Contains(w.Body.String(), "of the backend")) {
			t.Errorf("%s: handled %v: %d %s; the log: %s", name, handled, w.Code, w.Body, f.log)
		}
		if !handled && w.Code != code || w.Header()[identity.StartHeader] != nil {
			t.Errorf("%s: %d, %v", name, w.Code, w.Header())
		}
		if c.reason != "" && !strings.Contains(f.log.String(), "reason="+c.reason) {
			t.Errorf("%s: the log does not say %q: %s", name, c.reason, f.log)
		}
	}
}

// carrying returns a request and its state with a hand-over for it.
func (f *fixture) carrying(r *http.Request, change func(h *flow.Handoff)) (*http.Request, *requestState) {
	f.t.Helper()
	live, err := f.rt.Sessions.Find(f.t.Context(), f.cookie, testOrigin)
	if err != nil || live == nil {
		f.t.Fatal("no session", err)
	}
	h := &flow.Handoff{
		Audience: testAudience, Purpose: "activation", Subject: "user-1", Email: "new@example.com", Continue: "/welcome", ID: "jti-1", Flow: "flow-1",
		Methods: []string{"link"}, AuthTime: f.rt.Clock.Wall(), End: f.rt.Clock.Now().Add(time.Minute),
	}
	if change != nil {
		change(h)
	}
	st := &requestState{
		runtime: f.rt, outer: f.Site, site: f.sites[testOrigin], principal: userSession{live}, at: f.rt.Clock.Read(), visit: web.Visit{Site: f.sites[testOrigin]}, exchange: &appExchange{handoff: h},
	}
	return arrive(r), st
}

// TestHDR2_AHandoffComesInThePlaceOfTheIdentity: an app gets what it has started and not who is signed in here, on a request of its own
// pages alone.
func TestHDR2_AHandoffComesInThePlaceOfTheIdentity(t *testing.T) {
	get := func(pairs ...string) *http.Request {
		return request(http.MethodGet, testOrigin+"/welcome", "", pairs...)
	}
	for name, c := range map[string]struct {
		r                    *http.Request
		change               func(h *flow.Handoff)
		unformatted, carries bool
	}{
		"a navigation":     {r: get(), carries: true},
		"its form":         {r: request(http.MethodPost, testOrigin+"/welcome", "", "Origin", testOrigin), carries: true},
		"another app":      {r: get(), change: func(h *flow.Handoff) { h.Audience = "other" }},
		"another site":     {r: get("Origin", "https://evil.example")},
		"a foreign form":   {r: request(http.MethodPost, testOrigin+"/welcome", "", "Origin", "https://evil.example")},
		"an upgrade":       {r: get("Connection", "Upgrade", "Upgrade", "websocket", "Origin", testOrigin)},
		"without a format": {r: get(), unformatted: true},
	} {
		f := newFixture(t, func(s *Site) {
			if c.unformatted {
				s.Assertions.Format = ""
			} else {
				s.Assertions.Format = identity.FormatJWS
			}
			s.Headers = []PlainHeader{{"Remote-User", HeaderValue{{field: fieldEmail}}}}
		})
		r, st := f.carrying(c.r, c.change)
		var got trial
		if err := f.forward(httptest.NewRecorder(), r, handlerFunc(got.backend), st, st.principal); err != nil {
			t.Fatal(err)
		}
		user := got.arrived.Header.Get("Remote-User")
		if (user == "") != c.carries || (placeholder(got.arrived, "http.auth.user.email") == "") != c.carries || st.carriesHandoff() != c.carries {
			t.Errorf("%s: carries %v; the app gets %q", name, st.carriesHandoff(), user)
		}
		if values := got.arrived.Header[identity.Header]; (len(values) == 1) != !c.unformatted {
			t.Errorf("%s: assertions %q", name, values)
		}
	}
}

// TestTOK3_DoneNamesItsHandoff: a hand-over ends by its own jti, once, and by no other word.
func TestTOK3_DoneNamesItsHandoff(t *testing.T) {
	for name, c := range map[string]struct {
		done   []string
		none   bool
		reason string
	}{
		"its jti": {done: []string{" jti-1 "}}, "another": {done: []string{"jti-2"}, reason: "jti"}, "twice": {done: []string{"jti-1", "jti-1"}, reason: "doubled"},
		"empty": {done: []string{""}, reason: "jti"}, "no hand-over": {done: []string{"jti-1"}, none: true, reason: "no_handover"},
	} {
		f := newFixture(t)
		r, st := f.carrying(request(http.MethodGet, testOrigin+"/welcome", ""), nil)
		if c.none {
			st.exchange = nil
		}
		var says []string
		for _, one := range c.done {
			says = append(says, identity.DoneHeader, one)
		}
		w := httptest.NewRecorder()
		if err := f.forward(w, r, saying(http.StatusOK, says...), st, st.principal); err != nil {
			t.Fatal(err)
		}
		cleared := len(w.Header()["Set-Cookie"]) == 1 && strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0")
		if cleared != (c.reason == "") || w.Header()[identity.DoneHeader] != nil || w.Body.String() != "of the backend" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if c.reason != "" && !strings.Contains(f.log.String(), "reason="+c.reason) {
			t.Errorf("%s: the log does not say %q: %s", name, c.reason, f.log)
		}
	}
}

// TestLOG2_WhatAppsTellInVainIsLoggedOnce: one line for each reason within ten minutes.
func TestLOG2_WhatAppsTellInVainIsLoggedOnce(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.Access.Optional = true })
	send := func(name string, trailer bool) {
		header := name
		if trailer {
			header = http.TrailerPrefix + name
		}
		_ = f.ServeHTTP(httptest.NewRecorder(), arrive(request(http.MethodGet, testOrigin+"/app", "")), saying(http.StatusOK, header, "x"))
	}
	for range 3 {
		send(identity.StartHeader, false)
		send(identity.StartHeader, true)
		send(identity.DoneHeader, false)
	}
	if got := strings.Count(f.log.String(), "removed and not obeyed"); got != 3 {
		t.Errorf("%d lines: %s", got, f.log)
	}
	f.time.Advance(repeatAfter)
	send(identity.DoneHeader, false)
	if got := strings.Count(f.log.String(), "removed and not obeyed"); got != 4 {
		t.Errorf("%d lines ten minutes later: %s", got, f.log)
	}
}
