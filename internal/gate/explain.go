package gate

import (
	"encoding/base32"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// Demand is one line of what a site asks of an account, and whether it is met.
type Demand struct {
	// Option is the option of the line: `require role`, `require email`, `require scope` or `max_age`; At is where it is written.
	Option, At string
	// Words are those of the line.
	Words []string
	Met   bool
}

// demands returns what a site asks of a principal, line by line.
func (s *Site) demands(p principal, now time.Time) (list []Demand) {
	add := func(option string, group int, words []string, met bool) {
		list = append(list, Demand{Option: option, At: s.line(option, group), Words: words, Met: met})
	}
	for i, group := range s.Require.Roles {
		add("require role", i, group, anyOf(group, p.account().Roles))
	}
	for i, group := range s.Require.Emails {
		one := Site{Require: Require{Emails: s.Require.Emails[i : i+1]}}
		var words []string
		for _, pattern := range group {
			words = append(words, pattern.String())
		}
		add("require email", i, words, one.meets(user{p.account()}))
	}
	for i, group := range s.Require.Scopes {
		add("require scope", i, group, anyOf(group, p.scopes()))
	}
	if s.MaxAge > 0 {
		add("max_age", 0, []string{s.MaxAge.String()}, now.Sub(p.authTime()) <= s.MaxAge)
	}
	return list
}

// line returns where an option is written, the n-th of its lines; empty where that is not known.
func (s *Site) line(option string, n int) string {
	if s.Line == nil {
		return ""
	}
	return s.Line(option, n)
}

// Explanation is what the gate would do with a request, and why.
type Explanation struct {
	// Known is false for a host that is in no base_url. Own is set for the gate's own pages, which no rule of the site guards.
	Known, Own bool
	// Need is what the request needs.
	Need Need
	// Demands are what the site asks of the account, none for an anonymous request.
	Demands []Demand
	// Refusal is why the request would be refused, 0 if it goes on. Elsewhere is the other site that refuses it, by another reading of the path.
	Refusal   web.Refusal
	Elsewhere *Site
	// Reference is what page and log would show of the refusal.
	Reference string
}

// explained is an account without a session, as a principal that is looked at and never used.
type explained struct {
	credential.Credential
	of     *accounts.Account
	proven time.Time
}

func (e explained) account() *accounts.Account             { return e.of }
func (explained) scopes() []string                         { return sessionScopes }
func (e explained) authTime() time.Time                    { return e.proven }
func (explained) Ended() bool                              { return false }
func (explained) Use() bool                                { return true }
func (explained) track(*Runtime, *credential.Request)      {}
func (explained) untrack(*Runtime, *credential.Request)    {}
func (explained) identity(*Runtime) (id identity.Identity) { return id }

// Explain judges a request as ServeHTTP does, for a session of an account that was proven at a time, or without one if a is nil. It answers, writes and
// logs nothing. outer is the site that the request has come by first, s itself as a rule.
func (s *Site) Explain(r *http.Request, outer *Site, rt *Runtime, a *accounts.Account, proven time.Time) (e Explanation) {
	site, _, known := outer.siteFor(r.Host)
	_, e.Own = outer.Below(r.URL.Path)
	e.Known = known
	st := &requestState{runtime: rt, outer: outer, site: site, at: clock.Reading{Now: rt.Clock.Now()}}
	if a != nil {
		st.principal = explained{of: a, proven: proven}
		e.Demands = s.demands(st.principal, st.at.Now)
	}
	switch {
	case !known:
		e.Refusal = web.Misdirected
	case r.Method == http.MethodTrace, r.Method == http.MethodConnect && !boundary.IsUpgrade(r):
		e.Refusal = web.MethodNotAllowed
	case e.Own:
		return e
	case outer.Portal:
		e.Refusal = web.PortalOnly
	default:
		var err error
		if e.Need, err = s.needOf(r, st); err != nil {
			e.Refusal = web.BadRequest
			break
		}
		_, e.Refusal = s.authorize(r, st)
		if e.Refusal == 0 && s == outer && e.Need == NeedNothing {
			e.Demands = nil
		}
	}
	if e.Refusal != 0 {
		var option string
		e.Elsewhere, option = s.deciding(r, st, e.Refusal)
		e.Reference = s.reference(st, e.Refusal, option)
	}
	return e
}

// deciding returns the line that decides about a refusal, and the other site that has it if it is another one's.
func (s *Site) deciding(r *http.Request, st *requestState, reason web.Refusal) (elsewhere *Site, at string) {
	switch reason {
	case web.Misdirected:
		return nil, s.line("base_url", 0)
	case web.Forbidden, web.TokenNotAllowed, web.SignIn:
	default:
		return nil, s.line("", 0)
	}
	if st.principal == nil {
		return nil, s.line("", 0)
	}
	if at := s.unmet(st); at != "" || s.hasUnmet(st) {
		return nil, at
	}
	readings := Read(r, s.host.See)
	for i := range s.Others {
		other := s.Others[i].Site
		if s.Others[i].Route.Reaches(readings) && other.refuses(r, st, st.principal) == reason {
			if at := other.unmet(st); at != "" {
				return other, at
			}
			return other, other.line("", 0)
		}
	}
	return nil, s.line("", 0)
}

func (s *Site) hasUnmet(st *requestState) bool {
	for _, d := range s.demands(st.principal, st.at.Now) {
		if !d.Met {
			return true
		}
	}
	return false
}

// unmet returns where the first demand is written that is not met, empty if all are.
func (s *Site) unmet(st *requestState) string {
	for _, d := range s.demands(st.principal, st.at.Now) {
		if !d.Met {
			return d.At
		}
	}
	return ""
}

// refusalWords are the outcomes of refusals that are logged. The others are led on, or logged where they arise.
var refusalWords = map[web.Refusal]string{
	web.Forbidden: "forbidden", web.Misdirected: "misdirected", web.BadRequest: "bad_path", web.MethodNotAllowed: "method",
	web.UpgradeOrigin: "upgrade_origin", web.InvalidToken: "invalid_token", web.TokenNotAllowed: "token_not_allowed", web.CrossOrigin: "cross_origin",
}

// reference returns the short text that page and log show of a refusal. It is the same for the same account, site and line, so a line of
// the log that was left out for its number has been written before. It says nothing by itself.
func (s *Site) reference(st *requestState, reason web.Refusal, at string) string {
	if refusalWords[reason] == "" || st.runtime == nil || st.runtime.Vault == nil {
		return ""
	}
	account, origin := "", ""
	if st.principal != nil && reason != web.Misdirected && reason != web.MethodNotAllowed { // which are refused before anybody is looked up
		account = st.principal.account().ID
	}
	if st.site != nil {
		origin = st.site.Origin
	}
	d := st.runtime.Ring.MAC("refusal reference", []byte(account), []byte(origin), []byte{byte(reason)}, []byte(at))
	return base32.StdEncoding.EncodeToString(d[:5])
}

// LogRefusal writes the line of the log about an account that the portal leads to no page of an origin of this site, and returns the reference for
// the portal's page. It is the one that the site itself would give.
func (s *Site) LogRefusal(r *http.Request, origin string, a *accounts.Account) (reference string) {
	rt := s.gate.latch.enter(r.Context())
	if rt == nil {
		return ""
	}
	at := clock.Reading{Now: rt.Clock.Now()}
	st := &requestState{runtime: rt, outer: s, site: s.of(origin), principal: explained{of: a, proven: at.Now}, at: at}
	s.logRefusal(r, st, web.Forbidden)
	return st.visit.Reference
}

// logRefusal gives a refusal its reference, for the page, and writes the line that carries it.
func (s *Site) logRefusal(r *http.Request, st *requestState, reason web.Refusal) {
	word := refusalWords[reason]
	if word == "" {
		return
	}
	_, at := s.deciding(r, st, reason)
	if st.visit.Reference = s.reference(st, reason, at); st.visit.Reference == "" {
		return
	}
	event, account, origin := "refused", "", ""
	if reason == web.InvalidToken {
		event = eventDenied // somebody may be guessing
	}
	if st.principal != nil {
		account = st.principal.account().ID
	}
	if st.site != nil {
		origin = st.site.Origin
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, event, slog.String("event", event), slog.String("outcome", word), slog.String("account", account),
		slog.String("site", origin), slog.String("client", st.runtime.Flows.LogClient(s.host.Client(r))),
		slog.String("reference", st.visit.Reference), slog.String("at", strings.ReplaceAll(at, "\n", " ")))
}
