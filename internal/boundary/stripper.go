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
	// request knows our names and the known trust headers, response ours and what sets or clears cookies.
	request, response *names
}

// NewStripper returns a Stripper for the names that a site's configuration sets, in any spelling. Everything that begins with
// Email-Link is ours in any case.
func NewStripper(ours []string) *Stripper {
	both := []target{{ourFamily, true, covered}}
	for _, name := range ours {
		both = append(both, target{Fold(name), false, covered})
	}
	both = append(both, target{"connection", false, lists}, target{"trailer", false, lists})
	request := slices.Clone(both)
	for _, name := range trustNames {
		request = append(request, target{name, false, covered})
	}
	for _, family := range trustFamilies {
		request = append(request, target{family, true, covered})
	}
	response := append(both, target{"setcookie", false, setters}, target{"clearsitedata", false, clearers})
	return &Stripper{newNames(request), newNames(response)}
}

// Request removes from a request's header and trailer what a backend would take for the gate's word: our names and the known
// trust headers, in any spelling. It also removes them from the lists in Connection, by which a client could have
// reverse_proxy delete what the gate sets, and in Trailer. Either argument may be nil.
//
// The trailer is filled only while the body is read: see Body.
func (s *Stripper) Request(header, trailer http.Header) {
	s.request.strip(header, false)
	if trailer != nil {
		s.request.strip(trailer, false)
	}
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
	return s.response.strip(header, true)
}

// Names removes from an answer all that Response removes but for cookies: for one that has a cookie of our own on it.
func (s *Stripper) Names(header http.Header) { s.response.strip(header, false) }

// strip deletes covered names and takes them out of lists of names. With cookies it also takes out what would set or clear ours.
// It returns a name that it has deleted.
func (n *names) strip(header http.Header, cookies bool) (removed string) {
	for name, values := range header {
		switch n.of(strings.TrimPrefix(name, http.TrailerPrefix)) {
		case covered:
			delete(header, name)
			removed = name
		case lists:
			if kept, changed := n.dropTokens(values); changed {
				replace(header, name, kept)
			}
		case setters:
			if cookies && slices.ContainsFunc(values, setsOurs) {
				replace(header, name, slices.DeleteFunc(slices.Clone(values), setsOurs))
			}
		case clearers:
			if cookies {
				replace(header, name, keepCookies(values))
			}
		}
	}
	return removed
}

// dropTokens takes names out of comma-separated lists. Lists without such a name stay as they are.
func (n *names) dropTokens(values []string) (kept []string, changed bool) {
	drop := func(token string) bool { return n.of(token) == covered }
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
