//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// pair are two profiles of one Chromium: a person's own browser, and the other mailbox, the other device or another person.
type pair struct {
	*gate
	t            *testing.T
	owner, other *browser
	// email is of an account without a password.
	email string
}

// page opens one of our pages.
func (p *pair) page(b *browser, path string) *browser {
	p.t.Helper()
	return b.open(p.origin + "/email-link" + path)
}

// asks asks for a mail on the page to sign in.
func (p *pair) asks(b *browser) {
	p.t.Helper()
	b.retypes("Email address", p.email).presses("Email me a link instead").at("/email-link/resend", 200)
}

// signsIn signs in by one click.
func (p *pair) signsIn(b *browser) {
	p.t.Helper()
	p.asks(p.page(b, "/sign-in"))
	b.open(p.mail(p.email).link()).isApp("/", p.email)
}

// submits presses the one button of the form that leads to a path.
func (b *browser) submits(path string) *browser {
	b.t.Helper()
	return b.goes(chromedp.Click(chromedp.CSS("form[action$='/email-link" + path + "'] button:not([type=button])")))
}

// walks are what people do with their accounts, each in two profiles and without scripts.
var walks = map[string]func(p *pair){
	"sessions": walkSessions, "token": walkToken, "address": walkAddress, "address-by-code": walkAddressByCode, "export": walkExport, "delete": walkDelete,
	"new-device": walkNewDevice, "invitation": walkInvitation, "invitation-by-page": walkInvitationByPage, "refused": walkRefused,
}

// TestOWN3_TheAccountInTwoProfiles goes through everything that people do on the page of their account.
func TestOWN3_TheAccountInTwoProfiles(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{global: passwords + "\nscopes calendar files\nscopes self calendar files\ninvite by role host gives family guest"})
	chromium := newBrowser(t, "chromium")
	var accounts strings.Builder
	for name := range walks {
		accounts.WriteString(`{"email":"` + name + `@example.com","roles":["host"]}` + "\n")
	}
	g.write("accounts.jsonl", accounts.String())
	g.cli("accounts", "import", "accounts.jsonl")
	for name, walk := range walks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walk(&pair{g, t, chromium.profile(t, "owner", options{}), chromium.profile(t, "other", options{}), name + "@example.com"})
		})
	}
}

// walkSessions ends one browser and then all others, while a form is open there.
func walkSessions(p *pair) {
	p.signsIn(p.owner)
	p.signsIn(p.other)
	p.page(p.other, "/account").types("Name (optional)", "Anna Lind")
	p.page(p.owner, "/account").says("Where you are signed in", "Chrome on Linux This browser", "Sign out everywhere else")
	p.owner.presses("Sign out there").at("/email-link/account?ended", 200).says("That browser is signed out.", "A browser was signed out").lacks("Sign out there")
	// What the other one was about to save says what to do first, and that leads back to the page.
	p.other.submits("/account/name").at("/email-link/account/name", 401).says("You need to be signed in").presses("To the sign-in page")
	p.asks(p.other)
	p.other.open(p.mail(p.email).link()).at("/email-link/account", 200)
	p.page(p.owner, "/account").presses("Sign out everywhere else").at("/email-link/account?others", 200).says("You are signed out everywhere else")
	p.page(p.other, "/account").at("/email-link/sign-in?return_to=%2Femail-link%2Faccount", 200)
	p.back(p.owner, "/email-link/account") // to before the press, and no form is sent again
	p.page(p.owner, "/account").lacks("Sign out there", "Sign out everywhere else")
	p.owner.open(p.origin+"/").isApp("/", p.email)
}

// back goes a page back, as the button of the browser does. Chromium may take the page from its memory, without a request.
func (p *pair) back(b *browser, path string) {
	p.t.Helper()
	b.does(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		history, err := cdp.Call(ctx, t, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, t, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
		return err
	})).until("the page before", "location.pathname + location.search === '"+path+"'")
}

// walkToken makes a token by a code, which the other browser of the same account cannot use, and revokes it.
func walkToken(p *pair) {
	p.signsIn(p.owner)
	p.signsIn(p.other)
	p.page(p.owner, "/account").presses("Create an access token…").at("/email-link/account/tokens/new", 200)
	p.owner.types("Name", "Phone").presses("Email me a code").at("/email-link/account/tokens/new", 400).says("Choose at least one thing")
	p.owner.does(chromedp.Click(chromedp.CSS("#scope-0"))).presses("Email me a code").at("/email-link/account/proof", 200).says("Phone", "calendar", "30 days")
	m := p.notice(p.email, "Create an access token")
	p.page(p.other, "/account/proof").at("/email-link/account", 200)
	p.owner.types("Code from the email", "00000000").presses("Create the token").at("/email-link/account/proof", 403).says("This code does not work")
	p.owner.types("Code from the email", m.code()).presses("Create the token").at("/email-link/account/proof", 200).says("Your access token", "It is not shown again")
	p.owner.presses("Back to account settings").at("/email-link/account", 200).says("Phone")
	p.owner.presses("Revoke").at("/email-link/account?revoked", 200).says("That access token no longer works").lacks("Phone")
}

