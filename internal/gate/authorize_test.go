package gate

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
)

// emails compiles lines of address patterns.
func emails(t testing.TB, lines ...[]string) (groups [][]address.Pattern) {
	t.Helper()
	for _, line := range lines {
		var group []address.Pattern
		for _, word := range line {
			p, err := address.CompilePattern(word)
			if err != nil {
				t.Fatal(err)
			}
			group = append(group, p)
		}
		groups = append(groups, group)
	}
	return groups
}

// TestAUTHZ1_EachRequireLineHolds: of several lines each has to hold, by one of its words.
func TestAUTHZ1_EachRequireLineHolds(t *testing.T) {
	type who struct {
		email string
		roles []string
	}
	for name, c := range map[string]struct {
		require Require
		passes  []who
		refused []who
	}{
		"nothing": {Require{}, []who{{"ada@example.com", nil}}, nil},
		"one role": {
			Require{Roles: [][]string{{"admin"}}},
			[]who{{"a@example.com", []string{"admin"}}, {"a@example.com", []string{"x", "admin"}}},
			[]who{{"a@example.com", nil}, {"a@example.com", []string{"Admin"}}, {"a@example.com", []string{"administrator"}}},
		},
		"one of two roles": {
			Require{Roles: [][]string{{"admin", "editor"}}},
			[]who{{"a@example.com", []string{"admin"}}, {"a@example.com", []string{"editor"}}},
			[]who{{"a@example.com", []string{"reader"}}},
		},
		"two lines of roles": {
			Require{Roles: [][]string{{"admin"}, {"staff"}}},
			[]who{{"a@example.com", []string{"staff", "admin"}}},
			[]who{{"a@example.com", []string{"admin"}}, {"a@example.com", []string{"staff"}}, {"a@example.com", nil}},
		},
		"two lines of emails": {
			Require{Emails: emails(t, []string{"*@example.com"}, []string{"ada@example.com", "eve@example.org"})},
			[]who{{"ada@example.com", nil}, {"Ada@Example.com", nil}},
			[]who{{"bob@example.com", nil}, {"eve@example.org", nil}, {"ada@sub.example.com", nil}},
		},
		"the last line alone": {
			Require{Emails: emails(t, []string{"ada@example.com"}, []string{"*@example.com"})},
			[]who{{"ada@example.com", nil}},
			[]who{{"bob@example.com", nil}},
		},
		"a role and an email": {
			Require{Roles: [][]string{{"admin"}}, Emails: emails(t, []string{"*@example.com"})},
			[]who{{"ada@example.com", []string{"admin"}}},
			[]who{{"ada@example.com", nil}, {"ada@example.org", []string{"admin"}}},
		},
		"an email that is none": {Require{Emails: emails(t, []string{"*@example.com"})}, nil, []who{{"", nil}, {"ada@", nil}, {"x@example.com@example.com", nil}}},
	} {
		s := &Site{Require: c.require}
		for _, one := range c.passes {
			if !s.meets(user{&accounts.Account{Email: one.email, Roles: one.roles}}) {
				t.Errorf("%s: %+v is refused", name, one)
			}
		}
		for _, one := range c.refused {
			if s.meets(user{&accounts.Account{Email: one.email, Roles: one.roles}}) {
				t.Errorf("%s: %+v passes", name, one)
			}
		}
	}
}

// TestAUTHZ1_WhoLacksWhatIsRequiredGetsNowhere asks as somebody who has what one line asks for and not the other, with a session,
// with a token, and by way of a proxy.
func TestAUTHZ1_WhoLacksWhatIsRequiredGetsNowhere(t *testing.T) {
	scopes := Scopes{{"calendar", machinetoken.People}}
	for name, c := range map[string]struct {
		require Require
		want    int
	}{
		"both hold": {Require{
			Roles: [][]string{{"admin"}, {"admin", "x"}}, Emails: emails(t, []string{"*@example.com"}, []string{"eve@example.com", "ada.lovelace@example.com"}), Scopes: scopes,
		}, 200},
		"the first role alone":  {Require{Roles: [][]string{{"admin"}, {"staff"}}, Scopes: scopes}, 403},
		"the second role alone": {Require{Roles: [][]string{{"staff"}, {"admin"}}, Scopes: scopes}, 403},
		"the first email alone": {Require{Emails: emails(t, []string{"*@example.com"}, []string{"eve@example.com"}), Scopes: scopes}, 403},
		"the last email alone":  {Require{Emails: emails(t, []string{"eve@example.com"}, []string{"*@example.com"}), Scopes: scopes}, 403},
		"one scope of two":      {Require{Scopes: Scopes{{"calendar", machinetoken.People}, {"files"}}}, 403},
	} {
		f := newFixture(t, func(s *Site) { s.Require, s.Peers = c.require, loopback })
		text := f.token("calendar")
		for _, byToken := range []bool{false, true} {
			for _, asked := range []bool{false, true} {
				r := request(http.MethodGet, testOrigin+"/app", f.cookie)
				if byToken {
					r = request(http.MethodGet, testOrigin+"/app", "", "Authorization", "Bearer "+text)
				}
				if asked {
					r = described(r)
				}
				got := try(t, r, f.Site)
				if got.code != c.want || c.want == 403 && (got.arrived != nil || got.header[identity.Header] != nil) {
					t.Errorf("%s, token %v, by a proxy %v: %d, want %d", name, byToken, asked, got.code, c.want)
				}
			}
		}
	}
}

