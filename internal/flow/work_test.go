package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	altcha "github.com/altcha-org/altcha-lib-go"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/work"
)

// solve does what the script of our pages does after a refusal: it asks for a challenge and solves it.
func (b *browser) solve(l *Limited) string {
	b.g.t.Helper()
	if l.Page == "" || l.Mailbox == "" {
		b.g.t.Fatalf("no work is taken in place of %+v", l)
	}
	c := must[work.Challenge](b.g.t)(b.g.Challenge(context.Background(), b.g.site, b.requester(), l.Page, l.Mailbox))
	s, err := altcha.SolveChallenge(c.Challenge.Challenge, c.Salt, altcha.SHA256, int(c.MaxNumber), 0, nil)
	if err != nil || s == nil {
		b.g.t.Fatalf("no solution: %v", err)
	}
	return solutionText(b.g.t, altcha.Payload{
		Algorithm: c.Algorithm, Challenge: c.Challenge.Challenge, Number: int64(s.Number), Salt: c.Salt, Signature: c.Signature,
	})
}

func solutionText(t *testing.T, p altcha.Payload) string {
	t.Helper()
	return base64.StdEncoding.EncodeToString(must[[]byte](t)(json.Marshal(p)))
}

// pay asks with a proof of work.
func (b *browser) pay(purpose, email, solution string) (RequestResult, error) {
	result, err := b.g.Request(context.Background(), b.g.site, b.requester(), RequestInput{Purpose: purpose, Email: email, Altcha: solution})
	if err == nil {
		b.flow = result.FlowCookie
	}
	return result, err
}

// payPassword signs in with a password and a proof of work.
func (b *browser) payPassword(email, words, solution string) (Done, error) {
	return b.keep(b.g.SignIn(context.Background(), b.g.site, b.requester(), SignInInput{Email: email, Password: words, Altcha: solution}))
}

// TestFAIR3_TheVictimOfAFloodGetsIn lets strangers ask for twenty mails from four networks, or from a thousand, and guess ten passwords.
// Within the same minute the victim gets in on a device and in a network that are new, by work: by mail, and by her password.
func TestFAIR3_TheVictimOfAFloodGetsIn(t *testing.T) {
	for _, networks := range []int{4, 1000} {
		t.Run(fmt.Sprint(networks), func(t *testing.T) {
			g := newPasswordGate(t)
			g.accountWith(ada, g.record(oldWords))
			g.newDay(ada)
			for i := range max(networks, 24) {
				_, _ = g.stranger(i%networks).ask(SignIn, ada)
			}
			for i := range 10 {
				_, err := g.stranger(i).signIn(ada, newWords)
				wantInvalid(t, err, "password", "refused")
			}
			g.post()
			if n := g.links(ada); n != 20 {
				t.Fatalf("%d mails, want 20", n)
			}

			victim := g.browser()
			_, err := victim.ask(SignIn, ada)
			l := limitOf(t, err)
			if wait := l.RetryAt.Sub(g.Clock.Now()); wait < time.Hour {
				t.Errorf("the limit ends in %v: this is no test of work", wait)
			}
			if _, err = victim.pay(SignIn, ada, victim.solve(l)); err != nil {
				t.Fatalf("by work: %v", err)
			}
			g.post()
			if n := g.links(ada); n != 21 {
				t.Fatalf("%d mails after work, want 21", n)
			}
			must[Done](t)(victim.press(victim.newest(ada).link))

			another := g.browser()
			another.client = netip.MustParseAddr("198.51.100.7")
			_, err = another.signIn(ada, oldWords)
			if l = limitOf(t, err); l.Name != limit.PasswordMailbox || !l.ByMailbox {
				t.Errorf("refused with %+v", l)
			}
			must[Done](t)(another.payPassword(ada, oldWords, another.solve(l)))
		})
	}
}

