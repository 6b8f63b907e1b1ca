package flow

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestTOK1_OneOfManyParallelRedemptionsHasAnEffect(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, purpose := range []string{SignIn, Activation} {
			t.Run(purpose, func(t *testing.T) {
				g := newGate(t)
				if purpose == SignIn {
					g.account("ada@example.com")
				}
				mail := g.browser().mustAsk(purpose, "ada@example.com")
				const parallel = 50
				var (
					ready, done sync.WaitGroup
					begin       = make(chan struct{})
					errs        = make([]error, parallel)
				)
				for i := range parallel {
					ready.Add(1)
					done.Go(func() {
						b := g.stranger(i)
						o, err := b.open(mail.link)
						ready.Done()
						if err != nil {
							errs[i] = err
							return
						}
						<-begin
						_, errs[i] = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: o.H})
					})
				}
				ready.Wait()
				close(begin)
				done.Wait()
				good := 0
				for _, err := range errs {
					switch {
					case err == nil:
						good++
					case !errors.Is(err, ErrDead):
						t.Errorf("a redemption that came too late: %v", err)
					}
				}
				if good != 1 {
					t.Errorf("%d redemptions had an effect, want 1", good)
				}
				if n := g.accounts(); n != 1 {
					t.Errorf("%d accounts, want 1", n)
				}
				if n := g.events(eventReplayed); n != 1 {
					t.Errorf("%d events of replays, want 1", n)
				}
				g.restart()
				if _, err := g.stranger(99).open(mail.link); !errors.Is(err, ErrDead) {
					t.Errorf("after a restart: %v, want a dead link", err)
				}
			})
		}
	})
}

func TestTOK1_AUsedLinkLeadsTheBrowserThatUsedItToItsDestination(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		must[Done](t)(b.press(mail.link))
		o := must[LinkPreview](t)(b.open(mail.link))
		if o.Destination != "/private?x=1" || o.OneClick {
			t.Errorf("opened again: %+v, want only its destination", o)
		}
		done := must[Done](t)(g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link}))
		if !done.AlreadySignedIn || done.SessionCookie != "" || done.ReturnTo != "/private?x=1" {
			t.Errorf("confirmed again: %+v, want the way on and no cookie", done)
		}
		if n := g.events(eventReplayed); n != 0 {
			t.Errorf("%d replays recorded, want 0", n)
		}
		_, err := g.stranger(1).open(mail.link)
		wantErr(t, err, ErrDead)
		other := g.stranger(2) // the same person in another browser
		must[Done](t)(other.press(other.mustAsk(SignIn, "ada@example.com").link))
		_, err = other.open(mail.link)
		wantErr(t, err, ErrDead)
	})
}

func TestTOK1_OnlyTheFirstReplayByPostIsRecorded(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		mail := g.browser().mustAsk(SignIn, "ada@example.com")
		must[Done](t)(g.stranger(1).press(mail.link))
		for i := range 3 {
			b := g.stranger(2)
			_, err := b.click(mail.link) // a GET
			wantErr(t, err, ErrDead)
			if n := g.events(eventReplayed); n != min(i, 1) {
				t.Fatalf("%d replays recorded after a GET, want %d", n, min(i, 1))
			}
			_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link})
			wantErr(t, err, ErrDead)
			if n := g.events(eventReplayed); n != 1 {
				t.Fatalf("%d replays recorded, want 1", n)
			}
		}
	})
}

func TestTOK2_OpeningChangesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		g.spy.take()
		for range 20 {
			must[LinkPreview](t)(g.stranger(1).open(mail.link))
			_, err := g.stranger(1).click(mail.link)
			wantErr(t, err, ErrChanged)
		}
		if _, writes := g.spy.take(); len(writes) != 0 {
			t.Errorf("opening wrote %v", writes)
		}
		must[Done](t)(b.press(mail.link))
	})
}

func TestTOK2_OneClickNeedsEveryCondition(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		spoil := map[string]func(g *gate, b *browser){
			"no flow cookie":      func(_ *gate, b *browser) { b.flow = "" },
			"another flow cookie": func(g *gate, b *browser) { b.flow = token.Random(g.Clock.Now().Add(time.Hour)) },
			"signed in as somebody else": func(g *gate, b *browser) {
				g.account("eve@example.com")
				e := g.browser()
				must[Done](t)(e.press(e.mustAsk(SignIn, "eve@example.com").link))
				b.session = e.session
			},
			"started without the cross-origin check": func(g *gate, b *browser) {
				a := b.requester()
				a.FlowCookie, a.Origin = "", false
				result, err := g.Request(context.Background(), g.site, a, RequestInput{Purpose: SignIn, Email: "ada@example.com"})
				if err != nil {
					t.Fatal(err)
				}
				b.flow = result.FlowCookie
				g.post()
			},
		}
		for name, change := range spoil {
			t.Run(name, func(t *testing.T) {
				g := newGate(t)
				g.account("ada@example.com")
				b := g.browser()
				b.mustAsk(SignIn, "ada@example.com")
				change(g, b)
				mail := b.newest("ada@example.com")
				_, err := b.click(mail.link)
				wantErr(t, err, ErrChanged)
				must[Done](t)(b.press(mail.link))
			})
		}
		t.Run("no navigation", func(t *testing.T) {
			g := newGate(t)
			g.account("ada@example.com")
			b := g.browser()
			mail := b.mustAsk(SignIn, "ada@example.com")
			_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, OneClick: true})
			wantErr(t, err, ErrChanged)
		})
		t.Run("an activation that asks for a name", func(t *testing.T) {
			g := newGate(t)
			g.site.AskName = true
			b := g.browser()
			mail := b.mustAsk(Activation, "ada@example.com")
			_, err := b.click(mail.link)
			wantErr(t, err, ErrChanged)
		})
		t.Run("all hold", func(t *testing.T) {
			for _, purpose := range []string{SignIn, Activation} {
				g := newGate(t)
				if purpose == SignIn {
					g.account("ada@example.com")
				}
				b := g.browser()
				mail := b.mustAsk(purpose, "ada@example.com")
				b.navigation = true
				if o := must[LinkPreview](t)(b.open(mail.link)); !o.OneClick || !o.SameBrowser {
					t.Fatalf("%s: opened as %+v, want one click", purpose, o)
				}
				must[Done](t)(b.click(mail.link))
			}
		})
	})
}

