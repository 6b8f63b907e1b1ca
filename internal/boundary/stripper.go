package boundary

import (
	"io"
	"net/http"
	"slices"
	"strings"
)

// ourFamily is the family of all header names of our own.
const ourFamily = "Email-Link*"

// HealthHeader marks an answer of /health as the gate's own: other programs answer 200 at any path.
const HealthHeader = "Email-Link-Health"

// AnswerHeader is what an answer of /health has for the nonce of the question: by it a gate knows itself at another address.
const AnswerHeader = "Email-Link-Answer"

// Rules say which headers a Stripper removes beside those of the gate itself.
type Rules struct {
	// Own are names that handlers of the configuration set. They are removed from requests and from answers.
	Own []string
	// Client are known headers, or families with a * at their end, that clients may send.
	Client []string
	// Methods removes the headers by which a client has an app treat a request as one by another method.
	Methods bool
}

// Stripper removes header names that only the gate, or only a proxy, may set. It is immutable and safe for concurrent use.
type Stripper struct {
	// request knows our names and the known headers, response ours and what sets or clears cookies.
	request, response names
}

// NewStripper returns a Stripper by rules. Names are compared in any spelling. Everything that begins with Email-Link is ours in
// any case.
func NewStripper(rules Rules) *Stripper {
	s := &Stripper{}
	for _, n := range []*names{&s.request, &s.response} {
		n.add(ourFamily, covered)
		for _, name := range rules.Own {
			n.add(name, covered)
		}
		n.add("Connection", lists)
		n.add("Trailer", lists)
	}
	s.response.add("Set-Cookie", setters)
	s.response.add("Clear-Site-Data", clearers)
	for _, name := range rules.Client {
		s.request.add(name, other)
	}
	for _, k := range KnownHeaders() {
		switch {
		case k.Kind == ProxyHeader:
			s.request.add(k.Name, proxied)
		case k.Kind == IdentityHeader || rules.Methods:
			s.request.add(k.Name, covered)
		}
	}
	return s
}

// Request removes from a request's header and trailer what a backend would take for the gate's word: our names and the known
// headers, in any spelling. It also removes them from the lists in Connection, by which a client could have reverse_proxy
// delete what the gate sets, and in Trailer. Either argument may be nil. With fromProxy the request comes from a trusted proxy,
// and what proxies add to a header stays.
//
// The trailer is filled only while the body is read: see Body.
func (s *Stripper) Request(header, trailer http.Header, fromProxy bool) {
	s.request.strip(header, false, fromProxy)
	if trailer != nil {
		s.request.strip(trailer, false, false)
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
		b.stripper.Request(nil, b.request.Trailer, false)
	}
	return n, err
}

func (b *strippedBody) Close() error {
	err := b.ReadCloser.Close() // may read on to the trailers
	b.stripper.Request(nil, b.request.Trailer, false)
	return err
}

// Response removes from a backend's answer what only the gate may say to a client: our names, also as trailers of either
// kind and in the list in Trailer, cookies of ours, and the order to forget all cookies. Call it before each WriteHeader,
// that of a 1xx included, and once more when the handler has returned. It returns a name of ours that was there, "" where
// there was none.
func (s *Stripper) Response(header http.Header) (removed string) {
	return s.response.strip(header, true, false)
}

// Names removes from an answer all that Response removes but for cookies: for one that has a cookie of our own on it.
func (s *Stripper) Names(header http.Header) { s.response.strip(header, false, false) }

// strip deletes covered names, and proxied ones unless keepProxied is set, and takes both out of lists of names. With cookies it
// also takes out what would set or clear ours. It returns a name that it has deleted.
func (n *names) strip(header http.Header, cookies, keepProxied bool) (removed string) {
	for name, values := range header {
		switch k := n.of(strings.TrimPrefix(name, http.TrailerPrefix)); k {
		case covered, proxied:
			if k == proxied && keepProxied {
				continue
			}
			delete(header, name)
			removed = name
		case lists:
			if remaining, changed := n.dropTokens(values); changed {
				replace(header, name, remaining)
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
func (n *names) dropTokens(values []string) (remaining []string, changed bool) {
	drop := func(token string) bool { k := n.of(token); return k == covered || k == proxied }
	for i, value := range values {
		rest, found := value, false
		for more := true; more && !found; {
			var token string
			token, rest, more = strings.Cut(rest, ",")
			found = drop(token)
		}
		if !found {
			if changed {
				remaining = append(remaining, value)
			}
			continue
		}
		if !changed {
			remaining, changed = slices.Clone(values[:i]), true
		}
		tokens := slices.DeleteFunc(strings.Split(value, ","), drop)
		if value = strings.TrimSpace(strings.Join(tokens, ",")); value != "" {
			remaining = append(remaining, value)
		}
	}
	return remaining, changed
}

// replace sets values, or deletes the name when there are none.
func replace(header http.Header, name string, values []string) {
	if len(values) == 0 {
		delete(header, name)
		return
	}
	header[name] = values
}
