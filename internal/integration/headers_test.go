package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"
)

// raw sends bytes as they are over a connection of their own and returns the answer.
func (w *world) raw(request string) (*http.Response, string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+w.port)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	request = strings.ReplaceAll(strings.ReplaceAll(request, "$HOST", w.host+":"+w.port), "\n", "\r\n")
	if _, err := io.WriteString(conn, request); err != nil {
		w.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatalf("reading the answer to %q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("reading the body: %v", err)
	}
	return res, string(body)
}

// cookie returns the Cookie line of a client.
func (c *client) cookie() string {
	u, err := url.Parse(c.w.origin())
	if err != nil {
		c.w.t.Fatal(err)
	}
	var pairs []string
	for _, k := range c.Jar.Cookies(u) {
		pairs = append(pairs, k.Name+"="+k.Value)
	}
	return strings.Join(pairs, "; ")
}

// forgeries are header lines by which a client tries to be somebody, or to have the real assertion removed.
var forgeries = []string{
	"Email-Link-Assertion: forged",
	"email-link-assertion: forged\nEMAIL-LINK-ASSERTION: forged",
	"Email_Link_Assertion: forged",
	"Email.Link.Assertion: forged",
	"EmailLinkAssertion: forged",
	"Email-Link-Start: forged\nEmail-Link-Done: forged",
	"Remote-User: root\nremote_user: root\nRemote-Groups: admin",
	"X-Who: forged\nx_who: forged",
	"X-Forwarded-User: root\nX-Forwarded-Email: root@example.com\nX-Auth-Request-Email: root@example.com",
	"Connection: Email-Link-Assertion, X-Who, Remote-User",
	"Connection: keep-alive, email-link-assertion\nConnection: x-who",
	"Connection: close, Email-Link-Assertion\nEmail-Link-Assertion: forged",
	"Connection: email-link-assertion, keep-alive\nConnection: EMAIL-LINK-ASSERTION,,\tx-who ,remote-user",
	"Connection: upgrade, email-link-assertion, remote-user\nKeep-Alive: timeout=5\nProxy-Connection: email-link-assertion",
	"Te: trailers\nConnection: te, email-link-assertion\nEmail-Link-Assertion: forged",
	strings.Repeat("Email-Link-Assertion: forged\nRemote-User: root\n", 100),
	"Email-Link-Assertion:\nRemote-User:\nX-Who:",
	"email-LINK-assertion:forged\nrEMOTE-uSER:root\nx-WHO:\tforged",
}

// broken are header lines that are no HTTP: folded, with space before the colon, with line ends of another kind.
var broken = []string{
	"X-Fold: a\n Email-Link-Assertion: forged\n\tRemote-User: root",
	"Email-Link-Assertion:\n forged\nX-Who:\n\tforged",
	"Email-Link-Assertion : forged\nRemote-User\t: root",
	" Email-Link-Assertion: forged",
	"X-Sum: a\rEmail-Link-Assertion: forged\rRemote-User: root",
	"X-Sum: a\x00\nEmail-Link-Assertion\x00: forged",
	"Email\u2010Link\u2010Assertion: forged\nRemote\xadUser: root",
	": forged\nEmail-Link-Assertion: forged",
}

// TestHDR1_BrokenHeaders sends headers that servers read in different ways: a request is refused, or arrives clean.
func TestHDR1_BrokenHeaders(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "public /open/*\nheaders {\n Remote-User {http.auth.user.email}\n X-Who {http.auth.user.id}\n}"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for _, lines := range broken {
		for _, rest := range []string{
			"GET /app HTTP/1.1\nHost: $HOST\nCookie: " + c.cookie() + "\n" + lines + "\nConnection: close\n\n",
			"GET /app HTTP/1.1\n" + lines + "\nHost: $HOST\nCookie: " + c.cookie() + "\nConnection: close\n\n",
			"GET /open/x HTTP/1.1\nHost: $HOST\n" + lines + "\nConnection: close\n\n",
			"POST /open/x HTTP/1.1\nHost: $HOST\nConnection: close\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n3\nabc\n0\n" + lines + "\n\n",
		} {
			res, _ := w.raw(rest)
			records := w.backend.taken()
			if res.StatusCode == http.StatusOK && len(records) == 0 {
				t.Errorf("%q: %d, and nothing arrived", lines, res.StatusCode)
			}
			for _, r := range records { // one whose trailers were refused may come later
				checkIdentity(t, fmt.Sprintf("%q", lines), r, r.uri == "/app")
			}
		}
	}
}

// TestHDR1_ForgedHeaders sends forged headers signed in, and on a public path signed out. expected_underscore_headers lets
// the spellings with _ through to us.
func TestHDR1_ForgedHeaders(t *testing.T) {
	w := start(t, setup{
		global: "sign_up open",
		site:   "public /open/*\nheaders {\n Remote-User {http.auth.user.email}\n X-Who {http.auth.user.id}\n}",
		top:    "servers {\n expected_underscore_headers email_* remote_* x_*\n expected_dot_headers email.*\n}",
	})
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for _, lines := range forgeries {
		for _, who := range []string{"signed in", "anonymous"} {
			path, cookie := "/app", "Cookie: "+c.cookie()+"\n"
			if who == "anonymous" {
				path, cookie = "/open/x", ""
			}
			res, _ := w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\n" + cookie + lines + "\n\n")
			if res.StatusCode != http.StatusOK {
				t.Errorf("%s, %q: %d", who, lines, res.StatusCode)
				continue
			}
			records := w.backend.taken()
			if len(records) != 1 {
				t.Fatalf("%s, %q: %d requests arrived", who, lines, len(records))
			}
			checkIdentity(t, who+", "+lines, records[0], who == "signed in")
		}
	}
}

