package web

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// notSignedIn is what "I have opened the link" answers where this browser has no session.
const notSignedIn = "This browser is not signed in. A link signs in the browser that opens it; here, type a code that has not been used, or send a new one."

// opensElsewhere signs a phone in by the link of a mail.
func (g *gate) opensElsewhere(t *testing.T, mail string) {
	t.Helper()
	phone := g.browser()
	phone.agent = iphone
	phone.get(g.find(linkPattern, mail)).wants(t, 303, "/email-link/confirm")
	phone.post("/email-link/confirm", "h", g.find(hPattern, phone.get("/email-link/confirm").body))
	if phone.cookies[boundary.CookieName(boundary.SessionCookie, true)] == "" {
		t.Fatal("the phone is not signed in")
	}
	g.deliver()
}

// TestFLOW4_ThePhoneOpensTheLinkAndThePCGoesOn walks the way of a person who opens the link on a phone and waits at a PC.
func TestFLOW4_ThePhoneOpensTheLinkAndThePCGoesOn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		pc := g.browser()
		pc.post("/email-link/sign-in", "email", known, "return_to", "/deep").wants(t, 303, "/email-link/resend")
		mail := g.deliver()[0].Text
		page := pc.get("/email-link/resend").wants(t, 200, "").says(t, "<strong>Open the link in that email, or type its code here.</strong>")
		if how, field := strings.Index(page.body, "Open the link in"), strings.Index(page.body, `id="code"`); how > field {
			t.Error("the code box stands before what to do")
		}
		before := pc.get("/email-link/resend?opened=1&return_to=%2Fdeep").wants(t, 200, "").says(t, notSignedIn)

		g.opensElsewhere(t, mail)
		if after := pc.get("/email-link/resend?opened=1&return_to=%2Fdeep"); after.body != before.body {
			t.Error("the page shows what happened elsewhere")
		}
		used := pc.post("/email-link/code", "code", g.find(codePattern, mail)).wants(t, 403, "").says(t, "This code does not work.")
		if wrong := pc.post("/email-link/code", "code", "0000 0000").wants(t, 403, ""); wrong.body != used.body {
			t.Error("a used code and a wrong one are answered apart")
		}
		g.clock.Advance(time.Minute)
		pc.post("/email-link/resend", "form", "1").wants(t, 303, "/email-link/resend?sent")
		pc.get("/email-link/resend?sent").says(t, "A new email is on its way, unless too many", `id="code"`)
		again := g.deliver()[0].Text
		pc.post("/email-link/code", "code", g.find(codePattern, again)).wants(t, 303, "/deep")
	})
}

// TestFLOW4_ASignUpIsFinishedOnThePhoneAndGoesOnAtThePC: "send it again" mails a code that the page at the PC takes.
func TestFLOW4_ASignUpIsFinishedOnThePhoneAndGoesOnAtThePC(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		pc := g.browser()
		pc.post("/email-link/sign-up", "email", "new@example.com", "return_to", "/deep").wants(t, 303, "/email-link/resend")
		mail := g.deliver()[0].Text
		before := pc.get("/email-link/resend?opened=1")
		g.opensElsewhere(t, mail)
		if after := pc.get("/email-link/resend?opened=1"); after.body != before.body {
			t.Error("the page shows what happened elsewhere")
		}
		pc.post("/email-link/code", "code", g.find(codePattern, mail)).wants(t, 403, "").says(t, "This code does not work.")
		g.clock.Advance(time.Minute)
		pc.post("/email-link/resend", "form", "1").wants(t, 303, "/email-link/resend?sent")
		again := g.deliver()[0]
		if !strings.HasPrefix(again.Subject, "You already have an account at ") || !strings.Contains(again.Text, "work for 15 minutes") {
			t.Errorf("the mail says %s\n%s", again.Subject, again.Text)
		}
		pc.post("/email-link/code", "code", g.find(codePattern, again.Text)).wants(t, 303, "/deep")
		pc.json("GET", "/email-link/session", "").wants(t, 200, "").says(t, "new@example.com")
		g.browser().get(g.find(linkPattern, again.Text)).wants(t, 303, "/email-link/confirm")
	})
}

