package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

func TestScenario_SignUpByOneClick(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		b.get("/reports?year=2026").wants(t, 303, "/email-link/sign-in?return_to=%2Freports%3Fyear%3D2026")
		b.get("/email-link/sign-in?return_to=%2Freports%3Fyear%3D2026").wants(t, 200, "").
			says(t, "Sign in to Example", `name="return_to" value="/reports?year=2026"`, "/email-link/sign-up?return_to=%2freports%3fyear%3d2026")
		b.post("/email-link/sign-up", "email", known, "return_to", "/reports?year=2026").wants(t, 303, "/email-link/resend")
		b.get("/email-link/resend").wants(t, 200, "").says(t, known, "5 of 5 resends left, the next in 1 minute", "expire in 1 day")

		mails := g.deliver()
		if len(mails) != 1 || mails[0].To != known || mails[0].Subject != "Finish signing up for Example" {
			t.Fatalf("mails: %+v", mails)
		}
		g.clock.Advance(time.Minute)
		b.get(g.find(linkPattern, mails[0].Text)).wants(t, 303, "/reports?year=2026")
		if !b.has(boundary.SessionCookie, boundary.KnownCookie) {
			t.Errorf("cookies: %v", b.cookies)
		}
		b.get("/reports?year=2026").wants(t, 200, "").says(t, "backend")
		b.get("/email-link/").wants(t, 200, "").says(t, "You are signed in as", known, "Firefox on Linux", "by a link from an email")
		b.get("/email-link/sign-in").wants(t, 303, "/email-link/")
		if mails := g.deliver(); len(mails) != 0 {
			t.Errorf("more mails: %+v", mails)
		}

		b.get("/email-link/sign-out").wants(t, 200, "").says(t, "Sign out?")
		b.post("/email-link/sign-out").wants(t, 303, "/email-link/sign-out")
		b.get("/email-link/sign-out").wants(t, 200, "").says(t, "You are signed out")
		b.get("/email-link/").wants(t, 303, "/email-link/sign-in")
		if !b.has(boundary.KnownCookie) {
			t.Errorf("cookies: %v", b.cookies)
		}
	})
}

func TestFLOW4_LinkInAnotherBrowser(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		b.agent = iphone
		b.post("/email-link/sign-in", "email", known, "return_to", "/deep").wants(t, 303, "/email-link/resend")
		mail := g.deliver()[0]
		if mail.Subject != "Your sign-in link for Example" || !strings.Contains(strings.Join(strings.Fields(mail.Text), " "), "from Safari on iPhone (network 192.0.2.0/24)") {
			t.Errorf("the mail says:\n%s", mail.Text)
		}
		link := g.find(linkPattern, mail.Text)

		other := g.browser()
		other.client = "198.51.100.9:99"
		other.get(link).wants(t, 303, "/email-link/confirm")
		if !other.has(boundary.TokenCookie) {
			t.Errorf("cookies: %v", other.cookies)
		}
		page := other.get("/email-link/confirm").wants(t, 200, "").
			says(t, "j•••@example.com", "app.example.com", "Safari on iPhone", "there are two ways to go on", "/deep", "Sign in here")
		if strings.Contains(page.body, known) {
			t.Error("the whole address stands on the page of a browser that did not ask")
		}
		other.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/deep")
		if !other.has(boundary.SessionCookie, boundary.KnownCookie) {
			t.Errorf("cookies: %v", other.cookies)
		}
		// The owner is told about a browser that was not used before.
		mails := g.deliver()
		if len(mails) != 1 || mails[0].Subject != "New sign-in to Example" {
			t.Fatalf("mails: %+v", mails)
		}
		// A used link leads the browser whose session it opened to its destination, and is dead for everybody else.
		other.get(link).wants(t, 303, "/deep")
		third := g.browser()
		third.get(link).wants(t, 303, "/email-link/confirm")
		third.get("/email-link/confirm").wants(t, 410, "").says(t, "This link does not work any more")
	})
}

func TestFLOW4_SignedInAsSomebodyElse(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		g.account("sam@example.com")
		b := g.browser()
		b.get(g.find(linkPattern, b.asks("sam@example.com").Text)).wants(t, 303, "/")
		g.deliver()
		requester := g.browser()
		link := g.find(linkPattern, requester.asks(known).Text)
		b.get(link).wants(t, 303, "/email-link/confirm")
		b.get("/email-link/confirm").wants(t, 200, "").says(t, "This browser is signed in as", "s•••@example.com")
	})
}