// outcome is what a decision comes to: refused with a status, let on anonymously, or on behalf of the account.
type outcome struct {
	code     int
	identity bool
}

var (
	passes    = outcome{200, true}
	anonymous = outcome{200, false}
	signIn    = outcome{401, false}
	forbidden = outcome{403, false}
)

// TestAUTHZ1_EveryDecision sends each kind of request to each kind of path, under each demand that an account may fail, directly and by way
// of a proxy that asks.
func TestAUTHZ1_EveryDecision(t *testing.T) {
	protect := map[string]func(s *Site){
		"needed":   func(*Site) {},
		"public":   func(s *Site) { s.Access.Public = one(below("/app")) },
		"outside":  func(s *Site) { s.Access.Protect = one(below("/admin")) },
		"optional": func(s *Site) { s.Access.Optional = true },
	}
	demands := map[string]func(s *Site){
		"nothing":          func(*Site) {},
		"a role it has":    func(s *Site) { s.Require.Roles = [][]string{{"admin"}} },
		"another role":     func(s *Site) { s.Require.Roles = [][]string{{"staff"}} },
		"another email":    func(s *Site) { s.Require.Emails = emails(t, []string{"*@example.org"}) },
		"its scope":        func(s *Site) { s.Require.Scopes = Scopes{{"calendar", machinetoken.People}} },
		"a token's scope":  func(s *Site) { s.Require.Scopes = Scopes{{"calendar"}} },
		"another scope":    func(s *Site) { s.Require.Scopes = Scopes{{"files", machinetoken.People}} },
		"a young proof":    func(s *Site) { s.MaxAge = time.Hour },
		"an old proof":     func(s *Site) { s.MaxAge = time.Minute },
		"an old, by scope": func(s *Site) { s.MaxAge, s.Require.Scopes = time.Minute, Scopes{{"calendar", machinetoken.People}} },
	}
	for need, protects := range protect {
		for demand, demanded := range demands {
			f := newFixture(t, func(s *Site) { s.Peers = loopback }, protects, demanded)
			text := f.token("calendar")
			f.time.Advance(2 * time.Minute)
			for who, headers := range map[string][]string{
				"anonymous": nil, "session": {"Cookie", "__Host-email_link=" + f.cookie}, "no session": {"Cookie", "__Host-email_link=x"},
				"token": {"Authorization", "Bearer " + text}, "no token": {"Authorization", "Bearer " + text + "x"},
				"both": {"Authorization", "Bearer " + text, "Cookie", "__Host-email_link=" + f.cookie},
			} {
				want := expected(need, demand, who)
				for _, asked := range []bool{false, true} {
					name := fmt.Sprintf("%s, requires %s, by %s, asked %v", need, demand, who, asked)
					r := request(http.MethodGet, testOrigin+"/app/x", "", headers...)
					if asked {
						r = described(r)
					}
					f.check(t, name, r, asked, want)
				}
			}
		}
	}
}

// expected is what is written in docs/reference.md about access, require, max_age and tokens.
func expected(need, demand, who string) outcome {
	needed := need == "needed"
	switch who {
	case "anonymous", "no session":
		if needed {
			return signIn
		}
		return anonymous
	case "no token":
		return signIn
	case "session":
		switch demand {
		case "nothing", "a role it has", "its scope", "a young proof":
			return passes
		case "an old proof", "an old, by scope":
			if needed {
				return signIn
			}
			return passes
		case "another scope":
			return passes
		}
		if needed {
			return forbidden
		}
		return anonymous
	default: // a token counts alone, on paths that need none as well
		switch demand {
		case "its scope", "a token's scope":
			return passes
		case "an old, by scope":
			if needed {
				return signIn
			}
			return passes
		}
		return forbidden
	}
}