// TestPOW1_WhatIsNoSolutionCountsAndWritesNothing sends ten thousand solutions that are forged, foreign, replayed or late.
func TestPOW1_WhatIsNoSolutionCountsAndWritesNothing(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(ada, g.record(oldWords))
	g.newDay(ada)
	g.flood(ada, 1, 5)
	g.flood("bob@example.com", 1, 5)
	for i := range 10 {
		_, _ = g.stranger(i).signIn(ada, newWords)
	}
	eve, other := g.stranger(100), g.stranger(101)
	_, err := eve.ask(SignIn, ada)
	l := limitOf(t, err)
	_, err = eve.ask(SignIn, "bob@example.com")
	bobs := limitOf(t, err)
	spent, late := eve.solve(l), eve.solve(l)
	if _, err := eve.pay(SignIn, ada, spent); err != nil {
		t.Fatal(err)
	}
	ofReset := *l
	ofReset.Page = "reset"
	bad := []string{spent, other.solve(l), eve.solve(bobs), eve.solve(&ofReset)}
	var forged altcha.Payload
	if err := json.Unmarshal(must[[]byte](t)(base64.StdEncoding.DecodeString(late)), &forged); err != nil {
		t.Fatal(err)
	}
	g.post()
	mails := g.links(ada)
	g.spy.take()
	try := func(i int, solution string) {
		t.Helper()
		if i%10 == 0 {
			_, err = eve.payPassword(ada, oldWords, solution)
		} else {
			eve.flow = ""
			_, err = eve.pay(SignIn, ada, solution)
		}
		if limitOf(t, err).Reserve {
			t.Error("a solution that does not count makes a mail")
		}
	}
	const each = 5000
	for i := range each {
		if i%2 == 0 {
			try(i, bad[i/2%len(bad)])
			continue
		}
		forged.Number++
		try(i, solutionText(t, forged))
	}
	g.fake.Advance(work.Lifetime)
	for i := range each {
		try(i, late)
	}
	if _, writes := g.spy.take(); len(writes) != 0 {
		t.Errorf("they wrote %v", writes)
	}
	g.post()
	if n := g.links(ada); n != mails {
		t.Errorf("%d mails", n-mails)
	}
}

// TestPOW2_SlotsAreExact pays a hundred times at once with a hundred solutions, and with one a hundred times; half of it before a crash.
func TestPOW2_SlotsAreExact(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.newDay("ada@example.com")
		g.flood("ada@example.com", 1, 4)
		const parallel = 50
		paid := func(from int, solution func(b *browser, l *Limited) string) (n int) {
			t.Helper()
			browsers, solutions, errs := make([]*browser, parallel), make([]string, parallel), make([]error, parallel)
			for i := range browsers {
				browsers[i] = g.stranger(from + i)
				_, err := browsers[i].ask(SignIn, "ada@example.com")
				l := limitOf(t, err)
				if l.Page == "" {
					l.Page, l.Mailbox = "sign-in", work.Mailbox(g.Ring, parseAddress(t, "ada@example.com").LimitKey(g.Ring))
				}
				solutions[i] = solution(browsers[i], l)
			}
			together(parallel, func(i int) { _, errs[i] = browsers[i].pay(SignIn, "ada@example.com", solutions[i]) })
			for _, err := range errs {
				if err == nil {
					n++
				} else {
					limitOf(t, err)
				}
			}
			return n
		}
		one, text := g.stranger(100), ""
		if n := paid(100, func(_ *browser, l *Limited) string {
			if text == "" {
				text = one.solve(l)
			}
			return text
		}); n != 1 {
			t.Errorf("one solution paid %d times", n)
		}
		g.crash()
		if _, err := g.stranger(100).pay(SignIn, "ada@example.com", text); err == nil {
			t.Error("a spent solution paid after a crash")
		}
		if n := paid(200, (*browser).solve); n != 4 {
			t.Errorf("%d of fifty solutions paid, want the 4 slots that were left", n)
		}
		g.crash()
		if n := paid(300, (*browser).solve); n != 0 {
			t.Errorf("%d solutions paid after the last slot", n)
		}
		g.fake.Advance(30 * time.Hour)
		if _, err := g.stranger(400).ask(SignIn, "ada@example.com"); err != nil {
			t.Errorf("30 hours later: %v", err)
		}
	})
}

// crash goes on with the database as a process that was killed has left it.
func (g *gate) crash() {
	g.t.Helper()
	enginetest.NeedsFile(g.t)
	file := must[[]byte](g.t)(os.ReadFile(filepath.Join(g.dir, enginetest.File)))
	before := g.bolt
	g.t.Cleanup(func() { _ = before.Close() })
	g.dir = g.t.TempDir()
	if err := os.WriteFile(filepath.Join(g.dir, enginetest.File), file, 0o600); err != nil {
		g.t.Fatal(err)
	}
	passwords := g.Passwords
	g.open(g.fake.Restarted())
	g.Passwords = passwords
}

