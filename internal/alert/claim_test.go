package alert

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// claimer is a process that alerts.
type claimer struct {
	t     *testing.T
	dir   string
	store storage.Store
	ring  *keyring.Ring
}

func newClaimer(t *testing.T, dir string) *claimer {
	t.Helper()
	ring, _, err := keyring.Open([][]byte{[]byte(enginetest.Master)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &claimer{t, dir, enginetest.Open(t, dir), ring}
	t.Cleanup(func() { _ = c.store.Close() })
	return c
}

// claim returns the kinds that may be sent.
func (c *claimer) claim(now time.Time, due ...Kind) string {
	c.t.Helper()
	var list []Alert
	for _, kind := range due {
		list = append(list, Alert{Kind: kind, Since: now, Until: now, Total: 1})
	}
	claimed, err := Claim(c.t.Context(), c.store, c.ring, now, "Example", "ops@example.com", list)
	if err != nil {
		c.t.Fatal(err)
	}
	return kinds(claimed)
}

// mails returns how many mails of alerts wait.
func (c *claimer) mails(now time.Time) (n int) {
	c.t.Helper()
	err := c.store.View(c.t.Context(), func(tx storage.Tx) error {
		list, err := tx.Outbox().List(false, 100)
		for _, m := range list {
			if m.Purpose == outbox.Alert {
				n++
			}
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// killed is the process that starts on what a kill -9 at this instant leaves.
func (c *claimer) killed() *claimer {
	c.t.Helper()
	dir := c.t.TempDir()
	text, err := os.ReadFile(filepath.Join(c.dir, enginetest.File))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, enginetest.File), text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return newClaimer(c.t, dir)
}

// TestALERT1_AKillBetweenTwoAlerts: no alert is sent twice, however often the process is killed, and the mail of one that was claimed is not lost.
func TestALERT1_AKillBetweenTwoAlerts(t *testing.T) {
	enginetest.NeedsFile(t)
	p := newClaimer(t, t.TempDir())
	unclaimed := p.killed()
	if got := p.claim(start, Failures); got != "failures" {
		t.Fatalf("claimed %q", got)
	}
	for _, one := range []struct {
		after time.Duration
		due   []Kind
		want  string
		mails int
	}{
		{time.Minute, []Kind{Failures}, "", 1},
		{2 * time.Minute, []Kind{Failures, Replays}, "replays", 2},
		{3 * time.Minute, []Kind{NoMail, Replays}, "no_mail", 2}, // which no mail says
		{4 * time.Minute, []Kind{NoMail, Replays, Failures}, "", 2},
		{Interval - time.Second, []Kind{Failures}, "", 2},
		{Interval, []Kind{Failures, Replays}, "failures", 3},
	} {
		p = p.killed()
		if got := p.claim(start.Add(one.after), one.due...); got != one.want {
			t.Errorf("after %s: claimed %q of %v, want %q", one.after, got, one.due, one.want)
		}
		if n := p.mails(start.Add(one.after)); n != one.mails {
			t.Errorf("after %s: %d mails wait, want %d", one.after, n, one.mails)
		}
	}
	if got := unclaimed.claim(start, Failures); got != "failures" || unclaimed.mails(start) != 1 {
		t.Errorf("killed before: claimed %q", got)
	}
}

// TestALERT1_AClockThatWasAheadHoldsNothingBack: an alert of a time that is still to come was one of a wrong clock.
func TestALERT1_AClockThatWasAheadHoldsNothingBack(t *testing.T) {
	p := newClaimer(t, t.TempDir())
	p.claim(start.AddDate(1, 0, 0), Failures)
	if got := p.claim(start, Failures); got != "failures" {
		t.Errorf("claimed %q", got)
	}
	if got := p.claim(start.Add(time.Minute), Failures); got != "" {
		t.Errorf("claimed %q, a minute later", got)
	}
}
