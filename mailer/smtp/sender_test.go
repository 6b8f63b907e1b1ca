package smtp

import (
	"net/textproto"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// TestMAIL4_FaultsOfTheSenderWait says of answers of real servers who is at fault: what meets every mail waits until the operator has
// acted; what speaks of the recipient or the message is final.
func TestMAIL4_FaultsOfTheSenderWait(t *testing.T) {
	for _, c := range []struct {
		step  string
		code  int
		text  string
		waits bool
	}{
		{"MAIL", 553, "5.7.1 <no-reply@example.com>: Sender address rejected: not owned by user", true},
		{"MAIL", 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", true},
		{"MAIL", 501, "5.1.7 Bad sender address syntax", true},
		{"the message", 550, "5.4.5 Daily user sending limit exceeded.", true},
		{"RCPT", 554, "5.7.1 <ann@example.org>: Relay access denied", true},
		{"RCPT", 550, "relay not permitted", true},
		{"RCPT", 553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", true},
		{"the message", 550, "The from address does not match a verified Sender Identity", true},
		{"the message", 554, "Message rejected: Email address is not verified.", true},
		{"the message", 550, "5.1.8 Access denied, bad outbound sender", true},
		{"the message", 554, "5.2.252 SendAsDenied; robot not allowed to send as no-reply", true},
		{"the message", 550, "5.7.26 This mail has been blocked because the sender is unauthenticated", true},
		{"RCPT", 535, "5.7.8 signed out", true},
		{"RCPT", 550, "5.1.0 <no-reply@example.com>: Sender address rejected: User unknown in virtual alias table", true},
		{"RCPT", 550, "unknown user at this relay", false},
		{"RCPT", 550, "5.1.1 <ann@example.org>: Recipient address rejected: User unknown", false},
		{"RCPT", 550, "5.2.1 The email account that you tried to reach is disabled", false},
		{"RCPT", 552, "5.2.2 over quota", false},
		{"RCPT", 550, "no such user", false},
		{"RCPT", 550, "5.7.1 <ann@example.org>: Recipient address rejected: Access denied", false},
		{"RCPT", 550, "5.7.17 the owner of this mailbox has changed", false},
		{"the message", 550, "5.7.129 RESOLVER.RST.NotAuthorized; not authorized", false},
		{"the message", 552, "mailbox full", false},
		{"the message", 554, "looks like spam", false},
		{"the message", 554, "5.6.0 malformed", false},
	} {
		err := (&session{}).refusal(t.Context(), c.step, envelope{to: "ann@example.org"}, &textproto.Error{Code: c.code, Msg: c.text})
		if mailer.IsPermanent(err) == c.waits || mailer.IsOperatorFault(err) != c.waits {
			t.Errorf("%s: %d %s: permanent %v, the operator's fault %v", c.step, c.code, c.text, mailer.IsPermanent(err), mailer.IsOperatorFault(err))
		}
		if _, hint := mailer.SplitHint(err); (hint == senderHint) != c.waits {
			t.Errorf("%s: %d %s: hint %q", c.step, c.code, c.text, hint)
		}
	}
}
