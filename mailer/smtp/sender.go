package smtp

import (
	"net/textproto"
	"regexp"
	"slices"
	"strings"
)

// fault is whose a refusal is.
type fault int

const (
	// faultServer is temporary: trying again is enough.
	faultServer fault = iota
	// faultOperator is of the sender, the account, its quota, its right to relay or this machine's address. It meets every mail and lasts until
	// the operator acts, so mails wait.
	faultOperator
	// faultRecipient is of the recipient or the message, and final.
	faultRecipient
)

// Hints for what waits.
const (
	senderHint  = "the server refuses the sender or the account, not the recipient"
	addressHint = "the server refuses this machine's address, not the recipient"
	greyHint    = "the server defers mail from senders that it does not know yet; trying again is enough"
)

// greetingSteps are those before MAIL. The server knows nothing of a mail yet.
var greetingSteps = []string{StepBanner, StepEHLO, StepSTARTTLS, StepAuth}

// classify returns whose fault a refusal is. A final one is the operator's unless it is known to speak of the recipient or the message
// only after MAIL: before, the server knows neither.
func classify(step string, reply *textproto.Error) fault {
	status, words := enhancedStatus.FindString(reply.Msg), reply.Msg
	switch reply.Code { // RFC 4954 section 6, RFC 5248 section 3: the sign-in
	case 432, 525, 530, 534, 535, 538:
		return faultOperator
	}
	switch {
	case greylists(reply):
		return faultServer
	case reply.Code/100 == 4:
		// Postfix refuses for the time being where its configuration may be at fault: relaying, an unknown sender, a reverse name.
		if slices.Contains(senderStatuses, afterClass(status)) || senderRejected.MatchString(words) || relayDenied.MatchString(words) || heloRejected.MatchString(words) {
			return faultOperator
		}
		return faultServer
	case reply.Code/100 != 5:
		return faultServer // no answer that SMTP knows here
	case step == StepMail, slices.Contains(greetingSteps, step), senderRejected.MatchString(words):
		return faultOperator
	}
	return classifyMessage(status, words)
}

// classifyMessage returns whose fault a final refusal after MAIL is.
func classifyMessage(status, words string) fault {
	ours := senderWords.MatchString(words) || listedWords.MatchString(words)
	switch kind := afterClass(status); {
	case recipientWords.MatchString(words):
		return faultRecipient
	case slices.Contains(senderStatuses, kind):
		return faultOperator
	case slices.Contains(recipientStatuses, kind), contentWords.MatchString(words) && !listedWords.MatchString(words):
		return faultRecipient
	case strings.HasPrefix(kind, "7."), ours && !recipientKinds.MatchString(kind):
		return faultOperator
	}
	return faultRecipient
}

// afterClass returns the subject and the detail of an enhanced status code: 7.1 of 5.7.1.
func afterClass(status string) string {
	_, kind, _ := strings.Cut(status, ".")
	return kind
}

// greylists reports whether a temporary refusal is greylisting (RFC 6647): the server wants to be asked again.
func greylists(reply *textproto.Error) bool {
	return (reply.Code == 450 || reply.Code == 451 || reply.Code == 421) && greyWords.MatchString(reply.Msg)
}

var (
	// senderStatuses are of the sender's address (RFC 3463 section 3.2), its daily limit and the right to send as it (Gmail, Exchange), and of
	// SPF, DKIM and the reverse name (RFC 7372).
	senderStatuses = []string{"1.7", "1.8", "1.90", "2.252", "4.5", "7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"}
	// recipientStatuses are a list, or a mailbox that has changed hands (RFC 3463 section 3.8, RFC 7293 section 14), and those where Exchange
	// says that a recipient does not take mail from everybody.
	recipientStatuses = []string{"7.2", "7.17", "7.18", "7.124", "7.129", "7.133", "7.134", "7.136"}
	// recipientKinds are of the recipient's address or mailbox (RFC 3463 sections 3.2 and 3.3), or of the message (section 3.7).
	recipientKinds = regexp.MustCompile(`^(1\.[1-6]|1\.1[0-9]|2\.\d+|6\.\d+)$`)
)

// Servers without enhanced status codes (RFC 3463) have words alone. Postfix says 5.7.1 of recipients that its access tables refuse, and
// answers to MAIL at RCPT (smtpd_delay_reject), some with a code that is meant for recipients.
var (
	senderRejected = regexp.MustCompile(`(?i)sender address rejected`)
	heloRejected   = regexp.MustCompile(`(?i)helo command rejected|cannot find your (reverse )?host`)
	relayDenied    = regexp.MustCompile(`(?i)\brelay(ing)?\b.*\b(denied|not permitted|prohibited|not allowed)|rcpthosts`)
	senderWords    = regexp.MustCompile(`(?i)\brelay|\bsender|\bfrom address|not verified|rcpthosts|authenticat|\bauth\b|\bsuspend|\bnot allowed to send|` +
		`\bsending\b|\b(daily|hourly|message|mail) (limit|quota)|\byour (account|domain|quota|ip)|\b(spf|dkim|dmarc)\b`)
	listedWords = regexp.MustCompile(`(?i)spamhaus|\b(black|block|deny) ?list|\b(rbl|dnsbl)\b|\bis listed\b|blocked using|reputation|` +
		`client host|reverse (dns|host)|\bptr\b|helo command rejected`)
	recipientWords = regexp.MustCompile(`(?i)recipient address rejected|user unknown|unknown user|no such (user|mailbox|recipient)|` +
		`recipient (not found|unknown)|unknown recipient|mailbox (unavailable|not found|is full|full)`)
	contentWords = regexp.MustCompile(`(?i)\b(spam|virus|malware|phishing|content|unsolicited|attachment)\b`)
	greyWords    = regexp.MustCompile(`(?i)\bgr[ae]y-?list|come back (later|in)|` +
		`(temporarily deferred|try again (in|after)) .*\d+ ?(s|m|min|sec|minutes|seconds)\b`)
)

// enhancedStatus is the code of RFC 3463 at the start of a reply's text.
var enhancedStatus = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// faultHint returns the hint of a refusal after the sign-in.
func faultHint(f fault, reply *textproto.Error) string {
	switch {
	case greylists(reply):
		return greyHint
	case f == faultOperator && listedWords.MatchString(reply.Msg):
		return addressHint
	case f == faultOperator:
		return senderHint
	}
	return ""
}
