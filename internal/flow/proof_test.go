package flow

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// acts counts what was performed.
type acts struct {
	mu   sync.Mutex
	done []Act
}

func (a *acts) perform(_ storage.Tx, act Act) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = append(a.done, act)
	return nil
}

// signedIn returns a browser that is signed in to an account, in its own right or by a copy of another one's cookies.
func (g *gate) signedIn(email string) *browser {
	g.t.Helper()
	b := g.browser()
	if _, err := b.press(b.mustAsk(SignIn, email).link); err != nil {
		g.t.Fatal(err)
	}
	return b
}

// proof asks for a code and returns the cookie with the mail.
func (b *browser) proof(act Act) (cookie string, m letter) {
	b.g.t.Helper()
	if err := b.g.worker.Flush(context.Background()); err != nil { // what the sign-in has queued
		b.g.t.Fatal(err)
	}
	before := len(b.g.inbox.to("ada@example.com"))
	cookie, _, err := b.g.RequestProof(context.Background(), b.g.site, b.requester(), act)
	if err != nil {
		b.g.t.Fatal(err)
	}
	if err := b.g.worker.Flush(context.Background()); err != nil {
		b.g.t.Fatal(err)
	}
	mails := b.g.inbox.to("ada@example.com")
	if len(mails) != before+1 {
		b.g.t.Fatalf("%d mails arrived, want 1", len(mails)-before)
	}
	return cookie, mails[before]
}

// TestOWN1_ACodeDoesWhatItsMailSays: two copies of one session ask for a code each. The owner types the one of his own mail, and
// every other pair of browser and code does nothing.
func TestOWN1_ACodeDoesWhatItsMailSays(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	owner := g.signedIn("ada@example.com")
	thief := *owner // a copy of all cookies
	other := Act{Kind: "another"}
	theirs, stolen := thief.proof(other)
	own, m := owner.proof(Act{Kind: Export})
	if m.kind != mailer.KindProof || m.link != "" || m.code == "" || m.cancel == "" {
		t.Fatalf("the mail is %+v", m)
	}
	var done acts
	submit := func(b *browser, cookie, code string) error {
		return g.SubmitProof(context.Background(), g.site, b.requester(), cookie, code, done.perform)
	}
	var wrong *Invalid
	if err := submit(owner, own, stolen.code); !errors.As(err, &wrong) || wrong.Code != "wrong" {
		t.Errorf("the thief's code in the owner's window: %v", err)
	}
	if err := submit(&thief, theirs, m.code); !errors.As(err, &wrong) || wrong.Code != "wrong" {
		t.Errorf("the owner's code in the thief's window: %v", err)
	}
	if len(done.done) != 0 {
		t.Fatalf("%v was done", done.done)
	}
	if err := submit(owner, own, m.code); err != nil {
		t.Fatal(err)
	}
	if len(done.done) != 1 || done.done[0].Kind != Export {
		t.Errorf("%v was done, want the export alone", done.done)
	}
	if err := submit(owner, own, m.code); !errors.Is(err, ErrNoFlow) {
		t.Errorf("the same code again: %v", err)
	}
	if _, err := g.PendingProof(context.Background(), g.site, owner.requester(), own); !errors.Is(err, ErrNoFlow) {
		t.Errorf("after its use: %v", err)
	}
}

// TestOWN1_ASessionThatEndsMeanwhileProvesNothing ends the session that asked when the request with its code has been let in already.
func TestOWN1_ASessionThatEndsMeanwhileProvesNothing(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.signedIn("ada@example.com")
	cookie, m := b.proof(Act{Kind: Export})
	inside := b.requester()
	if err := g.Sessions.End(context.Background(), b.requester().Session); err != nil {
		t.Fatal(err)
	}
	var done acts
	err := g.SubmitProof(context.Background(), g.site, inside, cookie, m.code, done.perform)
	wantErr(t, err, ErrSignedOut)
	if len(done.done) != 0 {
		t.Errorf("%v was done", done.done)
	}
}

