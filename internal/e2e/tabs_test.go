//go:build e2e

package e2e

import "testing"

func TestResendPageLeadsOnOnceSignedIn(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	b.open(g.origin+"/kept").types("Email address", "anna@example.com").presses("Email me a link")
	b.presses("I have opened the link").at("/email-link/resend?opened=1&return_to=%2Fkept", 200).says("Check your email", "This browser is not signed in.")
	// The mailbox opens the link in a tab of its own. Back in the first one, the button leads on.
	b.tab().open(g.mail("anna@example.com").link()).isApp("/kept", "anna@example.com")
	b.presses("I have opened the link").says("anna@example.com").lacks("No sign-in is in progress")
}
