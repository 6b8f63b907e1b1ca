//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestSignUpByOneClick(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	b := newBrowser(t, "anna")
	// An anonymous visit leads to the form and, in the end, back.
	b.open(g.origin+"/reports?year=2026").at("/email-link/sign-in?return_to=%2Freports%3Fyear%3D2026", 200)
	b.presses("Sign up").types("Email address", "Anna@Example.com").presses("Email me a link")
	b.at("/email-link/resend", 200).says("Check your email", "Anna@example.com", "5 of 5 resends left", "Eight digits")

	m := g.mail("Anna@example.com")
	if m.subject != "Finish signing up for Example" || !strings.Contains(m.text, "Chrome on Linux") {
		t.Errorf("the mail %q says:\n%s", m.subject, m.text)
	}
	// The mailbox is a page of another site, in the same browser: one click is all.
	b.open(m.webmail())
	b.goes(chromedp.Click(control("Finish signing up"))).isApp("/reports?year=2026", "Anna@example.com")
	if got := b.element("methods"); got != "link" {
		t.Errorf("amr: %q", got)
	}

	b.presses("Your account").at("/email-link/", 200).
		says("You are signed in as Anna@example.com", "Chrome on Linux", "by a link from an email")
	b.presses("Sign out here").at("/email-link/sign-out", 200).says("You are signed out")
	b.open(g.origin+"/").at("/email-link/sign-in", 200)
	b.open(m.link()).at("/email-link/confirm", 410).says("This link does not work any more")
}

// unlimited lets one person ask for more mails than a person does.
const unlimited = "limit mail_address 100-H\nlimit mail_known 100-H\nlimit mail_mailbox 100-H"

// asks lets a browser ask for a sign-in mail, and returns the mail.
func (b *browser) asks(g *gate, email string) mail {
	b.t.Helper()
	b.open(g.origin+"/email-link/sign-in").types("Email address", email).presses("Email me a link")
	b.at("/email-link/resend", 200).says("Check your email", email)
	return g.mail(email)
}

// signsIn lets a browser sign in to an account that there is, by one click.
func (b *browser) signsIn(g *gate, email string) {
	b.t.Helper()
	m := b.asks(g, email)
	b.open(m.link()).isApp("/", email)
}

func TestFLOW4_LinkInASecondProfile(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	asker, other := newBrowser(t, "asker"), newBrowser(t, "other")
	asker.open(g.origin+"/deep?a=b&c=d").types("Email address", "anna@example.com").presses("Email me a link")
	m := g.mail("anna@example.com")
	if m.subject != "Your sign-in link for Example" {
		t.Errorf("subject: %q", m.subject)
	}

	other.open(m.link()).at("/email-link/confirm", 200).says("Sign in to Example?", "a•••@example.com", "Chrome on Linux",
		strings.TrimPrefix(g.origin, "http://"), "two ways to go on", "type the code from the email", "/deep?a=b&c=d")
	other.lacks("anna@example.com")
	other.presses("Sign in here").isApp("/deep?a=b&c=d", "anna@example.com")
	// The owner is told of a browser that was not used before.
	g.notice("anna@example.com", "New sign-in to your account")

	// TOK-1: the used link leads this browser on, and is dead in the one that asked.
	other.open(m.link()).isApp("/deep?a=b&c=d", "anna@example.com")
	asker.open(m.link()).at("/email-link/confirm", 410).says("This link does not work any more")
	asker.presses("Sign in or request a new link").at("/email-link/sign-in", 200)
	// Whoever still looks at "check your mail" learns nothing of what happened elsewhere.
	asker.open(g.origin+"/email-link/resend").at("/email-link/resend", 200).says("anna@example.com")
}

func TestTOK1_UsedLinkInTheBrowserThatItSignedIn(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	b.open(g.origin+"/reports").types("Email address", "anna@example.com").presses("Email me a link")
	link := g.mail("anna@example.com").link()
	b.open(link).isApp("/reports", "anna@example.com")
	b.open(g.origin+"/other").isApp("/other", "anna@example.com")
	b.open(link).isApp("/reports", "anna@example.com")
}

func TestTOK8_TypedCode(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	b.open(g.origin+"/kept").types("Email address", "anna@example.com").presses("Email me a link")
	m := g.mail("anna@example.com")
	code := strings.ReplaceAll(m.code(), " ", "")
	wrong := "00000000"
	if code == wrong {
		wrong = "00000001"
	}
	b.lacks(code, m.code())
	b.types("Code from the email", "12").presses("Continue").at("/email-link/code", 400).says("eight digits", "That did not work.")
	b.retypes("Code from the email", wrong).presses("Continue").at("/email-link/code", 403).says("This code does not work")
	// Grouped as in the mail, and with a dash.
	b.types("Code from the email", " "+code[:4]+"-"+code[4:]).presses("Continue").isApp("/kept", "anna@example.com")
	if got := b.element("methods"); got != "code" {
		t.Errorf("amr: %q", got)
	}
	b.open(m.link()).isApp("/kept", "anna@example.com") // one flow: its link is used, in this browser
}

