package module

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// page is the page that an anonymous request is sent to.
const page = "/sign-in"

// checkPages refuses a gate whose own pages a request does not get to, because matchers of path, host or method keep it away
// or another route answers first. Where that depends on matchers of another kind it is a warning.
func (c *configuration) checkPages(arrivals []arrival) error {
	seen := map[*Handler]bool{}
	for _, a := range arrivals {
		h := a.handler
		if a.kind != gateKind || a.failed || h.Off || len(a.gates) > 0 || seen[h] {
			continue
		}
		reached, mover := always, ""
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			one, by := c.pageReached(a, method)
			reached, mover = min(reached, one), cmp.Or(mover, by)
		}
		const rewritten = "put email_link before it, which is its place outside of 'route'"
		switch {
		case reached == never && mover != "":
			return h.Source.wrap("", fmt.Errorf("its pages at %s are not reached, because %s before it changes their path, so nobody could sign in; %s", h.site.Prefix, mover, rewritten))
		case reached == never:
			return h.Source.wrap("", fmt.Errorf("its pages at %s are not reached at %s (%s), so nobody could sign in; %s", h.site.Prefix, a.site(), a.matchers(), a.pagesRemedy()))
		case reached == maybe && mover != "":
			seen[h] = true
			c.warn("pages", fmt.Sprintf("%s: its pages at %s are not reached where %s before it changes their path: nobody can sign in there", h.Source.prefix(""), h.site.Prefix, mover), rewritten)
		case reached == maybe && !a.onlyPaths:
			seen[h] = true
			c.warn("pages", fmt.Sprintf("%s: its pages at %s are reached only where the matchers before it let a request through (%s): everybody else who opens a mailed link gets another answer", h.Source.prefix(""), h.site.Prefix, a.matchers()),
				"write email_link in the site itself, before the handle blocks, with a matcher behind it for what needs signing in")
		}
	}
	return nil
}

// warnUnreached warns of gates that guard nothing: those that no request comes to, and those that only errors come to.
func (c *configuration) warnUnreached(arrivals []arrival) {
	seen := map[*Handler]bool{}
	for _, p := range c.positions {
		h := p.handler
		reached := func(failed bool) bool {
			return slices.ContainsFunc(arrivals, func(a arrival) bool { return a.handler == h && a.failed == failed })
		}
		if seen[h] || reached(false) {
			continue
		}
		seen[h] = true
		switch {
		case !reached(true):
			c.warn("routes", fmt.Sprintf("%s: no request comes to it%s; it guards nothing", h.Source.prefix(""), c.instead(p, arrivals)),
				"write email_link before what answers, or remove it")
		case !slices.ContainsFunc(arrivals, func(a arrival) bool {
			return a.kind == gateKind && !a.failed && !a.handler.Off && slices.ContainsFunc(arrivals, func(b arrival) bool { return b.handler == h && b.server == a.server && b.host == a.host })
		}):
			c.warn("routes", fmt.Sprintf("%s: it stands in handle_errors alone, so it guards error pages and nothing else of %s", h.Source.prefix(""), p.title()),
				"write email_link in the site itself as well, before what it guards")
		}
	}
}

// instead names what requests of a site come to in place of a gate.
func (c *configuration) instead(p *position, arrivals []arrival) string {
	for i := len(arrivals) - 1; i >= 0; i-- {
		a := arrivals[i]
		if a.serverName == p.server && !a.failed && a.kind != gateKind && a.kind != nothingKind && (a.host == "" && len(p.hosts) == 0 || slices.Contains(p.hosts, a.host)) {
			return ", because " + a.title() + " before it answers all of them"
		}
	}
	return ""
}

// pageReached returns whether requests for the sign-in page come to a gate that serves it, and the rewrite that may keep them
// from it. A gate does not serve pages whose path has been changed.
func (c *configuration) pageReached(a arrival, method string) (best chance, mover string) {
	travel(a.server, question{host: a.host, path: a.handler.site.Prefix + page, method: method}, func(b arrival) bool {
		if b.kind != gateKind || b.failed || b.handler.Off || len(b.gates) > 0 || b.handler.site.Prefix != a.handler.site.Prefix {
			return false
		}
		if b.moved != never {
			mover = cmp.Or(mover, b.mover)
		}
		best = max(best, min(b.chance, always-b.moved))
		return true
	})
	return best, mover
}

// pagesRemedy says what to write so that the pages are reached.
func (a arrival) pagesRemedy() string {
	site := "write email_link in the site itself, before the handle blocks"
	var words []string
	if len(a.conditions) > 0 {
		words = strings.Fields(a.conditions[len(a.conditions)-1])
	}
	if len(words) != 2 || words[0] != "path" {
		return site + ", with a matcher behind it for what needs signing in"
	}
	path := words[1]
	if base, ok := strings.CutSuffix(path, "/*"); ok && CheckPrefix(base+a.handler.site.Prefix) == nil {
		return fmt.Sprintf("write 'path %s%s' in it, or 'email_link %s' in the site itself, before the handle blocks", base, a.handler.site.Prefix, path)
	}
	return fmt.Sprintf("write 'email_link %s' in the site itself, before the handle blocks", path)
}