// TestTOK8_AMailCarriesACodeOnlyWhereThePageTakesOne: five wrong codes switch codes off, before an end of the flow elsewhere and after it.
func TestTOK8_AMailCarriesACodeOnlyWhereThePageTakesOne(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, ended := range []bool{false, true} {
			g := newGate(t)
			g.account(known)
			b := g.browser()
			mail := b.asks(known).Text
			if ended {
				g.opensElsewhere(t, mail)
			}
			for range 5 {
				b.post("/email-link/code", "code", "00000000")
			}
			g.clock.Advance(time.Minute)
			b.post("/email-link/resend", "form", "1").wants(t, 303, "/email-link/resend?sent")
			page := b.get("/email-link/resend").wants(t, 200, "").says(t, "Codes are switched off", "Open the link in that email.")
			if strings.Contains(page.body, `id="code"`) {
				t.Error("the page offers a code box")
			}
			mail = g.deliver()[0].Text
			if codePattern.MatchString(mail) {
				t.Errorf("ended %v: the mail carries a code that no page takes", ended)
			}
			b.get(g.find(linkPattern, mail)).wants(t, 303, "/")
		}
	})
}

// TestTOK8_WhereMailsCarryCodesAloneANewRequestBeginsAnew: a person whose codes are off has one way on.
func TestTOK8_WhereMailsCarryCodesAloneANewRequestBeginsAnew(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		g.site.Methods.Code = true
		b := g.browser()
		b.post("/email-link/sign-in", "email", known, "return_to", "/deep").wants(t, 303, "/email-link/resend")
		g.deliver()
		for range 5 {
			b.post("/email-link/code", "code", "00000000")
		}
		g.clock.Advance(time.Minute)
		b.post("/email-link/resend", "form", "1").wants(t, 403, "").says(t, "Codes are switched off", `href="/email-link/sign-in?change"`)
		if mails := g.deliver(); len(mails) != 0 {
			t.Fatalf("%d mails", len(mails))
		}
		b.get("/email-link/sign-in?change").says(t, `value="`+known+`"`, `name="return_to" value="/deep"`)
		b.post("/email-link/sign-in", "email", known, "return_to", "/deep").wants(t, 303, "/email-link/resend")
		b.post("/email-link/code", "code", g.find(codePattern, g.deliver()[0].Text)).wants(t, 303, "/deep")
	})
}

// TestScenario_ChangingTheAddressKeepsWhatWasTyped goes back from "check your mail" to the form.
func TestScenario_ChangingTheAddressKeepsWhatWasTyped(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		for _, form := range []string{"sign-in", "sign-up"} {
			b := g.browser()
			b.post("/email-link/"+form, "email", "anan@example.com", "return_to", "/deep/two").wants(t, 303, "/email-link/resend")
			b.get("/email-link/resend").says(t, `href="/email-link/`+form+`?change"`)
			b.get("/email-link/"+form+"?change").wants(t, 200, "").says(t, `value="anan@example.com"`, `name="return_to" value="/deep/two"`)
			if page := b.get("/email-link/" + form); strings.Contains(page.body, "anan@example.com") {
				t.Errorf("%s shows an address that nobody wants to change", form)
			}
		}
		// The first tab goes where the second one went.
		g.account(known)
		g.deliver()
		b := g.browser()
		b.post("/email-link/sign-in", "email", known, "return_to", "/deep/two").wants(t, 303, "/email-link/resend")
		b.get("/email-link/resend").says(t, `name="return_to" value="/deep/two"`)
		b.get(g.find(linkPattern, g.deliver()[0].Text)).wants(t, 303, "/deep/two")
		b.get("/email-link/resend?opened=1&return_to=%2Fdeep%2Ftwo").wants(t, 303, "/deep/two")
		b.get("/email-link/resend?opened=1&return_to=https%3A%2F%2Fevil.example").wants(t, 303, "/")
	})
}

