//go:build postgres

package flow

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// TestSTO3_RoundTripsOfTheSteps counts what each step costs where the database is far away. The numbers are upper bounds.
func TestSTO3_RoundTripsOfTheSteps(t *testing.T) {
	server, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	proxy := server.NewProxy(t)
	enginetest.Use(t, proxy.DSN())
	g := newGate(t)
	ctx := context.Background()
	most := map[string]int64{
		"ask": 2, "open a link": 1, "press": 3, "press of a sign-up": 3, "first request of a session": 1, "each further one": 0, "touch": 1,
		"sign-out": 2, "mail, and the look for the next": 6, "mail to an account, its empty one, and the look for the next": 7,
	}
	spent := map[string]int64{}
	count := func(what string, step func()) {
		before := proxy.Trips()
		step()
		spent[what] = proxy.Trips() - before
	}
	within := func() bool {
		for what, n := range spent {
			if n > most[what] {
				return false
			}
		}
		return len(spent) == len(most)
	}
	for round := 0; round < 20 && !within(); round++ { // the first times prepare statements on each connection
		b := g.browser()
		g.fake.Advance(time.Hour)
		g.post() // what the round before has left
		count("ask", func() { must[RequestResult](t)(b.ask(Activation, "ada@example.com")) })
		count("mail, and the look for the next", g.post)
		link := b.newest("ada@example.com").link
		var preview LinkPreview
		count("open a link", func() { preview = must[LinkPreview](t)(b.open(link)) })
		count("press of a sign-up", func() {
			must[Done](t)(b.keep(g.Confirm(ctx, g.site, Requester{Client: b.client, FlowCookie: b.flow, Origin: true}, ConfirmInput{Token: link, H: preview.H})))
		})
		find := func() {
			if l, err := g.Sessions.Find(ctx, b.session, g.site.Origin); l == nil || err != nil {
				t.Fatalf("the session: %v, %v", l, err)
			}
		}
		count("first request of a session", find)
		count("each further one", find)
		g.fake.Advance(2 * time.Minute)
		count("touch", find)
		live, err := g.Sessions.Find(ctx, b.session, g.site.Origin)
		if err != nil {
			t.Fatal(err)
		}
		count("sign-out", func() {
			if err := g.Sessions.End(ctx, live); err != nil {
				t.Fatal(err)
			}
		})
		must[RequestResult](t)(g.browser().ask(SignIn, "ada@example.com"))
		count("mail to an account, its empty one, and the look for the next", g.post)
		link = b.newest("ada@example.com").link
		preview = must[LinkPreview](t)(b.open(link))
		count("press", func() {
			must[Done](t)(g.Confirm(ctx, g.site, Requester{Client: b.client, Origin: true}, ConfirmInput{Token: link, H: preview.H}))
		})
		if a, found, err := g.Accounts.Lookup(ctx, "ada@example.com"); found {
			g.delete(a.ID)
		} else {
			t.Fatal("no account", err)
		}
	}
	for what, most := range most {
		if spent[what] > most {
			t.Errorf("%s: %d round trips, at most %d were promised", what, spent[what], most)
		}
		t.Logf("%s: %d", what, spent[what])
	}
}
