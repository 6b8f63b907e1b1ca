package integration

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// postFrom posts the form of the sign-up as a browser does that shows origin in its address bar: over plain http it sends no fetch metadata.
func (c *client) postFrom(address, origin, email string, more http.Header) (status int, header http.Header, body string) {
	h := http.Header{"Origin": {origin}, "Accept": {"text/html"}, "Sec-Fetch-Site": nil}
	if strings.HasPrefix(origin, "https:") {
		h["Sec-Fetch-Site"] = []string{"same-origin"}
	}
	for name, values := range more {
		h[name] = values
	}
	return c.do(http.MethodPost, address+"/email-link/sign-up", url.Values{"email": {email}}, h)
}

// TestWEB1_OverPlainHTTPPeopleGetTheRightAddress posts a form at a site whose base_url is https: in a network of one's own, on a site
// that listens on both, and behind a tunnel that ends TLS, with and without trusted_proxies.
func TestWEB1_OverPlainHTTPPeopleGetTheRightAddress(t *testing.T) {
	const right, wrong = "https://app.example.com", "http://app.example.com"
	block := " {\n email_link\n reverse_proxy $BACKEND\n}\n"
	for name, shape := range map[string]struct {
		sites, top string
		tunnel     http.Header
	}{
		"plain http": {sites: wrong + block}, "both on one site": {sites: wrong + ", " + right + block},
		"tunnel":         {sites: wrong + block, tunnel: http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"203.0.113.7"}}},
		"silent tunnel":  {sites: wrong + block, tunnel: http.Header{}},
		"trusted tunnel": {sites: "http://:$PORT" + block, top: "trusted_proxies static 127.0.0.0/8\n trusted_proxies_strict", tunnel: http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"203.0.113.7"}}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "caddy.log")
			secure := freePort(t)
			w := start(t, setup{
				global: "sign_up open", baseURL: right, sites: shape.sites,
				top: "http_port $PORT\nhttps_port " + secure + "\nservers {\n protocols h1 h2\n " + shape.top + "\n}\nlog default {\n output file " + file + "\n}",
			})
			c := w.client()
			// The form is shown as before: whether this is a tunnel cannot be told yet.
			if status, _, body := c.do(http.MethodGet, wrong+"/email-link/sign-up", nil, http.Header{"Accept": {"text/html"}}); status != http.StatusOK || !strings.Contains(body, "<form") {
				t.Fatalf("the form: %d", status)
			}
			status, header, _ := c.postFrom(wrong, right, "ada@example.com", shape.tunnel)
			if status != http.StatusSeeOther || header.Get("Location") != "/email-link/resend" {
				t.Errorf("a browser that is at %s: %d %q", right, status, header.Get("Location"))
			}
			status, header, body := c.postFrom(wrong, wrong, "grace@example.com", nil)
			if status != http.StatusMisdirectedRequest || !strings.Contains(body, `href="`+right) || header.Get("Location") != "" || header.Get("Strict-Transport-Security") != "" || len(header["Set-Cookie"]) > 0 {
				t.Errorf("a browser that is at %s: %d %v\n%s", wrong, status, header, body)
			}
			status, _, body = c.postFrom(wrong, "https://evil.example", "grace@example.com", nil)
			if status != http.StatusForbidden || strings.Contains(body, "evil.example") {
				t.Errorf("another site's page: %d\n%s", status, body)
			}
			if name == "both on one site" {
				w.host, w.port, w.tls = "app.example.com", secure, true
				w.up() // waits for the certificate
				if status, _, _ := w.client().postFrom(right, right, "grace@example.com", nil); status != http.StatusSeeOther {
					t.Errorf("over https: %d", status)
				}
			}
			text, _ := readLog(t, file)
			for _, words := range []string{"the browser says " + wrong + ", base_url says " + right, "the browser says https://evil.example, base_url says " + right} {
				if n := strings.Count(text, words); n != 1 {
					t.Errorf("%d lines say: %s", n, words)
				}
			}
		})
	}
}