// check sends a request and compares what became of it.
func (f *fixture) check(t *testing.T, name string, r *http.Request, asked bool, want outcome, inner ...*Site) {
	t.Helper()
	got := try(t, r, append([]*Site{f.Site}, inner...)...)
	arrived := got.header.Get(identity.Header)
	if !asked {
		if (got.arrived != nil) != (want.code == 200) {
			t.Errorf("%s: the backend was asked: %v", name, got.arrived != nil)
		}
		arrived = ""
		if got.arrived != nil {
			arrived = got.arrived.Header.Get(identity.Header)
			if id := placeholder(got.arrived, "http.auth.user.id"); (id == f.account.ID) != want.identity {
				t.Errorf("%s: the placeholder is %q", name, id)
			}
		}
	} else if mark := got.header.Get(VerifiedHeader); (mark == "1") != (want.code == 200) {
		t.Errorf("%s: %s is %q", name, VerifiedHeader, mark)
	}
	if got.code != want.code || (arrived != "") != want.identity {
		t.Errorf("%s: %d, identity %v; want %d, %v", name, got.code, arrived != "", want.code, want.identity)
	}
	if want.code != 200 && strings.Contains(got.body, "backend") {
		t.Errorf("%s: the answer is the backend's", name)
	}
}

// TestAUTHZ1_AnAmbiguousPathMeetsTheDemandsOfWhatItMayBe: of a site that protects a part, a path that may be in it needs all that the
// site requires, and an ambiguous one that cannot be needs a session.
func TestAUTHZ1_AnAmbiguousPathMeetsTheDemandsOfWhatItMayBe(t *testing.T) {
	for demand, change := range map[string]func(s *Site){
		"a role":      func(s *Site) { s.Require.Roles = [][]string{{"staff"}} },
		"an email":    func(s *Site) { s.Require.Emails = emails(t, []string{"*@example.org"}) },
		"a new proof": func(s *Site) { s.MaxAge = time.Minute },
		"nothing":     func(*Site) {},
	} {
		f := newFixture(t, func(s *Site) { s.Access.Protect = one(below("/admin/")) }, change)
		f.time.Advance(2 * time.Minute)
		refused := map[string]outcome{"a role": forbidden, "an email": forbidden, "a new proof": signIn, "nothing": passes}[demand]
		for _, path := range []string{"/x/..%2fadmin/x", "//x/admin/x", "/admin;a/x", "/ADMIN/x", "/admin/x"} {
			f.check(t, demand+", "+path, request(http.MethodGet, testOrigin+path, f.cookie), false, refused)
			f.check(t, path+", anonymous", request(http.MethodGet, testOrigin+path, ""), false, signIn)
		}
		lacks := anonymous // no identity goes on of an account that lacks what is required
		if demand == "nothing" || demand == "a new proof" {
			lacks = passes
		}
		for _, path := range []string{"/a;b", "/bucket/a%2Fb", "//x/y"} {
			f.check(t, demand+", "+path, request(http.MethodGet, testOrigin+path, f.cookie), false, lacks)
			f.check(t, path+", anonymous", request(http.MethodGet, testOrigin+path, ""), false, signIn)
		}
	}
}

// TestSES4_AnUpgradeNeedsASessionAndItsOwnOrigin tries each origin of a WebSocket on each kind of path.
func TestSES4_AnUpgradeNeedsASessionAndItsOwnOrigin(t *testing.T) {
	for need, protects := range map[string]func(s *Site){
		"needed": func(*Site) {}, "public": func(s *Site) { s.Access.Public = one(below("/app")) }, "optional": func(s *Site) { s.Access.Optional = true },
	} {
		f := newFixture(t, protects)
		for origin, own := range map[string]bool{
			testOrigin: true, "": false, "null": false, "https://evil.example": false, "https://other.example.com": false, "http://app.example.com": false,
		} {
			for _, signedIn := range []bool{true, false} {
				cookie := ""
				if signedIn {
					cookie = f.cookie
				}
				want := anonymous
				switch {
				case signedIn && own:
					want = passes
				case need == "needed" && signedIn:
					want = forbidden
				case need == "needed":
					want = signIn
				}
				r := request(http.MethodGet, testOrigin+"/app/ws", cookie, "Connection", "Upgrade", "Upgrade", "websocket")
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				f.check(t, fmt.Sprintf("%s, from %q, signed in %v", need, origin, signedIn), r, false, want)
			}
		}
	}
}

