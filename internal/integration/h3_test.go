package integration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// exchange sends one request, and returns the answer with its body read. A refusal of the protocol's own is status 0.
func (w *world) exchange(tr http.RoundTripper, r *http.Request) (*http.Response, string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	res, err := tr.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if ctx.Err() != nil {
			w.t.Fatalf("%s %s: no answer", r.Method, r.URL)
		}
		return &http.Response{}, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return &http.Response{}, err.Error()
	}
	return res, string(text)
}

// request makes a request to the gate. The target goes over the wire as it is written.
func (w *world) request(method, target string, body io.Reader) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(method, w.origin(), body)
	if err != nil {
		w.t.Fatal(err)
	}
	path, query, _ := strings.Cut(target, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		w.t.Fatal(err)
	}
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = plain, path, query
	return r
}

// TestHDR1_HTTP3 sends forged headers over HTTP/3, as headers and as trailers, signed in and not: what arrives has exactly one
// assertion or none, none of the forgeries and none of our cookies. What a backend sends back in our name does not get through. (Of a
// client's trailers Caddy hands on the names that were announced, without values: quic-go puts what arrives elsewhere.)
func TestHDR1_HTTP3(t *testing.T) {
	w := start(t, setup{
		tls: true, global: "sign_up open",
		site: "public /open/*\nheaders {\n Remote-User {http.auth.user.email}\n X-Who {http.auth.user.id}\n}",
		top:  "servers {\n expected_underscore_headers email_* remote_* x_*\n expected_dot_headers email.*\n}",
	})
	ada := w.client()
	w.signUp(ada, "ada@example.com")
	w.backend.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Email-Link-Assertion", "leaked")
		rw.Header().Add("Set-Cookie", "__Host-email_link=evil; Path=/; Secure")
		rw.Header().Add("Set-Cookie", "theirs=1")
		rw.Header().Set("Trailer", "X-Sum, Email-Link-Start")
		_, _ = io.WriteString(rw, "hello")
		rw.Header().Set("X-Sum", "1")
		rw.Header().Set("Email-Link-Start", "evil")
		rw.Header().Set(http.TrailerPrefix+"Remote-User", "evil")
	})
	w.backend.taken()
	tr := w.by("HTTP/3.0")
	for _, forged := range []http.Header{
		{"Email-Link-Assertion": {"forged"}},
		{"Email-Link-Assertion": {"forged", "again"}},
		{"Email_Link_Assertion": {"forged"}, "Email.Link.Assertion": {"forged"}, "Emaillinkassertion": {"forged"}},
		{"Remote-User": {"root"}, "Remote_User": {"root"}, "X-Who": {"forged"}, "X_Who": {"forged"}},
		{"X-Forwarded-User": {"root"}, "X-Auth-Request-Email": {"root@example.com"}},
		{"Te": {"trailers"}, "Email-Link-Start": {"forged"}},
	} {
		for _, signedIn := range []bool{true, false} {
			for _, asTrailer := range []bool{false, true} {
				what := fmt.Sprintf("%v, signed in %v, as trailers %v", forged, signedIn, asTrailer)
				r := w.request(http.MethodPost, map[bool]string{true: "/app", false: "/open/x"}[signedIn], io.MultiReader(strings.NewReader("abc")))
				if signedIn {
					r.Header.Set("Cookie", "a=1; "+ada.cookie()+"; b=2")
				}
				if asTrailer {
					r.Trailer = forged
				} else {
					for name, values := range forged {
						r.Header[name] = values
					}
				}
				res, text := w.exchange(tr, r)
				if res.StatusCode != http.StatusOK || res.Proto != "HTTP/3.0" {
					t.Fatalf("%s: %d over %q\n%s", what, res.StatusCode, res.Proto, text)
				}
				if back := strings.ToLower(fmt.Sprint(res.Header, res.Trailer)); strings.Contains(back, "email") || !strings.Contains(back, "theirs=1") {
					t.Errorf("HDR-4: %s: it says %v and %v", what, res.Header, res.Trailer)
				}
				got := w.backend.taken()
				if len(got) != 1 || got[0].body != "abc" {
					t.Fatalf("%s: %d requests arrived", what, len(got))
				}
				checkIdentity(t, what, got[0], signedIn)
				if cookie := got[0].header.Get("Cookie"); signedIn && cookie != "a=1; b=2" || !signedIn && cookie != "" {
					t.Errorf("SES-2: %s: the cookies are %q", what, cookie)
				}
			}
		}
	}
}

