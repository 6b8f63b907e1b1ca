package flow

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// deletes deletes the account of a browser and returns the text of the link that undoes it.
func (b *browser) deletes() (undo string) {
	b.g.t.Helper()
	cookie, m := b.proof(Act{Kind: Delete})
	var done acts
	if err := b.g.SubmitProof(context.Background(), b.g.site, b.requester(), cookie, m.code, done.perform); err != nil {
		b.g.t.Fatal(err)
	}
	b.g.post()
	last := b.newest(ada)
	if last.kind != mailer.KindAccountDeleted || last.link == "" || last.cancel != "" || last.code != "" {
		b.g.t.Fatalf("the newest mail is %+v, want the one that undoes the deletion", last)
	}
	return last.link
}

// undo presses the button of the page that a link leads to.
func (b *browser) undo(text string) error {
	b.g.t.Helper()
	o, err := b.open(text)
	if err != nil {
		return err
	}
	if o.Purpose != UndoDeletion || o.Cancel || o.OneClick || o.AskPassword || o.AskName || !strings.HasPrefix(o.Masked, "a") {
		b.g.t.Errorf("the page says %+v", o)
	}
	return b.g.Undo(context.Background(), b.g.site, b.requester(), text, o.H)
}

// status returns what an account is: "active", "disabled" or "" where it is gone.
func (g *gate) status(id string) (status accounts.Status) {
	g.t.Helper()
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		a, found, err := g.Accounts.Get(tx, id)
		if status = a.Status; !found {
			status = ""
		}
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	return status
}

// deleteDue deletes the accounts that are due.
func (g *gate) deleteDue() int {
	g.t.Helper()
	return must[int](g.t)(g.Accounts.DeleteDue(context.Background(), g.Clock.Now()))
}

// TestOWN7_ADeletedAccountIsOffAtOnce deletes an account that is signed in twice and has an open link, and keeps it.
func TestOWN7_ADeletedAccountIsOffAtOnce(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		id := g.account(ada)
		b, other := g.signedIn(ada), g.signedIn(ada)
		open := g.stranger(1).mustAsk(SignIn, ada)
		undo := b.deletes()
		if g.status(id) != accounts.Disabled || b.signedIn() || other.signedIn() {
			t.Fatalf("the account is %q, and the browsers are signed in: %v, %v", g.status(id), b.signedIn(), other.signedIn())
		}
		if _, err := g.stranger(1).press(open.link); !errors.Is(err, ErrDead) {
			t.Errorf("a link from before: %v", err)
		}
		n := len(g.inbox.to(ada))
		for _, purpose := range []string{SignIn, Activation} {
			g.stranger(2).mustAsk(purpose, ada)
		}
		if got := len(g.inbox.to(ada)); got != n || g.accounts() != 1 {
			t.Errorf("%d mails reached the address meanwhile, and there are %d accounts", got-n, g.accounts())
		}
		anybody := g.stranger(3)
		for range 3 { // what scanners do
			must[LinkPreview](t)(anybody.open(undo))
		}
		o := must[LinkPreview](t)(anybody.open(undo))
		if _, err := g.Confirm(context.Background(), g.site, anybody.requester(), ConfirmInput{Token: undo, H: o.H}); !errors.Is(err, ErrChanged) {
			t.Errorf("pressed as a link that signs in: %v", err)
		}
		if err := g.Undo(context.Background(), g.site, anybody.requester(), undo, "x"); !errors.Is(err, ErrChanged) {
			t.Errorf("without the button: %v", err)
		}
		if g.status(id) != accounts.Disabled {
			t.Fatal("looking at the page has kept the account")
		}
		g.fake.Advance(accounts.DeletionGrace - time.Second)
		if n := g.deleteDue(); n != 0 {
			t.Fatalf("%d accounts are gone a second before the time", n)
		}
		if err := anybody.undo(undo); err != nil {
			t.Fatal(err)
		}
		if g.status(id) != accounts.Active || anybody.signedIn() || b.signedIn() || other.signedIn() {
			t.Errorf("the account is %q, and somebody is signed in", g.status(id))
		}
		if err := anybody.undo(undo); !errors.Is(err, ErrDead) {
			t.Errorf("once more: %v", err)
		}
		g.fake.Advance(accounts.DeletionGrace)
		if n := g.deleteDue(); n != 0 || g.status(id) != accounts.Active {
			t.Errorf("%d accounts are gone; the account is %q", n, g.status(id))
		}
		must[Done](t)(b.press(b.mustAsk(SignIn, ada).link))
	})
}

