package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestReset_SetsAPasswordAndDoesNotSignIn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		b.mustAsk(Reset, "ADA@example.com")
		mail := b.newest(ada)
		if mail.kind != mailer.KindReset || mail.link == "" || mail.cancel == "" || mail.code != "" {
			t.Fatalf("mailed %+v, want a link and no code", mail)
		}
		p, found, err := g.Status(context.Background(), g.site, b.requester())
		if err != nil || !found || p.Purpose != Reset || !p.CodeOff || p.SignedIn {
			t.Errorf("status %+v, %v, %v", p, found, err)
		}
		o := must[LinkPreview](t)(b.open(mail.link))
		if !o.AskPassword || o.Username != ada || o.MinLength != password.DefaultMinLength || o.Purpose != Reset || o.OneClick {
			t.Errorf("opened as %+v", o)
		}
		done := must[Done](t)(b.set(mail.link, newWords))
		if !done.Reset || !done.PasswordSet || done.SessionCookie != "" || done.Account != id || done.KnownCookie == "" {
			t.Errorf("done as %+v, want no session", done)
		}
		if n := g.liveSessions(id); n != 0 {
			t.Errorf("%d sessions", n)
		}
		_, err = g.stranger(1).signIn(ada, oldWords)
		wantInvalid(t, err, "password", "refused")
		must[Done](t)(b.signIn(ada, newWords))
	})
}

func TestReset_AnAccountWithoutAPasswordGetsItsFirst(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.account(ada)
		b := g.browser()
		must[Done](t)(b.set(b.mustAsk(Reset, ada).link, newWords))
		must[Done](t)(b.signIn(ada, newWords))
	})
}

func TestReset_SignsInWhereTheSiteSaysSo(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.site.SignInAfterReset = true
		id := g.accountWith(ada, g.record(oldWords))
		reusedLimits := g.stranger(1)
		must[Done](t)(reusedLimits.signIn(ada, oldWords))
		b := g.browser()
		mail := b.mustAsk(Reset, ada)
		done := must[Done](t)(b.set(mail.link, newWords))
		if done.Reset || !done.PasswordSet || !b.signedIn() || reusedLimits.signedIn() || g.liveSessions(id) != 1 {
			t.Errorf("done as %+v, want the one session", done)
		}
		if done.Session.Methods[0] != "link" {
			t.Errorf("signed in by %v, want the link", done.Session.Methods)
		}
		if o := must[LinkPreview](t)(b.open(mail.link)); o.Destination != "/private?x=1" {
			t.Errorf("opened again: %+v, want the way on", o)
		}
	})
}

func TestReset_AskedForWhileSignedIn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		must[Done](t)(b.signIn(ada, oldWords))
		g.post()
		result := must[RequestResult](t)(b.ask(Reset, ada))
		if result.Pending.SignedIn {
			t.Error("the page leads on before the password is set")
		}
		g.post()
		must[Done](t)(b.set(b.newest(ada).link, newWords))
		if b.signedIn() {
			t.Error("the browser's own session survived")
		}
	})
}

func TestReset_OperatorsMakeLinks(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		make := func(email string) (Link, error) {
			return g.Link(context.Background(), g.site, LinkInput{Email: email, Purpose: Reset})
		}
		_, err := make("bob@example.com")
		wantErr(t, err, ErrNoAccount)
		link := must[Link](t)(make(ada))
		if life := link.Ends.Sub(g.Clock.Wall()); life > DefaultReset || life < DefaultReset-time.Second {
			t.Errorf("it lives %v", life)
		}
		_, text, _ := strings.Cut(link.URL, "?t=")
		must[Done](t)(g.stranger(1).set(text, newWords))
		must[Done](t)(g.stranger(1).signIn(ada, newWords))
	})
}

// racers open one link in n browsers, and return what each of them would send.
func racers(t *testing.T, g *gate, token string, n int) []func() (Done, error) {
	send := make([]func() (Done, error), n)
	for i := range send {
		b := g.stranger(i)
		requester, o := b.requester(), must[LinkPreview](t)(b.open(token))
		send[i] = func() (Done, error) {
			return g.Confirm(context.Background(), g.site, requester, ConfirmInput{Token: token, H: o.H, Password: nth(i)})
		}
	}
	return send
}

func nth(i int) string { return fmt.Sprintf("%s, number %d", newWords, i) }

func TestTOK1_OneOfFiftyParallelResetsWinsAndOnlyItsPasswordWorks(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, g.record(oldWords))
		older := []*browser{g.stranger(200), g.stranger(201)}
		for _, b := range older {
			must[Done](t)(b.signIn(ada, oldWords))
		}
		mail := g.browser().mustAsk(Reset, ada)
		const parallel = 50
		send := racers(t, g, mail.link, parallel)
		errs := make([]error, parallel)
		together(parallel, func(i int) { _, errs[i] = send[i]() })
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				t.Errorf("%d wins as well as %d", i, winner)
			case !errors.Is(err, ErrDead):
				t.Errorf("a reset that came too late: %v", err)
			}
		}
		if winner < 0 {
			t.Fatal("nobody won")
		}
		history := g.credentials(ada).Passwords
		for i := range parallel {
			v := must[password.Verdict](t)(g.Passwords.Verify(context.Background(), history.Current, nth(i)))
			if v.OK != (i == winner) {
				t.Errorf("password %d works: %v", i, v.OK)
			}
		}
		for _, b := range older {
			if b.signedIn() {
				t.Error("an older session is alive")
			}
		}
		if n := g.liveSessions(id); n != 0 {
			t.Errorf("%d sessions", n)
		}
		if n := g.events(eventReplayed); n != 1 {
			t.Errorf("%d events of replays, want 1", n)
		}
		hasher := g.Passwords
		g.restart()
		g.Passwords = hasher
		_, err := g.stranger(99).open(mail.link)
		wantErr(t, err, ErrDead)
	})
}