// pathSpellings are paths, some of which a program may take for another one, at a site where /open/* is public.
var pathSpellings = []string{
	"/open/x", "/open", "/Open/x", "/OPEN/x", "/open/../app", "/open/%2e%2e/app", "/open/..%2fapp", "/open/%2e%2e%2fapp", "/open/x/../../app",
	"/open//app", "//open/x", "/open/x;y", "/open;/x", "/open/%5c../app", "/open/..%5capp", "/open%2fx", "/%6fpen/x", "/open/x%252f..%252fapp",
	"/open/%00", "/open/x%0a", "/./open/x", "/app/../open/x", "/open/x?y=../app", "/open/%E2%80%A5/app", "/open/x%23", "/open/x/", "/app", "/app/open/",
}

// TestPATH1_HTTP3 asks for each spelling over HTTP/1.1 and over HTTP/3, with a session and without one: status and what arrives at
// the backend are the same.
func TestPATH1_HTTP3(t *testing.T) {
	w := start(t, setup{tls: true, global: "sign_up open", site: "public /open/*"})
	ada := w.client()
	w.signUp(ada, "ada@example.com")
	w.backend.taken()
	h1, h3 := w.by("HTTP/1.1"), w.by("HTTP/3.0")
	opened := 0
	for _, path := range pathSpellings {
		for _, cookie := range []string{"", ada.cookie()} {
			var seen [2]string
			for i, tr := range []http.RoundTripper{h1, h3} {
				r := w.request(http.MethodGet, path, nil)
				if cookie != "" {
					r.Header.Set("Cookie", cookie)
				}
				res, _ := w.exchange(tr, r)
				seen[i] = fmt.Sprint(res.StatusCode)
				for _, got := range w.backend.taken() {
					seen[i] += " " + got.method + " " + got.uri
				}
				if i == 0 && cookie == "" && res.StatusCode == http.StatusOK {
					opened++
				}
			}
			if seen[0] != seen[1] {
				t.Errorf("%s, signed in %v: HTTP/1.1 %q, HTTP/3 %q", path, cookie != "", seen[0], seen[1])
			}
		}
	}
	if opened == 0 || opened > len(pathSpellings)/2 {
		t.Errorf("%d spellings are public: the test shows too little", opened)
	}
}

// TestPATH1_MethodsHTTP3: TRACE, and CONNECT that is no upgrade, reach no backend over HTTP/3 either.
func TestPATH1_MethodsHTTP3(t *testing.T) {
	w := start(t, setup{tls: true, global: "sign_up open", site: "public /open/*"})
	ada := w.client()
	w.signUp(ada, "ada@example.com")
	w.backend.taken()
	tr := w.by("HTTP/3.0")
	for _, cookie := range []string{"", ada.cookie()} {
		trace := w.request(http.MethodTrace, "/open/x", nil)
		connect := w.request(http.MethodConnect, "/open/x", nil)
		for _, r := range []*http.Request{trace, connect} {
			r.Header.Set("Cookie", cookie)
			if res, text := w.exchange(tr, r); res.StatusCode != http.StatusMethodNotAllowed && res.StatusCode != 0 {
				t.Errorf("%s, signed in %v: %d %.100q", r.Method, cookie != "", res.StatusCode, text)
			}
		}
	}
	if got := w.backend.taken(); len(got) != 0 {
		t.Errorf("%d requests arrived, the first by %s", len(got), got[0].method)
	}
}