// TestScenario_ARefusedFormKeepsWhatWasTyped refuses each form for each kind of reason.
func TestScenario_ARefusedFormKeepsWhatWasTyped(t *testing.T) {
	const typed, back = `value="new@example.com"`, `name="return_to" value="/deep/two"`
	t.Run("a code that cannot be one", func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		b.asks(known)
		for _, code := range []string{"1234 567", "12345678 9", "1234567l", `1"><b>`} {
			b.post("/email-link/code", "code", code).wants(t, 400, "").says(t, `value="`+html.EscapeString(code)+`"`, `aria-invalid="true"`)
		}
		b.post("/email-link/code", "code", strings.Repeat("1", 25)).wants(t, 400, "").lacks(t, "11111")
		b.post("/email-link/code", "code", "0000 0000").wants(t, 403, "").lacks(t, "0000 0000", "00000000")
		b.get("/email-link/resend").lacks(t, "1234 567")
	})
	t.Run("too many requests", func(t *testing.T) {
		g := newPasswordGate(t)
		for range 6 {
			g.browser().post("/email-link/sign-up", "email", "new@example.com")
		}
		for _, form := range []string{"sign-up", "sign-in"} {
			g.browser().post("/email-link/"+form, "email", "new@example.com", "return_to", "/deep/two").wants(t, 429, "").says(t, typed, back)
		}
		g.browser().post("/email-link/reset", "email", "new@example.com").wants(t, 429, "").says(t, typed)
	})
	t.Run("the database is away", func(t *testing.T) {
		g := newPasswordGate(t)
		if err := g.state.Store.Close(); err != nil {
			t.Fatal(err)
		}
		again := "Please try again in a moment."
		for _, form := range []string{"sign-up", "sign-in"} {
			g.browser().post("/email-link/"+form, "email", "new@example.com", "return_to", "/deep/two").wants(t, 503, "").says(t, typed, back, again)
		}
		g.browser().post("/email-link/reset", "email", "new@example.com").wants(t, 503, "").says(t, typed, again)
		g.browser().post("/email-link/sign-in", "email", "new@example.com", "return_to", "/deep/two", "password", oldWords).wants(t, 503, "").
			says(t, typed, back, again).lacks(t, oldWords)
	})
	t.Run("a name", func(t *testing.T) {
		g := newPasswordGate(t)
		g.site.AskName = true
		b := g.browser()
		b.post("/email-link/sign-up", "email", "new@example.com").wants(t, 303, "/email-link/resend")
		b.get(g.find(linkPattern, g.deliver()[0].Text)).wants(t, 303, "/email-link/confirm")
		h := g.find(hPattern, b.get("/email-link/confirm").body)
		b.post("/email-link/confirm", "h", h, "name", "Jo\nNew").wants(t, 400, "").says(t, "Jo\nNew")
		b.post("/email-link/confirm", "h", h, "name", "Jo New", "password", "short").wants(t, 400, "").says(t, `value="Jo New"`).lacks(t, `"short"`)
		b.post("/email-link/confirm", "h", "of another page", "name", "Jo New", "password", newWords).wants(t, 409, "").says(t, `value="Jo New"`).lacks(t, newWords)
	})
}

var postForm = regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*>(.*?)</form>`)

// TestWEB2_TextBrowsersPostEveryForm: lynx sends a form without any field by GET, so each one of ours has a hidden field.
func TestWEB2_TextBrowsersPostEveryForm(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b := g.browser()
	forms := 0
	look := func(address string) {
		for _, m := range postForm.FindAllStringSubmatch(b.get(address).body, -1) {
			forms++
			if !strings.Contains(m[1], `type="hidden"`) {
				t.Errorf("%s has a form without a hidden field: %s", address, m[0])
			}
		}
	}
	look("/email-link/sign-in")
	look("/email-link/sign-up")
	mail := b.asks(known).Text
	look("/email-link/resend")
	b.post("/email-link/code", "form", "1", "code", g.find(codePattern, mail)).wants(t, 303, "/")
	look("/email-link/")
	look("/email-link/sign-out")
	if forms < 8 {
		t.Errorf("%d forms were looked at", forms)
	}
	b.post("/email-link/sign-out", "form", "1").wants(t, 303, "/email-link/sign-out")
}
