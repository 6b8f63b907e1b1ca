package alert

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestALERT2_WhereAlertsMayBePostedTo(t *testing.T) {
	for _, one := range []struct {
		post Post
		want string
	}{
		{Post{URL: "https://ntfy.example.com/secret"}, ""},
		{Post{URL: "https://ntfy.example.com/secret", Header: "Authorization", Value: "Bearer s3cret"}, ""},
		{Post{URL: "http://localhost:8080/secret"}, ""},
		{Post{URL: "http://127.1.2.3/secret"}, ""},
		{Post{URL: "http://[::1]/secret"}, ""},
		{Post{URL: "http://ntfy.example.com/secret"}, "post insecure <url>"},
		{Post{URL: "http://10.0.0.1/secret"}, "post insecure <url>"},
		{Post{URL: "http://localhost.example.com/secret"}, "post insecure <url>"},
		{Post{URL: "http://127.0.0.1.example.com/secret"}, "post insecure <url>"},
		{Post{URL: "http://10.0.0.1/secret", Insecure: true}, ""},
		{Post{URL: "ftp://10.0.0.1/secret", Insecure: true}, "https://"},
		{Post{URL: "https://ntfy.example.com:65536/secret"}, "from 1 to 65535"},
		{Post{URL: "https://ntfy.example.com:0/secret"}, "from 1 to 65535"},
		{Post{URL: "https://ntfy.example.com:8443/secret"}, ""},
		{Post{URL: "https://[2001:db8::1]:65535/secret"}, ""},
		{Post{URL: "/secret"}, "https://"},
		{Post{URL: "https:///secret"}, "https://"},
		{Post{URL: "https://u:s3cret@example.com/secret"}, "as a header"},
		{Post{URL: "https://example.com/secret", Header: "Bad Name", Value: "s3cret"}, "no name of a header"},
		{Post{URL: "https://example.com/secret", Header: "content-type", Value: "s3cret"}, "belongs to the request"},
		{Post{URL: "https://example.com/secret", Header: "X-Token", Value: "s3cret\r\nX: y"}, "no header may have"},
		{Post{URL: "https://example.com/secret", Header: "X-Token"}, "empty"},
	} {
		err := one.post.Check()
		if (err == nil) != (one.want == "") || err != nil && (!strings.Contains(err.Error(), one.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%+v: %v, want %q", one.post, err, one.want)
		}
	}
}

// TestALERT2_PlainHTTPStaysOnThisMachine: a name below localhost may lead elsewhere by a name server, and no proxy gets what is for this machine.
func TestALERT2_PlainHTTPStaysOnThisMachine(t *testing.T) {
	p := NewPoster()
	for _, at := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:80", "", "nobody"} {
		if onlyThisMachine("tcp", at, nil) == nil {
			t.Errorf("plain http goes to %q", at)
		}
	}
	for _, at := range []string{"127.0.0.1:80", "127.9.9.9:8080", "[::1]:80", "[::ffff:127.0.0.1]:80"} {
		if err := onlyThisMachine("tcp", at, nil); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if p.local.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy may get what is for this machine")
	}
	for _, one := range []struct {
		post Post
		want *http.Client
	}{
		{Post{URL: "http://ntfy.localhost/topic"}, p.local},
		{Post{URL: "HTTP://127.0.0.1/topic"}, p.local},
		{Post{URL: "http://ntfy.example.com/topic", Insecure: true}, p.client},
		{Post{URL: "https://ntfy.example.com/topic"}, p.client},
		{Post{URL: "HTTPS://ntfy.example.com/topic"}, p.client},
	} {
		if p.clientFor(one.post) != one.want {
			t.Errorf("%+v goes the wrong way", one.post)
		}
	}
}

// endless answers 200 and then a body without an end, and notes how much of it could be written.
func endless(written *atomic.Int64, ended chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		_, _ = io.Copy(io.Discard, r.Body)
		for {
			n, err := w.Write(make([]byte, 64<<10))
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	}
}

// TestALERT2_APostFollowsAndReadsNothing posts to servers that redirect, refuse, send without an end, answer with no HTTP, or never.
func TestALERT2_APostFollowsAndReadsNothing(t *testing.T) {
	var followed atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer target.Close()
	var got atomic.Pointer[http.Request]
	var body atomic.Pointer[string]
	good := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		s := string(text)
		body.Store(&s)
		got.Store(r)
	}))
	defer good.Close()
	redirects := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer redirects.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "hunter2", http.StatusForbidden) }))
	defer refuses.Close()
	var written atomic.Int64
	ended := make(chan struct{})
	big := httptest.NewServer(endless(&written, ended))
	defer big.Close()
	noHTTP := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		_, _ = conn.Write([]byte("hunter2 hunter2\r\n\r\n"))
		_ = conn.Close()
	}))
	defer noHTTP.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	never := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer never.Close()

	p := NewPoster()
	p.local.Timeout = time.Minute // of a slow machine
	a := Alert{Kind: Failures, Since: start, Until: start, Keys: []Key{{"203.0.113.0/24", 12}}, Total: 12}
	send := func(url string, asJSON bool) error {
		return p.Send(context.Background(), Post{URL: url + "/topic-s3cret", Header: "Authorization", Value: "Bearer s3cret", JSON: asJSON}, "Example", a)
	}
	if err := send(good.URL, false); err != nil || !strings.Contains(*body.Load(), "203.0.113.0/24") || got.Load().Header.Get("Authorization") != "Bearer s3cret" ||
		!strings.HasPrefix(got.Load().Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%v %v", err, got.Load().Header)
	}
	if err := send(good.URL, true); err != nil || !strings.Contains(*body.Load(), `"kind":"failures"`) || got.Load().Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", err, *body.Load())
	}
	if err := send(big.URL, false); err != nil {
		t.Errorf("a body without an end: %v", err)
	}
	<-ended // the connection was closed: the writer could not go on
	if written.Load() > 10<<20 {
		t.Errorf("%d bytes of the body went out", written.Load())
	}
	p.local.Timeout = 50 * time.Millisecond // it ends by this, whatever the machine does meanwhile
	late := send(never.URL, false)
	p.local.Timeout = time.Minute
	for name, one := range map[string]struct {
		err  error
		want string
	}{
		"redirect": {send(redirects.URL, false), "no redirect is followed"},
		"refusal":  {send(refuses.URL, false), "answers 403"},
		"no HTTP":  {send(noHTTP.URL, false), "no answer of HTTP"},
		"nobody":   {send("http://"+closed.Addr().String(), false), "dial"},
		"never":    {late, "in time"},
	} {
		if one.err == nil || !strings.Contains(one.err.Error(), one.want) || strings.Contains(one.err.Error(), "s3cret") || strings.Contains(one.err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, one.err)
		}
	}
	if followed.Load() != 0 {
		t.Error("a redirect was followed")
	}
}
