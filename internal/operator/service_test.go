package operator_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestBackupInfo_NamesTheKeyThatSealsNow(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	before, err := svc.BackupInfo(t.Context())
	if err != nil || before.Fingerprint != svc.Vault.Ring.Fingerprint() {
		t.Fatalf("%+v %v", before, err)
	}
	// As a reload with another key first does it.
	next := bytes.Repeat([]byte{9, 8, 7, 6}, 8)
	if err := svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
		sealed, _, err := tx.Meta().Get(storage.MetaDataKey)
		if err != nil {
			return err
		}
		_, resealed, err := keyring.Open([][]byte{next, bytes.Repeat([]byte{1, 2, 3, 4}, 8)}, sealed)
		if err != nil {
			return err
		}
		return tx.Meta().Put(storage.MetaDataKey, resealed)
	}); err != nil {
		t.Fatal(err)
	}
	after, err := svc.BackupInfo(t.Context())
	if err != nil || after.Fingerprint != keyring.Fingerprint(next) || after == before {
		t.Errorf("%+v after %+v, %v", after, before, err)
	}
}

func TestAudienceKey_WarnsOfOtherNames(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	svc.Audiences = []string{"app.example.com", "localhost:8080", "localhost:8081", "[::1]:8080", "*.example.org"}
	for name, want := range map[string]string{
		"app.example.com": "", "localhost:8080": "", "any.example.org": "",
		"elsewhere.example.com": "no site has the audience elsewhere.example.com; there are app.example.com, localhost:8080, localhost:8081, [::1]:8080, *.example.org",
		"a.b.example.org":       "no site has the audience a.b.example.org; there are app.example.com, localhost:8080, localhost:8081, [::1]:8080, *.example.org",
		"localhost":             "no site has the audience localhost; did you mean localhost:8080 or localhost:8081?",
		"app.example.com:8443":  "no site has the audience app.example.com:8443; did you mean app.example.com?",
		"[::1]":                 "no site has the audience [::1]; did you mean [::1]:8080?",
	} {
		k, err := svc.AudienceKey(t.Context(), name, false)
		if err != nil || k.Warning != want {
			t.Errorf("%s: %q, %v", name, k.Warning, err)
		}
	}
}

func TestMakeLink_Reset(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	without := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
	with := flow.Site{Origin: "https://b.example.com", Prefix: "/email-link", Methods: flow.Methods{Link: true, Password: true}}
	svc.Sites = []flow.Site{without, with}
	svc.Site = func(origin string) (flow.Site, bool) {
		for _, s := range svc.Sites {
			if s.Origin == origin {
				return s, true
			}
		}
		return flow.Site{}, false
	}
	if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	l, err := svc.MakeLink(t.Context(), operator.LinkInput{Email: "ada@example.com", For: flow.Reset, Site: with.Origin})
	if err != nil || l.Purpose != flow.Reset || !strings.HasPrefix(l.URL, with.Origin+"/email-link/link?t=") {
		t.Errorf("%+v %v", l, err)
	}
	for site, want := range map[string]string{without.Origin: "offers no passwords", with.Origin: "no active account"} {
		_, err := svc.MakeLink(t.Context(), operator.LinkInput{Email: "bob@example.com", For: flow.Reset, Site: site})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", site, err)
		}
	}
}

// TestPORT13_LinksOfSitesLeadToThePortal prints links for the portal, for a site whose people sign in there, and for one that keeps its own
// pages.
func TestPORT13_LinksOfSitesLeadToThePortal(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	for _, origin := range []string{"https://auth.example.com", "https://photos.example.org", "https://staff.example.com"} {
		svc.Sites = append(svc.Sites, flow.Site{Origin: origin, Prefix: "/email-link"})
	}
	svc.Site = func(origin string) (flow.Site, bool) {
		i := slices.IndexFunc(svc.Sites, func(s flow.Site) bool { return s.Origin == origin })
		if i < 0 {
			return flow.Site{}, false
		}
		return svc.Sites[i], true
	}
	svc.Portal, svc.Led = "https://auth.example.com", func(origin string) bool { return origin == "https://photos.example.org" }
	if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	for site, want := range map[string]struct{ at, path string }{
		"":                            {"https://auth.example.com", "/"},
		"https://auth.example.com":    {"https://auth.example.com", "/"},
		"https://photos.example.org":  {"https://auth.example.com", "/email-link/open?app=https%3A%2F%2Fphotos.example.org"},
		"https://photos.example.org/": {"https://auth.example.com", "/email-link/open?app=https%3A%2F%2Fphotos.example.org"},
		"https://staff.example.com":   {"https://staff.example.com", "/"},
	} {
		l, err := svc.MakeLink(t.Context(), operator.LinkInput{Email: "ada@example.com", Site: site})
		if err != nil || l.Site != want.at || !strings.HasPrefix(l.URL, want.at+"/email-link/link?t=") {
			t.Errorf("%q: %+v, %v", site, l, err)
			continue
		}
		at, _ := svc.Site(want.at)
		_, text, _ := strings.Cut(l.URL, "?t=")
		preview, err := svc.Flows.Open(t.Context(), at, flow.Requester{}, text)
		if err != nil || preview.ReturnTo != want.path {
			t.Errorf("%q leads to %q, %v", site, preview.ReturnTo, err)
		}
	}
	svc.Sites = svc.Sites[1:]
	if l, err := svc.MakeLink(t.Context(), operator.LinkInput{Email: "ada@example.com", Site: "https://photos.example.org"}); err == nil || !strings.Contains(err.Error(), "https://auth.example.com is not a site") {
		t.Errorf("without a site for the portal: %+v, %v", l, err)
	}
}

