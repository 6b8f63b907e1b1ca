package gate

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const portalOrigin = "https://auth.example.com"

// led makes a site one whose people sign in at a portal.
func led(s *Site) {
	s.Led, s.Template.Portal = true, &web.Portal{Origin: portalOrigin, Base: portalOrigin + testPrefix}
}

// TestPORT14_OnlyThePortalsSessionsOpenASite sends the session that was opened at a site itself, once people sign in for it at a portal, and
// then one that the portal has opened there: in requests, in questions of a proxy and at the site's own pages.
func TestPORT14_OnlyThePortalsSessionsOpenASite(t *testing.T) {
	f := newFixture(t, led, func(s *Site) { s.Peers = loopback })
	var child string
	mailbox := f.live(t).Session.Mailbox
	err := f.rt.Store.Update(context.Background(), func(tx storage.Tx) error {
		open := func(origin string, parent *storage.Session) (string, storage.Session) {
			cookie, s, err := f.rt.Sessions.Open(tx, f.account, session.OpenInput{
				Site: origin, Mailbox: mailbox, Methods: []string{"link"}, Idle: time.Hour, Absolute: time.Hour, Parent: parent,
			})
			if err != nil {
				t.Fatal(err)
			}
			return cookie, s
		}
		_, parent := open(portalOrigin, nil)
		child, _ = open(testOrigin, &parent)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cookie string
		passes bool
	}{"its own, of before": {f.cookie, false}, "the portal's": {child, true}} {
		got := try(t, request(http.MethodGet, testOrigin+"/app", c.cookie), f.Site)
		if passes := got.code == http.StatusOK && got.arrived != nil; passes != c.passes {
			t.Errorf("%s: %d, the backend got %v", name, got.code, got.arrived)
		}
		got = try(t, described(request(http.MethodGet, testOrigin+"/app", c.cookie)), f.Site)
		if passes := got.code == http.StatusOK; passes != c.passes {
			t.Errorf("%s, asked by a proxy: %d", name, got.code)
		}
		got = try(t, request(http.MethodGet, testOrigin+testPrefix+"/session", c.cookie), f.Site)
		if passes := strings.Contains(got.body, f.account.ID); passes != c.passes {
			t.Errorf("%s, at /session: %d %s", name, got.code, got.body)
		}
	}
}

// live returns the fixture's own session.
func (f *fixture) live(t *testing.T) *session.Live {
	t.Helper()
	live, err := f.rt.Sessions.Find(context.Background(), f.cookie, testOrigin)
	if err != nil || live == nil {
		t.Fatalf("the fixture's session: %v, %v", live, err)
	}
	return live
}

// TestPORT14_FormsMayLeadToThePortal looks at the origins to which the pages of a site may send forms.
func TestPORT14_FormsMayLeadToThePortal(t *testing.T) {
	f := newFixture(t, led)
	if got := f.sites[testOrigin].FormActions; !slices.Contains(got, portalOrigin) {
		t.Errorf("the site's forms may lead to %v", got)
	}
	page := try(t, request(http.MethodGet, testOrigin+testPrefix+"/sign-out", "", "Accept", "text/html"), f.Site)
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' "+portalOrigin+";") {
		t.Errorf("the policy of its pages is %s", policy)
	}
	if got := newFixture(t).sites[testOrigin].FormActions; len(got) != 0 {
		t.Errorf("without a portal they may lead to %v", got)
	}
}

// TestPORT9_TheLauncherAdmitsAsTheSiteDoes asks for accounts which sites they pass, by each kind of requirement.
func TestPORT9_TheLauncherAdmitsAsTheSiteDoes(t *testing.T) {
	account := accounts.Account{Email: "ada@example.com", Roles: []string{"family"}}
	for name, c := range map[string]struct {
		require Require
		passes  bool
	}{
		"nothing":               {Require{}, true},
		"its role":              {Require{Roles: [][]string{{"family", "staff"}}}, true},
		"another role":          {Require{Roles: [][]string{{"staff"}}}, false},
		"its address":           {Require{Emails: emails(t, []string{"*@example.com"})}, true},
		"another address":       {Require{Emails: emails(t, []string{"*@example.org"})}, false},
		"a token's scope":       {Require{Scopes: Scopes{{"calendar"}}}, false},
		"a scope or a session":  {Require{Scopes: Scopes{{"calendar", "session"}}}, true},
		"both, one of them not": {Require{Scopes: Scopes{{"calendar", "session"}, {"files"}}}, false},
	} {
		site := &Site{Require: c.require}
		if got := site.Admits(&account); got != c.passes {
			t.Errorf("%s: %v", name, got)
		}
	}
}
