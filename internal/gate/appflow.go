package gate

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// maxDiscard is how much of a replaced answer is read and thrown away, in bytes. A longer one is cut off.
const maxDiscard = 64 << 10

// appExchange is what an app with users of its own and the gate tell each other in one request. There is one only where the app may
// tell the gate something: in its answer to a POST, or to a request that carries a hand-off.
type appExchange struct {
	// r is the request as it came to the gate; post reports whether it is a POST, same whether it passed the cross-origin check, as one
	// that changes nothing does unless its Origin is another site.
	r          *http.Request
	post, same bool
	// handoff is what this browser holds for exactly this path, nil where it holds none; carried reports whether the assertion of
	// this request is that.
	handoff *flow.Handoff
	carried bool
	// from is the site whose AssertionConfig holds for the backend, audience the app's name.
	from     *Site
	audience string
	// cleared reports whether a cookie of the gate's own is on the backend's response, discard how much more of a replaced one is thrown
	// away.
	cleared bool
	discard int64
	// start and done are the values of the two headers of the final response.
	start, done []string
}

// carriesHandoff reports whether a request goes on with a hand-off in place of an identity.
func (st *requestState) carriesHandoff() bool { return st.exchange != nil && st.exchange.carried }

// readHandoff finds out whether this request is the one that the browser's hand-off is for. It returns false if that cannot be read.
func (s *Site) readHandoff(r *http.Request, st *requestState) bool {
	flows := st.runtime.Flows
	handoff, ok := flows.ReadHandoff(st.site.Site, st.visit.Cookies.Handoff)
	if !ok || s.sentPath(r) != pathOf(handoff.Continue) {
		return true
	}
	active, err := flows.HandoffActive(r.Context(), st.site.Site, handoff)
	if err != nil {
		s.log.Warn("a hand-over could not be read", "event", "unavailable", "flow", handoff.Flow, "site", st.site.Origin, "error", err)
		return false
	}
	if active {
		st.exchange = &appExchange{handoff: &handoff}
	}
	return true
}

// sentPath returns the path as the client sent it, byte for byte.
func (s *Site) sentPath(r *http.Request) string {
	_, uri := s.host.Original(r)
	if !strings.HasPrefix(uri, "/") { // an absolute address
		u, err := url.Parse(uri)
		if err != nil {
			return ""
		}
		return u.EscapedPath()
	}
	return pathOf(uri)
}

// pathOf cuts query and fragment off.
func pathOf(uri string) string {
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		return uri[:i]
	}
	return uri
}

// prepareExchange reports whether the backend behind the site may tell the gate something in its answer to r, and prepares for it. It
// is called before the next handler may change the request.
func (s *Site) prepareExchange(r *http.Request, st *requestState) bool {
	outer := st.outer == s
	if st.exchange == nil {
		if !outer || r.Method != http.MethodPost {
			return false
		}
		st.exchange = &appExchange{}
	}
	x := st.exchange
	x.start, x.done, x.cleared, x.discard = nil, nil, false, 0
	if outer {
		x.r, x.post = r, r.Method == http.MethodPost
		x.same = web.SameOrigin(r, st.site.Origin)
		st.visit.Client = s.host.Client(r) // for the limits of a start
	}
	x.from, x.audience = s, st.site.Audience
	if !outer && !s.Assertions.Given {
		x.from = st.outer
	}
	if s.Audience != "" {
		x.audience = s.Audience
	}
	// A page of another origin acts on no hand-off. Nor does a connection that would outlive its end.
	x.carried = x.handoff != nil && x.handoff.Audience == x.audience && x.from.Assertions.Format != "" &&
		x.same && !boundary.IsUpgrade(r)
	return true
}

// setHandoff puts the assertion of the hand-off on a request.
func (s *Site) setHandoff(r *http.Request, st *requestState) error {
	x := st.exchange
	m, err := x.from.minters.of(x.audience)
	if err != nil {
		return err
	}
	text, _, err := m.Mint(identity.Identity{
		Issuer: st.site.Origin, Audience: x.audience, Subject: x.handoff.Subject, ID: x.handoff.ID,
		Email: x.handoff.Email, EmailVerified: true, AuthTime: x.handoff.AuthTime, Methods: x.handoff.Methods,
		Purpose: x.handoff.Purpose, State: x.handoff.State,
	})
	if err != nil {
		return err
	}
	s.gate.issued()
	r.Header[x.from.Assertions.Header] = []string{text}
	return nil
}

// extractHeaders removes the headers for the gate from the backend's final response. Of two sites the inner one extracts it, and the outer
// one, which writes to the client, handles it.
func (st *requestState) extractHeaders(header http.Header) {
	for _, one := range [...]struct {
		name string
		into *[]string
	}{{identity.StartHeader, &st.exchange.start}, {identity.DoneHeader, &st.exchange.done}} {
		if values, ok := header[one.name]; ok {
			*one.into = values
			delete(header, one.name)
		}
	}
}

// warnIgnored logs that the backend has sent a header for the gate where it is ignored. It may be called on a goroutine of
// the transport. code is 0 for a trailer.
func (st *requestState) warnIgnored(name string, code int) {
	trailer := strings.HasPrefix(name, http.TrailerPrefix)
	name = strings.TrimPrefix(name, http.TrailerPrefix)
	if name != identity.StartHeader && name != identity.DoneHeader {
		return
	}
	switch {
	case trailer || code == 0:
		st.warnRejected(name, "trailer", "it came in a trailer, and belongs in the header of the answer")
	case code < http.StatusOK:
		st.warnRejected(name, "informational", fmt.Sprintf("it came on a %d, and belongs on the final answer", code))
	case name == identity.DoneHeader:
		st.warnRejected(name, "no_handover", "the request carried no hand-over")
	default:
		st.warnRejected(name, "method", "the request was no POST: a page that is only looked at sends no mail")
	}
}

