//go:build postgres

package flow

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// leaving is a store whose database goes away when a step has read all that it reads and is about to be committed.
type leaving struct {
	storage.Store
	leave func()
}

func (l leaving) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return l.Store.Update(ctx, func(tx storage.Tx) error {
		err := fn(tx)
		l.leave()
		return err
	})
}

// TestDUR2_TheSameBrowserThatTriesAgainGetsIn takes the database away in the middle of each kind of step for longer than a call may take, once
// before the step arrives and once after it was committed: the browser is told to try again, and when it does, it is where it would be.
func TestDUR2_TheSameBrowserThatTriesAgainGetsIn(t *testing.T) {
	server := pgtest.StartFor(t, "fsync=off", "max_connections=300")
	var wg sync.WaitGroup
	for where, leave := range map[string]func(*pgtest.Proxy) func(){
		"before":    func(p *pgtest.Proxy) func() { return func() { p.Silence(true) } },
		"committed": func(p *pgtest.Proxy) func() { return p.Mute },
	} {
		for what, prepare := range unansweredSteps {
			proxy := server.NewProxy(t)
			enginetest.Use(t, proxy.DSN())
			g := newPasswordGate(t)
			id := g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			first, again := prepare(g, b, id)
			there := g.Store
			g.Store = leaving{there, leave(proxy)}
			sessions := g.Sessions
			g.Sessions = session.NewManager(g.Store, g.Ring, g.Clock, g.Accounts)
			wg.Go(func() {
				if err := first(); !errors.Is(err, ErrUnavailable) && !errors.Is(err, storage.ErrUnknown) {
					t.Errorf("%s, %s: %v, want ErrUnknown", what, where, err)
				}
				g.Store, g.Sessions = there, sessions
				proxy.Silence(false)
				proxy.Unmute()
				proxy.Cut()
				err := again()
				for errors.Is(err, ErrUnavailable) || errors.Is(err, storage.ErrUnreachable) { // until the database is back
					err = again()
				}
				if err != nil {
					t.Errorf("%s, %s: trying again: %v", what, where, err)
				}
			})
		}
	}
	wg.Wait()
}

// unansweredSteps return a step, and what its browser does when it was told to try again.
var unansweredSteps = map[string]func(g *gate, b *browser, id string) (first, again func() error){
	"ask": func(g *gate, b *browser, _ string) (first, again func() error) {
		first = func() error { _, err := b.ask(SignIn, ada); return err }
		return first, func() error {
			// Mails leave in no order: what the first request has queued, if it was committed, goes before the next one.
			if err := g.worker.Flush(context.Background()); err != nil {
				return err
			}
			if err := first(); err != nil {
				return err
			}
			if err := g.worker.Flush(context.Background()); err != nil {
				return err
			}
			_, err := b.type_(b.newest(ada).code)
			return errors.Join(err, b.isIn(1))
		}
	},
	"link": func(g *gate, b *browser, _ string) (first, again func() error) {
		mail := b.mustAsk(SignIn, ada)
		return b.presses(mail.link, ""), func() error { return errors.Join(b.presses(mail.link, "")(), b.isIn(1)) }
	},
	"a press of the page that is still there": func(g *gate, b *browser, _ string) (first, again func() error) {
		mail := b.mustAsk(SignIn, ada)
		h := must[LinkPreview](g.t)(b.open(mail.link)).H
		press := func() error {
			_, err := b.keep(g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: h}))
			return err
		}
		return press, func() error { return errors.Join(press(), b.isIn(1)) }
	},
	"sign-up": func(_ *gate, b *browser, _ string) (first, again func() error) {
		mail := b.mustAsk(Activation, "new@example.com")
		return b.presses(mail.link, ""), func() error { return errors.Join(b.presses(mail.link, "")(), b.isIn(1)) }
	},
	"code": func(_ *gate, b *browser, _ string) (first, again func() error) {
		mail := b.mustAsk(SignIn, ada)
		first = func() error { _, err := b.type_(mail.code); return err }
		return first, func() error { return errors.Join(first(), b.isIn(1)) }
	},
	"reset": func(g *gate, b *browser, _ string) (first, again func() error) {
		g.site.SignInAfterReset = true
		mail := b.mustAsk(Reset, ada)
		return b.presses(mail.link, newWords), func() error { return errors.Join(b.presses(mail.link, newWords)(), b.isIn(1)) }
	},
	"sign-out": func(g *gate, b *browser, id string) (first, again func() error) {
		if _, err := b.signIn(ada, oldWords); err != nil {
			g.t.Fatal(err)
		}
		live := b.requester().Session
		first = func() error { return g.Sessions.End(context.Background(), live) }
		return first, func() error {
			if err := first(); err != nil {
				return err
			}
			if n := g.liveSessions(id); n != 0 {
				return errors.New("a session is alive")
			}
			return nil
		}
	},
}

// presses returns a press of a link's button that sends a password.
func (b *browser) presses(link, password string) func() error {
	return func() error {
		o, err := b.open(link)
		if err != nil {
			return err
		}
		_, err = b.keep(b.g.Confirm(context.Background(), b.g.site, b.requester(), ConfirmInput{Token: link, H: o.H, Password: password}))
		return err
	}
}

// isIn checks that the browser is signed in, by the one session that its account has.
func (b *browser) isIn(sessions int) error {
	if !b.signedIn() {
		return errors.New("not signed in")
	}
	if n := b.g.liveSessions(b.requester().Session.Session.Account); n != sessions {
		return errors.New("more than one session is alive")
	}
	return nil
}
