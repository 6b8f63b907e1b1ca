package mailer

import (
	"strings"
	"testing"
)

// TestLOG1_TheRecipientIsHidden replaces address and local part as words, in any case.
func TestLOG1_TheRecipientIsHidden(t *testing.T) {
	for _, c := range []struct{ to, text, want string }{
		{"ada@example.com", "Mailbox ADA unknown (Ada@Example.com)", "Mailbox <name> unknown (<address>)"},
		{"ada.lovelace@example.com", "ada.lovelace: over quota; <ada.lovelace>", "<name>: over quota; <<name>>"},
		{"ann@example.com", "cannot deliver to ann, annex or joann", "cannot deliver to <name>, annex or joann"},
		{"jo@example.com", "no user jo; JO", "no user <name>; <name>"},
		{"4711@example.com", "550 4711 unknown", "550 4711 unknown"},
		{"491701234567@example.com", "491701234567 unknown", "<name> unknown"},
		{"550@example.com", "550 5.1.1 no such user", "550 5.1.1 no such user"},
		{"5.1.1@example.com", "550 5.1.1 no such user", "550 5.1.1 no such user"},
		{"+tag@example.com", "no +tag here", "no <name> here"},
		{"müller@example.com", "müller ist unbekannt, müllerin auch", "<name> ist unbekannt, müllerin auch"},
		{"", "as it is", "as it is"},
		{"@", "as it is @ home", "as it is @ home"},
	} {
		if got := HideRecipient(c.text, c.to, "<address>", "<name>"); got != c.want {
			t.Errorf("%s: %q became %q, want %q", c.to, c.text, got, c.want)
		}
	}
}

// TestLOG1_AnEnglishLocalPartEatsNoReason takes each word of real answers as the local part of the recipient.
func TestLOG1_AnEnglishLocalPartEatsNoReason(t *testing.T) {
	for _, text := range []string{
		"5.7.1 Relay access denied: the mail server does not accept a message for this user",
		"Please try again later, your account has exceeded the daily sending limit of this service",
		"no mailbox here by that name; contact the postmaster or the help desk for support",
		"smtp: RCPT refused: 550 no such user",
		"we do not accept mail from this ip; visit the office of our team, or say hello to sales or info",
	} {
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == ':' }) {
			if got := HideRecipient(text, word+"@example.org", "<address>", "<name>"); got != text {
				t.Errorf("%s: %q", word, got)
			}
		}
	}
}
