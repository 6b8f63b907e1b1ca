package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// TestMAIL4_TheOperatorsFaultWaitsAndIsLoggedOnce refuses the sender of every mail: the mails wait, the log says once in ten minutes that
// none leaves, and what waits says who is at fault.
func TestMAIL4_TheOperatorsFaultWaitsAndIsLoggedOnce(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.queue("ada@example.com")
	p.server.script(func(context.Context, mailer.Message) error {
		return mailer.OperatorFault(mailer.WithHint(errors.New("553 5.7.1 not owned by user"), "the sender is refused"))
	})
	const line = "no mail leaves"
	for range 4 {
		p.flush()
		p.fake.Advance(2 * time.Minute)
	}
	if got := strings.Count(p.log.String(), line); got != 1 {
		t.Errorf("after eight minutes the log says %d times that no mail leaves", got)
	}
	p.fake.Advance(2 * time.Minute)
	p.flush()
	if got := strings.Count(p.log.String(), line); got != 2 {
		t.Errorf("after ten minutes the log says %d times that no mail leaves", got)
	}
	waiting := p.list(false)
	if len(waiting) != 2 || !strings.Contains(waiting[0].Reason, "553 5.7.1 not owned by user: the sender is refused") {
		t.Fatalf("what waits: %+v", waiting)
	}
	p.server.script(nil)
	p.fake.Advance(2 * time.Minute)
	p.flush()
	if p.server.count() != 2 {
		t.Errorf("%d of 2 mails arrived once the sender was mended", p.server.count())
	}
}
