package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// fail makes every mail meet an error.
func (p *post) fail(err error) {
	p.server.script(func(context.Context, mailer.Message) error { return err })
}

// later lets due mails have attempts, each after the longest pause.
func (p *post) later(times int) {
	p.t.Helper()
	for range times {
		p.fake.Advance(2 * time.Minute)
		p.flush()
	}
}

var errNotOwned = mailer.OperatorFault(mailer.WithHint(errors.New("553 5.7.1 not owned by user"), "the sender is refused"))

// TestMAIL4_TheOperatorsFaultWaitsAndIsLoggedOnce refuses the sender of every mail: the mails wait, the log says once that none leaves and
// once that they leave again, and what waits says who is at fault.
func TestMAIL4_TheOperatorsFaultWaitsAndIsLoggedOnce(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.queue("ada@example.com")
	p.fail(errNotOwned)
	logged := func(when string, stopped, resumed int) {
		t.Helper()
		text := p.log.String()
		if s, r := strings.Count(text, "no mail leaves"), strings.Count(text, "mail leaves again"); s != stopped || r != resumed {
			t.Errorf("%s the log says %d times that no mail leaves and %d times that it leaves again:\n%s", when, s, r, text)
		}
		if n := strings.Count(text, "level=WARN"); n > 0 {
			t.Errorf("%s the log has %d warnings of single mails", when, n)
		}
	}
	p.flush()
	p.later(6)
	logged("after twelve minutes", 1, 0)
	waiting := p.list(false)
	if len(waiting) != 2 || !strings.Contains(waiting[0].Reason, "553 5.7.1 not owned by user: the sender is refused") {
		t.Fatalf("what waits: %+v", waiting)
	}
	if !strings.Contains(p.log.String(), `reason="553 5.7.1 not owned by user: the sender is refused"`) {
		t.Errorf("the log does not give the reason:\n%s", p.log)
	}
	p.server.script(nil)
	p.later(1)
	if p.server.count() != 2 {
		t.Errorf("%d of 2 mails arrived once the sender was mended", p.server.count())
	}
	logged("after the mails have left", 1, 1)
	p.fail(errNotOwned)
	p.queue("ada@example.com")
	p.flush()
	logged("at the next outage", 2, 1)
}

// TestMAIL4_ASenderRefusedToSomeIsNotLoggedEachTime alternates between a mail that leaves and one whose sender is refused.
func TestMAIL4_ASenderRefusedToSomeIsNotLoggedEachTime(t *testing.T) {
	p := newPost(t)
	p.fake.Advance(time.Second)
	for range 5 {
		p.fail(errNotOwned)
		p.queue("ada@example.com")
		p.flush()
		p.server.script(nil)
		p.queue("ada@example.com")
		p.flush()
	}
	if n := strings.Count(p.log.String(), "no mail leaves"); n != 1 {
		t.Errorf("the log says %d times that no mail leaves:\n%s", n, p.log)
	}
}

// TestMAIL4_TheLogGivesReasonsAsAnOperatorReadsThem: what the worker counts beside them is its own.
func TestMAIL4_TheLogGivesReasonsAsAnOperatorReadsThem(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.fail(errors.New("451 not now"))
	p.flush()
	if text := p.log.String(); !strings.Contains(text, `reason="451 not now"`) {
		t.Errorf("the log says\n%s", text)
	}
}