// begins begins a change of the address, and returns the mails to both mailboxes.
func (p *pair) begins(next string) (toNew, toPresent mail) {
	p.t.Helper()
	p.signsIn(p.owner)
	p.page(p.owner, "/account").types("New email address", next).submits("/account/address").at("/email-link/account/proof", 200).says(next)
	p.owner.types("Code from the email", p.notice(p.email, "Change your email address").code()).presses("Go on")
	p.owner.at("/email-link/account", 200).says("Your address is about to change to "+next, "0 of 2 confirmed")
	return p.mail(next), p.mail(p.email)
}

// walkAddress changes the address, the new mailbox first, and the mailbox before takes the account back.
func walkAddress(p *pair) {
	toNew, toPresent := p.begins("next@example.com")
	p.other.open(toNew.link()).says("Confirm this email address", "next@example.com").presses("Confirm this address")
	p.other.at("/email-link/confirm?confirmed_new", 200).says("1 of 2 confirmed")
	p.page(p.owner, "/account").says("1 of 2 confirmed. Your current address has not agreed yet.")
	p.owner.open(toPresent.link()).says("Agree to a new email address", p.email, "next@example.com").presses("Agree to the change")
	p.owner.at("/email-link/confirm?address_changed", 200).says("The address has changed")
	p.page(p.owner, "/account").at("/email-link/account", 200).says("next@example.com", "Email address changed")
	p.other.open(toNew.link()).at("/email-link/confirm", 410)
	p.notice("next@example.com", "now has this address")
	back := p.mail(p.email)
	p.other.open(back.link()).says("Take your account back", p.email).presses("Take it back").says("You have your account back")
	p.page(p.owner, "/account").at("/email-link/sign-in?return_to=%2Femail-link%2Faccount", 200)
	p.signsIn(p.other)
	p.page(p.other, "/account").says("Account taken back by its earlier address")
}

// walkAddressByCode stops one change, and has another agreed to by the present mailbox before the code of the new one is typed.
func walkAddressByCode(p *pair) {
	toNew, _ := p.begins("stopped@example.com")
	p.owner.presses("Stop the change").at("/email-link/account?stopped", 200).says("Your address stays the same")
	p.other.open(toNew.link()).at("/email-link/confirm", 410)
	p.page(p.owner, "/sign-out").presses("Sign out here")
	toNew, toPresent := p.begins("typed@example.com")
	p.other.open(toPresent.link()).presses("Agree to the change").at("/email-link/confirm?confirmed_old", 200).says("1 of 2 confirmed")
	p.page(p.owner, "/account").says("The new address has not confirmed yet")
	p.owner.types("Code from the email to the new address", "00000000").presses("Confirm the new address").at("/email-link/account/address/code", 403)
	p.inView(p.owner)
	p.owner.retypes("Code from the email to the new address", toNew.code()).presses("Confirm the new address")
	p.owner.at("/email-link/account?changed", 200).says("Your account has its new address", "typed@example.com")
}

// walkExport has one request for the code taken back by the reader of the mail, which signs the browser out, and downloads for another.
func walkExport(p *pair) {
	dir := p.t.TempDir()
	p.owner.does(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
			Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: chromedp.FromContext(ctx).BrowserContextID, DownloadPath: dir,
		})
		return err
	}))
	p.signsIn(p.owner)
	p.page(p.owner, "/account").submits("/account/export").at("/email-link/account/proof", 200).says("Download your data")
	m := p.notice(p.email, "Download your account data")
	p.other.open(m.cancel()).says(p.masked(), "Chrome on Linux").presses("It was not me").at("/email-link/cancel?ended", 200)
	p.page(p.owner, "/account/proof").at("/email-link/sign-in?return_to=%2Femail-link%2Faccount", 200)
	p.signsIn(p.owner)
	p.page(p.owner, "/account").submits("/account/export")
	m = p.notice(p.email, "Download your account data")
	p.owner.types("Code from the email", m.code()).does(chromedp.Click(control("Download")))
	var body struct{ Email string }
	p.await("download", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "account.json"))
		return err == nil && json.Unmarshal(text, &body) == nil
	})
	if body.Email != p.email {
		p.t.Errorf("the download is of %q", body.Email)
	}
	p.page(p.owner, "/account").says("Account data downloaded")
}

// masked returns the address as strangers see it.
func (p *pair) masked() string { return p.email[:1] + "•••@example.com" }

