package web

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestSES1_SignOutEndsACopiedCookie(t *testing.T) { bothModes(t, testSignOutEndsACopiedCookie) }

func testSignOutEndsACopiedCookie(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b, c := g.browser(), g.browser()
	b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
	c.get(g.find(linkPattern, c.asks(known).Text)).wants(t, 303, "/")
	copied := g.browser()
	maps.Copy(copied.cookies, b.cookies)
	b.post("/email-link/sign-out").wants(t, 303, "/email-link/sign-out")
	copied.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	c.get("/email-link/").wants(t, 200, "")
	d := g.browser()
	g.clock.Advance(time.Hour)
	d.get(g.find(linkPattern, d.asks(known).Text)).wants(t, 303, "/")
	d.post("/email-link/sign-out", "everywhere", "1").wants(t, 303, "/email-link/sign-out")
	c.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	b.post("/email-link/sign-out", "everywhere", "2").wants(t, 400, "")
	b.get("/email-link/sign-out").wants(t, 200, "").says(t, "You are signed out")
	for line := range strings.Lines(g.log.String()) { // one notation in every line, for anyone who searches them
		if !strings.Contains(line, " client=") || !strings.Contains(line, "/24") {
			t.Errorf("no network in %s", line)
		}
	}
}

func TestLOG1_NothingSecretIsLogged(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		b.post("/email-link/sign-up", "email", known)
		mail := g.deliver()[0]
		code := strings.ReplaceAll(g.find(codePattern, mail.Text), " ", "")
		link := g.find(linkPattern, mail.Text)
		_, token, _ := strings.Cut(link, "t=")
		secrets := []string{token, code, known, "jo@"}
		b.post("/email-link/code", "code", "87654321")
		b.do("HEAD", link, "", "", nil)
		for _, v := range b.cookies {
			secrets = append(secrets, v)
		}
		b.get(link)
		for _, v := range b.cookies {
			secrets = append(secrets, v)
		}
		b.post("/email-link/sign-out")
		b.get(link)
		b.post("/email-link/confirm", "h", "x")
		if !strings.Contains(g.log.String(), "event=signed_out") {
			t.Errorf("a sign-out is not logged:\n%s", g.log.String())
		}
		for _, s := range secrets {
			if strings.Contains(g.log.String(), s) {
				t.Errorf("the log holds %q:\n%s", s, g.log.String())
			}
		}
	})
}

// TestSES1_ACodeAnswersAsTheSessionDoes: a script that has just signed somebody in greets them without a second request.
func TestSES1_ACodeAnswersAsTheSessionDoes(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	b := g.browser()
	code := strings.ReplaceAll(g.find(codePattern, b.asks(known).Text), " ", "")
	done := b.json("POST", "/email-link/code", `{"code":"`+code+`"}`).wants(t, 200, "").says(t, `"email":"`+known+`"`)
	session := b.json("GET", "/email-link/session", "").wants(t, 200, "")
	if got := strings.Replace(done.body, `,"return_to":"/"`, "", 1); got != session.body {
		t.Errorf("/code answers %s, /session %s", done.body, session.body)
	}
}