func TestTOK8_CodesAreOffAfterFiveWrongOnes(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	m := b.asks(g, "anna@example.com")
	for i := range 5 {
		wrong := fmt.Sprintf("1%07d", i)
		if wrong == strings.ReplaceAll(m.code(), " ", "") {
			wrong = "99999999"
		}
		b.types("Code from the email", wrong).presses("Continue").at("/email-link/code", 403)
	}
	b.says("Codes are switched off").open(m.link()).isApp("/", "anna@example.com")
}

func TestSpentResends(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: "resend 5 1s\n" + unlimited})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	first := b.asks(g, "anna@example.com")
	for range 5 {
		g.await("end of the wait", func() bool {
			b.open(g.origin + "/email-link/resend")
			return !strings.Contains(b.text(), " in 1 second")
		})
		b.presses("Send it again").at("/email-link/resend?sent", 200).says("A new email is on its way")
		if m := g.mail("anna@example.com"); m.link() == first.link() {
			t.Error("a resent mail holds the link of the first")
		}
	}
	b.says("No resends are left", "An email that has not been used still works", "ask help@example.com").lacks("Send it again")
	// TOK-5: they do.
	b.open(first.link()).isApp("/", "anna@example.com")
}

func TestSpentResendsOfAnUnknownAddress(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: "resend 1 1s"})
	b := newBrowser(t, "nobody")
	b.open(g.origin+"/email-link/sign-in").types("Email address", "nobody@example.com").presses("Email me a link")
	b.at("/email-link/resend", 200).says("If nobody@example.com has an account", "1 of 1 resends left")
	g.await("end of the wait", func() bool {
		b.open(g.origin + "/email-link/resend")
		return !strings.Contains(b.text(), " in 1 second")
	})
	b.presses("Send it again").at("/email-link/resend?sent", 200)
	b.says("No resends are left", "An email that has not been used still works", "ask help@example.com").lacks("Send it again")
}

func TestResendTooEarly(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	b := newBrowser(t, "anna")
	b.open(g.origin+"/email-link/sign-up").types("Email address", "anna@example.com").presses("Email me a link")
	b.presses("Send it again").at("/email-link/resend", 429).says("That did not work.", "The next email can be sent in", "anna@example.com")
	if b.header["retry-after"] == "" {
		t.Error("429 without Retry-After")
	}
	b.presses("Change the address").at("/email-link/sign-up?change", 200)
}

func TestDeadLinkHasAWayOn(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	for _, token := range []string{"", "x", strings.Repeat("A", 50), strings.Repeat("z", 4000)} {
		b.open(g.origin + "/email-link/link?t=" + token)
		if b.status != 410 {
			t.Errorf("a link with %.10q…: %d", token, b.status)
		}
		b.says("This link is not complete", "Copy the whole link").lacks("AAAA", "zzzz")
	}
	b.presses("Request a new link").at("/email-link/sign-in", 200)
	b.types("Email address", "anna@example.com").presses("Email me a link")
	b.open(g.mail("anna@example.com").link()).isApp("/", "anna@example.com")
}

func TestFLOW4_SignedInAsSomebodyElse(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	g.account("sam@example.com")
	sam, anna := newBrowser(t, "sam"), newBrowser(t, "anna")
	sam.signsIn(g, "sam@example.com")
	link := anna.asks(g, "anna@example.com").link()
	sam.open(link).at("/email-link/confirm", 200).says("This browser is signed in as s•••@example.com", "a•••@example.com")
	sam.open(g.origin+"/").isApp("/", "sam@example.com")
	sam.open(g.origin+"/email-link/confirm").presses("Sign in here").isApp("/", "anna@example.com")
}

func TestCancelEndsItsFlow(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	stranger, owner := newBrowser(t, "stranger"), newBrowser(t, "owner")
	m := stranger.asks(g, "anna@example.com")
	owner.open(m.cancel()).at("/email-link/confirm", 200).
		says("You did not request this email?", "a•••@example.com", "Chrome on Linux", "Nothing has changed")
	owner.presses("It was not me").at("/email-link/cancel?done", 200).says("That request has ended")
	owner.open(m.link()).at("/email-link/confirm", 410)
	stranger.open(m.link()).at("/email-link/confirm", 410)
	stranger.open(g.origin+"/email-link/resend").types("Code from the email", m.code()).presses("Continue")
	stranger.at("/email-link/code", 403).says("This code does not work")
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	one, two := newBrowser(t, "one"), newBrowser(t, "two")
	one.signsIn(g, "anna@example.com")
	two.signsIn(g, "anna@example.com")
	two.open(g.origin + "/email-link/sign-out").says("Sign out?").presses("Sign out here").says("You are signed out")
	one.open(g.origin+"/").isApp("/", "anna@example.com")
	two.signsIn(g, "anna@example.com")
	two.open(g.origin+"/email-link/").presses("Sign out everywhere").at("/email-link/sign-out", 200).says("You are signed out")
	one.open(g.origin+"/").at("/email-link/sign-in", 200)
}

