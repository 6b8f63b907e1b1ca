package boundary

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newStripper() *Stripper {
	return NewStripper(Rules{Own: []string{"Email-Link-Assertion", "X-My-User"}})
}

func TestHDR1_ClientCopies(t *testing.T) {
	s := newStripper()
	for _, name := range []string{
		"Email-Link-Assertion", "email-link-assertion", "EMAIL-LINK-ASSERTION", "Email_Link_Assertion", "Email.Link.Assertion",
		"EmailLinkAssertion", "Email-Link--Assertion", "-Email-Link-Assertion_", "Email-Link-Start", "Email_link-done", "Email-Link-Anything",
		"Email!Link~Assertion", "X-My-User", "x_my_user", "X.My.User", "XMyUser",
		"Remote-User", "Remote_user", "REMOTE-NAME", "Remote-Email", "Remote-Groups",
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X_Forwarded_User",
		"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Access-Token", "X-Auth-Request-" + strings.Repeat("x", 500),
		"X-Remote-User", "X-Remote-Group", "X-Remote-Extra-Scopes", "X-Webauth-User", "X-WEBAUTH-ROLE", "X-Authentik-Username",
		"Cf-Access-Authenticated-User-Email", "X-Goog-Authenticated-User-Id", "Tailscale-User-Login", "X-Ms-Client-Principal",
		"X-Pomerium-Claim-Email", "X-Token-User-Roles", "X-Consumer-Username", "X-Authenticated-Userid",
		"X-Original-URL", "X-Original-Url", "X-Rewrite-Url", "X_Rewrite_Url",
		"X-Userinfo", "X-Id-Token", "X-ACCESS-TOKEN", "x_access_token", "X-Forwarded-Roles", "X-Auth-Email", "X-Auth-Username", "X-User", "X-User-Email",
		"Oidc-Claim-Sub", "OIDC_CLAIM_email", "Oidc-Id-Token-Payload", "Shib-Identity-Provider", "Impersonate-User", "Impersonate-Extra-Scopes",
		"X-Hasura-Role", "x-hasura-admin-secret", "X-Apigateway-Api-Userinfo", "X-Endpoint-Api-Userinfo", "Sm-User", "SM_USER", "Iv-Groups",
		"X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix", "X_Forwarded_Path", "X-Envoy-Original-Path", "X-Replaced-Path",
		"Client-Cert", "Client-Cert-Chain", "Ssl-Client-Verify", "X-SSL-Client-CN", "X-Client-Cert", "X-Forwarded-Client-Cert",
	} {
		header := http.Header{name: {"one", "two"}, "Accept": {"*/*"}}
		trailer := http.Header{name: {"one"}, "Checksum": {"1"}}
		s.Request(header, trailer, false)
		if diff := cmp.Diff(http.Header{"Accept": {"*/*"}}, header); diff != "" {
			t.Errorf("%.40s arrives in the header: %s", name, diff)
		}
		if diff := cmp.Diff(http.Header{"Checksum": {"1"}}, trailer); diff != "" {
			t.Errorf("%.40s arrives in the trailer: %s", name, diff)
		}
	}
}

func TestHDR1_WhatProxiesAndClientsNeedStays(t *testing.T) {
	s := newStripper()
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Ssl",
		"X-Real-Ip", "Forwarded", "Via", "X-Request-Id", "Traceparent", "Authorization", "Cookie", "Host", "Origin", "X-Remote-Addr",
		"Cf-Connecting-Ip", "Cf-Access-Jwt-Assertion", "X-Auth-Token", "X-User-Id", "X-Csrf-Token", "Upgrade", "Te", "Email", "X-Email-Link",
		"X-Http-Method-Override", "X-Method-Override", "X-Http-Method", "X-User-Agent", "X-Forwarded-User-Agent", "X-Auth-User", "X-Api-Key", "X-Client-Version",
		"X-Client-Id", "X-Client-Data", "X-Requested-With", "User-Agent", "Client-Id", "Shipping", "Impersonation", "Oidc", "X-Request-Uid", "Authorization-Mode",
		"X-Amzn-Oidc-Data", "X-Goog-Iap-Jwt-Assertion", "X-Pomerium-Jwt-Assertion", "X-Original-Host", "X-Script", "Remote-Addr", "Remote-Host", "Remote-Port",
	} {
		header := http.Header{name: {"a"}}
		s.Request(header, nil, false)
		if len(header) != 1 {
			t.Errorf("%s is removed", name)
		}
	}
	s.Request(nil, nil, false)
	odd := header("--", "a", "", "b", "Xy", "c", "A", "d")
	NewStripper(Rules{Own: []string{"", "-", "X"}}).Request(odd, nil, false)
	if len(odd) != 4 {
		t.Errorf("%v is left", odd)
	}
	NewStripper(Rules{Own: []string{"A"}}).Request(odd, nil, false)
	if len(odd) != 3 {
		t.Errorf("a name of one letter stays: %v", odd)
	}
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return h
}