// checkIdentity makes sure that a request carries the gate's headers, once each, or none at all.
func checkIdentity(t *testing.T, what string, r record, signedIn bool) {
	t.Helper()
	got := r.identities()
	if !signedIn {
		if len(got) != 0 {
			t.Errorf("%s: anonymous, and the backend got %v", what, got)
		}
		return
	}
	if a := got["Email-Link-Assertion"]; len(a) != 1 || len(a[0]) < 200 {
		t.Errorf("%s: the assertion is %q", what, a)
	}
	if u := got["Remote-User"]; len(u) != 1 || u[0] != "ada@example.com" {
		t.Errorf("%s: Remote-User is %q", what, u)
	}
	if id := r.header["X-Who"]; len(id) != 1 || len(id[0]) != 16 {
		t.Errorf("%s: X-Who is %q", what, id)
	}
	if len(got) != 2 {
		t.Errorf("%s: the backend got %v", what, got)
	}
}

// TestHDR1_Trailers sends our names as trailers, announced and hidden behind an announced one.
func TestHDR1_Trailers(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "headers {\n Remote-User {http.auth.user.email}\n X-Who {http.auth.user.id}\n}"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for _, announced := range []string{"Email-Link-Assertion, X-Sum", "X-Sum", "x-sum,remote-user"} {
		res, _ := w.raw("POST /upload HTTP/1.1\nHost: $HOST\nCookie: " + c.cookie() + "\nTransfer-Encoding: chunked\nTrailer: " + announced +
			"\n\n3\nabc\n0\nEmail-Link-Assertion: forged\nRemote-User: root\nX-Sum: 1\n\n")
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%q: %d", announced, res.StatusCode)
		}
		for _, r := range w.backend.taken() {
			checkIdentity(t, announced, r, true)
			if r.body != "abc" || r.trailer.Get("X-Sum") != "1" {
				t.Errorf("%q: body %q, trailer %v", announced, r.body, r.trailer)
			}
		}
	}
}

// TestHDR4_ResponsesLeakNothing lets the backend say what only the gate may say, on every way back.
func TestHDR4_ResponsesLeakNothing(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			w := start(t, setup{tls: secure, global: "sign_up open"})
			c := w.client()
			w.signUp(c, "ada@example.com")
			w.backend.answers(func(rw http.ResponseWriter, _ *http.Request) {
				h := rw.Header()
				h.Set("Email-Link-Assertion", "leak")
				h.Set("Link", "</x.css>; rel=preload")
				h.Add("Set-Cookie", "email_link=evil; Path=/")
				rw.WriteHeader(http.StatusEarlyHints)
				h["Set-Cookie"] = []string{"email_link=evil; Path=/", "__Host-email_link=evil; Path=/; Secure", " email_link_flow=x", "mine=1"}
				h.Set("Trailer", "Email-Link-Start, X-Sum")
				_, _ = io.WriteString(rw, "body")
				h.Set("Email-Link-Start", "leak")
				h.Set("X-Sum", "1")
				h.Set(http.TrailerPrefix+"Email-Link-Done", "leak")
			})
			var early []textproto.MIMEHeader
			r, _ := http.NewRequest(http.MethodGet, w.origin()+"/x", nil)
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { early = append(early, h); return nil },
			}))
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if string(body) != "body" || (secure && res.ProtoMajor != 2) {
				t.Fatalf("%s %q", res.Proto, body)
			}
			if len(early) != 1 || early[0].Get("Link") == "" {
				t.Errorf("early hints: %v", early)
			}
			all := []http.Header{res.Header, res.Trailer}
			for _, h := range early {
				all = append(all, http.Header(h))
			}
			for _, h := range all {
				if text := strings.ToLower(fmt.Sprint(h)); strings.Contains(text, "email-link") || strings.Contains(text, "email_link") {
					t.Errorf("it leaked: %v", h)
				}
			}
			if got := res.Header.Values("Set-Cookie"); len(got) != 1 || got[0] != "mine=1" {
				t.Errorf("Set-Cookie: %q", got)
			}
			if res.Trailer.Get("X-Sum") != "1" {
				t.Errorf("the trailer of the backend is gone: %v", res.Trailer)
			}
		})
	}
}

// TestPATH1_NoTunnelOfHTTP offers the backend, which takes every upgrade, to go on in another form of HTTP. Through such a
// tunnel every protected path would be open, with whatever headers a client likes.
func TestPATH1_NoTunnelOfHTTP(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "public /open/*"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for _, offer := range []string{"h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.3", "websocket\nUpgrade: h2c"} {
		for path, lines := range map[string]string{"/open/x": "", "/app": "Origin: " + w.origin() + "\nCookie: " + c.cookie() + "\n"} {
			res, _ := w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\n" + lines +
				"Connection: Upgrade\nUpgrade: " + offer + "\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\n\n")
			if res.StatusCode != http.StatusOK {
				t.Errorf("%s, %s: %d", path, offer, res.StatusCode)
			}
			for _, r := range w.backend.taken() {
				if r.header["Upgrade"] != nil || r.header["Http2-Settings"] != nil {
					t.Errorf("%s, %s: the backend was offered %q", path, offer, r.header["Upgrade"])
				}
			}
		}
	}
}
