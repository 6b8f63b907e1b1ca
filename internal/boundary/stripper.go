package boundary

import (
	"io"
	"net/http"
	"slices"
	"strings"
)

// ourFamily is what all header names of our own begin with, folded.
const ourFamily = "emaillink"

// trustNames are headers, folded, by which a proxy tells a backend who somebody is, and which no client sends for reasons of
// its own: those of Apache and Authelia (Remote-*), oauth2-proxy (X-Forwarded-*), Kubernetes (X-Remote-*), Cloudflare Access,
// AWS load balancers, Kong and caddy-security. X-Original-URL and X-Rewrite-URL tell some frameworks (those that ran behind IIS)
// to serve another path than the one that was judged. Left alone on purpose:
//   - what a proxy in front may rightly say about the connection (X-Forwarded-For, -Host, -Proto, X-Real-IP, client
//     certificates);
//   - what is signed and verified by the app (Cf-Access-Jwt-Assertion, X-Goog-Iap-Jwt-Assertion, X-Amzn-Oidc-Data,
//     X-Pomerium-Jwt-Assertion);
//   - what clients of some apps send as credentials (X-Auth-User and X-Auth-Token of OpenStack and Rocket.Chat, X-User-Id).
var trustNames = []string{
	"remoteuser", "remotename", "remoteemail", "remotegroup", "remotegroups", "remoterole", "remoteroles",
	"xremoteuser", "xremotename", "xremoteemail", "xremotegroup", "xremotegroups", "xremoteuid",
	"xforwardeduser", "xforwardedusername", "xforwardedemail", "xforwardedgroup", "xforwardedgroups",
	"xforwardedpreferredusername", "xforwardedaccesstoken",
	"cfaccessauthenticateduseremail", "xamznoidcidentity",
	"xoriginalurl", "xrewriteurl",
	"xconsumerid", "xconsumerusername", "xconsumercustomid", "xconsumergroups", "xcredentialidentifier", "xtokensubject",
}

// trustFamilies are beginnings of such names, folded: oauth2-proxy under nginx, Grafana and others, Kubernetes, authentik,
// Vouch, Pomerium, Azure, Google's IAP, Tailscale, Kong and caddy-security.
var trustFamilies = []string{
	"xauthrequest", "xwebauth", "xremoteextra", "xauthentik", "xvouch", "xpomeriumclaim", "xmsclientprincipal",
	"xgoogauthenticateduser", "tailscaleuser", "xauthenticated", "xtokenuser",
}

// Stripper removes header names that only the gate may set. It is immutable and safe for concurrent use.
type Stripper struct {
	names map[string]bool // folded; true for ours, false for known trust headers
	// begins marks the first two letters or digits of what is looked for, so that most other names need not be folded.
	begins [128][128]bool
}

// NewStripper returns a Stripper for the names that a site's configuration sets, in any spelling. Everything that begins with
// Email-Link is ours in any case.
func NewStripper(ours []string) *Stripper {
	s := &Stripper{names: make(map[string]bool, len(ours)+len(trustNames))}
	for _, name := range trustNames {
		s.names[name] = false
	}
	for _, name := range ours {
		if folded := Fold(name); folded != "" {
			s.names[folded] = true
		}
	}
	for name := range s.names {
		s.mark(name)
	}
	for _, name := range append([]string{ourFamily, "connection", "trailer"}, trustFamilies...) {
		s.mark(name)
	}
	return s
}

func (s *Stripper) mark(folded string) {
	if len(folded) == 1 {
		s.begins[folded[0]][0] = true
		return
	}
	s.begins[folded[0]][folded[1]] = true
}

// mayCover judges a name by its first two letters or digits. A TrailerPrefix begins as "trailer" does.
func (s *Stripper) mayCover(name string) bool {
	var first byte
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			continue
		}
		if first != 0 {
			return s.begins[first][c]
		}
		first = c
	}
	return s.begins[first][0]
}

