package module

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/machine"
)

// requiring compiles the patterns of a handler's `require email` lines.
func requiring(t *testing.T, h *Handler, r Require) {
	t.Helper()
	h.Require, h.emails = r, nil
	for _, line := range r.Email {
		var patterns []address.Pattern
		for _, word := range line {
			p, err := address.CompilePattern(word)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, p)
		}
		h.emails = append(h.emails, patterns)
	}
}

// TestAUTHZ1_EachRequireLineHolds: of several lines each has to hold, by one of its words.
func TestAUTHZ1_EachRequireLineHolds(t *testing.T) {
	h, _ := started(t)
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
			Require{Role: [][]string{{"admin"}}},
			[]who{{"a@example.com", []string{"admin"}}, {"a@example.com", []string{"x", "admin"}}},
			[]who{{"a@example.com", nil}, {"a@example.com", []string{"Admin"}}, {"a@example.com", []string{"administrator"}}},
		},
		"one of two roles": {
			Require{Role: [][]string{{"admin", "editor"}}},
			[]who{{"a@example.com", []string{"admin"}}, {"a@example.com", []string{"editor"}}},
			[]who{{"a@example.com", []string{"reader"}}},
		},
		"two lines of roles": {
			Require{Role: [][]string{{"admin"}, {"staff"}}},
			[]who{{"a@example.com", []string{"staff", "admin"}}},
			[]who{{"a@example.com", []string{"admin"}}, {"a@example.com", []string{"staff"}}, {"a@example.com", nil}},
		},
		"two lines of emails": {
			Require{Email: [][]string{{"*@example.com"}, {"ada@example.com", "eve@example.org"}}},
			[]who{{"ada@example.com", nil}, {"Ada@Example.com", nil}},
			[]who{{"bob@example.com", nil}, {"eve@example.org", nil}, {"ada@sub.example.com", nil}},
		},
		"the last line alone": {
			Require{Email: [][]string{{"ada@example.com"}, {"*@example.com"}}},
			[]who{{"ada@example.com", nil}},
			[]who{{"bob@example.com", nil}},
		},
		"a role and an email": {
			Require{Role: [][]string{{"admin"}}, Email: [][]string{{"*@example.com"}}},
			[]who{{"ada@example.com", []string{"admin"}}},
			[]who{{"ada@example.com", nil}, {"ada@example.org", []string{"admin"}}},
		},
		"an email that is none": {Require{Email: [][]string{{"*@example.com"}}}, nil, []who{{"", nil}, {"ada@", nil}, {"x@example.com@example.com", nil}}},
	} {
		requiring(t, h, c.require)
		for _, one := range c.passes {
			if !h.meets(user{&accounts.Account{Email: one.email, Roles: one.roles}}) {
				t.Errorf("%s: %+v is refused", name, one)
			}
		}
		for _, one := range c.refused {
			if h.meets(user{&accounts.Account{Email: one.email, Roles: one.roles}}) {
				t.Errorf("%s: %+v passes", name, one)
			}
		}
	}
}

// TestAUTHZ1_WhoLacksWhatIsRequiredGetsNowhere asks as somebody who has what one line asks for and not the other, with a session,
// with a token, and by way of a proxy.
func TestAUTHZ1_WhoLacksWhatIsRequiredGetsNowhere(t *testing.T) {
	scopes := [][]string{{"calendar", machine.People}}
	for name, c := range map[string]struct {
		require Require
		want    int
	}{
		"both hold":             {Require{Role: [][]string{{"admin"}, {"admin", "x"}}, Email: [][]string{{"*@example.com"}, {"ada.*@example.com", "ada.lovelace@example.com"}}, Scope: scopes}, 200},
		"the first role alone":  {Require{Role: [][]string{{"admin"}, {"staff"}}, Scope: scopes}, 403},
		"the second role alone": {Require{Role: [][]string{{"staff"}, {"admin"}}, Scope: scopes}, 403},
		"the first email alone": {Require{Email: [][]string{{"*@example.com"}, {"eve@example.com"}}, Scope: scopes}, 403},
		"the last email alone":  {Require{Email: [][]string{{"eve@example.com"}, {"*@example.com"}}, Scope: scopes}, 403},
		"one scope of two":      {Require{Scope: [][]string{{"calendar", machine.People}, {"files"}}}, 403},
	} {
		h, cookie := verifying(t)
		text := tokenOf(t, h, cookie)
		if c.want == 200 {
			c.require.Email = [][]string{{"*@example.com"}, {"eve@example.com", "ada.lovelace@example.com"}}
		}
		requiring(t, h, c.require)
		for _, byToken := range []bool{false, true} {
			for _, asked := range []bool{false, true} {
				r := request(http.MethodGet, hotOrigin+"/app", cookie)
				if asked {
					r = described(http.MethodGet, "/app", cookie)
				}
				if byToken {
					r.Header.Del("Cookie")
					r.Header.Set("Authorization", "Bearer "+text)
				}
				got := try(t, h, r)
				if got.code != c.want || c.want == 403 && (got.arrived != nil || got.header[identity.Header] != nil) {
					t.Errorf("%s, token %v, by a proxy %v: %d, want %d; the backend got %v", name, byToken, asked, got.code, c.want, got.arrived)
				}
			}
		}
	}
}

// TestAUTHZ1_AnEmptyMatcherSetIsRefused: a set without a matcher matches everything, so the site would be open.
func TestAUTHZ1_AnEmptyMatcherSetIsRefused(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	for name, h := range map[string]*Handler{
		"public":                   {PublicRaw: caddyhttp.RawMatcherSets{{}}},
		"protect":                  {ProtectRaw: caddyhttp.RawMatcherSets{{}}},
		"public, beside another":   {PublicRaw: caddyhttp.RawMatcherSets{{"path": []byte(`["/a"]`)}, {}}},
		"protect, before another":  {ProtectRaw: caddyhttp.RawMatcherSets{{}, {"path": []byte(`["/a"]`)}}},
		"public, where is protect": {ProtectRaw: caddyhttp.RawMatcherSets{{"path": []byte(`["/a"]`)}}, PublicRaw: caddyhttp.RawMatcherSets{nil}},
	} {
		if err := h.loadMatchers(ctx); err == nil || !strings.Contains(err.Error(), "match everything") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
