package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// cookieAt returns the value of one of the gate's cookies that a browser has for a host.
func (v *visitor) cookieAt(host, kind string) string {
	v.w.t.Helper()
	u, err := url.Parse(v.w.portalAt(host))
	if err != nil {
		v.w.t.Fatal(err)
	}
	for _, c := range v.Jar.Cookies(u) {
		if c.Name == boundary.CookieName(kind, false) {
			return c.Value
		}
	}
	return ""
}

// entry goes to a site and stops before the entry that leads back there, whose address it returns.
func (v *visitor) entry(host, path string) string {
	v.w.t.Helper()
	address := v.w.portalAt(host) + path
	for range 10 {
		res, _, err := v.Send(v.w.t.Context(), http.MethodGet, address, nil, v.header)
		if err != nil {
			v.w.t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			v.w.t.Fatal(err)
		}
		to, err := u.Parse(res.Header.Get("Location"))
		if err != nil || res.StatusCode/100 != 3 {
			v.w.t.Fatalf("%s leads to %d %q, not to an entry", address, res.StatusCode, res.Header.Get("Location"))
		}
		if address = to.String(); strings.HasSuffix(to.Path, "/enter") {
			return address
		}
	}
	v.w.t.Fatal("led round, and not to an entry")
	return ""
}

// startSeveralAsProcess runs the portal and its sites in a process of its own, beside a site that has nothing to do with the portal.
func startSeveralAsProcess(t *testing.T) *process {
	t.Helper()
	hosts := ""
	for _, host := range []string{"localhost", "auth.localhost", "photos.localhost", "files.localhost", "staff.localhost"} {
		hosts += " http://" + host + ":$PORT"
	}
	return startProcess(t, setup{global: several, sites: severalSites + "\nhttp://localhost:$PORT {\n\temail_link {\n\t\tportal off\n\t}\n\treverse_proxy $BACKEND\n}\n", baseURL: strings.TrimSpace(hosts)})
}

// TestPORT3_AKillForgetsNoUse uses an entry, kills the gate as a power cut would and uses it again, in a browser that holds the binder and
// no session: it opens nothing. Then that browser goes the whole way, with the portal's session of before the kill.
func TestPORT3_AKillForgetsNoUse(t *testing.T) {
	p := startSeveralAsProcess(t)
	v := p.visitor()
	v.signUp("ada@example.com", "")
	entry := v.entry("photos", "/album")
	binder := v.cookieAt("photos", boundary.PortalCookie)
	if res, body := v.visit(http.MethodGet, entry, nil); res.StatusCode != http.StatusOK || body != "hello" {
		t.Fatalf("the entry: %d by way of %v", res.StatusCode, v.trail)
	}
	p.kill()
	p.start()
	again := p.visitor()
	photos, err := url.Parse(p.portalAt("photos"))
	if err != nil {
		t.Fatal(err)
	}
	again.Jar.SetCookies(photos, []*http.Cookie{{Name: boundary.CookieName(boundary.PortalCookie, false), Value: binder, Path: "/"}})
	if res, _ := again.visit(http.MethodGet, entry, nil); again.cookieAt("photos", boundary.SessionCookie) != "" {
		t.Errorf("the entry after the kill: %d by way of %v", res.StatusCode, again.trail)
	}
	v.wantApp("photos", "/") // its session there
	v.wantApp("files", "/")  // a new one by the portal's
}

// TestPORT2_MaxAgeOfOneSite asks for a proof not older than a second at one site, behind a proxy that asks at /verify and without one: the
// other site goes on, and a hand-over is no proof.
func TestPORT2_MaxAgeOfOneSite(t *testing.T) {
	w := start(t, setup{global: several, baseURL: strings.TrimSpace("http://auth.localhost:$PORT http://photos.localhost:$PORT http://files.localhost:$PORT"), sites: `
http://auth.localhost:$PORT {
	email_link
}

http://photos.localhost:$PORT {
	email_link {
		verify from 127.0.0.0/8 ::1
		headers {
			Remote-User {http.auth.user.email}
		}
	}
	reverse_proxy $BACKEND
}

http://files.localhost:$PORT {
	email_link {
		verify from 127.0.0.0/8 ::1
		max_age 1ms
		headers {
			Remote-User {http.auth.user.email}
		}
	}
	reverse_proxy $BACKEND
}

http://:$PORT {
	respond /email-link/health ok
	respond 404
}
`})
	v := w.visitor()
	ask := func(host string) *http.Response {
		cookie := ""
		if value := v.cookieAt(host, boundary.SessionCookie); value != "" {
			cookie = boundary.CookieName(boundary.SessionCookie, false) + "=" + value
		}
		lines := "X-Forwarded-Method: GET\nX-Forwarded-Proto: http\nX-Forwarded-Host: " + host + ".localhost:" + w.port + "\nX-Forwarded-Uri: /box?x=1\n" +
			"Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\n"
		if cookie != "" {
			lines += "Cookie: " + cookie + "\n"
		}
		res, _ := w.raw("GET /email-link/verify?anonymous=redirect HTTP/1.1\nHost: " + host + ".localhost:" + w.port + "\n" + lines + "\n")
		return res
	}
	res := ask("photos")
	refused(t, "a stranger", res, http.StatusSeeOther)
	to := res.Header.Get("Location")
	if !strings.HasPrefix(to, w.portalAt("photos")+"/email-link/sign-in?return_to=") {
		t.Fatalf("the proxy leads a stranger to %q", to)
	}
	form, _ := v.visit(http.MethodGet, to, nil)
	at := v.trail[len(v.trail)-1]
	if form.StatusCode != http.StatusOK || !strings.HasPrefix(at, "auth.localhost") {
		t.Fatalf("from there: %d by way of %v", form.StatusCode, v.trail)
	}
	v.signUp("ada@example.com", "")
	if res, _ := v.visit(http.MethodGet, to, nil); res.StatusCode != http.StatusOK || v.trail[len(v.trail)-1] != "photos.localhost:"+w.port+"/box" {
		t.Errorf("once signed in: %d by way of %v", res.StatusCode, v.trail)
	}
	passed(t, "signed in", ask("photos"), "ada@example.com")
	if res := ask("files"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the site with max_age: %d", res.StatusCode)
	}
	copied := v.cookieAt("auth", boundary.SessionCookie)
	back := v.wantForm("files", "/box")
	if !strings.Contains(back, "open?r=") {
		t.Fatalf("the site with max_age leads to the form for %q", back)
	}
	v.visit(http.MethodPost, w.portalAt("auth")+"/email-link/sign-in", url.Values{"email": {"ada@example.com"}, "return_to": {back}})
	_, link := w.mail()
	v.visit(http.MethodGet, link, nil)
	if now := v.cookieAt("auth", boundary.SessionCookie); now == "" || now == copied {
		t.Error("the proof left the portal's cookie as it was")
	}
	thief := w.visitor()
	auth, err := url.Parse(w.portalAt("auth"))
	if err != nil {
		t.Fatal(err)
	}
	thief.Jar.SetCookies(auth, []*http.Cookie{{Name: boundary.CookieName(boundary.SessionCookie, false), Value: copied, Path: "/"}})
	thief.wantForm("photos", "/")
	passed(t, "at the other site after the proof", ask("photos"), "ada@example.com")
	v.wantApp("photos", "/")
}