// walkDelete sets a password, deletes the account for it, and keeps it from another profile.
func walkDelete(p *pair) {
	p.page(p.owner, "/reset").types("Email address", p.email).submits("/reset")
	p.owner.open(p.mail(p.email).link()).types("New password", oldWords).submits("/confirm")
	p.owner.retypes("Email address", p.email).types("Password", oldWords).presses("Sign in").isApp("/", p.email)
	p.page(p.owner, "/account").says("You can sign in with a password").presses("Delete this account…").at("/email-link/account/delete", 200)
	p.owner.types("To go on, type your email address", "ann@example.com").types("Current password", oldWords).presses("Delete my account")
	p.owner.at("/email-link/account/delete", 400).says("That is not the address of this account")
	p.owner.retypes("To go on, type your email address", p.email).types("Current password", newWords).presses("Delete my account")
	p.owner.at("/email-link/account/delete", 403).says("This is not your current password")
	p.owner.retypes("To go on, type your email address", p.email).types("Current password", oldWords).presses("Delete my account")
	p.owner.at("/email-link/account/delete?deleted", 200).says("Your account is switched off", "3 days")
	p.page(p.owner, "/account").at("/email-link/sign-in?return_to=%2Femail-link%2Faccount", 200)
	p.other.open(p.mail(p.email).link()).says("Keep your account?", p.masked()).presses("Keep my account").says("Your account is not deleted")
	p.other.presses("Sign in").types("Email address", p.email).types("Password", oldWords).presses("Sign in").isApp("/", p.email)
}

// walkNewDevice has the link opened in another browser, which the mail about it signs out.
func walkNewDevice(p *pair) {
	p.signsIn(p.owner)
	asker := p.owner.tab()
	p.page(asker, "/sign-in?again")
	p.asks(asker)
	p.other.open(p.mail(p.email).link()).presses("Sign in here").isApp("/", p.email)
	m := p.notice(p.email, "New sign-in to your account")
	p.owner.open(m.cancel()).says("You did not sign in?", "Chrome on Linux").presses("It was not me").at("/email-link/cancel?device", 200).says("That browser is signed out")
	p.other.open(p.origin+"/").at("/email-link/sign-in", 200)
	p.owner.presses("Account settings").at("/email-link/account", 200).says("A new browser was signed out")
}

// walkInvitation has an operator invite a new person and one who has an account, whose link opens nothing for others.
func walkInvitation(p *pair) {
	p.signsIn(p.owner)
	p.cli("invite", "eve@example.com", "--role", "family", "--note", "For the trip in May")
	m := p.mail("eve@example.com")
	if strings.Contains(m.text, "trip") {
		p.t.Errorf("the mail holds the note:\n%s", m.text)
	}
	p.other.open(m.link()).at("/email-link/confirm", 200).says("You're invited to", "family", "For the trip in May", "Nothing happens unless you accept")
	p.other.presses("Accept").isApp("/", "eve@example.com")
	p.page(p.other, "/").says("eve@example.com", "family")
	p.owner.open(m.link()).at("/email-link/confirm", 410)
	p.cli("invite", p.email, "--role", "guest")
	m = p.mail(p.email)
	p.other.open(m.link()).says("has an account here already").lacks("Accept")
	p.owner.open(m.link()).says("Accepting adds this to the account").presses("Accept").isApp("/", p.email)
	p.page(p.owner, "/").says("guest")
}

// walkInvitationByPage invites a person from the page of the account, withdraws that, and has the next one accepted.
func walkInvitationByPage(p *pair) {
	p.signsIn(p.owner)
	invites := func(email string) mail {
		p.t.Helper()
		p.page(p.owner, "/account").presses("Invite someone…").at("/email-link/account/invitations/new", 200)
		p.owner.types("Their email address", email).does(chromedp.Click(chromedp.CSS("#role-0"))).presses("Email me a code").at("/email-link/account/proof", 200).says(email, "family")
		p.owner.types("Code from the email", p.awaitMail("code to invite "+email, p.email, func(text string) bool { return strings.Contains(text, email) }).code())
		p.owner.submits("/account/proof").says("The invitation is on its way to "+email, "open until")
		return p.mail(email)
	}
	m := invites("joe@example.com")
	p.owner.presses("Withdraw").at("/email-link/account?withdrawn", 200).says("That invitation no longer works").lacks("Withdraw")
	p.other.open(m.link()).at("/email-link/confirm", 410)
	p.other.open(invites("kim@example.com").link()).says("You're invited to", p.email, "family").presses("Accept").isApp("/", "kim@example.com")
	p.page(p.owner, "/account").says("kim@example.com").lacks("Withdraw")
}

