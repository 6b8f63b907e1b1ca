package web

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// TestSES3_OnlyThisTimeEndsWithTheBrowserAndAfterADay signs in by link, code and password with the box ticked.
func TestSES3_OnlyThisTimeEndsWithTheBrowserAndAfterADay(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, signIn := range map[string]func(g *gate, b *browser){
			"link": func(g *gate, b *browser) {
				b.post("/email-link/sign-in", "email", known, "mail", "1", "only_this_time", "1").wants(t, 303, "/email-link/resend")
				b.get(g.find(linkPattern, g.deliver()[0].Text)).wants(t, 303, "/")
			},
			"code of a second mail": func(g *gate, b *browser) {
				b.post("/email-link/sign-in", "email", known, "mail", "1", "only_this_time", "1").wants(t, 303, "/email-link/resend")
				g.deliver()
				g.clock.Advance(time.Minute)
				b.post("/email-link/resend", "form", "1").wants(t, 303, "/email-link/resend?sent")
				b.post("/email-link/code", "code", g.find(codePattern, g.deliver()[0].Text)).wants(t, 303, "/")
			},
			"second thought": func(g *gate, b *browser) {
				b.post("/email-link/sign-in", "email", known, "mail", "1").wants(t, 303, "/email-link/resend")
				g.deliver()
				g.clock.Advance(time.Minute)
				b.json(http.MethodPost, "/email-link/sign-in", `{"email":"`+known+`","only_this_time":true}`).wants(t, 202, "")
				b.post("/email-link/code", "code", g.find(codePattern, g.deliver()[0].Text)).wants(t, 303, "/")
			},
			"password": func(_ *gate, b *browser) {
				b.post("/email-link/sign-in", "email", known, "password", oldWords, "only_this_time", "1").wants(t, 303, "/")
			},
			"new password": func(_ *gate, b *browser) {
				b.post("/email-link/sign-in", "email", known, "password", oldWords, "only_this_time", "1").wants(t, 303, "/")
				b.post("/email-link/password", "current", oldWords, "password", newWords).wants(t, 303, "/email-link/?password-set")
			},
		} {
			g := newPasswordGate(t)
			g.accountWith(known, oldWords)
			b := g.browser()
			signIn(g, b)
			var session *http.Cookie
			for _, c := range b.last.Cookies() {
				if c.Name == boundary.CookieName(boundary.SessionCookie, true) {
					session = c
				}
			}
			if session == nil || session.MaxAge != 0 || !session.Expires.IsZero() || session.Value == "" {
				t.Fatalf("%s: the cookie outlives the browser: %v", name, session)
			}
			// The browser may be another person's: it is not remembered.
			if !b.has(boundary.SessionCookie) {
				t.Errorf("%s: cookies %v", name, b.cookies)
			}
			g.clock.Advance(24*time.Hour - time.Second)
			b.get("/private").wants(t, 200, "").says(t, "backend")
			g.clock.Advance(time.Second)
			if a := b.get("/private"); a.status != 303 {
				t.Errorf("%s: after a day: %d", name, a.status)
			}
		}
	})
}

// TestSES3_WithoutTheBoxNothingChanges signs in as ever, and looks at the form.
func TestSES3_WithoutTheBoxNothingChanges(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(known, oldWords)
		b := g.browser()
		b.get("/email-link/sign-in").says(t, `name="only_this_time" type="checkbox" value="1" aria-describedby`)
		b.post("/email-link/sign-in", "email", known, "password", "wrong and long enough", "only_this_time", "1").
			says(t, `name="only_this_time" type="checkbox" value="1" checked`)
		b.post("/email-link/sign-in", "email", "jo@", "mail", "1", "only_this_time", "1").says(t, `name="only_this_time" type="checkbox" value="1" checked`)
		b.json(http.MethodPost, "/email-link/sign-in", `{"email":"`+known+`","password":"`+oldWords+`","only_this_time":false}`).wants(t, 200, "")
		if !b.has(boundary.SessionCookie, boundary.KnownCookie) || b.last.Cookies()[0].MaxAge != 30*86400 {
			t.Errorf("cookies: %v", b.last.Cookies())
		}
		b.post("/email-link/password", "current", oldWords, "password", newWords).wants(t, 303, "/email-link/?password-set")
		if b.last.Cookies()[0].MaxAge != 30*86400 {
			t.Errorf("after a new password: %v", b.last.Cookies())
		}
	})
}