func TestHDR1_ConnectionTokens(t *testing.T) {
	s := newStripper()
	for _, c := range []struct{ in, want []string }{
		{[]string{"Email-Link-Assertion"}, nil},
		{[]string{"email-link-assertion, close"}, []string{"close"}},
		{[]string{"keep-alive,\tEMAIL_LINK_ASSERTION\t,Upgrade"}, []string{"keep-alive,Upgrade"}},
		{[]string{"close", " Remote-User ", "x-my-user,Email-Link-Assertion"}, []string{"close"}},
		{[]string{"Upgrade", "close, X-My-User"}, []string{"Upgrade", "close"}},
		{[]string{"X-My-User", "Upgrade", "close"}, []string{"Upgrade", "close"}},
		{[]string{",,Email-Link-Assertion,,"}, []string{",,,"}},
		{[]string{"keep-alive, Upgrade"}, []string{"keep-alive, Upgrade"}},
		{[]string{""}, []string{""}},
	} {
		for _, name := range []string{"Connection", "connection", "Trailer"} {
			h := http.Header{name: c.in}
			before := append([]string(nil), c.in...)
			s.Request(h, nil, false)
			if diff := cmp.Diff(c.want, h[name]); diff != "" {
				t.Errorf("%s: %q: %s", name, c.in, diff)
			}
			if diff := cmp.Diff(before, c.in); diff != "" {
				t.Errorf("the list given was edited in place: %s", diff)
			}
		}
	}
}

