package integration

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// several is a portal with three sites that it signs in for, and one beside them.
const several = `
	portal http://auth.localhost:$PORT {
		name Home
		app http://photos.localhost:$PORT Photos
	}
	sign_up open`

const severalSites = `
http://auth.localhost:$PORT {
	email_link
}

http://photos.localhost:$PORT {
	email_link
	reverse_proxy $BACKEND
}

http://files.localhost:$PORT {
	email_link {
		max_age 10m
	}
	reverse_proxy $BACKEND
}

http://staff.localhost:$PORT {
	email_link {
		require role staff
	}
	reverse_proxy $BACKEND
}
`

// visitor is a browser that goes to several hosts, one after the other, and follows where it is led.
type visitor struct {
	*gatetest.Browser
	w *world
	// cookies are all Set-Cookie lines that it has seen, trail the addresses of its last visit.
	cookies, trail []string
	// header is what it sends with each navigation.
	header http.Header
}

func (w *world) visitor() *visitor {
	w.t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+w.port)
	}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &visitor{Browser: gatetest.NewBrowser("http://auth.localhost:"+w.port, tr), w: w, header: gatetest.Navigation}
}

func (w *world) portalAt(host string) string { return "http://" + host + ".localhost:" + w.port }

// visit opens an address, or sends a form to it, and follows all redirects.
func (v *visitor) visit(method, address string, form url.Values) (*http.Response, string) {
	v.w.t.Helper()
	v.trail = nil
	for range 20 {
		u, err := url.Parse(address)
		if err != nil {
			v.w.t.Fatal(err)
		}
		v.Origin = u.Scheme + "://" + u.Host
		v.trail = append(v.trail, u.Host+u.Path)
		header := v.header
		if form != nil && len(header["Sec-Fetch-Mode"]) > 0 {
			header = gatetest.Submission
		}
		res, body, err := v.Send(v.w.t.Context(), method, address, form, header)
		if err != nil {
			v.w.t.Fatal(err)
		}
		v.cookies = append(v.cookies, res.Header["Set-Cookie"]...)
		if res.StatusCode/100 != 3 {
			return res, body
		}
		to, err := u.Parse(res.Header.Get("Location"))
		if err != nil {
			v.w.t.Fatal(err)
		}
		method, form, address = http.MethodGet, nil, to.String()
	}
	v.w.t.Fatalf("led round: %v", v.trail)
	return nil, ""
}

func (v *visitor) open(host, path string) (*http.Response, string) {
	v.w.t.Helper()
	return v.visit(http.MethodGet, v.w.portalAt(host)+path, nil)
}

// wantApp opens an address that is to lead to the app.
func (v *visitor) wantApp(host, path string) {
	v.w.t.Helper()
	if res, body := v.open(host, path); res.StatusCode != http.StatusOK || body != "hello" {
		v.w.t.Errorf("%s%s: %d by way of %v", host, path, res.StatusCode, v.trail)
	}
}

// wantForm opens an address that is to lead to the form at the portal, and returns where that leads to.
func (v *visitor) wantForm(host, path string) string {
	v.w.t.Helper()
	res, body := v.open(host, path)
	if to := v.trail[len(v.trail)-1]; res.StatusCode != http.StatusOK || !strings.HasPrefix(to, "auth.localhost:") || !strings.HasSuffix(to, "/sign-in") {
		v.w.t.Errorf("%s%s: %d by way of %v", host, path, res.StatusCode, v.trail)
	}
	if m := regexp.MustCompile(`name="return_to" value="([^"]+)"`).FindStringSubmatch(body); m != nil {
		return m[1]
	}
	return ""
}

// signUp makes an account at the portal, and goes where that leads.
func (v *visitor) signUp(email, back string) (*http.Response, string) {
	v.w.t.Helper()
	v.visit(http.MethodPost, v.w.portalAt("auth")+"/email-link/sign-up", url.Values{"email": {email}, "return_to": {back}})
	_, link := v.w.mail()
	return v.visit(http.MethodGet, link, nil)
}

