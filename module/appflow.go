package module

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// maxDiscard is how much of an answer is let go by whose place we have taken, in bytes. A longer one is cut off.
const maxDiscard = 64 << 10

// appTalk is what an app with users of its own and the gate say to each other in one request. There is one only where the app may
// say something: a POST, or a request that carries a hand-over.
type appTalk struct {
	// r is the request as it came to the gate; post says that it is a POST, same that it passed the cross-origin check, as one that
	// changes nothing does unless its Origin is another site.
	r          *http.Request
	post, same bool
	// handover is what this browser holds for exactly this path, nil where it holds none; carries says that the assertion of
	// this request is that.
	handover *flow.Handoff
	carries  bool
	// speaker is the handler whose identity block holds for the backend, audience the app's name.
	speaker  *Handler
	audience string
	// cleared says that a cookie of ours is on the backend's response, discard how much of a replaced one is let go by.
	cleared bool
	discard int64
	// start and done are the values of the two headers of the final response.
	start, done []string
}

// carries says whether a request goes on with a hand-over in place of an identity.
func (p *pass) carries() bool { return p.app != nil && p.app.carries }

// readHandover finds out whether this request is the one that the browser's hand-over is for. It returns false where that
// cannot be read.
func (h *Handler) readHandover(r *http.Request, p *pass) bool {
	flows := p.live.parts.Flows
	hand, ok := flows.ReadHandoff(p.site.Site, p.visit.Cookies.Handoff)
	if !ok || sentPath(r) != pathOf(hand.Continue) {
		return true
	}
	alive, err := flows.HandoffActive(r.Context(), p.site.Site, hand)
	if err != nil {
		h.log.Warn("a hand-over could not be read", "event", "unavailable", "flow", hand.Flow, "site", p.site.Origin, "error", err)
		return false
	}
	if alive {
		p.app = &appTalk{handover: &hand}
	}
	return true
}

// sentPath returns the path as the client sent it, byte for byte.
func sentPath(r *http.Request) string {
	uri := r.RequestURI
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		uri = original.RequestURI
	}
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

// talk says whether the backend behind h may say something to the gate in its answer to r, and prepares for it. It is called
// before the next handler may change the request.
func (h *Handler) talk(r *http.Request, p *pass) bool {
	first := p.outer == h
	if p.app == nil {
		if !first || r.Method != http.MethodPost {
			return false
		}
		p.app = &appTalk{}
	}
	t := p.app
	t.start, t.done, t.cleared, t.discard = nil, nil, false, 0
	if first {
		t.r, t.post = r, r.Method == http.MethodPost
		t.same = web.SameOrigin(r, p.site.Origin)
		p.visit.Client = h.app.client(r) // for the limits of a start
	}
	t.speaker, t.audience = h, p.site.Audience
	if !first && !h.identity.given {
		t.speaker = p.outer
	}
	if h.Audience != "" {
		t.audience = h.Audience
	}
	// A page of another origin acts on no hand-over. Nor does a connection that would outlive its end.
	t.carries = t.handover != nil && t.handover.Audience == t.audience && t.speaker.identity.format != "" &&
		t.same && !boundary.IsUpgrade(r)
	return true
}

// handOver puts the assertion of the hand-over on a request.
func (h *Handler) handOver(r *http.Request, p *pass) error {
	t := p.app
	m, err := t.speaker.minters.of(t.audience)
	if err != nil {
		return err
	}
	text, _, err := m.Mint(identity.Identity{
		Issuer: p.site.Origin, Audience: t.audience, Subject: t.handover.Subject, ID: t.handover.ID,
		Email: t.handover.Email, EmailVerified: true, AuthTime: t.handover.AuthTime, Methods: t.handover.Methods,
		Purpose: t.handover.Purpose, State: t.handover.State,
	})
	if err != nil {
		return err
	}
	metrics.minted.Inc()
	r.Header[t.speaker.identity.header] = []string{text}
	return nil
}

// hear takes what the backend says to the gate off its final response. Of two handlers of ours the inner one hears it, and the
// outer one, which writes to the client, obeys.
func (p *pass) hear(header http.Header) {
	for _, one := range [...]struct {
		name string
		into *[]string
	}{{identity.StartHeader, &p.app.start}, {identity.DoneHeader, &p.app.done}} {
		if values, ok := header[one.name]; ok {
			*one.into = values
			delete(header, one.name)
		}
	}
}

// unheard tells the operator that the backend has said something to the gate where it is not obeyed. It may be called on a
// goroutine of the transport. code is 0 for a trailer.
func (p *pass) unheard(name string, code int) {
	trailer := strings.HasPrefix(name, http.TrailerPrefix)
	name = strings.TrimPrefix(name, http.TrailerPrefix)
	if name != identity.StartHeader && name != identity.DoneHeader {
		return
	}
	switch {
	case trailer || code == 0:
		p.disobey(name, "trailer", "it came in a trailer, and belongs in the header of the answer")
	case code < http.StatusOK:
		p.disobey(name, "informational", fmt.Sprintf("it came on a %d, and belongs on the final answer", code))
	case name == identity.DoneHeader:
		p.disobey(name, "no_handover", "the request carried no hand-over")
	default:
		p.disobey(name, "method", "the request was no POST: a page that is only looked at sends no mail")
	}
}

