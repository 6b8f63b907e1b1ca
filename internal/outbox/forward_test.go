package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// newMail queues a mail of which it is not known whom it is for, at a place of the line.
func (p *post) newMail(to string, place uint64) storage.MailID {
	p.t.Helper()
	id := p.queue(to)
	p.move(id, storage.LaneNew, place)
	return id
}

// move puts a mail that is due into a lane.
func (p *post) move(id storage.MailID, lane storage.Lane, place uint64) {
	p.t.Helper()
	now := p.Clock.Now()
	if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
		mails, err := tx.Outbox().Lease(storage.LaneDirect, now, now.Add(time.Minute), 99)
		for _, m := range mails {
			to, at := storage.LaneDirect, m.Position
			if m.ID == id {
				to, at = lane, place
			}
			if _, err := tx.Outbox().Move(m.ID, m.Attempts, to, at, now, ""); err != nil {
				return err
			}
		}
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
}

// lease leases one mail of a lane.
func (p *post) lease(lane storage.Lane) (m storage.Mail) {
	p.t.Helper()
	now := p.Clock.Now()
	var mails []storage.Mail
	if err := p.Store.Update(context.Background(), func(tx storage.Tx) (err error) {
		mails, err = tx.Outbox().Lease(lane, now, now.Add(time.Minute), 1)
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
	if len(mails) != 1 {
		p.t.Fatalf("%d mails in lane %d", len(mails), lane)
	}
	return mails[0]
}

// TestFAIR1_ANewMailOvertakesNoneThatWaitsForItsSender moves a new mail to the line, where another one is due or none is, and after the
// worker was told to stop.
func TestFAIR1_ANewMailOvertakesNoneThatWaitsForItsSender(t *testing.T) {
	for name, c := range map[string]struct{ waits, stopped bool }{"nothing waits": {}, "a mail waits": {waits: true}, "stopped": {stopped: true}} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t)
			if c.waits {
				p.move(p.queue("first@example.com"), storage.LaneLine, 9)
			}
			id := p.newMail("eve@example.com", 3)
			m, now := p.lease(storage.LaneNew), p.Clock.Now()
			stop, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.stopped {
				cancel()
			}
			p.init()
			f := &forwarding{now: now, until: now.Add(time.Minute), stop: stop}
			for _, l := range p.lanes {
				if l.of == storage.LaneLine {
					f.lanes = append(f.lanes, l)
				}
			}
			if err := p.Store.Update(t.Context(), func(tx storage.Tx) error {
				return f.forward(tx, func() error {
					_, err := tx.Outbox().Move(m.ID, m.Attempts, storage.LaneLine, 3, now, "")
					return err
				})
			}); err != nil {
				t.Fatal(err)
			}
			var leased []storage.Mail
			if f.leased != nil {
				leased = f.leased[0]
			}
			if c.waits || c.stopped {
				if len(leased) != 0 || !f.left {
					t.Errorf("leased %v, left %v", leased, f.left)
				}
			} else if len(leased) != 1 || leased[0].ID != id {
				t.Errorf("leased %v", leased)
			}
		})
	}
}

// stopping is a source that ends a context at the first look-up.
type stopping struct {
	directory
	stop func()
}

func (s stopping) ByEmail(tx storage.Tx, email string) (accounts.Account, bool, error) {
	s.stop()
	return s.directory.ByEmail(tx, email)
}

// TestRun_ToldToStopItTakesNoNewMail tells Run to stop while it looks up whom a mail is for.
func TestRun_ToldToStopItTakesNoNewMail(t *testing.T) {
	p := newPost(t)
	id := p.newMail("ada@example.com", 3)
	ctx, cancel := context.WithCancel(t.Context())
	d := *p.delivery.Load()
	d.Accounts = stopping{p.dir, cancel}
	p.Use(d)
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	waiting := p.list(false)
	if p.server.count() != 0 || len(waiting) != 1 || waiting[0].ID != id || waiting[0].Lane != storage.LaneDirect {
		t.Errorf("%d were sent, and these wait: %+v", p.server.count(), waiting)
	}
}

// TestRun_ASenderThatBecomesFreeWakesTheWorker has more mails than senders.
func TestRun_ASenderThatBecomesFreeWakesTheWorker(t *testing.T) {
	p := newPost(t)
	const mails = DefaultConcurrency + 1
	entered, release := make(chan struct{}, mails), make(chan struct{})
	p.server.script(func(context.Context, mailer.Message) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	for range mails {
		p.queue("ada@example.com")
	}
	s := &sending{Worker: p.Worker, ctx: t.Context(), stop: t.Context(), turn: func(time.Time) {}}
	<-p.wake // of Use
	if leased, _, err := s.dispatch(); leased != mails-1 || err != nil {
		t.Fatalf("%d leased, %v", leased, err)
	}
	for range mails - 1 {
		<-entered
	}
	if len(p.wake) != 0 {
		t.Error("woken before the sender was free")
	}
	close(release)
	s.running.Wait()
	if len(p.wake) != 1 {
		t.Error("not woken")
	}
	if leased, _, err := s.dispatch(); leased != 1 || err != nil {
		t.Fatalf("%d leased, %v", leased, err)
	}
	s.running.Wait()
	if n := p.server.count(); n != mails {
		t.Errorf("%d sent", n)
	}
}