func TestSES5_NoSignInWithTheOldPasswordOutlivesAReset(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.site.Limits[limit.PasswordMailbox], g.site.Limits[limit.PasswordIP] = nil, nil
		id := g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		mail := b.mustAsk(Reset, ada)
		o := must[LinkPreview](t)(b.open(mail.link))
		requester := b.requester()
		const racing = 100
		results := make([]error, racing)
		cookies := make([]string, racing)
		atAnswer := -1
		together(racing+1, func(i int) {
			if i == racing {
				if _, err := g.Confirm(context.Background(), g.site, requester, ConfirmInput{Token: mail.link, H: o.H, Password: newWords}); err != nil {
					t.Errorf("the reset: %v", err)
				}
				atAnswer = g.liveSessions(id)
				return
			}
			var done Done
			done, results[i] = g.SignIn(context.Background(), g.site, Requester{}, SignInInput{Email: ada, Password: oldWords})
			cookies[i] = done.SessionCookie
		})
		if atAnswer != 0 {
			t.Errorf("%d sessions at the reset's answer", atAnswer)
		}
		if n := g.liveSessions(id); n != 0 {
			t.Errorf("%d sessions at the end", n)
		}
		for i, err := range results {
			if invalid := new(Invalid); err != nil && !errors.As(err, &invalid) {
				t.Errorf("a sign-in: %v", err)
			}
			if cookies[i] == "" {
				continue
			}
			if l := must[*session.Live](t)(g.Sessions.Find(context.Background(), cookies[i], g.site.Origin)); l != nil {
				t.Error("a cookie of the old password is good")
			}
		}
	})
}

func (g *gate) delete(id string) {
	g.t.Helper()
	if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error { return g.Accounts.Delete(tx, id) }); err != nil {
		g.t.Fatal(err)
	}
}

func TestFLOW3_AResetEndsEverySessionAndTellsTheOwner(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, g.record(oldWords))
		elsewhere := g.stranger(1)
		must[Done](t)(elsewhere.signIn(ada, oldWords))
		byLink := g.stranger(2)
		must[Done](t)(byLink.press(byLink.mustAsk(SignIn, ada).link))
		socket := g.track(elsewhere.requester().Session)
		b := g.browser()
		b.device = "Safari on iPhone"
		done := must[Done](t)(b.set(b.mustAsk(Reset, ada).link, newWords))
		if !errors.Is(context.Cause(socket), session.ErrEnded) {
			t.Errorf("the socket at the answer: %v", context.Cause(socket))
		}
		if elsewhere.signedIn() || byLink.signedIn() || g.liveSessions(id) != 0 || done.SessionCookie != "" {
			t.Error("a session is alive")
		}
		g.post()
		mail := b.newest(ada)
		if mail.kind != mailer.KindPasswordChanged || mail.link != "" || mail.cancel != "" || mail.code != "" ||
			!strings.Contains(mail.message.Text, "Safari on iPhone\n203.0.113.0/24") {
			t.Errorf("mailed %q, want the notice with browser and network", mail.message.Text)
		}
		if n := g.events(eventChanged); n != 1 {
			t.Errorf("%d events, want 1", n)
		}
		checkPasswordEvent(t, g, id, outcomeReset)
	})
}

func TestFLOW5_ADisabledOrDeletedAccountGetsNoReset(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, end := range map[string]func(g *gate, id string){
			"disabled": (*gate).disable, "deleted": (*gate).delete,
		} {
			t.Run(name, func(t *testing.T) {
				g := newPasswordGate(t)
				g.site.SignUp = SignUp{}
				id := g.accountWith(ada, g.record(oldWords))
				b := g.browser()
				must[Done](t)(b.signIn(ada, oldWords))
				mail := g.stranger(1).mustAsk(Reset, ada)
				end(g, id)
				if b.signedIn() {
					t.Error("the session is alive")
				}
				_, err := g.stranger(1).open(mail.link)
				wantErr(t, err, ErrDead)
				_, err = g.stranger(1).set(mail.link, newWords)
				wantErr(t, err, ErrDead)
				parsed := g.inbox.count()
				must[RequestResult](t)(g.stranger(2).ask(Reset, ada))
				g.post()
				if n := g.inbox.count(); n != parsed {
					t.Errorf("%d mails went out", n-parsed)
				}
				_, err = g.Link(context.Background(), g.site, LinkInput{Email: ada, Purpose: Reset})
				wantErr(t, err, ErrNoAccount)
			})
		}
	})
}

func TestReset_TellsThoseWithoutAnAccountWhereSigningUpIsOpen(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		if mail := g.browser().mustAsk(Reset, "bob@example.com"); mail.kind != mailer.KindNoAccount || mail.link != "" || mail.code != "" {
			t.Errorf("mailed %+v, want that there is no account", mail)
		}
		g.site.SignUp = SignUp{}
		if mail := g.stranger(1).mustAsk(Reset, "eve@example.com"); mail.kind != "" {
			t.Errorf("mailed %q where nobody can sign up", mail.kind)
		}
	})
}
