package gate

import (
	"net/http"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// Require says which accounts and tokens pass a site. Each group of a list has to hold by one of its words.
type Require struct {
	// Roles are groups of roles, Emails of address patterns.
	Roles  [][]string
	Emails [][]address.Pattern
	// Scopes are groups of scopes.
	Scopes Scopes
}

// Scopes are groups of scopes of machine tokens, of each of which a token needs one. The word [machinetoken.ScopeSession] means sessions. Where
// no scope is named no token passes.
type Scopes [][]string

// AdmitTokens reports whether a token may pass.
func (s Scopes) AdmitTokens() bool {
	return slices.ContainsFunc(s, func(group []string) bool {
		return slices.ContainsFunc(group, func(word string) bool { return word != machinetoken.People })
	})
}

// authorize decides whether a request goes on, and on whose behalf; without a principal it goes on as an anonymous one.
func (s *Site) authorize(r *http.Request, st *requestState) (principal, web.Refusal) {
	if st.outer != s && st.principal != nil && !st.withheld && !s.Access.Protects(r) {
		return st.principal, 0 // an inner site tightens what its matcher says, and takes no identity away elsewhere
	}
	need, err := s.needOf(r, st)
	if err != nil {
		return nil, web.BadRequest
	}
	p, reason := s.authorizeHere(r, st, need)
	if reason == 0 && st.outer == s {
		reason = s.refusedElsewhere(r, st, p)
	}
	if reason != 0 {
		return nil, reason
	}
	return p, 0
}

// needOf returns what a request needs at the site. An ambiguous path that no reading makes a protected one passes with any session.
func (s *Site) needOf(r *http.Request, st *requestState) (Need, error) {
	need, err := s.Access.Need(r)
	if need == NeedSession && (st.principal == nil || s.Access.Protects(r)) {
		need = NeedAll
	}
	return need, err
}

// authorizeHere decides by what the site itself asks for.
func (s *Site) authorizeHere(r *http.Request, st *requestState, need Need) (principal, web.Refusal) {
	needed := need == NeedAll
	if st.token.Presented {
		return s.authorizeToken(r, st, needed)
	}
	var reason web.Refusal
	switch {
	case st.principal == nil:
		reason = web.SignIn
	case boundary.IsUpgrade(r) && !boundary.SameOriginUpgrade(r, st.site.Origin):
		reason, needed = web.UpgradeOrigin, need != NeedNothing
	case st.withheld || !s.hasScopes(st) || !s.meets(user{st.principal.account()}):
		reason = web.Forbidden
	case needed && s.proofTooOld(st):
		reason = web.SignIn
	default:
		return st.principal, 0
	}
	if needed {
		return nil, reason
	}
	return nil, 0 // anonymous: no other site acts in this account's name, and no account passes that lacks what is required
}

// meets reports whether an account is what Require asks for, scopes aside: each group by one of its words.
func (s *Site) meets(u user) bool {
	for _, group := range s.Require.Roles {
		if !anyOf(group, u.account.Roles) {
			return false
		}
	}
	if len(s.Require.Emails) == 0 {
		return true
	}
	a, err := address.Parse(u.account.Email)
	if err != nil {
		return false
	}
	for _, group := range s.Require.Emails {
		ok := false
		for _, p := range group {
			ok = ok || p.Match(a)
		}
		if !ok {
			return false
		}
	}
	return true
}

// Admits reports whether an account passes the site: for the portal, which leads people to those sites that they may open.
func (s *Site) Admits(a *accounts.Account) bool {
	for _, group := range s.Require.Scopes {
		if !anyOf(group, sessionScopes) {
			return false
		}
	}
	return s.meets(user{a})
}

func anyOf(want, have []string) bool {
	for _, w := range want {
		for _, h := range have {
			if w == h {
				return true
			}
		}
	}
	return false
}

// hasScopes reports whether the scopes of a request are what Require asks for: each group by one of its words. A token passes only
// where the outer site names scopes at all.
func (s *Site) hasScopes(st *requestState) bool {
	for _, group := range s.Require.Scopes {
		if !anyOf(group, st.principal.scopes()) {
			return false
		}
	}
	return !st.token.Presented || len(st.outer.Require.Scopes) > 0
}

// proofTooOld reports whether the last proof of the account is older than MaxAge.
func (s *Site) proofTooOld(st *requestState) bool {
	return s.MaxAge > 0 && st.at.Now.Sub(st.principal.authTime()) > s.MaxAge
}