// TestPOW2_NoInboxGetsMoreThanThirty asks in every way there is for a day.
func TestPOW2_NoInboxGetsMoreThanThirty(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.newDay("ada@example.com")
		known := g.browser()
		must[Done](t)(known.press(known.mustAsk(SignIn, "ada@example.com").link))
		g.flood("ada@example.com", 1, 8)
		for i := range 8 {
			_, _ = g.browser().ask(SignIn, "ada@example.com") // in the owner's network
			known.flow = ""
			_, _ = known.ask(SignIn, "ada@example.com")
			b := g.stranger(20 + i)
			_, err := b.ask(SignIn, "ada@example.com")
			if l := limitOf(t, err); l.Page != "" {
				if _, err := b.pay(SignIn, "ada@example.com", b.solve(l)); err != nil {
					t.Errorf("work that was offered is refused: %v", err)
				}
				_, _ = b.resend()
			}
			g.post()
			g.fake.Advance(time.Hour)
		}
		if n := g.links("ada@example.com"); n != 30 {
			t.Errorf("%d mails in a day, want 30", n)
		}
		_, err := known.ask(SignIn, "ada@example.com")
		if err == nil {
			known.flow = ""
			_, err = known.ask(SignIn, "ada@example.com")
		}
		if l := limitOf(t, err); l.Page != "" {
			t.Error("work is offered although it buys nothing")
		}
	})
}

// TestPOW2_WorkForThePasswordIsCounted spends the slots of an hour, with wrong passwords and with right ones, and one solution twice.
func TestPOW2_WorkForThePasswordIsCounted(t *testing.T) {
	g := newGate(t)
	watch := g.passwords(password.Options{})
	g.accountWith(ada, g.record(oldWords))
	for i := range 10 {
		_, _ = g.stranger(i).signIn(ada, newWords)
	}
	var l *Limited
	for i, words := range []string{newWords, oldWords, newWords, oldWords, newWords} {
		b := g.stranger(50 + i)
		_, err := b.signIn(ada, oldWords)
		l = limitOf(t, err)
		solution := b.solve(l)
		if _, err = b.payPassword(ada, words, solution); words == oldWords {
			must[Done](t)(Done{}, err)
		} else {
			wantInvalid(t, err, "password", "refused")
		}
		watch.take(start)
		_, err = g.stranger(50+i).payPassword(ada, oldWords, solution)
		limitOf(t, err)
		if waits := watch.take(start); len(waits) != 0 {
			t.Error("a spent solution has a password compared, which costs the hasher")
		}
	}
	late := g.stranger(60)
	_, err := late.signIn(ada, oldWords)
	if l = limitOf(t, err); l.Page != "" {
		t.Error("work is offered although it buys nothing")
	}
	l.Page, l.Mailbox = "sign-in", work.Mailbox(g.Ring, parseAddress(t, ada).LimitKey(g.Ring))
	_, err = late.payPassword(ada, oldWords, late.solve(l))
	limitOf(t, err)
}

// TestENUM2_WorkTellsNothingOfTheAccount pays for a wrong password at an address with an account and at one without.
func TestENUM2_WorkTellsNothingOfTheAccount(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(ada, g.record(oldWords))
	for _, email := range []string{ada, "bob@example.com"} {
		for i := range 10 {
			_, err := g.stranger(i).signIn(email, newWords)
			wantInvalid(t, err, "password", "refused")
		}
		b := g.stranger(50)
		_, err := b.signIn(email, newWords)
		_, err = b.payPassword(email, newWords, b.solve(limitOf(t, err)))
		wantInvalid(t, err, "password", "refused")
	}
}

// TestPOW3_DifficultyFollowsTheNetworkAndNotTheMailbox compares what is asked of a network that has done nothing, of one that has solved and of
// one that has failed.
func TestPOW3_DifficultyFollowsTheNetworkAndNotTheMailbox(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(ada, g.record(oldWords))
	g.newDay(ada)
	g.flood(ada, 1, 100)
	_, err := g.stranger(500).ask(SignIn, ada)
	l := limitOf(t, err)
	numbers := func(b *browser) int64 {
		t.Helper()
		g.spy.take()
		c := must[work.Challenge](t)(g.Challenge(context.Background(), g.site, b.requester(), l.Page, l.Mailbox))
		if updates, _ := g.spy.take(); updates != 0 {
			t.Error("asking for work is a step that may write")
		}
		return c.MaxNumber
	}
	solver, guesser := g.stranger(501), g.stranger(502)
	if n := numbers(solver); n != work.FirstNumber {
		t.Errorf("%d numbers for a network that has done nothing", n)
	}
	for i := range 2 {
		solver.flow = ""
		if _, err := solver.pay(SignIn, ada, solver.solve(l)); err != nil {
			t.Fatal(err)
		}
		if n := numbers(solver); n != work.FirstNumber<<(i+1) {
			t.Errorf("%d numbers after %d solutions", n, i+1)
		}
	}
	for i := range 20 {
		_, err := guesser.signIn(fmt.Sprintf("u%d@example.com", i), newWords)
		wantInvalid(t, err, "password", "refused")
	}
	if n := numbers(guesser); n != work.FirstNumber<<2 {
		t.Errorf("%d numbers after twenty wrong passwords", n)
	}
	if n := numbers(g.stranger(503)); n != work.FirstNumber {
		t.Errorf("%d numbers for another network", n)
	}
}