// walkRefused has a form of the long page refused: what is wrong is in view with the field that has the focus, and what was typed is there.
func walkRefused(p *pair) {
	p.signsIn(p.owner)
	p.page(p.owner, "/account").does(chromedp.Evaluate[chromedp.Void](`void (document.getElementById('name').value = 'A\u202eB')`)).submits("/account/name").at("/email-link/account/name", 400)
	p.inView(p.owner)
	p.owner.retypes("Name (optional)", "Anna Lind").enter().at("/email-link/account?name", 200).says("Your name is saved")
	if got := evaluate[string](p.owner, "document.activeElement.innerText.trim()"); got != "Your name is saved." {
		p.t.Errorf("after a form was saved the focus is on %q", got)
	}
	if passed := p.owner.tabsTo("Your name"); len(passed) != 0 {
		p.t.Errorf("before the way to the first part come %q", passed)
	}
	p.page(p.owner, "/account").types("New email address", p.email).submits("/account/address").at("/email-link/account/address", 400)
	p.inView(p.owner)
}

// inView checks that the words about what was refused are seen with the field.
func (p *pair) inView(b *browser) {
	p.t.Helper()
	const seen = `['[role=alert]', '[aria-invalid=true]'].every((s) => {
		const r = document.querySelector(s).getBoundingClientRect();
		return r.top > -1 && r.bottom < innerHeight + 1;
	})`
	if !b.await(func() bool { return evaluate[bool](b, seen) }) {
		p.t.Errorf("%s at %s: what was wrong is out of view", b.name, b.path())
	}
}

// TestPORT9_OneAccountPageForAllSites looks after an account at a portal, from two of its sites and in two profiles, without scripts.
func TestPORT9_OneAccountPageForAllSites(t *testing.T) {
	t.Parallel()
	h := newHome(t, "sign_up open")
	h.account("anna@example.com")
	desktop := h.browser("desktop")
	p := &pair{h.gate, t, desktop, desktop.profile(t, "phone", options{}), "anna@example.com"}
	photos, music, feeds := homeApps[0], homeApps[1], homeApps[3]
	signsIn := func(b *browser, address string) {
		t.Helper()
		b.open(address)
		h.wantForm(b)
		b.types("Email address", p.email).presses("Email me a link")
		b.open(p.mail(p.email).link())
	}
	signsIn(desktop, h.at(photos)+"/")
	h.wantApp(desktop, photos, "/", p.email)
	desktop.open(h.at(feeds) + "/")
	h.wantApp(desktop, feeds, "/", p.email)
	signsIn(p.other, h.at(music)+"/email-link/account") // which leads back to the page, at the portal
	p.isAccount(p.other)
	p.other.open(h.at(music) + "/")
	h.wantApp(p.other, music, "/", p.email)

	p.isAccount(desktop.open(h.at(photos) + "/email-link/account"))
	desktop.says("Chrome on Linux This browser", photos, feeds, music).presses("Sign out there").says("That browser is signed out").lacks("Sign out there")
	p.other.open(h.at(music) + "/")
	h.wantForm(p.other)
	desktop.open(h.origin + "/").says("Your sites").presses("Account settings")
	p.isAccount(desktop)
	desktop.presses("Your account").says("Your sites")

	p.page(desktop, "/account").types("New email address", "next@example.com").submits("/account/address").says("next@example.com")
	desktop.types("Code from the email", p.notice(p.email, "Change your email address").code()).presses("Go on").says("0 of 2 confirmed")
	p.other.open(p.mail("next@example.com").link()).presses("Confirm this address").says("1 of 2 confirmed")
	desktop.open(p.mail(p.email).link()).presses("Agree to the change").says("The address has changed")
	desktop.open(h.at(photos) + "/")
	h.wantApp(desktop, photos, "/", "next@example.com")

	p.email = "next@example.com"
	p.page(desktop, "/account").presses("Delete this account…").types("To go on, type your email address", p.email).presses("Email me a code")
	desktop.types("Code from the email", p.notice(p.email, "asked to delete your account").code()).presses("Delete my account").says("Your account is switched off")
	for _, host := range []string{photos, feeds} {
		desktop.open(h.at(host) + "/")
		h.wantForm(desktop)
	}
	p.other.open(p.awaitMail("undo link", p.email, func(text string) bool { return strings.Contains(text, "You can keep it until") }).link())
	p.other.presses("Keep my account").says("Your account is not deleted")
	signsIn(desktop, h.at(photos)+"/")
	h.wantApp(desktop, photos, "/", p.email)
}

// isAccount checks that a browser is at the page of the account.
func (p *pair) isAccount(b *browser) {
	p.t.Helper()
	if got := evaluate[string](b, "document.location.href"); got != p.origin+"/email-link/account" || b.status != http.StatusOK {
		p.t.Fatalf("%s is at %s (%d): %s", b.name, got, b.status, b.text())
	}
}
