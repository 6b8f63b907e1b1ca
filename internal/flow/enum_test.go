package flow

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
)

type observed struct {
	Pending Pending
	Err     string
	Writes  map[string]int
	Updates int
}

func watch(g *gate, p Pending, err error) observed {
	updates, writes := g.spy.take()
	p.Address, p.Typed = "", ""
	o := observed{Pending: p, Writes: writes, Updates: updates}
	if err != nil {
		o.Err = err.Error()
		var invalid *Invalid
		if errors.As(err, &invalid) {
			o.Err += fmt.Sprint(invalid.Left)
		}
	}
	return o
}

func TestENUM1_AskingIsNeutral(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, mode := range []SignUpMode{SignUpClosed, SignUpInvite, SignUpOpen} {
			for _, purpose := range []string{SignIn, Activation, Reset} {
				t.Run(mode.String()+" "+purpose, func(t *testing.T) {
					var first []observed
					for _, kind := range []string{"unknown", "active", "disabled"} {
						g := newPasswordGate(t)
						g.site.SignUp.Mode = mode
						g.account("ada@example.com")
						g.disable(g.account("eve@example.com"))
						email := map[string]string{"unknown": "bob@example.com", "active": "ada@example.com", "disabled": "eve@example.com"}[kind]
						g.spy.take()
						seen := neutralRun(g, purpose, email)
						if first == nil {
							first = seen
							continue
						}
						if diff := cmp.Diff(first, seen); diff != "" {
							t.Errorf("%s differs from unknown:\n%s", kind, diff)
						}
					}
				})
			}
		}
	})
}

func neutralRun(g *gate, purpose, email string) (seen []observed) {
	b := g.browser()
	// Windows of limits begin at moments that differ from mailbox to mailbox, so caps are looked at while no time passes.
	g.site.Limits[limit.MailAddress], g.site.Limits[limit.MailMailbox] = nil, nil
	for range 2 {
		result, err := b.ask(purpose, email)
		seen = append(seen, watch(g, result.Pending, err))
		g.post()
		g.spy.take()
	}
	for range 7 {
		g.fake.Advance(DefaultResendWait)
		p, err := b.resend()
		seen = append(seen, watch(g, p, err))
		g.post()
		g.spy.take()
		_, err = b.type_("12345678")
		seen = append(seen, watch(g, Pending{}, err))
	}
	g.site.Limits = limit.Defaults()
	for range 7 { // fresh browsers, up to the mailbox's cap
		result, err := g.browser().ask(purpose, email)
		seen = append(seen, watch(g, result.Pending, err))
		g.post()
		g.spy.take()
	}
	return seen
}

func TestENUM1_WhatHappensElsewhereDoesNotShow(t *testing.T) { nothingElsewhereShows(t) }

// TestTOK8_AttemptsGoOnWhenTheFlowHasEndedElsewhere: wrong codes are counted after such an end as before it.
func TestTOK8_AttemptsGoOnWhenTheFlowHasEndedElsewhere(t *testing.T) { nothingElsewhereShows(t) }

func nothingElsewhereShows(t *testing.T) {
	t.Helper()
	bothModes(t, func(t *testing.T) {
		for _, purpose := range []string{SignIn, Reset} {
			t.Run(purpose, func(t *testing.T) { elsewhereDoesNotShow(t, purpose) })
		}
	})
}

func elsewhereDoesNotShow(t *testing.T, purpose string) {
	run := func(elsewhere func(g *gate, id string, mail letter)) (seen []observed) {
		g := newPasswordGate(t)
		id := g.account("ada@example.com")
		b := g.browser()
		if _, err := b.ask(purpose, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		g.post()
		_, err := b.type_("00000000")
		seen = append(seen, watch(g, Pending{}, err))
		elsewhere(g, id, b.newest("ada@example.com"))
		g.spy.take()
		_, err = b.type_("00000000")
		o := watch(g, Pending{}, err)
		o.Writes = nil
		seen = append(seen, o)
		for range 4 {
			g.fake.Advance(DefaultResendWait)
			g.spy.take()
			p, err := b.resend()
			o := watch(g, p, err)
			o.Writes = nil
			seen = append(seen, o)
			g.post()
			g.spy.take()
			_, err = b.type_("00000000")
			o = watch(g, Pending{}, err)
			o.Writes = nil
			seen = append(seen, o)
			result, err := b.ask(purpose, "ada@example.com")
			o = watch(g, result.Pending, err)
			o.Writes = nil
			seen = append(seen, o)
			p, found, err := g.Status(context.Background(), g.site, b.requester())
			if !found {
				t.Error("the flow is gone")
			}
			seen = append(seen, watch(g, p, err))
		}
		return seen
	}
	quiet := run(func(*gate, string, letter) {})
	for name, elsewhere := range map[string]func(g *gate, id string, mail letter){
		"redeemed": func(g *gate, _ string, mail letter) {
			b := g.stranger(9)
			if purpose == Reset {
				must[Done](t)(b.set(mail.link, newWords))
				return
			}
			must[Done](t)(b.press(mail.link))
		},
		"cancelled": func(g *gate, _ string, mail letter) { wantErr(t, g.stranger(9).cancel(mail.cancel), nil) },
		"disabled":  func(g *gate, id string, _ letter) { g.disable(id) },
		"limited": func(g *gate, _ string, _ letter) {
			for i := range 30 {
				_, _ = g.stranger(i).ask(purpose, "ada@example.com")
			}
		},
	} {
		if diff := cmp.Diff(quiet, run(elsewhere)); diff != "" {
			t.Errorf("%s elsewhere shows:\n%s", name, diff)
		}
	}
}

func TestENUM1_TheRequestLooksNoAccountUp(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.spy.take()
		if _, err := g.browser().ask(SignIn, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		updates, writes := g.spy.take()
		if updates != 1 || writes["account look-up"] != 0 {
			t.Errorf("%d updates, writes %v", updates, writes)
		}
	})
}

func TestENUM1_ALinkUsedElsewhereCanBeHadAgain(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		must[Done](t)(g.stranger(1).press(mail.link))
		g.post() // the notice of a new device goes first
		g.fake.Advance(DefaultResendWait)
		must[Pending](t)(b.resend())
		g.post()
		again := b.newest("ada@example.com")
		if again.link == mail.link {
			t.Fatal("no new mail")
		}
		b.navigation = true
		if o := must[LinkPreview](t)(b.open(again.link)); !o.OneClick {
			t.Errorf("opened as %+v, want one click", o)
		}
		b.navigation = false
		must[Done](t)(b.type_(again.code))
	})
}
