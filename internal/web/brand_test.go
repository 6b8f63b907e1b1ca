package web

import (
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

const svgImage = `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`

// TestWEB2_BrandIsServedWithoutRights loads every file of a site's look as pages do.
func TestWEB2_BrandIsServedWithoutRights(t *testing.T) {
	g := newGate(t)
	bare := g.browser().get("/email-link/sign-in").says(t, `<span class="mark" data-initial="E" aria-hidden="true"></span>`, "<span>Example</span>")
	if strings.Contains(bare.body, "<img") || strings.Contains(bare.body, "brand.") {
		t.Errorf("a site without a look of its own:\n%s", bare.body)
	}
	b := &g.site.Brand
	b.Logo, _ = NewImage("logo", []byte(svgImage))
	g.browser().get("/email-link/sign-in").says(t, `<img src="/email-link/assets/`+b.Logo.Name+`" alt="" height="48">`,
		"<span>Example</span>", `<link rel="icon" href="/email-link/assets/`+b.Logo.Name+`">`).lacks(t, "<picture>", "data-initial")
	b.LogoDark, _ = NewImage("logo-dark", []byte("\x89PNG\r\n\x1a\n"))
	b.Wordmark = true
	g.browser().get("/email-link/sign-in").says(t,
		`<picture><source srcset="/email-link/assets/`+b.LogoDark.Name+`" media="(prefers-color-scheme: dark)"><img src="/email-link/assets/`+b.Logo.Name+`"`,
		`<span class="unseen">Example</span>`).lacks(t, `rel="icon" href="/email-link/assets/logo`)
	b.Favicon, _ = NewImage("favicon", []byte("\x00\x00\x01\x00"))
	accent, err := templates.ParseAccent("8a2be2")
	if err != nil {
		t.Fatal(err)
	}
	b.Accent = NewAccent(accent)
	page := g.browser().get("/email-link/sign-in").says(t, `<link rel="icon" href="/email-link/assets/`+b.Favicon.Name+`">`,
		`<link rel="stylesheet" href="/email-link/assets/`+b.Accent.Name+`">`)
	if style := strings.Index(page.body, "/style."); style < 0 || style > strings.Index(page.body, b.Accent.Name) {
		t.Error("the embedded stylesheet comes after the site's own, and wins")
	}
	for _, f := range []File{b.Logo, b.LogoDark, b.Favicon, b.Accent} {
		a := g.browser().get("/email-link/assets/"+f.Name).wants(t, 200, "")
		policy := a.header.Get("Content-Security-Policy")
		if a.header.Get("Content-Type") != f.Type || a.body != string(f.Content) || !strings.HasPrefix(policy, "default-src 'none';") ||
			!strings.Contains(policy, "sandbox;") || strings.Contains(policy, "script-src") || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", f.Name, a.header)
		}
		g.browser().get("/email-link/assets/x"+f.Name).wants(t, 404, "")
	}
	g.browser().get("/email-link/assets/").wants(t, 404, "")
}