func TestTOK3_ATokenWorksAtItsOwnPurposeAndSiteOnly(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		id := g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		other := g.site
		other.Origin = "https://other.example.com"
		_, err := g.Open(context.Background(), other, b.requester(), mail.link)
		wantErr(t, err, ErrDead)
		_, err = g.Confirm(context.Background(), other, b.requester(), ConfirmInput{Token: mail.link})
		wantErr(t, err, ErrDead)
		_, err = g.Cancel(context.Background(), g.site, b.requester(), mail.link, "")
		wantErr(t, err, ErrChanged)
		o := must[LinkPreview](t)(b.open(mail.cancel))
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.cancel, H: o.H})
		wantErr(t, err, ErrChanged)
		done := must[Done](t)(b.press(mail.link))
		if done.Account != id {
			t.Errorf("signed in as %q, want %q", done.Account, id)
		}
		_, err = g.Resend(context.Background(), other, b.requester())
		wantErr(t, err, ErrNoFlow)
	})
}

func TestTOK4_ExpiryIsExactAndASweepLeavesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		g.fake.Advance(DefaultSignIn - time.Second)
		must[LinkPreview](t)(b.open(mail.link))
		g.fake.Advance(time.Second)
		_, err := b.open(mail.link)
		wantErr(t, err, ErrDead)
		_, err = b.type_(mail.code)
		wantErr(t, err, ErrNoFlow)
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link})
		wantErr(t, err, ErrDead)
		if _, err := g.bolt.Sweep(context.Background(), g.Clock.Now(), 1000); err != nil {
			t.Fatal(err)
		}
		if g.site.Stateless { // there was none
			return
		}
		parsed := must[token.Parsed](t)(token.Parse(mail.link))
		if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
			_, found, err := tx.Tokens().Get(parsed.Key(g.Ring, SignIn, g.site.Origin))
			if found {
				t.Error("the record is there after the sweep")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTOK4_TheSecondBeforeTheEndStillWorks(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		g.fake.Advance(DefaultSignIn - time.Second)
		must[Done](t)(b.press(mail.link))
	})
}

func TestTOK6_MalformedTokensAreDeadAndCostNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		g.spy.take()
		for _, text := range []string{"", "x", strings.Repeat("A", 50), strings.Repeat("A", 49), strings.Repeat("é", 1<<20), "\x00", "../../etc/passwd"} {
			_, err := b.open(text)
			wantErr(t, err, ErrDead)
			_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: text})
			wantErr(t, err, ErrDead)
			_, err = g.Cancel(context.Background(), g.site, b.requester(), text, "")
			wantErr(t, err, ErrDead)
		}
		if updates, _ := g.spy.take(); updates != 0 {
			t.Errorf("%d updates for tokens that need no look at the store", updates)
		}
	})
}

func TestTOK7_ARefusedNameUsesNothingUp(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.site.AskName = true
		b := g.browser()
		mail := b.mustAsk(Activation, "ada@example.com")
		o := must[LinkPreview](t)(b.open(mail.link))
		_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: o.H, Name: "Ada\r\nBcc: x"})
		var invalid *Invalid
		if !errors.As(err, &invalid) || invalid.Field != "name" {
			t.Fatalf("got %v, want the name refused", err)
		}
		must[Done](t)(g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: o.H, Name: "Ada"}))
	})
}

func TestTOK3_ALinkOfAFlowThatTheWorkerHasNotSeenIsDead(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.browser()
	if _, err := b.ask(Activation, "bob@example.com"); err != nil {
		t.Fatal(err)
	}
	var link string
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		list, err := tx.Outbox().List(false, 1)
		if err != nil || len(list) != 1 {
			return err
		}
		p, err := outbox.OpenPayload(g.Ring, list[0].ID, list[0].Sealed)
		link = token.New(g.Ring, p.Seed, Activation, g.site.Origin, list[0].End)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_, err := b.open(link)
	wantErr(t, err, ErrDead)
	g.post()
	must[Done](t)(b.press(link))
}

func TestFLOW7_ACancelConfirmsOnlyWhatWasShown(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		mail := g.browser().mustAsk(SignIn, "ada@example.com")
		b := g.stranger(1)
		shown := must[LinkPreview](t)(b.open(mail.link))
		for _, h := range []string{"", shown.H} {
			_, err := g.Cancel(context.Background(), g.site, b.requester(), mail.cancel, h)
			wantErr(t, err, ErrChanged)
		}
		must[Done](t)(b.press(mail.link))
	})
}
