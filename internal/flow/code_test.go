package flow

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestTOK8_CodesWorkInTheAskingBrowserOnlyAndGoOffAfterFive(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		if _, err := g.stranger(1).type_(mail.code); !errors.Is(err, ErrNoFlow) {
			t.Errorf("in a browser without a flow: %v", err)
		}
		other := g.stranger(2)
		other.mustAsk(SignIn, "eve@example.com")
		var invalid *Invalid
		if _, err := other.type_(mail.code); !errors.As(err, &invalid) || invalid.Code != "wrong" {
			t.Errorf("in another flow's browser: %v", err)
		}
		if _, err := b.type_("12 34"); !errors.As(err, &invalid) || invalid.Code != "syntax" {
			t.Errorf("four digits: %v", err)
		}
		wrong := "00000000"
		if mail.code == wrong {
			wrong = "00000001"
		}
		for i := range MaxWrongCodes {
			_, err := b.type_(wrong)
			if !errors.As(err, &invalid) || invalid.Code != "wrong" || invalid.Left != MaxWrongCodes-1-i {
				t.Fatalf("wrong code %d: %v", i+1, err)
			}
		}
		if _, err := b.type_(mail.code); !errors.As(err, &invalid) || invalid.Code != "off" {
			t.Fatalf("the right code after five wrong ones: %v", err)
		}
		if p, _, err := g.Status(context.Background(), g.site, b.requester()); err != nil || !p.CodeOff {
			t.Errorf("the page offers codes that are off (%v)", err)
		}
		must[Done](t)(b.press(mail.link))
	})
}

func TestTOK8_SpacesAndDashesAreIgnored(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		done := must[Done](t)(b.type_(" " + mail.code[:4] + " - " + mail.code[4:]))
		if len(done.Session.Methods) != 1 || done.Session.Methods[0] != methodCode {
			t.Errorf("methods %v, want code", done.Session.Methods)
		}
		_, err := g.stranger(1).open(mail.link)
		wantErr(t, err, ErrDead)
	})
}

func TestTOK8_ParallelGuessesAreCountedExactly(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		wrong := "00000000"
		if mail.code == wrong {
			wrong = "00000001"
		}
		var (
			all   sync.WaitGroup
			mu    sync.Mutex
			tried int
		)
		requester := b.requester()
		for range 50 {
			all.Go(func() {
				_, err := g.SubmitCode(context.Background(), g.site, requester, wrong)
				var invalid *Invalid
				if errors.As(err, &invalid) && invalid.Code == "wrong" {
					mu.Lock()
					tried++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if tried != MaxWrongCodes {
			t.Errorf("%d guesses were compared, want %d", tried, MaxWrongCodes)
		}
	})
}
