package web

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestEvents_HoldSignOuts: by page and by script, here and everywhere, one line each; a browser without a session writes none.
func TestEvents_HoldSignOuts(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	stranger := g.browser()
	stranger.post("/email-link/sign-out").wants(t, 303, "/email-link/sign-out")
	stranger.json("POST", "/email-link/sign-out", `{"everywhere":true}`).wants(t, 200, "")
	if list := g.signOuts(t); len(list) != 0 {
		t.Fatalf("of a stranger: %+v", list)
	}
	for i, step := range []struct {
		outcome string
		signOut func(b *browser)
	}{
		{"here", func(b *browser) { b.post("/email-link/sign-out").wants(t, 303, "/email-link/sign-out") }},
		{"everywhere", func(b *browser) {
			b.post("/email-link/sign-out", "everywhere", "1").wants(t, 303, "/email-link/sign-out")
		}},
		{"here", func(b *browser) { b.json("POST", "/email-link/sign-out", `{}`).wants(t, 200, "") }},
		{"everywhere", func(b *browser) { b.json("POST", "/email-link/sign-out", `{"everywhere":true}`).wants(t, 200, "") }},
	} {
		g.clock.Advance(time.Hour)
		b := g.browser()
		b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
		step.signOut(b)
		b.post("/email-link/sign-out").wants(t, 303, "/email-link/sign-out") // the cookie is dead
		list := g.signOuts(t)
		if len(list) != i+1 {
			t.Fatalf("%d lines after %d sign-outs", len(list), i+1)
		}
		e := list[0]
		if e.Outcome != step.outcome || e.Account == "" || e.Site != origin || !strings.HasSuffix(e.Client, "/24") || e.Time.IsZero() {
			t.Errorf("step %d: %+v", i, e)
		}
	}
}

// signOuts returns the sign-outs of the audit log, the newest first.
func (g *gate) signOuts(t *testing.T) (list []storage.Event) {
	t.Helper()
	err := g.state.Store.View(t.Context(), func(tx storage.Tx) (err error) {
		list, err = tx.Events().List(storage.EventFilter{Match: func(e storage.Event) bool { return e.Name == "signed_out" }}, 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