// TestOWN1_NothingElseIsAProof offers what is none: no session, another one, the code of a sign-in, malformed cookies, and a code after the
// end of what it was asked for.
func TestOWN1_NothingElseIsAProof(t *testing.T) {
	for name, change := range map[string]func(g *gate, b *browser, code *string, cookie *string) *browser{
		"another session of the account": func(g *gate, b *browser, _, _ *string) *browser { return g.signedIn("ada@example.com") },
		"a session of another account": func(g *gate, b *browser, _, _ *string) *browser {
			g.account("sam@example.com")
			return g.signedIn("sam@example.com")
		},
		"no session":         func(g *gate, b *browser, _, _ *string) *browser { return g.browser() },
		"no cookie":          func(g *gate, b *browser, _, cookie *string) *browser { *cookie = ""; return b },
		"the session cookie": func(g *gate, b *browser, _, cookie *string) *browser { *cookie = b.session; return b },
		"the code of a sign-in": func(g *gate, b *browser, code, _ *string) *browser {
			*code = g.browser().mustAsk(SignIn, "ada@example.com").code
			return b
		},
		"after its time": func(g *gate, b *browser, _, _ *string) *browser { g.fake.Advance(15 * time.Minute); return b },
		"after a sign-out everywhere": func(g *gate, b *browser, _, _ *string) *browser {
			session := b.requester().Session
			if err := g.Sessions.EndEverywhere(context.Background(), session.Account.ID); err != nil {
				g.t.Fatal(err)
			}
			return b
		},
		"after a session's end": func(g *gate, b *browser, _, _ *string) *browser {
			if err := g.Sessions.End(context.Background(), b.requester().Session); err != nil {
				g.t.Fatal(err)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			g.account("ada@example.com")
			b := g.signedIn("ada@example.com")
			cookie, m := b.proof(Act{Kind: Export})
			by := change(g, b, &m.code, &cookie)
			var done acts
			if err := g.SubmitProof(context.Background(), g.site, by.requester(), cookie, m.code, done.perform); err == nil || len(done.done) != 0 {
				t.Errorf("%v was done: %v", done.done, err)
			}
		})
	}
}

// TestOWN1_ACodeSignsNobodyIn types the code of a proof where those of a sign-in are taken.
func TestOWN1_ACodeSignsNobodyIn(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.signedIn("ada@example.com")
	cookie, m := b.proof(Act{Kind: Export})
	r := g.browser().requester()
	r.FlowCookie = cookie
	if done, err := g.SubmitCode(context.Background(), g.site, r, m.code); !errors.Is(err, ErrNoFlow) {
		t.Errorf("SubmitCode = %+v, %v", done, err)
	}
}

// TestOWN1_AttemptsAreCounted takes five wrong codes, and not the right one after them.
func TestOWN1_AttemptsAreCounted(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.signedIn("ada@example.com")
	cookie, m := b.proof(Act{Kind: Export})
	wrong := "00000000"
	if m.code == wrong {
		wrong = "00000001"
	}
	var done acts
	for range MaxWrongCodes {
		var invalid *Invalid
		if err := g.SubmitProof(context.Background(), g.site, b.requester(), cookie, wrong, done.perform); !errors.As(err, &invalid) || invalid.Code != "wrong" {
			t.Fatalf("a wrong code: %v", err)
		}
	}
	var invalid *Invalid
	if err := g.SubmitProof(context.Background(), g.site, b.requester(), cookie, m.code, done.perform); !errors.As(err, &invalid) || invalid.Code != "off" || len(done.done) != 0 {
		t.Errorf("the right one after them: %v, %v was done", err, done.done)
	}
	if p, err := g.PendingProof(context.Background(), g.site, b.requester(), cookie); err != nil || !p.CodeOff || p.Act.Kind != Export {
		t.Errorf("the page says %+v, %v", p, err)
	}
}