func TestFLOW7_AnotherLinkBetweenPageAndPress(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	g.account("sam@example.com")
	asker, b := newBrowser(t, "asker"), newBrowser(t, "reader")
	anna := asker.asks(g, "anna@example.com").link()
	sam := asker.asks(g, "sam@example.com").link()
	b.open(anna).says("a•••@example.com")
	b.tab().open(sam).says("s•••@example.com")
	b.presses("Sign in here").at("/email-link/confirm", 409).says("Something changed since this page was shown", "s•••@example.com")
	b.lacks("a•••@example.com").open(g.origin+"/").at("/email-link/sign-in", 200)
	// Both links are alive; the press on the page that is shown now holds.
	b.open(g.origin+"/email-link/confirm").presses("Sign in here").isApp("/", "sam@example.com")
	b.open(anna).presses("Sign in here").isApp("/", "anna@example.com")
}

func TestRED1_ReturnToStaysOnTheSite(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: unlimited})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	for _, evil := range []string{
		"//evil.example", "https://evil.example/", `/\evil.example`, "/%09/evil.example", "javascript:alert(1)", "/email-link/sign-out",
		"/../../..//evil.example", `/" onfocus=x autofocus="`,
	} {
		b.open(g.origin+"/email-link/sign-in?return_to="+url.QueryEscape(evil)).types("Email address", "anna@example.com")
		b.presses("Email me a link").at("/email-link/resend", 200)
		b.open(g.mail("anna@example.com").link())
		u, err := url.Parse(evaluate[string](b, "document.location.href"))
		if err != nil || u.Scheme+"://"+u.Host != g.origin || strings.HasPrefix(u.Path, "/email-link") || b.status != 200 {
			t.Errorf("return_to=%s led to %s (%d)", evil, u, b.status)
		}
		b.open(g.origin + "/email-link/sign-out").presses("Sign out here")
	}
}

func TestBackButtonShowsNothingOfBefore(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	b.signsIn(g, "anna@example.com")
	b.open(g.origin + "/email-link/").says("anna@example.com").presses("Sign out here").says("You are signed out")
	b.goes(chromedp.NavigateBack()).at("/email-link/sign-in", 200).lacks("anna@example.com")
}

// TestLimitSaysWhen has two browsers of one network ask for mails to one mailbox.
func TestLimitSaysWhen(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: "limit mail_address 1-D"})
	b, other := newBrowser(t, "anna"), newBrowser(t, "other")
	b.open(g.origin+"/email-link/sign-up").types("Email address", "anna@example.com").presses("Email me a link")
	other.open(g.origin+"/email-link/sign-in").types("Email address", "anna@example.com").presses("Email me a link")
	other.at("/email-link/sign-in", 429).says("That did not work.", "Please try again in")
	if got := evaluate[string](other, "document.getElementById('email').value"); got != "anna@example.com" {
		t.Errorf("the field holds %q", got)
	}
	other.shows("limited")
	// Whoever has a mail is let in, and this browser is known from then on: a count of its own.
	b.open(g.mail("anna@example.com").link()).isApp("/", "anna@example.com")
	b.open(g.origin + "/email-link/sign-out").presses("Sign out here")
	b.signsIn(g, "anna@example.com")
}

// TestStatelessLinks signs up and in where links carry what they do: all is as with stored ones.
func TestStatelessLinks(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: "links stateless\n" + unlimited})
	b, other := newBrowser(t, "anna"), newBrowser(t, "other")
	b.open(g.origin+"/reports?year=2026").presses("Sign up").types("Email address", "anna@example.com").presses("Email me a link")
	b.at("/email-link/resend", 200).says("Check your email", "5 of 5 resends left", "Eight digits")
	m := g.mail("anna@example.com")
	b.open(m.webmail())
	b.goes(chromedp.Click(control("Finish signing up"))).isApp("/reports?year=2026", "anna@example.com")
	b.open(m.link()).isApp("/reports?year=2026", "anna@example.com")
	other.open(m.link()).at("/email-link/confirm", 410).says("This link does not work any more")

	m = other.asks(g, "anna@example.com")
	code := strings.ReplaceAll(m.code(), " ", "")
	other.types("Code from the email", code).presses("Continue").isApp("/", "anna@example.com")

	asker, third := newBrowser(t, "asker"), newBrowser(t, "third")
	m = asker.asks(g, "anna@example.com")
	third.open(m.link()).at("/email-link/confirm", 200).says("Sign in to Example?", "a•••@example.com", "two ways to go on")
	third.presses("Sign in here").isApp("/", "anna@example.com")
	g.notice("anna@example.com", "New sign-in to your account")
	asker.open(m.link()).at("/email-link/confirm", 410).says("This link does not work any more")
}
