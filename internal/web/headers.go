package web

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// fixedHeaders are what every answer of ours carries, beside the policy of its content and Vary.
var fixedHeaders = [...][2]string{
	{"X-Frame-Options", "DENY"},
	{"X-Content-Type-Options", "nosniff"},
	// no-cache is for w3m, which shows a page again that is not to be stored.
	{"Cache-Control", "no-cache, no-store, no-transform"},
	// no-referrer would make the Origin of our own forms null, same-origin would write our query strings into our own log.
	{"Referrer-Policy", "strict-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"X-Robots-Tag", "noindex"},
	{hsts, "max-age=31536000"}, // the last one: over https only, and where the site has none that lasts longer
}

const hsts = "Strict-Transport-Security"

// headerValues holds the values of one answer. They are not shared between answers: the directive `header` edits values in
// place.
type headerValues [len(fixedHeaders) + 4]string

// setHeaders sets what every answer of ours carries.
func (x *exchange) setHeaders() {
	h := x.w.Header()
	fixed := fixedHeaders[:]
	if x.Site == nil || !x.Site.Secure {
		fixed = fixed[:len(fixed)-1]
	}
	for i, one := range fixed {
		if one[0] != hsts || !boundary.KeepHSTS(h[hsts], one[1]) {
			x.set(h, i, one[0], one[1])
		}
	}
	x.set(h, len(fixedHeaders), "Content-Security-Policy", contentPolicy(x.Site))
	const vary = "Accept, Accept-Language, Cookie"
	if before := h["Vary"]; len(before) > 0 {
		h["Vary"] = append(before, vary)
		return
	}
	x.set(h, len(fixedHeaders)+1, "Vary", vary)
}

// setScriptHeaders sets what the answer carries that a script gets in place of a page: what protects the few lines of JSON that it is,
// in fewer than nine headers, since a map of more costs twice as much. What the others do is done, or has no object: a policy
// without frames instead of X-Frame-Options, no-store instead of Vary; nothing opens another window or leads anywhere, and no
// search engine keeps a 401.
func (x *exchange) setScriptHeaders() {
	h := x.w.Header()
	for i, one := range fixedHeaders {
		switch one[0] {
		case "X-Content-Type-Options", "Cache-Control", "Cross-Origin-Resource-Policy":
			x.set(h, i, one[0], one[1])
		case hsts:
			if x.Site != nil && x.Site.Secure && !boundary.KeepHSTS(h[hsts], one[1]) {
				x.set(h, i, one[0], one[1])
			}
		}
	}
	x.set(h, len(fixedHeaders), "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
}

// set sets a header, whose name is in its canonical form, to the value that is kept at a place of its own.
func (x *exchange) set(h http.Header, place int, name, value string) {
	x.values[place] = value
	h[name] = x.values[place : place+1 : place+1]
}

// setType sets the type of the content.
func (x *exchange) setType(contentType string) {
	x.set(x.w.Header(), len(x.values)-1, "Content-Type", contentType)
}

// setLanguage sets the language of the words in the content.
func (x *exchange) setLanguage() {
	x.set(x.w.Header(), len(x.values)-2, "Content-Language", x.language)
}

// contentPolicy lists the origins of FormActions because Chromium applies form-action to each redirect after a POST.
func contentPolicy(s *Site) string {
	const before, after = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'", "; frame-ancestors 'none'; base-uri 'none'"
	if s == nil || len(s.FormActions) == 0 {
		return before + after
	}
	return before + " " + strings.Join(s.FormActions, " ") + after
}

// asset serves the stylesheet, the scripts and the files of the site's look. Their names change with their content.
func (x *exchange) asset(name string) {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.methodNotAllowed(false)
		return
	}
	content, contentType, found := x.Templates.Asset(name)
	if !found && x.Site != nil {
		var f File
		if f, found = x.Site.Brand.file(name); !found && x.isPortal() {
			f, found = x.Site.Portal.file(name)
		}
		content, contentType = f.Content, f.Type
	}
	if !found {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	// An SVG opened on its own is a document: it gets no more rights than a picture. A sandbox would keep a worker from starting.
	policy := "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
	if strings.HasPrefix(contentType, "text/javascript") {
		policy = "default-src 'none'; frame-ancestors 'none'"
	}
	h.Set("Content-Security-Policy", policy)
	h.Del("Vary")
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write(content)
	}
}

// mediaType returns the lower-case media type of a header value, empty when it is malformed.
func mediaType(value string) string {
	t, _, err := mime.ParseMediaType(value)
	if err != nil {
		return ""
	}
	return t
}

// prefersJSON reports whether an answer should be JSON: Accept names it, and no page before it; or Accept says nothing and the
// request itself is JSON.
func prefersJSON(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		switch mediaType(part) {
		case "application/json", "application/problem+json":
			return true
		case "text/html", "application/xhtml+xml":
			return false
		}
	}
	return mediaType(h.Get("Content-Type")) == "application/json"
}