func TestScenario_TypedCode(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		mail := b.asks(known)
		b.post("/email-link/code", "code", "12").wants(t, 400, "").says(t, "eight digits", `aria-invalid="true"`)
		b.post("/email-link/code", "code", "0000-0000").wants(t, 403, "").says(t, "This code does not work.")
		g.browser().post("/email-link/code", "code", g.find(codePattern, mail.Text)).wants(t, 200, "").says(t, "No sign-in is in progress")
		b.post("/email-link/code", "code", " "+g.find(codePattern, mail.Text)+" ").wants(t, 303, "/")
		if !b.has(boundary.SessionCookie, boundary.KnownCookie) {
			t.Errorf("cookies: %v", b.cookies)
		}
		b.get("/email-link/code").wants(t, 303, "/email-link/resend")
	})
}

func TestTOK8_FiveWrongCodes(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		mail := b.asks(known)
		code := g.find(codePattern, mail.Text)
		for i := range 5 {
			wrong := fmt.Sprintf("%08d", i)
			if wrong == strings.ReplaceAll(code, " ", "") {
				wrong = "99999999"
			}
			says := "This code does not work."
			if i == 4 {
				says = "Codes are switched off"
			}
			b.post("/email-link/code", "code", wrong).wants(t, 403, "").says(t, says)
		}
		b.post("/email-link/code", "code", code).wants(t, 403, "").says(t, "Codes are switched off")
		b.get(g.find(linkPattern, mail.Text)).wants(t, 303, "/")
	})
}

func TestScenario_ResendsAreSpent(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		first := g.find(linkPattern, b.asks(known).Text)
		early := b.post("/email-link/resend").wants(t, 429, "").says(t, "The next email can be sent in 1 minute")
		if early.header.Get("Retry-After") != "60" {
			t.Errorf("Retry-After: %q", early.header.Get("Retry-After"))
		}
		g.clock.Advance(17 * time.Second)
		b.get("/email-link/resend").says(t, "5 of 5 resends left, the next in 43 seconds")
		for i := range 5 {
			g.clock.Advance(time.Minute)
			b.post("/email-link/resend").wants(t, 303, "/email-link/resend?sent")
			b.get("/email-link/resend?sent").says(t, "A new email is on its way")
			if mails := g.deliver(); i < 4 && len(mails) != 1 {
				t.Errorf("resend %d: %d mails", i, len(mails))
			}
		}
		b.get("/email-link/resend").says(t, "No resends are left", "help@example.com", "14:18 UTC</time>)")
		g.clock.Advance(time.Minute)
		b.post("/email-link/resend").wants(t, 429, "").says(t, "No resends are left")
		b.get(first).wants(t, 303, "/")
	})
}

func TestScenario_Cancel(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		stranger := g.browser()
		stranger.client = "203.0.113.5:5"
		mail := stranger.asks(known)
		owner := g.browser()
		owner.get(g.find(cancelPattern, mail.Text)).wants(t, 303, "/email-link/confirm")
		page := owner.get("/email-link/confirm").wants(t, 200, "").says(t, "You did not request this email?", "Firefox on Linux").lacks(t, "203.0.113.0/24")
		owner.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/email-link/cancel?done")
		owner.get("/email-link/cancel?done").wants(t, 200, "").says(t, "That request has ended")
		if len(owner.cookies) != 0 {
			t.Errorf("cookies: %v", owner.cookies)
		}
		stranger.get(g.find(linkPattern, mail.Text)).wants(t, 303, "/email-link/confirm")
		stranger.get("/email-link/confirm").wants(t, 410, "")
		stranger.get("/email-link/resend").wants(t, 200, "").says(t, known)
	})
}

func TestScenario_ThePageLeadsOn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		b.post("/email-link/sign-in", "email", known, "return_to", "/deep")
		link := g.find(linkPattern, g.deliver()[0].Text)
		flowCookie := b.cookies[boundary.CookieName(boundary.FlowCookie, true)]
		b.get("/email-link/resend").wants(t, 200, "").says(t, "I have opened the link")
		b.get(link).wants(t, 303, "/deep")
		// Another tab of the same browser may still hold the page.
		b.cookies[boundary.CookieName(boundary.FlowCookie, true)] = flowCookie
		b.get("/email-link/resend").wants(t, 303, "/deep")
		if !b.has(boundary.SessionCookie, boundary.KnownCookie) {
			t.Errorf("cookies: %v", b.cookies)
		}
	})
}

