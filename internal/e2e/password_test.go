//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

const (
	oldWords = "eleven quiet herons over Trondheim"
	newWords = "a kettle of brass and seven plums"
	// passwords is a site that offers everything.
	passwords = "sign_in link code password\n" + unlimited
)

// keeps is what a password manager reads of a form: which account, and which field is the old password and which the new.
type keeps struct {
	Action, Method              string
	Username, Current, New      []string // names of the fields by their autocomplete attribute
	UsernameValue               string
	UsernameShown, NewRequired  bool
	MinLength, MaxLength, Other int
	Paste                       bool
}

const readForm = `(() => {
	const password = document.querySelector('input[type=password]');
	const fields = [...password.form.elements];
	const by = (what) => fields.filter((e) => e.autocomplete === what);
	const names = (list) => list.map((e) => e.name);
	const username = by('username')[0], chosen = by('new-password')[0];
	return {
		Action: new URL(password.form.action).pathname, Method: password.form.method,
		Username: names(by('username')), Current: names(by('current-password')), New: names(by('new-password')),
		UsernameValue: username ? username.value : '', UsernameShown: !!username && username.checkVisibility(),
		NewRequired: !!chosen && chosen.required, MinLength: chosen ? chosen.minLength : -1, MaxLength: chosen ? chosen.maxLength : -1,
		Other: fields.filter((e) => e.type === 'password').length,
		Paste: !document.querySelector('[onpaste], [autocomplete=off]'),
	};
})()`

func one(list []string, name string) bool { return len(list) == 1 && list[0] == name }

// signsInWith signs in with a password, at the form that an anonymous visit leads to.
func (b *browser) signsInWith(g *gate, email, words string) *browser {
	b.t.Helper()
	b.open(g.origin+"/").at("/email-link/sign-in", 200)
	return b.types("Email address", email).types("Password", words).presses("Sign in")
}

func TestFLOW3_WholeReset(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: passwords})
	owner, phone := newBrowser(t, "owner"), newBrowser(t, "phone")

	// The first password is chosen where the mailbox is proven.
	owner.open(g.origin+"/").presses("Sign up").types("Email address", "anna@example.com").presses("Email me a link")
	owner.open(g.mail("anna@example.com").link()).at("/email-link/confirm", 200).says("Password (optional)")
	if f := evaluate[keeps](owner, readForm); !one(f.Username, "username") || f.UsernameValue != "anna@example.com" || f.UsernameShown ||
		!one(f.New, "password") || f.NewRequired || f.Other != 1 {
		t.Errorf("a password manager reads %+v", f)
	}
	owner.shows("confirm-sign-up-password")
	owner.types("Password (optional)", oldWords).presses("Create my account").isApp("/", "anna@example.com")

	phone.signsInWith(g, "anna@example.com", oldWords).isApp("/", "anna@example.com")
	if got := phone.element("methods"); got != "pwd" {
		t.Errorf("amr: %q", got)
	}
	g.notice("anna@example.com", "New sign-in to your account")

	// Forgotten: ask, open, set.
	asker := newBrowser(t, "asker")
	asker.open(g.origin+"/reports").at("/email-link/sign-in?return_to=%2Freports", 200)
	if f := evaluate[keeps](asker, readForm); f.Action != "/email-link/sign-in" || f.Method != "post" || !one(f.Username, "email") ||
		!f.UsernameShown || !one(f.Current, "password") || len(f.New) != 0 || !f.Paste {
		t.Errorf("a password manager reads %+v", f)
	}
	asker.shows("sign-in-password")
	asker.types("Email address", "anna@example.com").types("Password", "not the right words").presses("Sign in")
	asker.at("/email-link/sign-in", 403).says("Wrong email or password").shows("sign-in-password-refused")
	asker.presses("Forgot your password?").at("/email-link/reset", 200).shows("reset")
	asker.types("Email address", "anna@example.com").presses("Email me a link")
	asker.at("/email-link/resend", 200).says("link to set a new password", "anna@example.com").lacks("Code from the email")
	asker.shows("check-your-mail-reset")
	m := g.mail("anna@example.com")
	if codePattern.MatchString(m.text) {
		t.Errorf("a reset carries a code:\n%s", m.text)
	}
	asker.open(m.webmail())
	asker.alien = true
	asker.shows("mail-reset")
	asker.alien = false
	asker.open(m.link()).at("/email-link/confirm", 200).says("Set a new password for Example", "anna@example.com", "At least 12 characters")
	f := evaluate[keeps](asker, readForm)
	if f.Action != "/email-link/confirm" || !one(f.Username, "username") || f.UsernameValue != "anna@example.com" || f.UsernameShown ||
		!one(f.New, "password") || !f.NewRequired || len(f.Current) != 0 || f.MinLength != 12 || f.MaxLength < 2*256 || !f.Paste {
		t.Errorf("a password manager reads %+v", f)
	}
	asker.shows("confirm-reset")
	// TOK-7: what is refused leaves the link good.
	asker.types("New password", "passwordpassword").presses("Set the new password").at("/email-link/confirm", 400)
	asker.says("easy to guess").shows("confirm-reset-refused")
	asker.types("New password", oldWords).presses("Set the new password").at("/email-link/confirm", 400).says("have already")
	phone.open(g.origin+"/").isApp("/", "anna@example.com")
	asker.types("New password", newWords).presses("Set the new password").at("/email-link/sign-in?password-set", 200)
	asker.says("Your new password is set").shows("sign-in-password-set")

	// Everybody is out, and told.
	phone.open(g.origin+"/").at("/email-link/sign-in", 200)
	owner.open(g.origin+"/").at("/email-link/sign-in", 200)
	notice := g.notice("anna@example.com", "Your password has been changed")
	if !strings.Contains(notice.text, "Chrome on Linux") || !strings.Contains(notice.text, g.origin+"/email-link/reset") {
		t.Errorf("the notice says:\n%s", notice.text)
	}
	asker.open(notice.webmail())
	asker.alien = true
	asker.shows("mail-password-changed")
	asker.alien = false
	phone.signsInWith(g, "anna@example.com", oldWords).at("/email-link/sign-in", 403)
	asker.signsInWith(g, "anna@example.com", newWords).isApp("/", "anna@example.com")
	asker.open(m.link()).at("/email-link/confirm", 410)
}

