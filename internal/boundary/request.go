package boundary

import (
	"net/http"
	"strings"
)

// IsUpgrade reports whether a request asks for another protocol: an Upgrade header (HTTP/1.1), or CONNECT with a protocol, which
// net/http hands on as the header ":protocol" (HTTP/2, RFC 8441) or in Proto (HTTP/3, RFC 9220).
//
// A proxy that asks about a request by forward auth may leave Upgrade out of its question, since the header is hop-by-hop
// (Traefik does), and still hand it to the app. The headers of a WebSocket handshake (RFC 6455 section 4.1) and the fetch mode are
// end-to-end and no page can suppress them, so each of them counts as well.
func IsUpgrade(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return len(r.Header[":protocol"]) > 0 || r.ProtoMajor == 3 && !strings.HasPrefix(r.Proto, "HTTP/")
	}
	h := r.Header
	if len(h["Upgrade"]) > 0 || len(h["Sec-Websocket-Key"]) > 0 || len(h["Sec-Websocket-Version"]) > 0 {
		return true
	}
	for _, mode := range h["Sec-Fetch-Mode"] {
		if len(mode) == len("websocket") && strings.EqualFold(mode, "websocket") {
			return true
		}
	}
	return false
}

// DropHTTPUpgrade removes an Upgrade that offers to go on in another form of HTTP: h2c, another version, or TLS. What follows
// the answer 101 passes through a proxy unread, so a client that may upgrade to HTTP on any path reaches every other one, with
// headers of its own. No client depends on it (RFC 9113 section 3.1 obsoletes h2c by Upgrade), and a server may ignore any offer.
// Other protocols, such as websocket, stay as they are. HTTP2-Settings accompanies such an offer and nothing else (RFC 7540
// section 3.2.1), so it counts as one even where a proxy has removed Upgrade. It reports whether there was such an offer.
func DropHTTPUpgrade(header http.Header) (dropped bool) {
	if _, ok := header["Http2-Settings"]; ok {
		delete(header, "Http2-Settings")
		dropped = true
	}
	for _, offer := range header["Upgrade"] {
		for protocol := range strings.SplitSeq(strings.ToLower(offer), ",") {
			protocol = trimSpace(protocol)
			for _, form := range [...]string{"h2", "h3", "http", "tls"} {
				if strings.HasPrefix(protocol, form) {
					delete(header, "Upgrade")
					return true
				}
			}
		}
	}
	return dropped
}

// SameOriginUpgrade reports whether an upgrade comes from a page of origin (scheme://host[:port], lower case, no default port):
// it has exactly one Origin, and it is that one. Browsers send it with every WebSocket, and check nothing themselves.
func SameOriginUpgrade(r *http.Request, origin string) bool {
	got := r.Header["Origin"]
	return origin != "" && len(got) == 1 && strings.EqualFold(got[0], origin)
}

// IsNavigation reports whether a redirect to sign-in is the answer to an anonymous request: a GET that a person follows, by
// Sec-Fetch-Mode, or where a browser does not send that, one whose Accept names text/html first and that no script marked.
func IsNavigation(r *http.Request) bool {
	if r.Method != http.MethodGet || IsUpgrade(r) {
		return false
	}
	if mode, ok := r.Header["Sec-Fetch-Mode"]; ok {
		return len(mode) == 1 && mode[0] == "navigate"
	}
	if _, ok := r.Header["X-Requested-With"]; ok {
		return false
	}
	first, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	first, _, _ = strings.Cut(first, ";")
	return strings.EqualFold(trimSpace(first), "text/html")
}

// IsServiceWorkerScript reports whether a browser asks for the script of a service worker (Service Workers, section "Update"). Any page
// and any program can send the same header.
func IsServiceWorkerScript(r *http.Request) bool {
	value := r.Header["Service-Worker"]
	return len(value) > 0 && strings.EqualFold(value[0], "script")
}

// IsPrefetch reports whether a request marks itself as made ahead of a person's visit, in any of the ways browsers have had.
func IsPrefetch(r *http.Request) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if _, ok := r.Header[name]; ok {
			return true
		}
	}
	return false
}

// IsFramed reports whether a browser opens a page inside another one.
func IsFramed(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return true
	}
	return false
}

// OneClickHeaders holds the part of the one-click rule that headers tell: a GET by which a person goes to a page, and nothing
// ahead of that. A navigation that an app's service worker passes on keeps its mode and loses its destination (Fetch, "HTTP-network-or-cache
// fetch"); no script can make a request of that mode (Fetch, "new Request"). A page in a frame has a destination of its own.
func OneClickHeaders(r *http.Request) bool {
	only := func(name, value string) bool {
		values := r.Header[name]
		return len(values) == 1 && values[0] == value
	}
	return r.Method == http.MethodGet && !IsPrefetch(r) && only("Sec-Fetch-Mode", "navigate") &&
		(only("Sec-Fetch-Dest", "document") || only("Sec-Fetch-Dest", "empty"))
}