func TestScenario_JSON(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		b.json("GET", "/email-link/session", "").wants(t, 401, "").
			says(t, `"code":"sign_in_required"`, `"sign_in":"https://app.example.com/email-link/sign-in"`)
		sent := b.json("POST", "/email-link/sign-in", `{"email":"jo@example.com","return_to":"/x"}`).wants(t, 202, "")
		if sent.body != `{"status":"sent","resends_left":5,"resend_in":60,"expires_in":900}`+"\n" {
			t.Errorf("202: %s", sent.body)
		}
		mail := g.deliver()[0]
		early := b.json("POST", "/email-link/resend", "{}").wants(t, 429, "").says(t, `"code":"too_early"`, `"retry_after":60`)
		if early.header.Get("Content-Type") != "application/problem+json" || early.header.Get("Retry-After") != "60" {
			t.Errorf("429: %v", early.header)
		}
		b.json("GET", "/email-link/resend", "").wants(t, 200, "").says(t, `"status":"sent"`)
		b.json("POST", "/email-link/code", `{"code":"00000000"}`).wants(t, 403, "").says(t, `"code":"wrong_code"`, `"field":"code"`)
		other := g.browser()
		other.get(g.find(linkPattern, mail.Text))
		var preview confirmBody
		if err := json.Unmarshal([]byte(other.json("GET", "/email-link/confirm", "").wants(t, 200, "").body), &preview); err != nil {
			t.Fatal(err)
		}
		if preview.Account != "j•••@example.com" || preview.SameBrowser || preview.H == "" {
			t.Errorf("opened: %+v", preview)
		}
		confirmed := other.json("POST", "/email-link/confirm", `{"h":"`+preview.H+`"}`).wants(t, 200, "").says(t, `"amr":["link"]`, `"return_to":"/x"`)
		session := other.json("GET", "/email-link/session", "").wants(t, 200, "").says(t, `"email":"jo@example.com"`)
		if got := strings.Replace(confirmed.body, `,"return_to":"/x"`, "", 1); got != session.body {
			t.Errorf("signing in answers %s, and then /session %s", got, session.body)
		}
		other.json("GET", "/email-link/confirm", "").wants(t, 404, "").says(t, `"code":"no_flow"`)
		other.json("POST", "/email-link/sign-out", `{"everywhere":true}`).wants(t, 200, "").says(t, `"status":"signed_out"`)
		other.json("GET", "/email-link/session", "").wants(t, 401, "")
		b.do("GET", "/api/x", "", "", nil).wants(t, 303, "/email-link/sign-in?return_to=%2Fapi%2Fx")
		b.json("GET", "/api/x", "").wants(t, 401, "").says(t, `"sign_in":"https://app.example.com/email-link/sign-in"`)
	})
}

func TestScenario_Policies(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.site.SignUp.Mode = 0
		b := g.browser()
		b.get("/email-link/sign-up").wants(t, 200, "").says(t, "Sign-up is closed", "help@example.com")
		b.post("/email-link/sign-up", "email", "new@example.com").wants(t, 403, "").says(t, "Sign-up is closed")
		b.json("POST", "/email-link/sign-up", `{"email":"new@example.com"}`).wants(t, 403, "").says(t, `"code":"sign_up_closed"`)
		if page := b.get("/email-link/sign-in"); strings.Contains(page.body, "Sign up") {
			t.Error("the sign-in page leads to a form that is closed")
		}
		g.site.NoMail = true
		b.get("/email-link/sign-in").wants(t, 200, "").says(t, "This site sends no email", "Ask <strong><bdi>help@example.com</bdi></strong> for a link")
		b.post("/email-link/sign-in", "email", known).wants(t, 403, "").says(t, "This site sends no email")
		if mails := g.deliver(); len(mails) != 0 {
			t.Errorf("mails: %+v", mails)
		}
	})
}

func TestScenario_WhatArrives(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, c := range []struct {
			name, form, email, subject string
			open                       bool
		}{
			{"a sign-in with an account", "sign-in", known, "Your sign-in link for Example", false},
			{"a sign-in without one, closed", "sign-in", "x@example.com", "", false},
			{"a sign-in without one, open", "sign-in", "x@example.com", "No account at Example for this address", true},
			{"a sign-up", "sign-up", "x@example.com", "Finish signing up for Example", true},
			{"a sign-up with an account", "sign-up", known, "You already have an account at Example", true},
		} {
			g := newGate(t)
			g.account(known)
			if !c.open {
				g.site.SignUp.Mode = 0
			}
			g.browser().post("/email-link/"+c.form, "email", c.email).wants(t, 303, "/email-link/resend")
			var subject string
			for _, m := range g.deliver() {
				subject += m.Subject
				if m.To != c.email {
					t.Errorf("%s: to %s", c.name, m.To)
				}
			}
			if subject != c.subject {
				t.Errorf("%s: %q arrived, want %q", c.name, subject, c.subject)
			}
		}
	})
}

func TestScenario_AFreshProof(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
		g.deliver()
		g.clock.Advance(time.Hour)
		g.maxAge = time.Minute
		b.get("/deep").wants(t, 303, "/email-link/sign-in?again=1&return_to=%2Fdeep")
		b.get("/email-link/sign-in?again=1&return_to=%2Fdeep").wants(t, 200, "").says(t, "please sign in once more")
		b.post("/email-link/sign-in", "email", known, "return_to", "/deep").wants(t, 303, "/email-link/resend")
		b.get("/email-link/resend").wants(t, 200, "").says(t, "Check your email")
		b.get(g.find(linkPattern, g.deliver()[0].Text)).wants(t, 303, "/deep")
		b.get("/deep").wants(t, 200, "").says(t, "backend")
	})
}
