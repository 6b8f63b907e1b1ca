//go:build postgres

package main

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// at returns the origin of a site of the cluster beside its first one.
func (c *cluster) at(host string) string {
	return strings.Replace(c.origin, "localhost", host+".localhost", 1)
}

// link prints a link to sign in with at the first site, which keeps its own pages.
func (c *cluster) link(email string) string {
	c.t.Helper()
	return firstLine(c.nodes[0].must("link", email, "--site", c.origin))
}

// portalSites are a portal, and a site that it signs in for, at a node's port.
func portalSites(port string) string {
	return "\nhttp://auth.localhost:" + port + " {\n\tbind 127.0.0.1\n\temail_link\n}\n" +
		"\nhttp://photos.localhost:" + port + " {\n\tbind 127.0.0.1\n\temail_link\n\trespond \"hello {http.auth.user.email}\"\n}\n"
}

// send sends a request of a browser to a node, whichever node it was at before, and returns where that leads, and the page.
func (c *cluster) send(b *gatetest.Browser, n *node, method, address string, form url.Values) (to, body string) {
	c.t.Helper()
	b.Transport = n.transport
	u, err := url.Parse(address)
	if err != nil {
		c.t.Fatal(err)
	}
	b.Origin = u.Scheme + "://" + u.Host
	header := gatetest.Navigation
	if form != nil {
		header = gatetest.Submission
	}
	res, body, err := b.Send(c.t.Context(), method, address, form, header) //nolint:bodyclose // Send has closed it
	if err != nil {
		c.t.Fatal(err)
	}
	if res.StatusCode != http.StatusSeeOther {
		return "", body
	}
	next, err := res.Location()
	if err != nil {
		c.t.Fatal(err)
	}
	return next.String(), body
}

// handOver signs in at the portal by the first node and asks there for a site, is known by the second one, and opens the site by the third
// one: once, though another browser with the same binder tries it again by the first one. A sign-out at the portal, by the first node, closes
// the site on the third one.
func (c *cluster) handOver(email string) {
	c.t.Helper()
	first, second, third := c.nodes[0], c.nodes[1], c.nodes[2]
	auth, photos := c.at("auth"), c.at("photos")
	first.must("accounts", "add", email)
	b, again := gatetest.NewBrowser(auth, first.transport), gatetest.NewBrowser(photos, first.transport)
	to, _ := c.send(b, first, http.MethodGet, firstLine(first.must("link", email, "--site", auth)), nil)
	_, page := c.send(b, first, http.MethodGet, to, nil)
	h := hidden.FindStringSubmatch(page)
	if h == nil {
		c.t.Fatalf("no button at %s: %s", to, page)
	}
	c.send(b, first, http.MethodPost, auth+"/email-link/confirm", url.Values{"h": h[1:]})

	open, _ := c.send(b, first, http.MethodGet, photos+"/email-link/sign-in", nil)
	if !strings.HasPrefix(open, auth+"/email-link/open?r=") {
		c.t.Fatalf("the site leads to %q", open)
	}
	site, err := url.Parse(photos)
	if err != nil {
		c.t.Fatal(err)
	}
	again.Jar.SetCookies(site, b.Jar.Cookies(site))
	enter, page := c.send(b, second, http.MethodGet, open, nil)
	if !strings.HasPrefix(enter, photos+"/email-link/enter?t=") {
		c.t.Fatalf("another node's portal leads to %q\n%s", enter, page)
	}
	if to, page := c.send(b, third, http.MethodGet, enter, nil); to != photos+"/" {
		c.t.Fatalf("the site on a third node leads to %q\n%s", to, page)
	}
	if to, _ := c.send(again, first, http.MethodGet, enter, nil); !strings.HasPrefix(to, photos+"/email-link/sign-in?retry=1") || len(again.Jar.Cookies(site)) != 1 {
		c.t.Errorf("the second use leads to %q, with the cookies %v", to, again.Jar.Cookies(site))
	}
	for _, n := range c.nodes {
		eventually(c.t, "the site lets the browser in", func() bool {
			_, page := c.send(b, n, http.MethodGet, photos+"/", nil)
			return page == "hello "+email
		})
	}
	c.send(b, first, http.MethodPost, auth+"/email-link/sign-out", url.Values{"form": {"1"}})
	begun := time.Now()
	eventually(c.t, "the site is closed on the third node", func() bool {
		_, page := c.send(b, third, http.MethodGet, photos+"/", nil)
		return !strings.HasPrefix(page, "hello")
	})
	c.t.Logf("a sign-out at the portal: on node 3 after %s", time.Since(begun).Round(time.Millisecond))
}
