package flow

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestSES1_ChangingThePasswordGivesANewSessionAndEndsAllOthers(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, g.record(oldWords))
		b, other := g.browser(), g.stranger(1)
		must[Done](t)(b.signIn(ada, oldWords))
		// Sessions of one instant share a counter of changes, and the end of one would be noticed for the other.
		g.fake.Advance(300 * time.Millisecond)
		must[Done](t)(other.press(other.mustAsk(SignIn, ada).link))
		g.post()
		copied := b.session
		own, socket := g.track(b.requester().Session), g.track(other.requester().Session)
		done := must[Done](t)(b.change(oldWords, newWords))
		if !done.PasswordSet || done.Reset || done.Account != id || b.session == copied || !b.signedIn() || done.Session.Methods[0] != "pwd" {
			t.Errorf("changed as %+v", done)
		}
		if other.signedIn() || g.liveSessions(id) != 1 {
			t.Error("another session is alive")
		}
		if l, err := g.Sessions.Find(context.Background(), copied, g.site.Origin); l != nil || err != nil {
			t.Error("a copy of the old cookie is good")
		}
		for _, ctx := range []context.Context{own, socket} {
			if !errors.Is(context.Cause(ctx), session.ErrEnded) {
				t.Errorf("a socket at the answer: %v", context.Cause(ctx))
			}
		}
		g.post()
		if mail := b.newest(ada); mail.kind != mailer.KindPasswordChanged || mail.link != "" {
			t.Errorf("mailed %q, want the notice", mail.kind)
		}
		checkPasswordEvent(t, g, id, outcomeChanged)
		_, err := g.stranger(2).signIn(ada, oldWords)
		wantInvalid(t, err, "password", "refused")
		must[Done](t)(g.stranger(2).signIn(ada, newWords))
	})
}

// checkPasswordEvent looks for the one line of the audit log about a changed password: it names what was changed, as all lines about changes do.
func checkPasswordEvent(t *testing.T, g *gate, id, outcome string) {
	t.Helper()
	err := g.bolt.View(t.Context(), func(tx storage.Tx) error {
		list, err := tx.Events().List(storage.EventFilter{Match: func(e storage.Event) bool { return e.Name == eventChanged }}, 10)
		if len(list) != 1 || list[0].Purpose != "password" || list[0].Outcome != outcome || list[0].Account != id {
			t.Errorf("events: %+v, want one of password %s", list, outcome)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChange_NeedsTheCurrentPasswordAndAGoodNewOne(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		_, err := b.change(oldWords, newWords)
		wantErr(t, err, ErrSignedOut)
		must[Done](t)(b.signIn(ada, oldWords))
		before := g.credentials(ada).Version
		for _, refused := range []struct{ current, next, field, code string }{
			{"", newWords, "current", "missing"},
			{nth(5), newWords, "current", "refused"},
			{oldWords, "short", "password", "too_short"},
			{nth(5), "short", "password", "too_short"},
			{oldWords, "passwordpassword", "password", "too_common"},
			{oldWords, oldWords, "password", "same_as_old"},
			{nth(5), oldWords, "current", "refused"},
		} {
			_, err := b.change(refused.current, refused.next)
			wantInvalid(t, err, refused.field, refused.code)
		}
		if g.credentials(ada).Version != before || !b.signedIn() {
			t.Error("a refusal changed something")
		}
		g.site.Methods.Password = false
		_, err = b.change(oldWords, newWords)
		wantInvalid(t, err, "password", "not_offered")
	})
}

func TestChange_AnAccountWithoutAPasswordIsToldToReset(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.account(ada)
		b := g.browser()
		_, err := g.HasPassword(context.Background(), b.requester())
		wantErr(t, err, ErrSignedOut)
		must[Done](t)(b.press(b.mustAsk(SignIn, ada).link))
		if must[bool](t)(g.HasPassword(context.Background(), b.requester())) {
			t.Error("it has one")
		}
		_, err = b.change("anything at all", newWords)
		wantInvalid(t, err, "current", "none")
		must[Done](t)(b.set(b.mustAsk(Reset, ada).link, newWords))
		must[Done](t)(b.signIn(ada, newWords))
		if !must[bool](t)(g.HasPassword(context.Background(), b.requester())) {
			t.Error("it has none")
		}
	})
}

func TestRL4_WrongCurrentPasswordsAreCountedExactly(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		must[Done](t)(b.signIn(ada, oldWords))
		requester := b.requester()
		requester.KnownCookie = "" // whoever stole the session only
		errs := make([]error, 60)
		together(len(errs), func(i int) {
			_, errs[i] = g.ChangePassword(context.Background(), g.site, requester, ChangeInput{Current: nth(i), New: newWords})
		})
		refused := 0
		for _, err := range errs {
			if invalid := new(Invalid); errors.As(err, &invalid) {
				refused++
			} else if limited := new(Limited); !errors.As(err, &limited) || limited.Name != limit.PasswordMailbox {
				t.Errorf("a guess: %v", err)
			}
		}
		if refused != 10 {
			t.Errorf("%d guesses were answered, want 10", refused)
		}
		_, err := b.change(oldWords, newWords)
		if limited := new(Limited); !errors.As(err, &limited) {
			t.Errorf("the right one: %v, want the limit", err)
		}
		must[Done](t)(g.stranger(1).signIn(ada, oldWords)) // RL-6: strangers have a counter of their own
	})
}