// TestOWN1_OneOfFiftyIsDone submits one code fifty times at once.
func TestOWN1_OneOfFiftyIsDone(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.signedIn("ada@example.com")
	cookie, m := b.proof(Act{Kind: Export})
	requester := b.requester()
	var wg sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for range 50 {
		wg.Go(func() {
			var done acts
			if err := g.SubmitProof(context.Background(), g.site, requester, cookie, m.code, done.perform); err == nil {
				mu.Lock()
				good++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if good != 1 {
		t.Errorf("%d were done, want 1", good)
	}
}

// TestOWN1_ThisWasNotMeEndsTheSessionThatAsked presses the button of the mail, in a browser of nobody's.
func TestOWN1_ThisWasNotMeEndsTheSessionThatAsked(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	thief, owner := g.signedIn("ada@example.com"), g.signedIn("ada@example.com")
	cookie, m := thief.proof(Act{Kind: Export})
	asked := thief.requester()
	anybody := g.browser()
	o, err := g.Open(context.Background(), g.site, anybody.requester(), m.cancel)
	if err != nil || !o.Cancel || o.Purpose != Proof {
		t.Fatalf("the page says %+v, %v", o, err)
	}
	if _, err := g.Cancel(context.Background(), g.site, anybody.requester(), m.cancel, o.H); err != nil {
		t.Fatal(err)
	}
	var done acts
	if err := g.SubmitProof(context.Background(), g.site, asked, cookie, m.code, done.perform); err == nil || len(done.done) != 0 {
		t.Errorf("the code after it: %v", err)
	}
	if !asked.Session.Ended() || owner.requester().Session == nil {
		t.Error("the session that asked is alive, or the other one is not")
	}
}

// TestOWN1_ThisWasNotMeWorksAfterTheCode presses the button of a mail that was read late: its code was used, or is over.
func TestOWN1_ThisWasNotMeWorksAfterTheCode(t *testing.T) {
	for name, late := range map[string]struct {
		used bool
		wait time.Duration
		dead bool
	}{
		"the code was used":             {used: true},
		"used, two days ago":            {used: true, wait: 48 * time.Hour},
		"the code is over":              {wait: time.Hour},
		"nearly three days":             {wait: 72*time.Hour - time.Minute},
		"three days":                    {wait: 72*time.Hour + time.Second, dead: true},
		"three days, the code was used": {used: true, wait: 72*time.Hour + time.Second, dead: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			g.account("ada@example.com")
			thief, owner := g.signedIn("ada@example.com"), g.signedIn("ada@example.com")
			cookie, m := thief.proof(Act{Kind: Export})
			var done acts
			if late.used {
				if err := g.SubmitProof(context.Background(), g.site, thief.requester(), cookie, m.code, done.perform); err != nil {
					t.Fatal(err)
				}
			}
			g.fake.Advance(late.wait)
			if _, err := g.PendingProof(context.Background(), g.site, thief.requester(), cookie); !errors.Is(err, ErrNoFlow) {
				t.Errorf("the code is asked for: %v", err)
			}
			asked, anybody := thief.requester(), g.browser()
			o, err := g.Open(context.Background(), g.site, anybody.requester(), m.cancel)
			if late.dead {
				wantErr(t, err, ErrDead)
				return
			}
			if err != nil || !o.Cancel {
				t.Fatalf("the page says %+v, %v", o, err)
			}
			if _, err := g.Cancel(context.Background(), g.site, anybody.requester(), m.cancel, o.H); err != nil {
				t.Fatal(err)
			}
			if !asked.Session.Ended() || owner.requester().Session == nil {
				t.Error("the session that asked is alive, or the other one is not")
			}
			_, err = g.Cancel(context.Background(), g.site, anybody.requester(), m.cancel, o.H)
			wantErr(t, err, ErrDead)
		})
	}
}

// TestOWN1_CodesHaveALimitOfTheirOwn asks for one too many.
func TestOWN1_CodesHaveALimitOfTheirOwn(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.signedIn("ada@example.com")
	for range 10 {
		b.proof(Act{Kind: Export})
	}
	_, _, err := g.RequestProof(context.Background(), g.site, b.requester(), Act{Kind: Export})
	if l := new(Limited); !errors.As(err, &l) || l.Name != limit.MailProof {
		t.Errorf("the eleventh in an hour: %v", err)
	}
	if _, err := g.browser().ask(SignIn, "ada@example.com"); err != nil {
		t.Errorf("a mail that signs in: %v", err)
	}
}