// disobey tells it once in a while for each reason and site, not for each request.
func (p *pass) disobey(name, reason, words string) {
	a := p.outer.app
	if !a.quiet.may(p.live.core.Clock.Now(), name+" "+reason+" "+p.site.Origin) {
		return
	}
	p.outer.log.Warn(name+" was removed and not obeyed: "+words, "event", "app", "outcome", "refused", "reason", reason, "site", p.site.Origin)
}

// obey does what the backend has said, and says whether that took the place of its answer.
func (p *pass) obey(w *respWriter, code int) bool {
	if p.app.done != nil {
		p.finish(w)
	}
	if p.app.start == nil {
		return false
	}
	t := p.app
	in, locale, err := p.readStart(code)
	if err != nil {
		refusal := &identity.StartError{Reason: "sign_key", Words: err.Error()}
		_ = errors.As(err, &refusal)
		p.disobey(identity.StartHeader, refusal.Reason, refusal.Words)
		return false
	}
	asked, err := p.live.pages.Start(t.r, p.visit, in, locale)
	if errors.Is(err, flow.ErrReplayed) {
		p.disobey(identity.StartHeader, "replayed", "it has been obeyed before: each one needs a jti of its own")
		return false
	}
	length, known := strconv.Atoi(w.ResponseWriter.Header().Get("Content-Length"))
	empty := code == http.StatusNoContent || code == http.StatusNotModified
	t.discard = maxDiscard
	w.replace(func(rw http.ResponseWriter) { p.live.pages.Answer(ownAnswer(rw), t.r, p.visit, asked, err) }, "Set-Cookie")
	if !empty && (known != nil || length > maxDiscard) {
		panic(http.ErrAbortHandler) // a body that may be long, or endless, is not waited for; run recovers
	}
	return true
}

// discards says whether n more bytes of an answer whose place was taken are let go by.
func (t *appTalk) discards(n int64) bool {
	t.discard -= n
	return t.discard >= 0
}

// finish does what Email-Link-Done says: the app has done what the flow was for.
func (p *pass) finish(w *respWriter) {
	t := p.app
	switch {
	case !t.carries:
		p.disobey(identity.DoneHeader, "no_handover", "the request carried no hand-over")
		return
	case len(t.done) != 1:
		p.disobey(identity.DoneHeader, "doubled", "it came more than once")
		return
	case strings.TrimSpace(t.done[0]) != t.handover.ID:
		p.disobey(identity.DoneHeader, "jti", "it is not the jti of the assertion that the request carried")
		return
	}
	if err := p.live.pages.FinishHandoff(w.ResponseWriter, t.r, p.visit, *t.handover); err != nil {
		// The cookie stays, so the app is told again, and says again that it is done.
		p.outer.log.Error("the end of a hand-over could not be stored", "event", "unavailable", "flow", t.handover.Flow, "site", p.site.Origin, "error", err)
		return
	}
	t.cleared = true
}

// readStart judges what the backend has said. The error is for the operator.
func (p *pass) readStart(code int) (in flow.StartInput, locale string, err error) {
	t := p.app
	refuse := func(reason, words string) error { return &identity.StartError{Reason: reason, Words: words} }
	switch {
	case !t.post:
		return in, "", refuse("method", "the request was no POST: a page that is only looked at sends no mail")
	case !t.same:
		return in, "", refuse("cross_origin", "the POST came from a page of another site, or Origin and Sec-Fetch-Site do not say that it came from "+p.site.Origin)
	case len(t.start) != 1:
		return in, "", refuse("doubled", "it came more than once")
	case code >= http.StatusInternalServerError:
		return in, "", refuse("failed", fmt.Sprintf("the answer was a %d: an app that has failed starts nothing", code))
	case t.speaker.identity.format == "":
		return in, "", refuse("format", "with 'identity { format none }' there is no assertion that the flow could come back in")
	}
	s, err := identity.VerifyStart(t.start[0], t.speaker.minters.signKeys(t.audience), t.audience, p.site.Origin, p.live.core.Clock.Wall())
	if err != nil {
		return in, "", err
	}
	if s.Continue == "" {
		s.Continue = "/"
	}
	if to := boundary.ReturnTo(s.Continue, p.site.Prefix); to != s.Continue {
		return in, "", refuse("continue", fmt.Sprintf("continue is %q; it is a path of this site outside %s, written as a browser sends it", pathOf(s.Continue), p.site.Prefix))
	}
	if !s.NoAccount && p.sess == nil && p.outer.closed(t.r, s.Continue) {
		return in, "", refuse("closed", fmt.Sprintf("continue is %q, which needs somebody who is signed in at the gate, and a hand-over signs nobody in: write 'optional', or 'public %s'", pathOf(s.Continue), pathOf(s.Continue)))
	}
	return flow.StartInput{
		Audience: s.Audience, ID: s.ID, Expiry: s.Expiry, Purpose: s.Purpose, Email: s.Email, Subject: s.Subject, State: s.State,
		Continue: s.Continue, NoAccount: s.NoAccount,
	}, s.Locale, nil
}

// closed says whether a path needs a session of the gate, for a browser that is led there.
func (h *Handler) closed(r *http.Request, path string) bool {
	u, err := url.Parse(path)
	if err != nil {
		return true
	}
	seen := *r
	seen.Method, seen.URL, seen.RequestURI = http.MethodGet, u, path
	need, err := h.access.Need(&seen)
	return need != gate.NeedNothing || err != nil
}
