package web

import (
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// TestTOK6_LinksThatMailProgramsMangleWork opens links as mail programs leave them.
func TestTOK6_LinksThatMailProgramsMangleWork(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		mail := g.browser().asks(known).Text
		for _, route := range []string{"link", "cancel"} {
			link := g.find(linkPattern, mail)
			if route == "cancel" {
				link = g.find(cancelPattern, mail)
			}
			text := strings.TrimPrefix(link, "/email-link/"+route+"?t=")
			for _, target := range []string{
				route + "/?t=" + text, route + "%3Ft=" + text, route + "%3ft%3D" + text, route + "/%3Ft=" + text, route + "%3Ft=" + text + "?utm_source=mail",
				route + "?t=" + text + ".", route + "?t=" + text + "%3E", route + "?t=3D" + text, route + "?t=" + text[:20] + "%20" + text[20:] + "%C2%A0",
				route + "?t=" + text + ";", route + "%3Ft=" + text + ");", route + "?t=" + text + "&amp;utm_source=mail", route + "?t=" + text + "&gt;",
				route + "?t%3D" + text, route + "?t%3d" + text + ".",
			} {
				b := g.browser()
				b.get("/email-link/"+target).wants(t, 303, "/email-link/confirm")
				if got := b.cookies[boundary.CookieName(boundary.TokenCookie, true)]; got != text {
					t.Errorf("%s parks %q", target, got)
				}
			}
		}
	})
}

// TestTOK6_AnIncompleteLinkSaysSo: what is no token after cleaning gets words of its own, the same for stored and for stateless links.
func TestTOK6_AnIncompleteLinkSaysSo(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		mail := b.asks(known).Text
		link := g.find(linkPattern, mail)
		// Cut by one character: a token of another length that only punctuation follows, as - and _ are, would be left by chance.
		for _, cut := range []string{link[:len(link)-2] + "x", link[:len(link)-12], link + "xyz", "/email-link/link", "/email-link/link?x=1"} {
			a := b.get(cut).wants(t, 410, "").says(t, "This link is not complete", "Copy the whole link", "type the code from the same email", `id="code"`)
			if len(a.header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s sets a cookie", cut)
			}
			if a := g.browser().get(cut).wants(t, 410, ""); strings.Contains(a.body, `id="code"`) {
				t.Error("a browser that waits for no mail gets a code box")
			}
			b.json("GET", cut, "").wants(t, 410, "").says(t, `"code":"incomplete_link"`, "or type its code")
		}
		if a := b.get("/email-link/cancel?t=x").wants(t, 410, "").says(t, "Copy the whole link"); strings.Contains(a.body, `id="code"`) {
			t.Error("a code box on the page that cancels")
		}
		b.post("/email-link/code", "code", g.find(codePattern, mail)).wants(t, 303, "/")
	})
}
