package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// cutOff leases every mail that is due, as a process does that dies before it sends them.
func (p *post) cutOff() {
	p.t.Helper()
	now := p.Clock.Now()
	if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
		_, err := tx.Outbox().Lease(storage.LaneDirect, now, now.Add(2*time.Minute), 10)
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *post) resume(want int) {
	p.t.Helper()
	if n, err := p.Resume(context.Background()); err != nil || n != want {
		p.t.Errorf("resumed %d mails, %v; want %d", n, err, want)
	}
}

func TestMAIL4_AMailThatAKilledProcessHeldLeavesAtOnceAfterTheStart(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.cutOff()
	p.flush()
	if p.server.count() != 0 {
		t.Fatal("a mail left although it is leased")
	}
	p.resume(1)
	p.flush()
	if p.server.count() != 1 {
		t.Errorf("%d mails left after the start", p.server.count())
	}
	p.resume(0)
}

func TestMAIL4_AProcessThatDiesAgainAndAgainSendsAMailTwiceAtMost(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.cutOff()
	p.resume(1)
	p.cutOff()
	p.resume(0)
	p.flush()
	if p.server.count() != 0 {
		t.Error("the second start took the lease of the second attempt away")
	}
}

func TestResume_AMailThatWaitsForItsNextAttemptGoesOnWaiting(t *testing.T) {
	p := newPost(t)
	p.server.script(func(context.Context, mailer.Message) error { return errors.New("not now") })
	p.queue("ada@example.com")
	p.flush()
	p.resume(0)
}
