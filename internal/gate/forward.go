package gate

import (
	"net/http"
	"net/netip"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// forward hands a request to the next handler, on behalf of a principal or as an anonymous one.
func (s *Site) forward(w http.ResponseWriter, r *http.Request, next Handler, st *requestState, p principal) error {
	own := &st.buffers
	if own.writer.strip != nil {
		own = new(buffers) // a site before this one has used them, and its handlers may be at work
	}
	rw := &own.writer
	rw.ResponseWriter, rw.strip, rw.request, rw.outer = w, s.Stripper, st, st.outer == s
	st.withheld = p == nil
	rw.extracts = s.prepareExchange(r, st)
	if st.carriesHandoff() {
		p = nil // the app gets what it has started, and not who is signed in here
	}
	if st.outer != s && p == nil {
		st.outer.Stripper.Request(r.Header, nil, s.host.TrustedProxy(s.host.Vars(r))) // what the outer one has put on
	}
	if st.carriesHandoff() {
		if err := s.setHandoff(r, st); err != nil {
			s.log.Error("an assertion could not be made", "event", "unavailable", "flow", st.exchange.handoff.Flow, "site", st.site.Origin, "error", err)
			return s.refuse(w, r, st, web.Unavailable)
		}
	}
	if st.outer == s {
		s.host.Placeholders(r, st.placeholder)
	}
	if p != nil {
		if err := s.setIdentity(r, st, p, &own.assertion); err != nil {
			s.log.Error("an assertion could not be made", "event", "unavailable", "account", p.account().ID, "site", st.site.Origin, "error", err)
			return s.refuse(w, r, st, web.Unavailable)
		}
		own.bound = boundRequest{s, st, r}
		rw.bound = &own.bound
		if st.outer == s { // else the outer one has begun it
			own.flight.begin(st, &own.bound, w, r)
			defer own.flight.end(st)
		}
	}
	return rw.run(next, r)
}

// run calls the next handler. When its response was replaced, the error that it returns is the gate's own doing.
func (w *responseWriter) run(next Handler, r *http.Request) (err error) {
	defer func() {
		if w.phase == replaced {
			if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				panic(v)
			}
			err = nil
		}
		w.finish()
	}()
	err = next.ServeHTTP(w, r)
	if w.phase == fresh && w.ended() {
		// Nothing has been written: a pending answer that was cancelled with its session.
		w.replace(w.bound.refuse)
	}
	return err
}

// PassOpen lets a request go on as an anonymous one, whatever it asks for. Forged identity headers and all that is the gate's own are
// removed from it and from its response. Of the site it needs the Stripper alone, and no gate that has started.
func (s *Site) PassOpen(w http.ResponseWriter, r *http.Request, next Handler, trustedProxy bool) error {
	boundary.ExtractToken(r.Header)
	boundary.ExtractCookies(r.Header, true)
	s.Stripper.Request(r.Header, r.Trailer, trustedProxy)
	s.Stripper.Body(r)
	boundary.DropHTTPUpgrade(r.Header)
	return (&responseWriter{ResponseWriter: w, strip: s.Stripper}).run(next, r)
}

// anonymous returns the visit of a client whose session has ended.
func (s *Site) anonymous(st *requestState, r *http.Request) web.Visit {
	v := st.visit
	v.Live, v.Token = nil, nil
	if v.URI == "" {
		v.URI = s.sentURI(r)
	}
	return v
}

// asFetch returns a request to which the answer is a plain 401, never a redirect.
func asFetch(r *http.Request) *http.Request {
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header["Sec-Fetch-Mode"] = []string{"cors"}
	return &plain
}

// noAccount is what the placeholders show where there is no identity: a name that nothing answers would go on as it is written.
var noAccount accounts.Account

// placeholder returns the value of {http.auth.user.…}.
func (st *requestState) placeholder(name string) (any, bool) {
	if st.withheld || st.carriesHandoff() {
		return user{&noAccount}.placeholders(name)
	}
	return user{st.principal.account()}.placeholders(name)
}

// NetworkOf names the network of a client for the log.
func NetworkOf(addr netip.Addr) string {
	if prefix := boundary.Network(addr); prefix.IsValid() {
		return prefix.String()
	}
	return "unknown"
}