// TestHDR1_TrailersThatArriveLater proves that a trailer which is sent without being announced, or beside one that is, does
// not outlive the Read that ends the body.
func TestHDR1_TrailersThatArriveLater(t *testing.T) {
	for _, announced := range []string{"", "Trailer: Checksum\r\n"} {
		raw := "POST / HTTP/1.1\r\nHost: a\r\n" + announced + "Transfer-Encoding: chunked\r\n\r\n" +
			"3\r\nabc\r\n0\r\nChecksum: 1\r\nEmail-Link-Assertion: x\r\nremote_user: y\r\nRemote-User: z\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		s := newStripper()
		s.Request(r.Header, r.Trailer, false)
		s.Body(r)
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "abc" {
			t.Fatalf("body %q, %v", body, err)
		}
		if diff := cmp.Diff(http.Header{"Checksum": {"1"}}, r.Trailer); diff != "" {
			t.Errorf("announced %q: trailer (-want +got):\n%s", announced, diff)
		}
		if err := r.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHDR1_BodiesWithoutTrailersAreNotWrapped(t *testing.T) {
	s := newStripper()
	for _, r := range []*http.Request{
		{}, {Body: http.NoBody, ContentLength: -1}, {Body: io.NopCloser(strings.NewReader("abc")), ContentLength: 3},
	} {
		before := r.Body
		if s.Body(r); r.Body != before {
			t.Errorf("%+v is wrapped", r)
		}
	}
	r := &http.Request{Body: failingBody{}, ContentLength: -1}
	s.Body(r)
	r.Trailer = http.Header{"Remote-User": {"x"}}
	if err := r.Body.Close(); !errors.Is(err, io.ErrClosedPipe) || len(r.Trailer) != 0 {
		t.Errorf("close: %v, trailer %v", err, r.Trailer)
	}
}

type failingBody struct{ io.Reader }

func (failingBody) Close() error { return io.ErrClosedPipe }

func TestHDR4_Responses(t *testing.T) {
	s := newStripper()
	h := http.Header{
		"Email-Link-Assertion": {"x"}, "Email-Link-Start": {"x"}, "x_my_user": {"x"}, "X-My-User": {"x", "y"},
		"Trailer:Email-Link-Assertion": {"x"}, "Trailer:X-My-User": {"x"}, "Trailer:Checksum": {"1"},
		"Trailer":     {"Checksum, Email-Link-Start", "X-My-User"},
		"Connection":  {"close"},
		"Remote-User": {"a backend may say what it likes"},
		"Set-Cookie":  {"a=b", "__Host-email_link=x; Path=/", "c=d"},
	}
	s.Response(h)
	want := http.Header{
		"Trailer:Checksum": {"1"}, "Trailer": {"Checksum"}, "Connection": {"close"},
		"Remote-User": {"a backend may say what it likes"}, "Set-Cookie": {"a=b", "c=d"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSES2_BackendsNeitherSetNorClearOurCookies(t *testing.T) {
	s := newStripper()
	for _, line := range []string{
		"__Host-email_link=x", "__Host-email_link_flow=x; Path=/; Secure", "__Host-email_link_token=", "__Host-email_link_known=x",
		"__Host-email_link_handover=x", "email_link=x", "email_link_flow=; Max-Age=0", " \t__Host-email_link =x", "\x00email_link=x",
		"__host-email_link=x", "__HOST-EMAIL_LINK=x", "Email_Link=x", "=__Host-email_link=x", " = email_link=x", "email_link", "email_link;a=b",
		"email_link\x1f=x",
	} {
		h := http.Header{"Set-Cookie": {line}}
		if s.Response(h); len(h) != 0 {
			t.Errorf("%q goes on", line)
		}
	}
	for _, line := range []string{
		"a=b", "a=email_link", "a=email_link=x", "email_link_other=x", "my_email_link=x", "email_linked=x", "__Secure-email_link=x", "", "=", "==",
		"a; email_link=x", "=a=email_link=x",
	} {
		h := http.Header{"Set-Cookie": {line}}
		if s.Response(h); len(h) != 1 {
			t.Errorf("%q is dropped", line)
		}
	}
	for in, want := range map[string]string{
		`"cookies"`:                     "",
		`"cache", "cookies", "storage"`: `"cache", "storage"`,
		`"*"`:                           `"cache", "storage"`,
		`"Cookies",`:                    "",
		`cookies`:                       "",
		`"storage"`:                     `"storage"`,
	} {
		h := http.Header{"Clear-Site-Data": {in}}
		if s.Response(h); h.Get("Clear-Site-Data") != want || want == "" && len(h) != 0 {
			t.Errorf("Clear-Site-Data %s becomes %v, want %s", in, h, want)
		}
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "-_.": "", "Email-Link-Assertion": "emaillinkassertion", "X_9.a~B": "x9ab", strings.Repeat("Aa-", 50): strings.Repeat("a", 100),
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

func usualHeader() http.Header {
	return header("Accept", "text/html,application/xhtml+xml", "Accept-Encoding", "gzip, br", "Accept-Language", "en", "Cookie", "a=b",
		"User-Agent", "Mozilla/5.0", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "none", "Connection", "keep-alive, Upgrade",
		"X-Forwarded-For", "192.0.2.1", "Referer", "https://app.example.com/", "Cache-Control", "no-cache")
}

func TestStripperAllocates(t *testing.T) {
	s, h := newStripper(), usualHeader()
	if n := testing.AllocsPerRun(100, func() { s.Request(h, nil, false); s.Response(h) }); n != 0 {
		t.Errorf("%v allocations for a request and an answer with nothing of ours", n)
	}
}

func BenchmarkStripRequest(b *testing.B) {
	s, h := newStripper(), usualHeader()
	b.ReportAllocs()
	for b.Loop() {
		s.Request(h, nil, false)
	}
}

func BenchmarkStripResponse(b *testing.B) {
	s := newStripper()
	h := header("Content-Type", "text/html", "Content-Length", "1024", "Cache-Control", "private", "Date", "today", "Server", "Caddy",
		"Via", "1.1 Caddy", "Etag", "x", "Set-Cookie", "theme=dark")
	b.ReportAllocs()
	for b.Loop() {
		s.Response(h)
	}
}

// isCovered is the classification of a name by KnownHeaders, written for clarity instead of speed.
func isCovered(name string, request bool) bool {
	if Covers("Email-Link*", name) || Covers("X-My-User", name) {
		return true
	}
	return request && slices.ContainsFunc(KnownHeaders(), func(k Known) bool { return k.Kind != MethodHeader && Covers(k.Name, name) })
}

// TestHDR1_EveryBeginningOfAName classifies each name that is looked for, each beginning of it, and each with something at its end.
func TestHDR1_EveryBeginningOfAName(t *testing.T) {
	s := newStripper()
	all := []string{"emaillink", "emaillinkassertion", "xmyuser", "connection", "trailer", "setcookie", "clearsitedata", "a", "zz"}
	for _, k := range KnownHeaders() {
		all = append(all, Fold(k.Name))
	}
	is := func(n *names, name string) bool { k := n.of(name); return k == covered || k == proxied }
	for _, whole := range all {
		for n := range len(whole) + 1 {
			for _, end := range []string{"", "s", "0", "-", "z_", "\x00"} {
				for _, name := range []string{whole[:n] + end, strings.ToUpper(whole[:n]) + end, "-_" + strings.Join(strings.Split(whole[:n], ""), ".") + end} {
					if got := is(&s.request, name); got != isCovered(name, true) {
						t.Errorf("of a request, %q: %v", name, got)
					}
					if got := is(&s.response, name); got != isCovered(name, false) {
						t.Errorf("of an answer, %q: %v", name, got)
					}
					if got, want := s.request.of(name) == lists, Fold(name) == "connection" || Fold(name) == "trailer"; got != want {
						t.Errorf("a list, %q: %v", name, got)
					}
				}
			}
		}
	}
}

// TestHDR1_ShortNames takes names and families that end within the letters by which most names are given up.
func TestHDR1_ShortNames(t *testing.T) {
	s := NewStripper(Rules{Own: []string{"Q", "Q-Ab", "Y-Z*", "J*"}})
	for name, want := range map[string]bool{
		"Q": true, "-q_": true, "Qa": false, "Qab": true, "Q.A.B": true, "Qabc": false, "Y": false, "Yz": true, "Y_z-1": true, "Yz-Later-On": true,
		"Yx": false, "J": true, "J9": true, "Jot-Down": true, "": false, "-_": false,
	} {
		if got := s.response.of(name) == covered; got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// TestHDR1_TrustedProxies: what a proxy in front adds to a request passes from a trusted one, never in a trailer, and never when it
// is an identity or the gate's own.
func TestHDR1_TrustedProxies(t *testing.T) {
	s := NewStripper(Rules{Own: []string{"X-Forwarded-Path"}})
	header := header("X-Forwarded-Prefix", "/app", "X-Original-Uri", "/x", "Client-Cert", "c", "X-Forwarded-Path", "/y", "X-Original-Url", "/z",
		"Remote-User", "root", "Connection", "x-forwarded-prefix")
	trailer := http.Header{"X-Forwarded-Prefix": {"/app"}}
	s.Request(header, trailer, true)
	if diff := cmp.Diff(http.Header{"X-Forwarded-Prefix": {"/app"}, "X-Original-Uri": {"/x"}, "Client-Cert": {"c"}}, header); diff != "" || len(trailer) != 0 {
		t.Errorf("trailer %v, header (-want +got):\n%s", trailer, diff)
	}
	s.Request(header, nil, false)
	if len(header) != 0 {
		t.Errorf("from a client: %v", header)
	}
}

// TestHDR1_ClientHeaders: known headers that a site lets clients send pass, and no more than these.
func TestHDR1_ClientHeaders(t *testing.T) {
	s := NewStripper(Rules{Own: []string{"X-Hasura-User-Id"}, Client: []string{"X-Access-Token", "x_hasura_*", "Shib-Session-*", "X-Forwarded-Prefix"}})
	h := header("X_ACCESS_TOKEN", "a", "X-Hasura-Role", "b", "X-Hasura-User-Id", "c", "Shib-Session-Id", "d", "Shib-Identity-Provider", "e",
		"X-Id-Token", "f", "X-Forwarded-Prefix", "g", "Connection", "x-access-token, x-id-token")
	s.Request(h, nil, false)
	want := header("X_ACCESS_TOKEN", "a", "X-Hasura-Role", "b", "Shib-Session-Id", "d", "X-Forwarded-Prefix", "g", "Connection", "x-access-token")
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPATH1_MethodOverrides: where a matcher decides by the method, no header asks the app for another one.
func TestPATH1_MethodOverrides(t *testing.T) {
	for _, name := range []string{"X-HTTP-Method-Override", "x_http_method_override", "X-Method-Override", "X-HTTP-Method", "XHttpMethod"} {
		for _, methods := range []bool{false, true} {
			h := http.Header{name: {"DELETE"}}
			NewStripper(Rules{Methods: methods}).Request(h, nil, true)
			if (len(h) == 0) != methods {
				t.Errorf("%s, methods %v: %v", name, methods, h)
			}
		}
	}
}

func TestFindKnown(t *testing.T) {
	for name, want := range map[string]string{
		"X-Access-Token": "X-Access-Token", "x_access_token": "X-Access-Token", "X-Hasura-*": "X-Hasura-*", "X-Hasura-Role": "X-Hasura-*",
		"X-Hasura-User-*": "X-Hasura-*", "Impersonate-User": "Impersonate-*", "X-Http-Method": "X-Http-Method",
		"X-*": "", "X-Access-Token*": "", "*": "", "": "", "-": "", "Accept": "", "Authorization": "", "X-Hasura*": "X-Hasura-*",
	} {
		k, ok := FindKnown(name)
		if k.Name != want || ok != (want != "") {
			t.Errorf("FindKnown(%q) = %q, %v; want %q", name, k.Name, ok, want)
		}
	}
	seen := map[string]bool{}
	for _, k := range KnownHeaders() {
		if k.By == "" || seen[Fold(k.Name)+k.Name[len(k.Name)-1:]] || strings.Contains(strings.TrimSuffix(k.Name, "*"), "*") {
			t.Errorf("%+v is given twice or badly", k)
		}
		seen[Fold(k.Name)+k.Name[len(k.Name)-1:]] = true
	}
}

// TestHDR1_NamesOfOurOwnKind: a configured name may be a beginning of a known one, a known one, or longer than any.
func TestHDR1_NamesOfOurOwnKind(t *testing.T) {
	long := "X-" + strings.Repeat("My-", 40) + "User"
	for _, ours := range []string{"X", "X-Auth", "X-Auth-Request-Email", "Remote-User", "Set-Cookie", "Email-Link", long} {
		s := NewStripper(Rules{Own: []string{ours, ours}})
		h := header(ours, "a", strings.ToUpper(ours), "b", ours+"-Other", "c")
		s.Response(h)
		want := header(ours+"-Other", "c")
		if ours == "Email-Link" {
			want = http.Header{}
		}
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("%.40s: (-want +got):\n%s", ours, diff)
		}
	}
}

// TestSES2_CookiesUnderOtherSpellings: net/http writes a name as it stands in the map, and browsers read it in any case.
func TestSES2_CookiesUnderOtherSpellings(t *testing.T) {
	h := http.Header{
		"set-cookie": {"email_link=x", "a=b"}, "SET-COOKIE": {"__Host-email_link=x"}, "Trailer:Set-Cookie": {"email_link=x"},
		"clear-site-data": {`"cookies"`}, "Set-Cookie2": {"email_link=x"},
	}
	newStripper().Response(h)
	if diff := cmp.Diff(http.Header{"set-cookie": {"a=b"}, "Set-Cookie2": {"email_link=x"}}, h); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzHDR1_Strip(f *testing.F) {
	f.Add("Email-Link-Assertion", "close, email_link_start")
	f.Add("X-Auth-Request-User", ",,Remote-User\t,x")
	f.Add("Accept", "keep-alive")
	f.Fuzz(func(t *testing.T, name, connection string) {
		s := newStripper()
		h := http.Header{name: {"x"}, "Connection": {connection}}
		s.Request(h, nil, false)
		for left, values := range h {
			if isCovered(left, true) {
				t.Fatalf("%q is left", left)
			}
			if Fold(left) != "connection" {
				continue
			}
			for _, value := range values {
				for token := range strings.SplitSeq(value, ",") {
					if isCovered(token, true) {
						t.Fatalf("Connection: %q is left of %q", value, connection)
					}
				}
			}
		}
	})
}