func TestFLOW4_ResetInASecondProfile(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: passwords})
	g.account("anna@example.com")
	asker, other := newBrowser(t, "asker"), newBrowser(t, "other")
	asker.open(g.origin+"/email-link/reset").types("Email address", "anna@example.com").presses("Email me a link")
	other.open(g.mail("anna@example.com").link()).at("/email-link/confirm", 200).says("a•••@example.com", "Chrome on Linux")
	if html := evaluate[string](other, "document.documentElement.outerHTML"); strings.Contains(html, "anna@example.com") {
		t.Error("another browser gets the whole address")
	}
	other.shows("confirm-reset-elsewhere")
	other.types("New password", newWords).presses("Set the new password").at("/email-link/sign-in?password-set", 200)
	other.types("Email address", "anna@example.com").types("Password", newWords).presses("Sign in").isApp("/", "anna@example.com")
}

func TestPasswordIsChanged(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: passwords})
	g.account("anna@example.com")
	b, other := newBrowser(t, "anna"), newBrowser(t, "other")
	// The second button of the form sends a mail.
	b.open(g.origin+"/").types("Email address", "anna@example.com").presses("Email me a link instead").at("/email-link/resend", 200)
	b.open(g.mail("anna@example.com").link()).isApp("/", "anna@example.com")
	b.open(g.origin+"/email-link/").presses("Change your password").at("/email-link/password", 200).says("no password yet").shows("password-none")
	b.presses("Email me a link").at("/email-link/resend", 200)
	b.open(g.mail("anna@example.com").link()).types("New password", oldWords).presses("Set the new password")
	b.types("Password", oldWords).presses("Sign in").isApp("/", "anna@example.com") // the form has the address already
	other.signsInWith(g, "anna@example.com", oldWords).isApp("/", "anna@example.com")

	b.open(g.origin+"/email-link/password").at("/email-link/password", 200)
	if f := evaluate[keeps](b, readForm); f.Action != "/email-link/password" || f.UsernameValue != "anna@example.com" || f.UsernameShown ||
		!one(f.Current, "current") || !one(f.New, "password") || f.Other != 2 || !f.Paste {
		t.Errorf("a password manager reads %+v", f)
	}
	b.shows("password")
	b.types("Current password", "not the right words").types("New password", newWords).presses("Change the password")
	b.at("/email-link/password", 403).says("not your current password").shows("password-refused")
	b.types("Current password", oldWords).types("New password", newWords).presses("Change the password")
	b.at("/email-link/?password-set", 200).says("Your new password is set", "with a password").shows("account-password")
	other.open(g.origin+"/").at("/email-link/sign-in", 200)
	b.open(g.origin+"/").isApp("/", "anna@example.com")
}