// TestMakeLink_OfNoAddress: the refusal is the sentence that 'accounts add' has, with what is wrong.
func TestMakeLink_OfNoAddress(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
	svc.Sites, svc.Site = []flow.Site{site}, func(string) (flow.Site, bool) { return site, true }
	for _, email := range []string{"", "bob", "bob@", "a b@example.com"} {
		_, err := svc.MakeLink(t.Context(), operator.LinkInput{Email: email})
		_, added := svc.AddAccount(t.Context(), operator.AccountInput{Email: email})
		if err == nil || added == nil || err.Error() != added.Error() {
			t.Errorf("%q: %v, want %v", email, err, added)
		}
	}
}

// TestMakeLink_OfAStranger: a mistyped address gets an account only where it could sign up by itself, or where that is asked for.
func TestMakeLink_OfAStranger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		signUp flow.SignUp
		made   bool
	}{
		{flow.SignUp{}, false},
		{flow.SignUp{Mode: flow.SignUpOpen}, true},
		{flow.SignUp{Mode: flow.SignUpOpen, Domains: []string{"example.com"}}, true},
		{flow.SignUp{Mode: flow.SignUpOpen, Domains: []string{"example.org"}}, false},
	} {
		svc, _ := newService(t)
		site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link", SignUp: c.signUp}
		svc.Sites, svc.Site = []flow.Site{site}, func(string) (flow.Site, bool) { return site, true }
		l, err := svc.MakeLink(t.Context(), operator.LinkInput{Email: "bob@example.com"})
		switch {
		case c.made && (err != nil || l.Purpose != flow.Activation):
			t.Errorf("%+v: %+v %v", c.signUp, l, err)
		case !c.made && (err == nil || !strings.Contains(err.Error(), "add --for activation")):
			t.Errorf("%+v: %+v %v", c.signUp, l, err)
		}
		l, err = svc.MakeLink(t.Context(), operator.LinkInput{Email: "bob@example.com", For: flow.Activation})
		if err != nil || l.Purpose != flow.Activation {
			t.Errorf("%+v, --for activation: %+v %v", c.signUp, l, err)
		}
	}
}

// TestEvents_OfEarlierBuilds: one event has one name, whichever build has written it.
func TestEvents_OfEarlierBuilds(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	if err := svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
		return tx.Events().Append(storage.Event{Time: noon, Name: "asked", Purpose: flow.SignIn}, noon.Add(time.Hour))
	}); err != nil {
		t.Fatal(err)
	}
	list, err := svc.Events(t.Context(), operator.EventQuery{N: 10})
	if err != nil || len(list) != 1 || list[0].Event != "requested" || list[0].Purpose != flow.SignIn {
		t.Errorf("%+v %v", list, err)
	}
}

// TestEvents_Filters asks for lines by account, event, client and time, the present names of events included.
func TestEvents_Filters(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	ann, err := svc.AddAccount(operator.WithCaller(t.Context(), operator.Caller{User: "root"}), operator.AccountInput{Email: "ann@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
		for i, e := range []storage.Event{
			{Name: "asked", Client: "192.0.2.0/24"},
			{Name: "signed_in", Account: ann.ID, Client: "2001:db8::/64"},
			{Name: "changed", Account: "deleted"},
		} {
			e.Time = noon.Add(time.Duration(i) * time.Second)
			if err := tx.Events().Append(e, e.Time.Add(time.Hour)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for q, want := range map[operator.EventQuery]string{
		{}:                                      "changed signed_in requested changed",
		{Since: noon.Add(time.Second)}:          "changed signed_in",
		{Account: "ann@example.com"}:            "signed_in changed",
		{Account: ann.ID}:                       "signed_in changed",
		{Operators: true}:                       "changed",
		{Account: "deleted"}:                    "changed",
		{Event: "requested"}:                    "requested",
		{Client: "192.0.2.77"}:                  "requested",
		{Client: "::ffff:192.0.2.77"}:           "requested",
		{Client: "2001:db8::77"}:                "signed_in",
		{Client: "2001:db8:1::77"}:              "",
		{Client: "192.0.2.1", Event: "changed"}: "",
	} {
		q.N = 10
		list, err := svc.Events(t.Context(), q)
		var got []string
		for _, e := range list {
			got = append(got, e.Event)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%+v: %q, %v, want %q", q, got, err, want)
		}
	}
	for _, q := range []operator.EventQuery{
		{N: 10, Client: "example.com"},
		{N: 10, Account: "bob@example.com"},
		{N: 10, Event: "asked"},
		{N: 10, Event: "sined_in"},
		{},
		{N: -1},
		{N: operator.MaxListed + 1},
	} {
		if list, err := svc.Events(t.Context(), q); err == nil {
			t.Errorf("%+v: %v", q, list)
		}
	}
}