// warnRejected logs once in a while for each reason and site, not for each request.
func (st *requestState) warnRejected(name, reason, words string) {
	if !st.outer.gate.rejected.Allow(st.runtime.Clock.Now(), name+" "+reason+" "+st.site.Origin) {
		return
	}
	st.outer.log.Warn(name+" was removed and not obeyed: "+words, "event", "app", "outcome", "refused", "reason", reason, "site", st.site.Origin)
}

// handleExchange does what the backend has told the gate, and reports whether that took the place of its answer.
func (st *requestState) handleExchange(w *responseWriter, code int) bool {
	if st.exchange.done != nil {
		st.handleDone(w)
	}
	if st.exchange.start == nil {
		return false
	}
	x := st.exchange
	in, locale, err := st.readStart(code)
	if err != nil {
		refusal := &identity.StartError{Reason: "sign_key", Words: err.Error()}
		_ = errors.As(err, &refusal)
		st.warnRejected(identity.StartHeader, refusal.Reason, refusal.Words)
		return false
	}
	result, err := st.runtime.Pages.Start(x.r, st.visit, in, locale)
	if errors.Is(err, flow.ErrReplayed) {
		st.warnRejected(identity.StartHeader, "replayed", "it has been obeyed before: each one needs a jti of its own")
		return false
	}
	length, known := strconv.Atoi(w.ResponseWriter.Header().Get("Content-Length"))
	empty := code == http.StatusNoContent || code == http.StatusNotModified
	x.discard = maxDiscard
	w.replace(func(rw http.ResponseWriter) {
		st.runtime.Pages.Answer(st.outer.host.OwnAnswer(rw), x.r, st.visit, result, err)
	}, "Set-Cookie")
	if !empty && (known != nil || length > maxDiscard) {
		panic(http.ErrAbortHandler) // a body that may be long, or endless, is not waited for; run recovers
	}
	return true
}

// discards reports whether n more bytes of a replaced answer are thrown away.
func (x *appExchange) discards(n int64) bool {
	x.discard -= n
	return x.discard >= 0
}

// handleDone does what Email-Link-Done asks for: the app has done what the flow was for.
func (st *requestState) handleDone(w *responseWriter) {
	x := st.exchange
	switch {
	case !x.carried:
		st.warnRejected(identity.DoneHeader, "no_handover", "the request carried no hand-over")
		return
	case len(x.done) != 1:
		st.warnRejected(identity.DoneHeader, "doubled", "it came more than once")
		return
	case strings.TrimSpace(x.done[0]) != x.handoff.ID:
		st.warnRejected(identity.DoneHeader, "jti", "it is not the jti of the assertion that the request carried")
		return
	}
	if err := st.runtime.Pages.FinishHandoff(w.ResponseWriter, x.r, st.visit, *x.handoff); err != nil {
		// The cookie stays, so the app is told again, and says again that it is done.
		st.outer.log.Error("the end of a hand-over could not be stored", "event", "unavailable", "flow", x.handoff.Flow, "site", st.site.Origin, "error", err)
		return
	}
	x.cleared = true
}

// readStart validates what the backend has told the gate. The error is for the operator.
func (st *requestState) readStart(code int) (in flow.StartInput, locale string, err error) {
	x := st.exchange
	refuse := func(reason, words string) error { return &identity.StartError{Reason: reason, Words: words} }
	switch {
	case !x.post:
		return in, "", refuse("method", "the request was no POST: a page that is only looked at sends no mail")
	case !x.same:
		return in, "", refuse("cross_origin", "the POST came from a page of another site, or Origin and Sec-Fetch-Site do not say that it came from "+st.site.Origin)
	case len(x.start) != 1:
		return in, "", refuse("doubled", "it came more than once")
	case code >= http.StatusInternalServerError:
		return in, "", refuse("failed", fmt.Sprintf("the answer was a %d: an app that has failed starts nothing", code))
	case x.from.Assertions.Format == "":
		return in, "", refuse("format", "with 'identity { format none }' there is no assertion that the flow could come back in")
	}
	s, err := identity.VerifyStart(x.start[0], x.from.minters.signKeys(x.audience), x.audience, st.site.Origin, st.runtime.Clock.Wall())
	if err != nil {
		return in, "", err
	}
	if s.Continue == "" {
		s.Continue = "/"
	}
	if to := boundary.ReturnTo(s.Continue, st.site.Prefix); to != s.Continue {
		return in, "", refuse("continue", fmt.Sprintf("continue is %q; it is a path of this site outside %s, written as a browser sends it", pathOf(s.Continue), st.site.Prefix))
	}
	if !s.NoAccount && st.principal == nil && st.outer.closed(x.r, s.Continue) {
		return in, "", refuse("closed", fmt.Sprintf("continue is %q, which needs somebody who is signed in at the gate, and a hand-over signs nobody in: write 'optional', or 'public %s'", pathOf(s.Continue), pathOf(s.Continue)))
	}
	return flow.StartInput{
		Audience: s.Audience, ID: s.ID, Expiry: s.Expiry, Purpose: s.Purpose, Email: s.Email, Subject: s.Subject, State: s.State,
		Continue: s.Continue, NoAccount: s.NoAccount,
	}, s.Locale, nil
}

// closed reports whether a path needs a session of the gate, for a browser that is led there.
func (s *Site) closed(r *http.Request, path string) bool {
	u, err := url.Parse(path)
	if err != nil {
		return true
	}
	seen := *r
	seen.Method, seen.URL, seen.RequestURI = http.MethodGet, u, path
	need, err := s.Access.Need(&seen)
	return need != NeedNothing || err != nil
}
