package outbox

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Back-off of attempts: doubling from the first to the longest pause, each spread by half around itself.
const (
	firstPause = 2 * time.Second
	maxPause   = time.Minute
	// maxUnanswered is how many copies of one mail may be under way at most: so often may an attempt end without an answer.
	maxUnanswered = 2
	// maxReason is the longest reason that is kept, in bytes.
	maxReason = 400
)

// pause returns how long to wait after the given attempt, the first being 1.
func pause(attempt int) time.Duration {
	d := maxPause
	if shift := max(attempt, 1) - 1; shift < 6 {
		d = min(maxPause, firstPause<<shift)
	}
	return d/2 + rand.N(d) //nolint:gosec // spreads load, keeps no secret
}

// attemptCounts is what earlier attempts at a mail have left in its reason: how many had an answer, and how many had none though they
// were recorded. An attempt that is not counted there was lost with its process and had none either.
type attemptCounts struct {
	answered, unanswered int
}

const (
	countsPrefix = "attempts with an answer "
	countsFormat = countsPrefix + "%d, without %d: "
)

func readCounts(reason string) (p attemptCounts) {
	if n, _ := fmt.Sscanf(reason, countsFormat, &p.answered, &p.unanswered); n != 2 || p.answered < 0 || p.unanswered < 0 {
		return attemptCounts{}
	}
	return p
}

// readReason returns the two halves of a kept reason: the counts, and the text that an operator reads.
func readReason(reason string) (p attemptCounts, text string) {
	if _, after, ok := strings.Cut(reason, ": "); ok && strings.HasPrefix(reason, countsPrefix) {
		return readCounts(reason), after
	}
	return attemptCounts{}, reason
}

// countsOf returns the past of a mail that has just been leased, lost attempts included.
func countsOf(m storage.Mail) attemptCounts {
	p := readCounts(m.Reason)
	p.unanswered += max(0, m.Attempts-1-p.answered-p.unanswered)
	return p
}

// reason returns what is kept with the mail.
func (p attemptCounts) reason(text string) string {
	return fmt.Sprintf(countsFormat, p.answered, p.unanswered) + text
}

var (
	addressLike = regexp.MustCompile(`[^\s<>"'(),;:]+@[^\s<>"'(),;]+`)
	tokenLike   = regexp.MustCompile(`[A-Za-z0-9_=-]{40,}`)
	codeLike    = regexp.MustCompile(`\b[0-9]{4}[ -]?[0-9]{4}\b`)
)

// describe returns what is kept of a failed attempt: the words of the failure, scrubbed, and the mailer's own hint as it is.
func describe(err error, to string, secrets ...string) string {
	words, hint := mailer.SplitHint(err)
	text := scrub(words, to, secrets...)
	if hint = cut(oneLine(hint), maxReason/2); hint != "" {
		text = cut(text, maxReason-len(hint)-len(": ")) + ": " + hint
	}
	return text
}

// scrub makes the words of a failure fit for logs and records: servers like to repeat the address they refuse, or the user's
// name in it, and some repeat a part of the message.
func scrub(text, to string, secrets ...string) string {
	text = oneLine(text)
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	text = addressLike.ReplaceAllString(text, "(address)")
	text = mailer.HideRecipient(text, to, "(address)", "(name)")
	text = tokenLike.ReplaceAllString(text, "…")
	text = codeLike.ReplaceAllString(text, "…")
	return cut(text, maxReason)
}

// oneLine returns text without control and format characters.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsSpace(r), unicode.IsControl(r):
			return ' '
		default:
			return r
		}
	}, text)
}

// cut shortens text to size bytes at most, at a whole character.
func cut(text string, size int) string {
	for len(text) > size {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return text
}