// TestMACH3_ATokenGoesWhereItsScopeIsNamedAndNowhereElse: what concerns tokens alone.
func TestMACH3_ATokenGoesWhereItsScopeIsNamedAndNowhereElse(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.Require.Scopes = Scopes{{"files", "calendar"}, {"calendar", machinetoken.People}} })
	text := f.token("calendar")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+text))
	for name, c := range map[string]struct {
		path    string
		headers []string
		want    outcome
	}{
		"Bearer":                 {"/app", []string{"Authorization", "Bearer " + text}, passes},
		"a page":                 {testPrefix + "/sign-in", []string{"Authorization", "Bearer " + text}, forbidden},
		"the first page":         {testPrefix + "/", []string{"Authorization", "Bearer " + text}, forbidden},
		"Basic":                  {"/app", []string{"Authorization", basic}, passes},
		"Basic of the page":      {"/app", []string{"Authorization", basic, "Sec-Fetch-Site", "same-origin"}, passes},
		"Basic of another site":  {"/app", []string{"Authorization", basic, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, forbidden},
		"Basic of a sibling":     {"/app", []string{"Authorization", basic, "Sec-Fetch-Site", "same-site"}, forbidden},
		"Bearer of another site": {"/app", []string{"Authorization", "Bearer " + text, "Origin", "https://evil.example"}, passes},
		"a token that is none":   {"/app", []string{"Authorization", "Bearer " + text + "x"}, signIn},
	} {
		f.check(t, name, request(http.MethodGet, testOrigin+c.path, "", c.headers...), false, c.want)
	}
	for name, scopes := range map[string]Scopes{
		"no scope named": nil, "sessions alone": {{machinetoken.People}}, "another scope": {{"files", machinetoken.People}},
		"the first line alone": {{"calendar"}, {"files"}}, "the last line alone": {{"files"}, {"calendar"}},
	} {
		f.Require.Scopes = scopes
		f.check(t, name, request(http.MethodGet, testOrigin+"/app", "", "Authorization", "Bearer "+text), false, forbidden)
	}
}

// TestMACH3_WhatAsksForAToken: a program is asked for Basic where a token may pass, a browser never is.
func TestMACH3_WhatAsksForAToken(t *testing.T) {
	const basic, bearer = `Basic realm="app.example.com", charset="UTF-8"`, `Bearer realm="app.example.com", error="invalid_token"`
	for name, c := range map[string]struct {
		scopes  Scopes
		headers []string
		want    []string
	}{
		"a program":                {Scopes{{"calendar", machinetoken.People}}, nil, []string{basic}},
		"no token passes":          {nil, nil, nil},
		"sessions alone":           {Scopes{{machinetoken.People}}, nil, nil},
		"a browser":                {Scopes{{"calendar"}}, []string{"Sec-Fetch-Mode", "cors", "User-Agent", "Mozilla/5.0"}, nil},
		"a token that is none":     {Scopes{{"calendar"}}, []string{"Authorization", "Bearer elt_x"}, []string{basic, bearer}},
		"the same where none pass": {nil, []string{"Authorization", "Bearer elt_x"}, []string{bearer}},
	} {
		f := newFixture(t, func(s *Site) { s.Require.Scopes = c.scopes })
		got := try(t, request(http.MethodGet, testOrigin+"/app", "", c.headers...), f.Site)
		if have := got.header["Www-Authenticate"]; got.code != 401 || strings.Join(have, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %d, %q, want %q", name, got.code, have, c.want)
		}
	}
}

// TestAUTHZ1_AnInnerSiteOnlyTightens sends requests through two sites: what either refuses goes nowhere, and an identity that the outer one
// withholds stays withheld.
func TestAUTHZ1_AnInnerSiteOnlyTightens(t *testing.T) {
	for name, c := range map[string]struct {
		outer, inner       func(s *Site)
		anonymous, session outcome
	}{
		"both as they are":        {func(*Site) {}, func(*Site) {}, signIn, passes},
		"the outer is optional":   {func(s *Site) { s.Access.Optional = true }, func(*Site) {}, signIn, passes},
		"the inner is optional":   {func(*Site) {}, func(s *Site) { s.Access.Optional = true }, signIn, passes},
		"the inner requires":      {func(*Site) {}, func(s *Site) { s.Require.Roles = [][]string{{"staff"}} }, signIn, forbidden},
		"the inner has aged":      {func(*Site) {}, func(s *Site) { s.MaxAge = time.Minute }, signIn, signIn},
		"the outer withholds":     {func(s *Site) { s.Access.Public, s.Require.Roles = one(below("/app")), [][]string{{"staff"}} }, func(*Site) {}, signIn, forbidden},
		"withheld, both are open": {func(s *Site) { s.Access.Public, s.Require.Roles = one(below("/app")), [][]string{{"staff"}} }, func(s *Site) { s.Access.Optional = true }, anonymous, anonymous},
	} {
		f := newFixture(t, c.outer)
		inner := *f.Site
		inner.Access, inner.Require, inner.MaxAge = Access{See: see}, Require{}, 0
		c.inner(&inner)
		f.time.Advance(2 * time.Minute)
		f.check(t, name+", anonymous", request(http.MethodGet, testOrigin+"/app", ""), false, c.anonymous, &inner)
		f.check(t, name+", signed in", request(http.MethodGet, testOrigin+"/app", f.cookie), false, c.session, &inner)
	}
}