// TestOWN7_ItGoesAtItsTime lets the time pass: the id alone stays, in the audit log, and the address can have a new account.
func TestOWN7_ItGoesAtItsTime(t *testing.T) {
	g := newGate(t)
	id := g.account(ada)
	undo := g.signedIn(ada).deletes()
	g.restart()
	g.fake.Advance(accounts.DeletionGrace)
	if err := g.browser().undo(undo); !errors.Is(err, ErrDead) {
		t.Errorf("the link at its end: %v", err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	gone := 0
	for range 8 { // as many processes
		wg.Go(func() {
			n, err := g.Accounts.DeleteDue(context.Background(), g.Clock.Now())
			mu.Lock()
			defer mu.Unlock()
			if gone += n; err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if gone != 1 || g.status(id) != "" {
		t.Fatalf("%d accounts are gone; the account is %q", gone, g.status(id))
	}
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		list, err := tx.Events().List(storage.EventFilter{Account: id}, 100)
		if len(list) < 3 || list[0].Outcome != "deleted" || list[0].Purpose != "account" {
			t.Errorf("the audit log has %+v", list)
		}
		_, found, err2 := tx.Meta().Get("deletions")
		if found {
			t.Error("the list of those to be deleted is there")
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Fatal(err)
	}
	done := must[Done](t)(g.browser().press(g.browser().mustAsk(Activation, ada).link))
	if done.Account == id || done.Account == "" {
		t.Errorf("the new account has the id %q, the old one had %q", done.Account, id)
	}
}

// TestOWN7_WhatHappensMeanwhile changes the account while it waits, and presses the button then.
func TestOWN7_WhatHappensMeanwhile(t *testing.T) {
	setStatus := func(g *gate, id string, s storage.Status) {
		if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error { return g.Accounts.SetStatus(tx, id, s) }); err != nil {
			g.t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		meanwhile func(g *gate, id string)
		// dead reports whether the link does nothing; undone and later are what the account is after the press and after its time.
		dead          bool
		undone, later accounts.Status
	}{
		"nothing":               {func(*gate, string) {}, false, accounts.Active, accounts.Active},
		"the operator disables": {func(g *gate, id string) { setStatus(g, id, storage.StatusDisabled) }, false, accounts.Disabled, accounts.Disabled},
		"the operator enables":  {func(g *gate, id string) { setStatus(g, id, storage.StatusActive) }, true, accounts.Active, accounts.Active},
		"disables after he enabled": {func(g *gate, id string) {
			setStatus(g, id, storage.StatusActive)
			setStatus(g, id, storage.StatusDisabled)
		}, true, accounts.Disabled, accounts.Disabled},
		"everything of the account is ended": {func(g *gate, id string) {
			if err := g.Sessions.EndEverywhere(context.Background(), id); err != nil {
				g.t.Fatal(err)
			}
		}, false, accounts.Active, accounts.Active},
		"a backup is put back": {func(g *gate, _ string) {
			if err := g.Sessions.EndAll(context.Background()); err != nil {
				g.t.Fatal(err)
			}
		}, true, accounts.Disabled, ""},
		"the operator deletes": {func(g *gate, id string) {
			if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error { return g.Accounts.Delete(tx, id) }); err != nil {
				g.t.Fatal(err)
			}
		}, true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			id := g.account(ada)
			undo := g.signedIn(ada).deletes()
			c.meanwhile(g, id)
			if err := g.browser().undo(undo); errors.Is(err, ErrDead) != c.dead || err != nil && !c.dead {
				t.Errorf("the link: %v, dead %v", err, c.dead)
			}
			if got := g.status(id); got != c.undone {
				t.Errorf("after the press the account is %q, want %q", got, c.undone)
			}
			g.fake.Advance(accounts.DeletionGrace)
			g.deleteDue()
			if got := g.status(id); got != c.later {
				t.Errorf("after its time the account is %q, want %q", got, c.later)
			}
		})
	}
}

// TestOWN7_AnUndoIsForItsOwnDeletion deletes, keeps and deletes again: the first link is over.
func TestOWN7_AnUndoIsForItsOwnDeletion(t *testing.T) {
	g := newGate(t)
	id := g.account(ada)
	first := g.signedIn(ada).deletes()
	if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error { return g.Accounts.UndoDeletion(tx, id) }); err != nil {
		t.Fatal(err)
	}
	second := g.signedIn(ada).deletes()
	if err := g.browser().undo(first); !errors.Is(err, ErrDead) || g.status(id) != accounts.Disabled {
		t.Errorf("the link of the first deletion: %v; the account is %q", err, g.status(id))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	good := 0
	b := g.browser()
	o := must[LinkPreview](t)(b.open(second))
	requester := b.requester()
	for range 50 {
		wg.Go(func() {
			if err := g.Undo(context.Background(), g.site, requester, second, o.H); err == nil {
				mu.Lock()
				good++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if good != 1 || g.status(id) != accounts.Active {
		t.Errorf("%d of 50 presses kept it; the account is %q", good, g.status(id))
	}
}
