package boundary

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Forwarded is a request as a proxy describes it that asks whether the request may pass (forward-auth).
type Forwarded struct {
	// Method, Proto ("http" or "https") and Host are those of the client's request, Host as the proxy sent it.
	Method, Proto, Host string
	// URI is its path and query as the client has sent them, URL the same, parsed.
	URI string
	URL *url.URL
}

// ReadForwarded reads X-Forwarded-Method, -Proto, -Host and -Uri. Each has to be there exactly once: a second one, or one that
// a proxy has not set, may be the client's own. So X-Original-URI and X-Original-Method, which other proxies set, have to say
// the same where they are there at all. Errors name the header and never what it holds.
func ReadForwarded(h http.Header) (Forwarded, error) {
	var f Forwarded
	for _, one := range []struct {
		name, original string
		into           *string
	}{
		{"X-Forwarded-Method", "X-Original-Method", &f.Method},
		{"X-Forwarded-Proto", "", &f.Proto},
		{"X-Forwarded-Host", "", &f.Host},
		{"X-Forwarded-Uri", "X-Original-Uri", &f.URI},
	} {
		values := h[one.name]
		if len(values) != 1 || values[0] == "" {
			return Forwarded{}, fmt.Errorf("%s is there %d times instead of once, or empty", one.name, len(values))
		}
		*one.into = values[0]
		for _, original := range h[one.original] {
			if original != values[0] {
				return Forwarded{}, fmt.Errorf("%s differs from %s", one.original, one.name)
			}
		}
	}
	// A method is a token, as names of headers are. What the gate answers with 405 goes to no backend here either.
	if !httpguts.ValidHeaderFieldName(f.Method) || f.Method == http.MethodTrace || f.Method == http.MethodConnect {
		return Forwarded{}, errors.New("X-Forwarded-Method is none that can pass")
	}
	if f.Proto != "http" && f.Proto != "https" {
		return Forwarded{}, errors.New("X-Forwarded-Proto is neither http nor https")
	}
	var err error
	if f.URL, err = url.ParseRequestURI(f.URI); err != nil || !strings.HasPrefix(f.URI, "/") {
		return Forwarded{}, errors.New("X-Forwarded-Uri is not a path with a query")
	}
	// Where a byte belongs into no path, package url forgets how the others were escaped, and a slash that was is one like any other.
	// So such a byte is escaped here, and the client's own escapes are judged.
	if path, _, _ := strings.Cut(f.URI, "?"); f.URL.EscapedPath() != path {
		f.URL.RawPath = escape(path)
	}
	return f, nil
}

// Forget removes the headers that ReadForwarded reads: what is left is the client's request.
func (Forwarded) Forget(h http.Header) {
	for _, name := range [...]string{
		"X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Method",
	} {
		delete(h, name)
	}
}
