package flow

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// alive reports whether the app is still to get what a cookie holds.
func (g *gate) alive(cookie string) bool {
	g.t.Helper()
	h, ok := g.ReadHandoff(g.site, cookie)
	if !ok {
		return false
	}
	alive, err := g.HandoffActive(context.Background(), g.site, h)
	if err != nil {
		g.t.Fatal(err)
	}
	return alive
}

// TestTOK1_HandoverEnds ends a hand-over when the app says so, once for all copies and after a restart, by its time, exactly, and
// by a restored backup.
func TestTOK1_HandoverEnds(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		hand := func(email string) (string, Handoff) {
			b := g.browser()
			mail := b.mustStart(g.starts(Activation, email))
			h := b.handedOver(b.press(mail.link))
			return b.handover, h
		}
		first, h := hand("ada@example.com")
		other, _ := hand("bo@example.com")
		if !g.alive(first) || !g.alive(other) {
			t.Fatal("a hand-over is dead at its birth")
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := g.FinishHandoff(context.Background(), g.site, g.browser().requester(), h); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := g.events(eventDone); n != 1 {
			t.Errorf("%d events", n)
		}
		for range 2 {
			if g.alive(first) || !g.alive(other) {
				t.Error("the wrong one has ended")
			}
			g.restart()
		}
		end, _ := g.ReadHandoff(g.site, other)
		g.fake.Advance(end.End.Sub(g.Clock.Now()) - time.Second)
		if !g.alive(other) {
			t.Error("it ended too early")
		}
		g.fake.Advance(time.Second)
		if g.alive(other) || end.End.Sub(end.AuthTime) != HandoffLifetime {
			t.Error("it has outlived its time")
		}
		third, _ := hand("cy@example.com")
		if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
			_, err := tx.Epochs().Raise(storage.GlobalEpoch)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if g.alive(third) {
			t.Error("a restored backup hands over again")
		}
	})
}

// TestREST1_NobodyForgesAHandover seals one with the keys, as who has stolen database and key file can: there is no record of it.
func TestREST1_NobodyForgesAHandover(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	mail := b.mustStart(g.starts(Reset, "ada@example.com"))
	good := b.handedOver(b.press(mail.link))
	for name, secret := range map[string]string{"none": "", "the one it shows": good.ID, "the flow's": good.Flow} {
		plain := must[[]byte](t)(token.Compact(handoffWire{
			Audience: "shop", Purpose: Reset, Subject: "admin", Email: "eve@example.com", Continue: "/finish", ID: good.ID, Flow: good.Flow,
			Methods: []string{"link"}, AuthTime: 1, End: good.End.Unix(), Secret: secret, Global: good.global,
		}))
		cookie := base64.RawURLEncoding.EncodeToString(g.Ring.Seal(labelHandoff, []byte(g.site.Origin), plain))
		if _, ok := g.ReadHandoff(g.site, cookie); !ok {
			t.Errorf("%s: it is not read, so this test sees nothing", name)
		}
		if g.alive(cookie) {
			t.Errorf("%s: forged", name)
		}
	}
	if !g.alive(b.handover) {
		t.Error("the good one is dead")
	}
}

// TestREST2_ABackupRestoredTwice ends a hand-over after one backup was restored, and restores the same backup again: the epoch is
// the same both times.
func TestREST2_ABackupRestoredTwice(t *testing.T) {
	enginetest.NeedsFile(t)
	g := newGate(t)
	file := filepath.Join(g.dir, enginetest.File)
	wantErr(t, g.bolt.Close(), nil)
	backup := must[[]byte](t)(os.ReadFile(file))
	restore := func() {
		wantErr(t, os.WriteFile(file, backup, 0o600), nil)
		g.open(g.fake.Restarted())
		wantErr(t, g.bolt.Update(context.Background(), func(tx storage.Tx) error {
			_, err := tx.Epochs().Raise(storage.GlobalEpoch)
			return err
		}), nil)
	}
	restore()
	b := g.browser()
	mail := b.mustStart(g.starts(SignIn, "ada@example.com"))
	h := b.handedOver(b.press(mail.link))
	wantErr(t, g.FinishHandoff(context.Background(), g.site, b.requester(), h), nil)
	wantErr(t, g.bolt.Close(), nil)
	restore()
	if g.alive(b.handover) {
		t.Error("it is good again")
	}
}

// TestSES6_HandoverOfOneSite reads no hand-over of another site, no other cookie of ours, and none that was changed.
func TestSES6_HandoverOfOneSite(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	mail := b.mustStart(g.starts(SignIn, "ada@example.com"))
	flow := b.flow
	b.handedOver(b.press(mail.link))
	site := g.site
	site.Origin = "https://other.example.com"
	if _, ok := g.ReadHandoff(site, b.handover); ok {
		t.Error("another site reads it")
	}
	raw, err := base64.RawURLEncoding.DecodeString(b.handover)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "ada@") || strings.Contains(string(raw), "finish") {
		t.Error("the cookie tells what it holds")
	}
	for i := range raw {
		changed := slices.Clone(raw)
		changed[i] ^= 1
		if _, ok := g.ReadHandoff(g.site, base64.RawURLEncoding.EncodeToString(changed)); ok {
			t.Errorf("byte %d does not count", i)
		}
	}
	for _, cookie := range []string{"", flow, b.known, b.handover + "=", b.handover[1:], strings.Repeat("A", 100_000)} {
		if _, ok := g.ReadHandoff(g.site, cookie); ok {
			t.Errorf("%.20q is one", cookie)
		}
	}
}

