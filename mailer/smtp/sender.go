package smtp

import (
	"net/textproto"
	"regexp"
	"strings"
)

// senderHint says who is at fault.
const senderHint = "sender or account are refused, not the recipient"

// refusesSender reports whether a final refusal speaks of the sender, the account, its quota or its right to relay, and not of the
// recipient or the message. Every 5xx at MAIL does: the server knows nothing else yet.
func refusesSender(step string, reply *textproto.Error) bool {
	switch reply.Code { // RFC 4954 section 6: the sign-in
	case 530, 534, 535, 538:
		return true
	}
	if reply.Code/100 != 5 {
		return false
	}
	if step == StepMail {
		return true
	}
	if senderRejected.MatchString(reply.Msg) {
		return true
	}
	status := enhancedStatus.FindString(reply.Msg)
	switch status {
	case "", "5.0.0":
		return senderWords.MatchString(reply.Msg) && !recipientWords.MatchString(reply.Msg)
	case "5.7.2", "5.7.17", "5.7.18", // a list, or a mailbox that has changed hands (RFC 3463 section 3.8, RFC 7293 section 14)
		"5.7.124", "5.7.129", "5.7.133", "5.7.134", "5.7.136": // Exchange: this recipient does not take mail from everybody
		return false
	case "5.1.7", "5.1.8", "5.1.90", "5.2.252", // the sender's address; Exchange: the daily limit, no right to send as this sender
		"5.4.5", "5.4.6": // Gmail: the daily limit; Zoho: unusual activity of the account
		return true
	}
	return strings.HasPrefix(status, "5.7.") && !recipientWords.MatchString(reply.Msg)
}

// Servers without enhanced status codes (RFC 3463) have words alone. Postfix says 5.7.1 of recipients that its access tables refuse, and
// answers to MAIL at RCPT (smtpd_delay_reject), some with a code that is meant for recipients.
var (
	senderRejected = regexp.MustCompile(`(?i)sender address rejected`)
	senderWords    = regexp.MustCompile(`(?i)\brelay|\bsender|\bfrom address|not verified|rcpthosts|authenticat|` +
		`\b(sending|daily|hourly|message) (limit|quota)|\byour (account|domain|quota)`)
	recipientWords = regexp.MustCompile(`(?i)recipient address rejected|user unknown|unknown user|no such (user|mailbox)`)
)
