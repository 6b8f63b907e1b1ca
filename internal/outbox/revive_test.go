package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// requeue requeues all mails, and returns how many are due and the refusals of the others.
func (p *post) requeue() (n int, refusals []string) {
	p.t.Helper()
	if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
		n, refusals = 0, nil
		for _, dead := range [...]bool{false, true} {
			mails, err := tx.Outbox().List(dead, 100)
			if err != nil {
				return err
			}
			for _, m := range mails {
				requeued, refusal, err := Requeue(tx, p.Ring, m, p.Clock.Now())
				if err != nil {
					return err
				}
				if requeued {
					n++
				} else {
					refusals = append(refusals, refusal)
				}
			}
		}
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	return n, refusals
}

// want requeues all mails and checks what comes of the only one.
func (p *post) want(refusal string) {
	p.t.Helper()
	n, refusals := p.requeue()
	if refusal == "" && n != 1 || refusal != "" && (n != 0 || len(refusals) != 1 || refusals[0] != refusal) {
		p.t.Errorf("%d mails are due, %q; want %q", n, refusals, refusal)
	}
}

var errNoUser = mailer.Permanent(errors.New("550 5.1.1 no such user"))

// TestMAIL4_ADeadLetterIsSentAgainWhileItsFlowIsOpen revives one that the server has refused for good: the mail that leaves then is the
// one that would have left.
func TestMAIL4_ADeadLetterIsSentAgainWhileItsFlowIsOpen(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	var refused mailer.Message
	p.server.script(func(_ context.Context, m mailer.Message) error {
		refused = m
		return errNoUser
	})
	p.flush()
	if len(p.list(true)) != 1 {
		t.Fatal("no dead letter")
	}
	p.want("")
	p.server.script(nil)
	p.flush()
	if p.server.count() != 1 || p.server.got[0] != refused {
		t.Errorf("sent %+v, refused was %+v", p.server.got, refused)
	}
	if n := len(p.list(false)) + len(p.list(true)); n != 0 {
		t.Errorf("%d mails are left", n)
	}
}

// TestMAIL4_WhatCannotBeSentAgainSaysWhy goes through the reasons.
func TestMAIL4_WhatCannotBeSentAgainSaysWhy(t *testing.T) {
	dead := func(t *testing.T) *post {
		p := newPost(t)
		p.queue("ada@example.com")
		p.fail(errNoUser)
		p.flush()
		return p
	}
	t.Run("the flow has ended by its time", func(t *testing.T) {
		p := dead(t)
		p.fake.Advance(15 * time.Minute)
		p.want(deadExpired)
		if _, err := p.Store.Sweep(context.Background(), p.Clock.Now(), 100); err != nil {
			t.Fatal(err)
		}
		if list := p.list(true); len(list) != 1 || len(list[0].Sealed) > 0 {
			t.Errorf("after the sweep: %+v", list)
		}
		p.want(deadExpired)
	})
	t.Run("the flow has been used", func(t *testing.T) {
		p := dead(t)
		key := p.list(true)[0].Flow
		if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
			_, err := tx.Flows().Finish(key, storage.FlowRedeemed, storage.Digest{1}, storage.Key{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		p.want(deadExpired)
	})
	t.Run("the flow is gone", func(t *testing.T) {
		p := dead(t)
		m := p.list(true)[0]
		m.Flow.Digest[0] ^= 1
		if err := p.Store.View(context.Background(), func(tx storage.Tx) error {
			refusal, err := checkDead(tx, p.Ring, m, p.Clock.Now())
			if refusal != deadExpired {
				t.Errorf("%q", refusal)
			}
			m.Purpose = Notice // which has none
			if refusal, _ := checkDead(tx, p.Ring, m, p.Clock.Now()); refusal != "" {
				t.Errorf("a notice: %q", refusal)
			}
			m.Sealed[len(m.Sealed)-1] ^= 1
			if refusal, _ := checkDead(tx, p.Ring, m, p.Clock.Now()); refusal != deadSealed {
				t.Errorf("a record of another key: %q", refusal)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("it may have arrived twice", func(t *testing.T) {
		p := newPost(t)
		p.queue("ada@example.com")
		p.fail(mailer.Unanswered(errors.New("the connection was lost")))
		p.flush()
		p.later(1)
		p.want(deadArrived)
	})
	t.Run("it is being sent", func(t *testing.T) {
		p := newPost(t)
		p.queue("ada@example.com")
		p.cutOff()
		p.want("it is being sent right now; if its process died, it is tried again within two minutes")
	})
}

// TestMAIL4_AStatelessFlowsDeadLetterIsSentAgain: its flow is not stored while nobody has opened the link.
func TestMAIL4_AStatelessFlowsDeadLetterIsSentAgain(t *testing.T) {
	p := newPost(t)
	p.queueStateless("ada@example.com", 0)
	p.fail(errNoUser)
	p.flush()
	p.want("")
}