// Request removes from a request's header and trailer what a backend would take for the gate's word: our names and the known
// trust headers, in any spelling. It also removes them from the lists in Connection, by which a client could have
// reverse_proxy delete what the gate sets, and in Trailer. Either argument may be nil.
//
// The trailer is filled only while the body is read: see Body.
func (s *Stripper) Request(header, trailer http.Header) {
	s.strip(header, true)
	s.strip(trailer, true)
}

// Body makes sure that trailers which arrive behind a body are stripped, announced or not, in the same Read that ends the
// body and so before anybody can forward them. Call it on the request that goes on to the next handler.
func (s *Stripper) Body(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && r.Trailer == nil {
		return // without chunks or streams there are no trailers
	}
	r.Body = &strippedBody{ReadCloser: r.Body, stripper: s, request: r}
}

type strippedBody struct {
	io.ReadCloser
	stripper *Stripper
	request  *http.Request
}

func (b *strippedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.stripper.Request(nil, b.request.Trailer)
	}
	return n, err
}

func (b *strippedBody) Close() error {
	err := b.ReadCloser.Close() // may read on to the trailers
	b.stripper.Request(nil, b.request.Trailer)
	return err
}

// Response removes from a backend's answer what only the gate may say to a client: our names, also as trailers of either
// kind and in the list in Trailer, cookies of ours, and the order to forget all cookies. Call it before each WriteHeader,
// that of a 1xx included, and once more when the handler has returned. It returns a name of ours that was there, "" where
// there was none.
func (s *Stripper) Response(header http.Header) (removed string) {
	removed = s.strip(header, false)
	if values := header["Set-Cookie"]; slices.ContainsFunc(values, setsOurs) {
		replace(header, "Set-Cookie", slices.DeleteFunc(slices.Clone(values), setsOurs))
	}
	if values, ok := header["Clear-Site-Data"]; ok {
		replace(header, "Clear-Site-Data", keepCookies(values))
	}
	return removed
}

// Names removes from an answer all that Response removes but for cookies: for one that has a cookie of our own on it.
func (s *Stripper) Names(header http.Header) { s.strip(header, false) }

// strip deletes names and takes them out of lists of names: ours, and with trust the known trust headers. It returns one that
// it has deleted.
func (s *Stripper) strip(header http.Header, trust bool) (removed string) {
	var buf foldBuffer
	for name, values := range header {
		if !s.mayCover(name) {
			continue
		}
		folded := fold(&buf, strings.TrimPrefix(name, http.TrailerPrefix))
		switch {
		case s.covers(folded, trust):
			delete(header, name)
			removed = name
		case string(folded) == "connection", string(folded) == "trailer":
			if kept, changed := s.dropTokens(values, trust); changed {
				replace(header, name, kept)
			}
		}
	}
	return removed
}

// covers says whether a folded name is ours or, with trust, a known trust header.
func (s *Stripper) covers(folded []byte, trust bool) bool {
	ours, listed := s.names[string(folded)]
	if ours || hasPrefix(folded, ourFamily) {
		return true
	}
	if listed || !trust {
		return listed && trust
	}
	for _, family := range trustFamilies {
		if hasPrefix(folded, family) {
			return true
		}
	}
	return false
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// dropTokens takes names out of comma-separated lists. Lists without such a name stay as they are.
func (s *Stripper) dropTokens(values []string, trust bool) (kept []string, changed bool) {
	drop := func(token string) bool {
		var buf foldBuffer
		return s.covers(fold(&buf, token), trust)
	}
	for i, value := range values {
		rest, found := value, false
		for more := true; more && !found; {
			var token string
			token, rest, more = strings.Cut(rest, ",")
			found = drop(token)
		}
		if !found {
			if changed {
				kept = append(kept, value)
			}
			continue
		}
		if !changed {
			kept, changed = slices.Clone(values[:i]), true
		}
		tokens := slices.DeleteFunc(strings.Split(value, ","), drop)
		if value = strings.TrimSpace(strings.Join(tokens, ",")); value != "" {
			kept = append(kept, value)
		}
	}
	return kept, changed
}

// replace sets values, or deletes the name when there are none.
func replace(header http.Header, name string, values []string) {
	if len(values) == 0 {
		delete(header, name)
		return
	}
	header[name] = values
}
