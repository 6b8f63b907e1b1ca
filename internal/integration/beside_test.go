package integration

import (
	"net/http"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// TestTOK3_NoStartInTheAnswerToAGet lets the app start a flow in its answer to the one GET whose answer is listened to: the one
// that carries a hand-over.
func TestTOK3_NoStartInTheAnswerToAGet(t *testing.T) {
	a := newOwnUsers(t, setup{})
	a.say(func(a *ownUsers) {
		a.finish = func(w http.ResponseWriter, r *http.Request, _ *identity.Identity) {
			w.Header().Set(identity.StartHeader, a.token(identity.Start{Purpose: "reset", Email: "eve@example.com", Continue: "/finish"}))
			_, _ = w.Write([]byte(r.Method))
		}
	})
	c := a.handed()
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		status, header, body := c.do(method, "/finish", nil, nil)
		if status != http.StatusOK || header.Get(identity.StartHeader) != "" || method != http.MethodHead && body != method {
			t.Errorf("%s: %d %v %q", method, status, header, body)
		}
	}
	if got := a.handovers(); len(got) != 4 {
		t.Fatalf("%d hand-overs: the answers were not listened to", len(got))
	}
	// The mail of a start by POST is the next one there is.
	a.say(func(a *ownUsers) { a.start.Email = "grace@example.com" })
	a.asks(a.w.client())
	if m := a.w.mails.Mails()[a.w.seen-1]; m.To != "grace@example.com" {
		t.Errorf("a GET has sent a mail to %s", m.To)
	}
}

// TestMACH3_CookiesSayNothingBesideAToken sends a token together with each of our cookies: the request is the token's.
func TestMACH3_CookiesSayNothingBesideAToken(t *testing.T) {
	a := newOwnUsers(t, setup{
		global: "sign_up open\nscopes calendar",
		site:   "audience shop\nrequire scope calendar session\npublic /start /finish",
	})
	text, _ := a.w.token(a.w.client(), "prog@example.com", "calendar")
	c := a.handed()
	a.w.signUp(c, "grace@example.com")
	// Without a token the hand-over goes first, and a bad token is no token beside good cookies.
	for way, header := range ways(text) {
		if status, _, body := c.do(http.MethodGet, "/finish", nil, header); status != http.StatusOK || body != "session of prog@example.com" {
			t.Errorf("%s: %d %q", way, status, body)
		}
	}
	for way, header := range ways(text + "x") {
		if status, _, body := c.do(http.MethodGet, "/finish", nil, header); status != http.StatusUnauthorized {
			t.Errorf("%s, invalid: %d %q", way, status, body)
		}
	}
	if _, _, body := c.do(http.MethodGet, "/finish", nil, nil); body != "activation 42 s1" {
		t.Errorf("without a token: %q", body)
	}
}
