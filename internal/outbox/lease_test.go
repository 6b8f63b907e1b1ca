package outbox

import (
	"context"
	"testing"

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