func TestFLOW1_AFirstPasswordIsSetByWhoReadsTheMail(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		eve, owner := g.stranger(1), g.browser()
		// Eve asks for the account, and may ask as often as she likes: she is asked for nothing but the address.
		mail := eve.mustAsk(Activation, ada)
		o := must[LinkPreview](t)(owner.open(mail.link))
		if !o.AskPassword || o.OneClick || o.Username != ada || o.MinLength != password.DefaultMinLength {
			t.Fatalf("opened as %+v", o)
		}
		_, err := owner.set(mail.link, "short")
		wantInvalid(t, err, "password", "too_short")
		_, err = owner.set(mail.link, "ada@example.com")
		wantInvalid(t, err, "password", "contains_name")
		if g.accounts() != 0 {
			t.Fatal("a refused password made an account")
		}
		done := must[Done](t)(owner.set(mail.link, newWords))
		if !done.PasswordSet || !owner.signedIn() || done.Session.Methods[0] != "link" {
			t.Errorf("done as %+v", done)
		}
		g.post()
		if n := len(g.inbox.to(ada)); n != 1 {
			t.Errorf("%d mails, want only the link", n)
		}
		must[Done](t)(owner.signIn(ada, newWords))
		eve.flow = ""
		late := eve.mustAsk(Activation, ada)
		if o := must[LinkPreview](t)(eve.open(late.link)); o.Purpose != SignIn || o.AskPassword {
			t.Errorf("a second sign-up opened as %+v", o)
		}
		_, err = eve.set(late.link, "another password of twelve")
		wantInvalid(t, err, "password", "not_offered")
	})
}

func TestFLOW1_TheFirstPasswordIsOptional(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		b := g.browser()
		done := must[Done](t)(b.press(b.mustAsk(Activation, ada).link))
		if done.PasswordSet || !b.signedIn() || !g.credentials(ada).Passwords.Current.IsZero() {
			t.Errorf("done as %+v", done)
		}
		_, err := g.stranger(1).signIn(ada, newWords)
		wantInvalid(t, err, "password", "refused")
	})
}

func TestFLOW1_WhatWasImportedWithoutAProofHasNoPassword(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		done, _, err := g.Accounts.ImportAll(context.Background(), []accounts.ImportAccount{
			{Email: ada, Name: "Eve was here", Record: g.record(oldWords)},
		}, accounts.ImportOptions{})
		if err != nil || !done[0].LeftOut {
			t.Fatalf("imported %+v, %v", done, err)
		}
		g.fake.Advance(1e9)
		_, err = g.browser().signIn(ada, oldWords)
		wantInvalid(t, err, "password", "refused")
		b := g.browser()
		must[Done](t)(b.press(b.mustAsk(SignIn, ada).link))
		if name := b.requester().Session.Account.Name; name != "" {
			t.Errorf("the name %q is from before the proof", name)
		}
	})
}

func TestLOG1_PasswordsAreInNoLogAndNoFile(t *testing.T) {
	enginetest.NeedsFile(t)
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		var out bytes.Buffer
		counted := &tally{seen: map[string]int{}}
		logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		g.Log, g.Observer, g.worker.Log, g.worker.Observer = logger, counted, logger, counted
		record := g.record(oldWords)
		g.accountWith(ada, record)
		b := g.browser()
		_, err := b.signIn(ada, nth(7))
		wantInvalid(t, err, "password", "refused")
		must[Done](t)(b.signIn(ada, oldWords))
		must[Done](t)(b.change(oldWords, nth(1)))
		mail := b.mustAsk(Reset, ada)
		if _, err = b.set(mail.link, nth(1)); err == nil {
			t.Fatal("the old password was accepted")
		}
		must[Done](t)(b.set(mail.link, newWords))
		for range 12 {
			_, _ = g.stranger(1).signIn(ada, oldWords)
		}
		g.spy.break_(storage.ErrDamaged)
		_, err = g.stranger(2).signIn(ada, oldWords)
		wantErr(t, err, ErrUnavailable)
		secrets := map[string]string{
			"old password": oldWords, "changed password": nth(1), "new password": newWords, "wrong password": nth(7), "address": ada,
			"record": record.Text(), "kept record": g.credentials(ada).Passwords.Current.Text(), "link": mail.link,
		}
		for name, secret := range secrets {
			if strings.Contains(out.String(), secret) {
				t.Errorf("the log holds the %s", name)
			}
		}
		g.restart()
		scan(t, g.dir, secrets)
		for _, want := range []string{
			"flow sign_in password invalid", "flow sign_in password ok", "flow sign_in change ok", "flow reset request ok",
			"flow reset confirm invalid", "flow reset confirm ok", "denied password_mailbox", "flow sign_in password unavailable",
		} {
			if counted.seen[want] == 0 {
				t.Errorf("not counted: %s (%v)", want, counted.seen)
			}
		}
		for _, event := range []string{"signed_in", "denied", "changed"} {
			if !strings.Contains(out.String(), `"event":"`+event+`"`) {
				t.Errorf("no line for %s", event)
			}
		}
	})
}
