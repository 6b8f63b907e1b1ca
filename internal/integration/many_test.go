package integration

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

// lastLink keeps the newest link that was mailed to one address, and nothing of other mails.
type lastLink struct {
	to   string
	mu   sync.Mutex
	link string
}

func (l *lastLink) Send(_ context.Context, m mailer.Message) error {
	if m.To == l.to {
		l.mu.Lock()
		l.link = m.Text
		l.mu.Unlock()
	}
	return nil
}

func (*lastLink) Close(context.Context) error { return nil }

// timeless is a gate without Caddy, whose clock is the test's.
type timeless struct {
	*vault.Vault
	t     *testing.T
	path  string
	fake  *clock.Fake
	flows *flow.Service
	mail  *outbox.Worker
	inbox *lastLink
	site  flow.Site
}

func newTimeless(t *testing.T) *timeless {
	t.Helper()
	g := &timeless{t: t, path: filepath.Join(t.TempDir(), "gate.db"), fake: clock.NewFake(time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)), inbox: &lastLink{to: "ada@example.com"}}
	store, err := bolt.Open(t.Context(), bolt.Options{Path: g.path})
	if err != nil {
		t.Fatal(err)
	}
	g.Vault, err = vault.Open(t.Context(), vault.Config{Store: store, Clock: g.fake.Clock(), Masters: func([]byte) ([][]byte, error) {
		return [][]byte{[]byte("a master key of thirty-two bytes")}, nil
	}})
	if err != nil {
		t.Fatal(errors.Join(err, store.Close()))
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	limiter := &limit.Limiter{Ring: g.Ring}
	g.site = flow.Site{Origin: "https://app.example.com", Prefix: "/email-link", SignUp: flow.SignUp{Mode: flow.SignUpOpen}, Limits: limit.Defaults()}
	g.mail = &outbox.Worker{Store: g.Store, Ring: g.Ring, Clock: g.Clock, Limiter: limiter}
	g.mail.Use(outbox.Delivery{
		Mailer: g.inbox, Accounts: g.Accounts, Sessions: g.Sessions, Limits: g.site.Limits,
		Render: func(l outbox.Message) (mailer.Message, error) {
			return mailer.Message{From: "no-reply@example.com", Subject: string(l.Kind), Text: l.Link, HTML: l.Link}, nil
		},
	})
	g.flows = &flow.Service{Store: g.Store, Ring: g.Ring, Clock: g.Clock, Limiter: limiter, Accounts: g.Accounts, Sessions: g.Sessions}
	return g
}

func asker(n int) flow.Requester {
	return flow.Requester{Client: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), Device: "Firefox on Linux", Locale: "en", Origin: true}
}

func (g *timeless) ask(n int, email string) error {
	_, err := g.flows.Request(g.t.Context(), g.site, asker(n), flow.RequestInput{Purpose: flow.Activation, Email: email})
	return err
}

func (g *timeless) post() {
	g.t.Helper()
	if err := g.mail.Flush(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
}

// signUp makes the account of ada and returns the cookie of a session.
func (g *timeless) signUp() string {
	g.t.Helper()
	if err := g.ask(0, g.inbox.to); err != nil {
		g.t.Fatal(err)
	}
	g.post()
	_, token, _ := strings.Cut(g.inbox.link, "?t=")
	opened, err := g.flows.Open(g.t.Context(), g.site, asker(0), token)
	if err != nil {
		g.t.Fatal(err)
	}
	done, err := g.flows.Confirm(g.t.Context(), g.site, asker(0), flow.ConfirmInput{Token: token, H: opened.H})
	if err != nil {
		g.t.Fatal(err)
	}
	return done.SessionCookie
}

// TestFLOW2_ManyUnfinishedSignUps lets 2000 sign-ups (or SIGN_UPS of them) be asked for and never finished, three times over,
// while somebody is signed in. After their end and a sweep there is no account and no record of them, and neither the file
// nor the memory has grown from one time to the next.
func TestFLOW2_ManyUnfinishedSignUps(t *testing.T) {
	n := rounds(t, "SIGN_UPS", 2000)
	g := newTimeless(t)
	cookie := g.signUp()
	use := func() {
		t.Helper()
		live, err := g.Sessions.Find(t.Context(), cookie, g.site.Origin)
		if err != nil || live == nil || live.Ended() {
			t.Fatalf("the session of an active user: %v, %v", live, err)
		}
	}
	use()
	var file, heap int64
	for round := range 3 {
		var wg sync.WaitGroup
		next := make(chan int)
		for range 64 {
			wg.Go(func() {
				for i := range next {
					if err := g.ask(i, fmt.Sprintf("u%d@example.com", i)); err != nil {
						t.Errorf("sign-up %d: %v", i, err)
					}
				}
			})
		}
		for i := range n {
			if next <- i; i%100 == 0 {
				use()
			}
		}
		close(next)
		wg.Wait()
		g.post()
		// A flow lives for a day, its records for a while longer; the longest window of a limit is a day.
		g.fake.Advance(3 * flow.DefaultActivation)
		if _, err := g.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		use()
		g.onlyAda(round)
		info, err := os.Stat(g.path)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("round %d: %d sign-ups, %d bytes of file, %d KiB of heap", round, n, info.Size(), m.HeapAlloc>>10)
		if round == 0 {
			file, heap = info.Size(), int64(m.HeapAlloc)
			continue
		}
		// How many pages a round needs at once depends on how its commits fall together, and the file grows by 4 MiB at a
		// time. Records that stayed behind would add about as much as the first round again.
		if info.Size() > file+file/4+4<<20 {
			t.Errorf("the file has grown from %d to %d bytes", file, info.Size())
		}
		if grown := int64(m.HeapAlloc) - heap; grown > 2<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
	}
}

// onlyAda makes sure that ada's account is all there is.
func (g *timeless) onlyAda(round int) {
	g.t.Helper()
	if err := g.Store.View(g.t.Context(), func(tx storage.Tx) error {
		accounts, err := tx.Accounts().List("", 10)
		waiting, err1 := tx.Outbox().List(false, 10)
		dead, err2 := tx.Outbox().List(true, 10)
		if len(accounts) != 1 || len(waiting)+len(dead) != 0 {
			g.t.Errorf("round %d: %d accounts, %d mails, %d dead letters", round, len(accounts), len(waiting), len(dead))
		}
		return errors.Join(err, err1, err2)
	}); err != nil {
		g.t.Fatal(err)
	}
	if n, err := g.Sweep(g.t.Context()); n != 0 || err != nil {
		g.t.Errorf("round %d: a second sweep deleted %d (%v)", round, n, err)
	}
}