// TestDOS1_BodiesHTTP3 posts bodies that are too long to our own pages: they get the answer that HTTP/1.1 gets.
func TestDOS1_BodiesHTTP3(t *testing.T) {
	w := start(t, setup{tls: true, global: "sign_up open\nsign_in link code password"})
	h1, h3 := w.by("HTTP/1.1"), w.by("HTTP/3.0")
	for _, page := range []string{"/sign-up", "/sign-in", "/password", "/code"} {
		var status [2]int
		for i, tr := range []http.RoundTripper{h1, h3} {
			form := "email=ada@example.com&x=" + strings.Repeat("x", 1<<20)
			r := w.request(http.MethodPost, "/email-link"+page, io.MultiReader(strings.NewReader(form))) // its length is unknown
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", w.origin())
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			res, _ := w.exchange(tr, r)
			status[i] = res.StatusCode
		}
		if status[0] != status[1] || status[0] < 400 || status[0] >= 500 {
			t.Errorf("%s: HTTP/1.1 %d, HTTP/3 %d", page, status[0], status[1])
		}
	}
}

// TestSES4_WebSocketHTTP3 opens WebSockets by extended CONNECT (RFC 9220): without a session or from another origin they are
// refused, and an open one ends with its session.
func TestSES4_WebSocketHTTP3(t *testing.T) {
	w := start(t, setup{tls: true, global: "sign_up open"})
	ada := w.client()
	w.signUp(ada, "ada@example.com")
	w.backend.taken()
	conn, err := quic.DialAddr(t.Context(), "127.0.0.1:"+w.port, http3.ConfigureTLSConfig(&tls.Config{InsecureSkipVerify: true, ServerName: w.host}), nil) //nolint:gosec // Caddy's own authority, in a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	client := (&http3.Transport{}).NewClientConn(conn)
	select {
	case <-client.ReceivedSettings():
	case <-time.After(patience):
		t.Fatal("the server sends no settings")
	}
	if !client.Settings().EnableExtendedConnect {
		t.Fatal("the server does not offer extended CONNECT")
	}
	open := func(header http.Header) (*http3.RequestStream, *http.Response) {
		t.Helper()
		stream, err := client.OpenRequestStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := w.request(http.MethodConnect, "/ws", nil)
		r.Proto, r.Header = "websocket", header
		if err := stream.SendRequestHeader(r); err != nil {
			t.Fatal(err)
		}
		_ = stream.SetDeadline(time.Now().Add(patience))
		res, err := stream.ReadResponse()
		if err != nil {
			t.Fatal(err)
		}
		return stream, res
	}
	version := []string{"13"}
	for _, bad := range []struct {
		want   int
		header http.Header
	}{
		{http.StatusUnauthorized, http.Header{"Origin": {w.origin()}}},
		{http.StatusForbidden, http.Header{"Cookie": {ada.cookie()}}},
		{http.StatusForbidden, http.Header{"Cookie": {ada.cookie()}, "Origin": {"https://evil.example"}}},
	} {
		bad.header["Sec-Websocket-Version"] = version
		if _, res := open(bad.header); res.StatusCode != bad.want {
			t.Errorf("CONNECT with %v: %d, want %d", len(bad.header), res.StatusCode, bad.want)
		}
	}
	if n := len(w.backend.taken()); n != 0 {
		t.Errorf("%d refused upgrades arrived", n)
	}
	stream, res := open(http.Header{
		"Cookie": {ada.cookie()}, "Origin": {w.origin()}, "Sec-Websocket-Version": version, "Email-Link-Assertion": {"forged"},
	})
	if res.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %d", res.StatusCode)
	}
	for _, got := range w.backend.taken() {
		if a := got.header["Email-Link-Assertion"]; len(a) != 1 || a[0] == "forged" {
			t.Errorf("the assertion is %q", a)
		}
	}
	if _, err := io.WriteString(stream, "ping"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	if _, err := io.ReadFull(stream, buf); err != nil || string(buf) != "ping" {
		t.Fatalf("echo: %q, %v", buf, err)
	}
	if err := ada.signOut(url.Values{}); err != nil {
		t.Fatal(err)
	}
	var late interface{ Timeout() bool }
	if n, err := stream.Read(buf); err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("after the end of its session: %q, %v", buf[:n], err)
	}
}