func startSeveral(t *testing.T) *world {
	t.Helper()
	hosts := ""
	for _, host := range []string{"auth", "photos", "files", "staff"} {
		hosts += " http://" + host + ".localhost:$PORT"
	}
	return start(t, setup{global: several, sites: severalSites, baseURL: strings.TrimSpace(hosts)})
}

// TestPORT9_OneMailOpensAllSites signs up once, opens each site, and signs out at one of them.
func TestPORT9_OneMailOpensAllSites(t *testing.T) {
	w := startSeveral(t)
	v := w.visitor()
	back := v.wantForm("photos", "/album?x=1")
	if !strings.HasPrefix(back, "/email-link/open?r=") {
		t.Fatalf("the form leads to %q", back)
	}
	if res, body := v.signUp("ada@example.com", back); res.StatusCode != http.StatusOK || body != "hello" || !strings.HasSuffix(v.trail[len(v.trail)-1], "photos.localhost:"+w.port+"/album") {
		t.Fatalf("after the mail: %d by way of %v", res.StatusCode, v.trail)
	}
	v.wantApp("files", "/")
	v.wantApp("photos", "/")
	res, body := v.open("staff", "/")
	if res.StatusCode != http.StatusForbidden || !strings.HasPrefix(v.trail[len(v.trail)-1], "auth.localhost") || !strings.Contains(body, "staff.localhost") {
		t.Errorf("a site that the account may not open: %d by way of %v", res.StatusCode, v.trail)
	}
	if res, body := v.open("auth", "/"); res.StatusCode != http.StatusOK || !strings.Contains(body, "<span>Photos</span>") || !strings.Contains(body, w.portalAt("files")) || strings.Contains(body, w.portalAt("staff")+`"`) {
		t.Errorf("the launcher: %d\n%s", res.StatusCode, body)
	}
	if res, _ := v.open("auth", "/anything"); res.StatusCode != http.StatusNotFound {
		t.Errorf("beside the portal's pages: %d", res.StatusCode)
	}
	for _, line := range v.cookies {
		if strings.Contains(strings.ToLower(line), "domain=") {
			t.Errorf("a cookie has Domain: %s", line)
		}
	}
	v.visit(http.MethodPost, w.portalAt("files")+"/email-link/sign-out", url.Values{"form": {"1"}})
	for _, host := range []string{"files", "photos"} {
		v.wantForm(host, "/")
	}
	if n := len(w.mails.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestPORT9_WhatReadsNoPages asks for what no page is an answer to.
func TestPORT9_WhatReadsNoPages(t *testing.T) {
	w := startSeveral(t)
	v := w.visitor()
	photos := w.portalAt("photos")
	for name, c := range map[string]struct {
		method, address string
		header          http.Header
		status          int
		want            string
	}{
		"a fetch":    {http.MethodGet, photos + "/api", http.Header{"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}, 401, `"sign_in":"` + photos + `/email-link/sign-in`},
		"a POST":     {http.MethodPost, photos + "/api", http.Header{"Sec-Fetch-Mode": {"navigate"}}, 401, `"sign_in":"` + photos + `/email-link/sign-in`},
		"JSON":       {http.MethodGet, photos + "/email-link/sign-in", http.Header{"Accept": {"application/json"}}, 409, `"code":"portal"`},
		"a sign-up":  {http.MethodPost, photos + "/email-link/sign-up", http.Header{"Content-Type": {"application/json"}}, 409, `"address":"` + w.portalAt("auth") + `/email-link/sign-up"`},
		"a frame":    {http.MethodGet, photos + "/", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}, "Accept": {"text/html"}}, 401, `target="_blank"`},
		"a prefetch": {http.MethodGet, photos + "/email-link/enter?t=x", http.Header{"Sec-Purpose": {"prefetch"}}, 503, ""},
		"no portal":  {http.MethodGet, photos + "/email-link/open?r=x", gatetest.Navigation, 404, ""},
		"no site":    {http.MethodGet, w.portalAt("auth") + "/email-link/enter?t=x", gatetest.Navigation, 404, ""},
	} {
		res, body, err := v.Send(t.Context(), c.method, c.address, nil, c.header)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d\n%s", name, res.StatusCode, body)
		}
		framed := res.Header.Get("X-Frame-Options") == "" && !strings.Contains(res.Header.Get("Content-Security-Policy"), "frame-ancestors")
		if framed != (name == "a frame") {
			t.Errorf("%s may be framed: %v", name, framed)
		}
	}
}

// TestPORT10_NoBrowserIsLedRound goes through the chain without cookies, and without what a browser says about its requests.
func TestPORT10_NoBrowserIsLedRound(t *testing.T) {
	w := startSeveral(t)
	v := w.visitor()
	v.signUp("ada@example.com", "")
	v.header = http.Header{"Accept": {"text/html"}}
	res, body := v.open("photos", "/album")
	h := regexp.MustCompile(`name="h" value="([^"]+)"`).FindStringSubmatch(body)
	if res.StatusCode != http.StatusOK || h == nil || !strings.HasSuffix(v.trail[len(v.trail)-1], "/confirm") || !strings.HasPrefix(v.trail[len(v.trail)-1], "photos.") {
		t.Fatalf("a text browser: %d by way of %v", res.StatusCode, v.trail)
	}
	if res, body := v.visit(http.MethodPost, w.portalAt("photos")+"/email-link/confirm", url.Values{"h": {h[1]}}); res.StatusCode != http.StatusOK || body != "hello" {
		t.Errorf("its button: %d by way of %v", res.StatusCode, v.trail)
	}
	v.header = gatetest.Navigation
	forgetful := v.Jar
	v.Jar = only{forgetful, "auth.localhost:" + w.port}
	if res, _ := v.open("files", "/"); res.StatusCode != http.StatusOK || !strings.HasSuffix(v.trail[len(v.trail)-1], "/confirm") {
		t.Errorf("a browser that keeps no cookies: %d by way of %v", res.StatusCode, v.trail)
	}
}

// only keeps the cookies of one host.
type only struct {
	http.CookieJar
	host string
}

func (o only) SetCookies(u *url.URL, list []*http.Cookie) {
	if u.Host == o.host {
		o.CookieJar.SetCookies(u, list)
	}
}

func (o only) Cookies(u *url.URL) []*http.Cookie {
	if u.Host == o.host {
		return o.CookieJar.Cookies(u)
	}
	return nil
}

// TestPORT14_ThePortalsFormsMayLeadToItsSites looks at the origins to which the pages of a portal may send forms: also of sites that a star
// admits, or that name their address themselves, and of none that keeps its own pages.
func TestPORT14_ThePortalsFormsMayLeadToItsSites(t *testing.T) {
	own := func(host, line string) string {
		return "http://" + host + ".localhost:$PORT {\n\temail_link {\n\t\tbase_url http://" + host + ".localhost:$PORT\n" + line + "\t}\n\treverse_proxy $BACKEND\n}\n"
	}
	w := start(t, setup{
		global: several, baseURL: "http://auth.localhost:$PORT http://photos.localhost:$PORT http://*.home.localhost:$PORT",
		sites: severalSites[:strings.Index(severalSites, "http://files")] + own("own", "") + own("apart", "\t\tportal off\n") +
			"http://*.home.localhost:$PORT {\n\temail_link\n\treverse_proxy $BACKEND\n}\n",
	})
	v := w.visitor()
	res, _ := v.open("auth", "/email-link/sign-in")
	_, policy, _ := strings.Cut(res.Header.Get("Content-Security-Policy"), "form-action ")
	policy, _, _ = strings.Cut(policy, ";")
	for host, want := range map[string]bool{"photos": true, "*.home": true, "own": true, "apart": false} {
		if got := strings.Contains(policy+" ", " "+w.portalAt(host)+" "); got != want {
			t.Errorf("forms of the portal may lead to %s: %v (%s)", host, got, policy)
		}
	}
}
