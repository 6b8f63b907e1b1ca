package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// TestMAIL4_NobodyTakesAMailWhileItIsBeingSent lets an attempt last as long as it may, and another worker look for mails then.
func TestMAIL4_NobodyTakesAMailWhileItIsBeingSent(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	other := &Worker{Store: p.Store, Ring: p.Ring, Clock: p.Clock, Limiter: p.Limiter}
	sent := 0
	other.Use(Delivery{Mailer: &server{}, Accounts: p.dir, Render: func(Message) (mailer.Message, error) {
		sent++
		return mailer.Message{From: `"Example" <no-reply@example.com>`, Text: "again"}, nil
	}})
	p.server.script(func(context.Context, mailer.Message) error {
		p.fake.Advance(p.SendTimeout)
		return other.Flush(context.Background())
	})
	p.flush()
	if p.server.count() != 1 || sent != 0 {
		t.Errorf("sent %d times, and %d times by the other worker", p.server.count(), sent)
	}
	if n := len(p.list(false)) + len(p.list(true)); n != 0 {
		t.Errorf("%d mails are left", n)
	}
}

// TestMAIL4_AMailerThatPanicsHasTheMailTwiceAtMost: it may have sent the mail before. A template that panics has sent nothing.
func TestMAIL4_AMailerThatPanicsHasTheMailTwiceAtMost(t *testing.T) {
	for name, want := range map[string]int{"mailer": maxUnanswered, "template": 5} {
		p := newPost(t)
		p.queue("ada@example.com")
		tries := 0
		render := p.delivery.Load().Render
		p.Use(Delivery{Mailer: p.server, Accounts: p.dir, Render: func(m Message) (mailer.Message, error) {
			if name == "template" {
				tries++
				panic("a template")
			}
			return render(m)
		}})
		p.server.script(func(context.Context, mailer.Message) error {
			tries++
			panic("a mailer")
		})
		for range 5 {
			p.flush()
			p.fake.Advance(2 * time.Minute)
		}
		if tries != want {
			t.Errorf("a %s that panics had the mail %d times, want %d", name, tries, want)
		}
	}
}
