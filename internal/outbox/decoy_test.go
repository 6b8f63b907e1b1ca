package outbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// TestENUM1_AMailThatIsDroppedIsWrittenToo: a decoy costs what a mail costs, up to the mailer.
func TestENUM1_AMailThatIsDroppedIsWrittenToo(t *testing.T) {
	p := newPost(t)
	written := 0
	p.Use(Delivery{Mailer: p.server, Accounts: p.dir, Render: func(Message) (mailer.Message, error) {
		written++
		return mailer.Message{From: "no-reply@example.com"}, nil
	}})
	p.queue("nobody@example.com")
	p.flush()
	p.queue("nobody@example.com") // is told once a day
	p.flush()
	if n := p.server.count(); n != 1 || written != 2 {
		t.Errorf("%d mails have left, %d were written", n, written)
	}
}

// TestMAIL3_AnAddressWithoutAnAccountIsToldOnceADay, to the second, whatever it is asked by.
func TestMAIL3_AnAddressWithoutAnAccountIsToldOnceADay(t *testing.T) {
	p := newPost(t)
	sends := func(to string) bool {
		before := p.server.count()
		p.queue(to)
		p.flush()
		return p.server.count() > before
	}
	if !sends("nobody@example.com") || !sends("other@example.com") {
		t.Error("the first mail does not leave")
	}
	for range 3 {
		p.fake.Advance(noAccountInterval/3 - time.Second)
		if sends("nobody@example.com") {
			t.Error("it is told again within a day")
		}
	}
	if !strings.Contains(p.log.String(), dropNoAccountSentToday) {
		t.Errorf("the log: %s", p.log)
	}
	p.fake.Advance(3 * time.Second)
	if !sends("nobody@example.com") {
		t.Error("it is not told a day later")
	}
}

// TestCFG2_AMailThatIsBeingSentIsSentToItsEnd: Run, told to stop, waits for it before it cancels anything.
func TestCFG2_AMailThatIsBeingSentIsSentToItsEnd(t *testing.T) {
	p := newPost(t)
	entered, cancelled := make(chan struct{}), make(chan bool, 1)
	ctx, stop := context.WithCancel(t.Context())
	p.server.script(func(sending context.Context, _ mailer.Message) error {
		close(entered)
		<-ctx.Done()
		select { // what is cancelled is cancelled at once
		case <-sending.Done():
			cancelled <- true
		case <-time.After(50 * time.Millisecond):
			cancelled <- false
		}
		return sending.Err()
	})
	p.queue("ada@example.com")
	p.DrainFor = time.Hour
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-entered
	stop()
	if err := <-done; err != nil || <-cancelled || p.server.count() != 1 || len(p.list(false)) != 0 {
		t.Errorf("%v; %d mails arrived, %d are queued", err, p.server.count(), len(p.list(false)))
	}
}
