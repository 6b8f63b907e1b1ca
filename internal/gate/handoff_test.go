package gate

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// handoffCookie has an app start a flow that leads to a path, types the code of its mail, and returns the cookie of the hand-over.
func (f *fixture) handoffCookie(path string) string {
	f.t.Helper()
	ctx, site := f.t.Context(), f.sites[testOrigin].Site
	sent, err := f.rt.Flows.Start(ctx, site, flow.Requester{}, flow.StartInput{
		Audience: testAudience, ID: "jti-1", Expiry: f.rt.Clock.Wall().Add(time.Minute), Purpose: flow.Activation, Email: "new@example.com",
		Subject: "user-1", Continue: path,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	code := ""
	err = f.rt.Store.Update(ctx, func(tx storage.Tx) error {
		mails, err := tx.Outbox().List(false, 1)
		if err != nil || len(mails) != 1 {
			f.t.Fatalf("%d mails, %v", len(mails), err)
		}
		if _, err := tx.Flows().Bind(mails[0].Flow, "", 0); err != nil { // as the mail worker does
			return err
		}
		p, err := outbox.OpenPayload(f.rt.Ring, mails[0].ID, mails[0].Sealed)
		code = token.Code(f.rt.Ring, p.Seed, flow.Activation, testOrigin)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	done, err := f.rt.Flows.SubmitCode(ctx, site, flow.Requester{FlowCookie: sent.FlowCookie}, code)
	if err != nil || done.HandoffCookie == "" {
		f.t.Fatalf("%+v, %v", done, err)
	}
	return done.HandoffCookie
}

// TestTOK3_AHandoffGoesToItsOwnPathAlone sends the cookie of a hand-over that leads to /welcome along with requests for other paths, beside
// a token, after its end, and after the app has said that it is done.
func TestTOK3_AHandoffGoesToItsOwnPathAlone(t *testing.T) {
	f := newFixture(t, func(s *Site) {
		s.Access.Optional, s.Assertions.Format = true, identity.FormatJWS
		s.Require.Scopes = Scopes{{"calendar", machinetoken.People}}
		s.Template.Methods, _ = flow.ParseMethods("link", "code")
	})
	cookie, bearer := f.handoffCookie("/welcome?a=1"), "Bearer "+f.token("calendar")
	name := boundary.CookieName(boundary.HandoffCookie, true)
	ask := func(target string, headers ...string) trial {
		r := request(http.MethodGet, testOrigin+target, "", headers...)
		r.AddCookie(&http.Cookie{Name: name, Value: cookie})
		return try(t, r, f.Site)
	}
	// An assertion of the hand-over names the app's own user, one of a token its account.
	mustName := func(what string, got trial, want string) {
		t.Helper()
		subject := ""
		if got.arrived != nil {
			subject = subjectOf(t, got.arrived.Header[identity.Header])
		}
		if got.code != http.StatusOK || subject != want {
			t.Errorf("%s: %d, the assertion names %q, want %q", what, got.code, subject, want)
		}
	}
	for _, target := range []string{"/welcome", "/welcome?b=2", "/welcome?a=1"} {
		mustName(target, ask(target), "user-1")
	}
	for _, target := range []string{"/", "/welcome/", "/Welcome", "/welcome/x", "/x/welcome", "//welcome", "/welcom%65", "/welcome;x", "/x?/welcome"} {
		mustName(target, ask(target), "")
	}
	mustName("beside a token", ask("/welcome", "Authorization", bearer), f.account.ID)
	moved := arrive(rewritten(request(http.MethodGet, testOrigin+"/welcome", ""), testOrigin+"/elsewhere"))
	moved.AddCookie(&http.Cookie{Name: name, Value: cookie})
	mustName("where a rewrite leads there", try(t, moved, f.Site), "")

	handoff, ok := f.rt.Flows.ReadHandoff(f.sites[testOrigin].Site, cookie)
	if !ok {
		t.Fatal("the hand-over cannot be read")
	}
	whole := cookie
	cookie = whole[:len(whole)-2] + "AA"
	mustName("with another cookie", ask("/welcome"), "")
	cookie = whole
	f.time.Advance(flow.HandoffLifetime - 10*time.Second)
	mustName("before its end", ask("/welcome"), "user-1")
	r := arrive(request(http.MethodGet, testOrigin+"/welcome", ""))
	r.AddCookie(&http.Cookie{Name: name, Value: cookie})
	if err := f.ServeHTTP(httptest.NewRecorder(), r, saying(http.StatusOK, identity.DoneHeader, handoff.ID)); err != nil {
		t.Fatal(err)
	}
	mustName("when the app is done", ask("/welcome"), "")
}

// TestTOK3_AHandoffEnds: at its end to the second.
func TestTOK3_AHandoffEnds(t *testing.T) {
	f := newFixture(t, func(s *Site) {
		s.Access.Optional = true
		s.Template.Methods, _ = flow.ParseMethods("link", "code")
	})
	cookie := f.handoffCookie("/welcome")
	carries := func() bool {
		r := request(http.MethodGet, testOrigin+"/welcome", "")
		r.AddCookie(&http.Cookie{Name: boundary.CookieName(boundary.HandoffCookie, true), Value: cookie})
		got := try(t, r, f.Site)
		return got.arrived != nil && len(got.arrived.Header[identity.Header]) == 1
	}
	f.time.Advance(flow.HandoffLifetime - time.Second)
	if !carries() {
		t.Error("a second before its end it is gone")
	}
	f.time.Advance(time.Second)
	if carries() {
		t.Error("at its end it goes on")
	}
}

// TestTOK3_NoStartInTheAnswerToAGetWithAHandoff: the answer to such a request is heard, and yet it starts nothing unless it is a POST.
func TestTOK3_NoStartInTheAnswerToAGetWithAHandoff(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPost} {
		f := newFixture(t, func(s *Site) {
			s.Access.Optional = true
			s.Template.Methods, _ = flow.ParseMethods("link", "code")
		})
		cookie := f.handoffCookie("/welcome")
		start := f.start(func(s *identity.Start) { s.ID, s.Email = "jti-2", "other@example.com" })
		r := request(method, testOrigin+"/welcome", "", "Origin", testOrigin, "Sec-Fetch-Site", "same-origin")
		r.AddCookie(&http.Cookie{Name: boundary.CookieName(boundary.HandoffCookie, true), Value: cookie})
		w := httptest.NewRecorder()
		if err := f.ServeHTTP(w, arrive(r), saying(http.StatusOK, identity.StartHeader, start, "X-Backend", "yes")); err != nil {
			t.Fatal(err)
		}
		handled := w.Header().Get("X-Backend") == ""
		if handled != (method == http.MethodPost) || !handled && !strings.Contains(f.log.String(), "reason=method") {
			t.Errorf("%s: handled %v; the log: %s", method, handled, f.log)
		}
	}
}

// subjectOf returns whom the only assertion of a request names, a signed one, and nothing without one.
func subjectOf(t testing.TB, assertions []string) string {
	t.Helper()
	if len(assertions) != 1 {
		return ""
	}
	var claims struct{ Sub string }
	parts := strings.Split(assertions[0], ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err := errors.Join(err, json.Unmarshal(payload, &claims)); err != nil {
		t.Fatal(err)
	}
	return claims.Sub
}