// TestTOK1_UsedLinkOfAnApp leads the browser that holds the hand-over there again, and is dead for everybody else.
func TestTOK1_UsedLinkOfAnApp(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		mail := b.mustStart(g.starts(SignIn, "ada@example.com"))
		b.handedOver(b.click(mail.link))
		if o := must[LinkPreview](t)(b.open(mail.link)); o.Destination != "/finish" || o.OneClick {
			t.Errorf("opened as %+v", o)
		}
		done := must[Done](t)(b.g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link}))
		if !done.AlreadySignedIn || !done.App || done.ReturnTo != "/finish" || done.HandoffCookie != "" || done.SessionCookie != "" {
			t.Errorf("pressed again: %+v", done)
		}
		_, err := g.stranger(1).press(mail.link)
		wantErr(t, err, ErrDead)
		b.handover = ""
		_, err = b.open(mail.link)
		wantErr(t, err, ErrDead)
	})
}

// TestTOK2_AppFlowsAreClickedOnce redeems a sign-in or an activation by one click in the browser that asked, and nowhere else; a
// reset wants a press of the button.
func TestTOK2_AppFlowsAreClickedOnce(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		for purpose, clicks := range map[string]bool{SignIn: true, Activation: true, Reset: false} {
			b := g.browser()
			mail := b.mustStart(g.starts(purpose, purpose+"@example.com"))
			_, err := g.stranger(1).click(mail.link)
			wantErr(t, err, ErrChanged)
			done, err := b.click(mail.link)
			if clicks {
				b.handedOver(done, err)
			} else {
				wantErr(t, err, ErrChanged)
			}
		}
	})
}

// TestTOK8_CodesOfApps takes the code of an app's mail in the browser that asked, and none for a reset.
func TestTOK8_CodesOfApps(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		mail := b.mustStart(g.starts(SignIn, "ada@example.com"))
		if _, err := g.stranger(1).type_(mail.code); !errors.Is(err, ErrNoFlow) {
			t.Errorf("in another browser: %v", err)
		}
		if h := b.handedOver(b.type_(mail.code)); len(h.Methods) != 1 || h.Methods[0] != "code" {
			t.Errorf("amr: %v", h.Methods)
		}
		if mail := g.stranger(2).mustStart(g.starts(Reset, "bo@example.com")); mail.code != "" {
			t.Error("a reset has a code")
		}
	})
}

// TestRL5_AppStepsWithoutAStore refuses what the store cannot be asked about: nothing is handed out.
func TestRL5_AppStepsWithoutAStore(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	mail := b.mustStart(g.starts(SignIn, "ada@example.com"))
	h := b.handedOver(b.press(mail.link))
	g.spy.break_(errors.New("broken"))
	if result, err := b.starts(g.starts(SignIn, "bo@example.com")); !errors.Is(err, ErrUnavailable) || result.FlowCookie != "" {
		t.Errorf("start: %+v, %v", result, err)
	}
	if alive, err := g.HandoffActive(context.Background(), g.site, h); alive || !errors.Is(err, ErrUnavailable) {
		t.Errorf("alive: %v, %v", alive, err)
	}
	wantErr(t, g.FinishHandoff(context.Background(), g.site, b.requester(), h), ErrUnavailable)
	g.spy.break_(nil)
	if !g.alive(b.handover) {
		t.Error("it has ended all the same")
	}
}

// TestTOK3_LongestHandover fits the longest words that an app may say into a cookie that every browser takes (RFC 6265, 6.1).
func TestTOK3_LongestHandover(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		for _, c := range []string{"s", "&", "<", `"`, `\`, "ü", "\u2028"} {
			g.fake.Advance(24 * time.Hour)
			in := g.starts(SignIn, strings.Repeat("a", 64)+"@"+strings.Repeat(strings.Repeat("b", 59)+".", 3)+"example")
			in.Subject, in.State = strings.Repeat(c, 128/len(c)), strings.Repeat(c, 256/len(c))
			in.Continue = "/" + strings.Repeat("&", 511)
			mail := b.mustStart(in)
			if h := b.handedOver(b.press(mail.link)); h.Subject != in.Subject || h.State != in.State || h.Continue != in.Continue {
				t.Errorf("%q: %+v", c, h)
			}
			if n := len("__Host-email_link_handover=" + b.handover); n > 3500 {
				t.Errorf("%q: a cookie of %d bytes", c, n)
			}
		}
	})
}
