package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestPause_DoublesUpToABound(t *testing.T) {
	for attempt := -1; attempt < 100; attempt++ {
		d := pause(attempt)
		if d < firstPause/2 || d >= maxPause*3/2 {
			t.Errorf("attempt %d: %v", attempt, d)
		}
	}
	if pause(1) >= 3*time.Second {
		t.Error("the first pause is long")
	}
}

func TestPast_CountsWhatWasLost(t *testing.T) {
	reason := attemptCounts{answered: 2, unanswered: 1}.reason("words: 7")
	for attempts, want := range map[int]attemptCounts{1: {2, 1}, 4: {2, 1}, 5: {2, 2}, 7: {2, 4}} {
		if got := countsOf(storage.Mail{Attempts: attempts, Reason: reason}); got != want {
			t.Errorf("attempt %d: %+v, want %+v", attempts, got, want)
		}
	}
	if got := countsOf(storage.Mail{Attempts: 3, Reason: "anything"}); got != (attemptCounts{0, 2}) {
		t.Errorf("without a count: %+v", got)
	}
}

func TestLOG1_ReasonsNameNobody(t *testing.T) {
	got := scrub("550 Mailbox ADA unknown (ada@example.com, now ada2@example.net) for https://x.example/link?t=TOKEN; code 1234-5678",
		"ada@example.com", "https://x.example/link?t=TOKEN")
	if want := "550 Mailbox (name) unknown ((address), now (address)) for …; code …"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLOG1_ReasonsKeepTheHint redacts the name in what the server said and not in the advice, where it would show what it was.
func TestLOG1_ReasonsKeepTheHint(t *testing.T) {
	const hint = "does a firewall let port 15879 out? ask Ada"
	err := fmt.Errorf("send: %w", mailer.WithHint(errors.New("no mailbox ada here"), hint))
	if got, want := describe(err, "ada@example.org"), "send: no mailbox (name) here: "+hint; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, to := range []string{"a@example.org", "the@example.org", "mail@example.org", "firewall@example.org"} {
		err := mailer.WithHint(errors.New("a mail to the firewall"), hint)
		if got, want := describe(err, to), "a mail to the firewall: "+hint; got != want {
			t.Errorf("%s: got %q, want %q", to, got, want)
		}
	}
	long := mailer.WithHint(errors.New(strings.Repeat("x ", 99)), "write\r\nthis instead")
	if got := describe(long, "a@example.org"); len(got) > maxReason || strings.ContainsAny(got, "\r\n") {
		t.Errorf("%q", got)
	}
}

func TestProgress_SaysWhyAndWhetherAnAttemptHasNoEndYet(t *testing.T) {
	for _, c := range []struct {
		mail     storage.Mail
		reason   string
		underWay bool
	}{
		{storage.Mail{}, "", false},
		{storage.Mail{Attempts: 1}, "", true},
		{storage.Mail{Attempts: 3, Reason: attemptCounts{2, 1}.reason("refused: 451")}, "refused: 451", false},
		{storage.Mail{Attempts: 4, Reason: attemptCounts{2, 1}.reason("refused: 451")}, "refused: 451", true},
		{storage.Mail{Attempts: 4, Dead: true, Reason: attemptCounts{2, 1}.reason("over")}, "over", false},
		{storage.Mail{Attempts: 1, Dead: true, Reason: "the record does not open"}, "the record does not open", false},
	} {
		if reason, underWay := Progress(c.mail); reason != c.reason || underWay != c.underWay {
			t.Errorf("%+v: %q, %v", c.mail, reason, underWay)
		}
	}
}

func FuzzScrub(f *testing.F) {
	for _, seed := range []string{
		"550 <ada@example.com> unknown", "x?t=" + strings.Repeat("A", 50), "code 1234 5678", "line\r\nevent=forged", "\xff\u202e", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := scrub(text+" ada@example.com 12345678 "+strings.Repeat("x", 50), "ada@example.com")
		if len(got) > maxReason || strings.ContainsAny(got, "\r\n\x00") || strings.Contains(got, "ada@example.com") ||
			tokenLike.MatchString(got) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
