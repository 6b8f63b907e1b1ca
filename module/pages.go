package module

import (
	"fmt"
	"net/http"
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
		reached := always
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			reached = min(reached, c.pageReached(a, method))
		}
		switch reached {
		case never:
			return h.Source.wrap("", fmt.Errorf("its pages at %s are not reached at %s (%s), so nobody could sign in; %s", h.site.Prefix, a.site(), a.matchers(), a.pagesRemedy()))
		case maybe:
			if !a.onlyPaths {
				seen[h] = true
				c.warn("pages", fmt.Sprintf("%s: its pages at %s are reached only where the matchers before it let a request through (%s): everybody else who opens a mailed link gets another answer", h.Source.prefix(""), h.site.Prefix, a.matchers()),
					"write email_link in the site itself, before the handle blocks, with a matcher behind it for what needs signing in")
			}
		}
	}
	return nil
}

// pageReached returns whether requests for the sign-in page come to a gate that serves it.
func (c *configuration) pageReached(a arrival, method string) chance {
	best := never
	travel(a.server, question{host: a.host, path: a.handler.site.Prefix + page, method: method}, func(b arrival) bool {
		if b.kind != gateKind || b.failed || b.handler.Off || len(b.gates) > 0 || b.handler.site.Prefix != a.handler.site.Prefix {
			return false
		}
		best = max(best, b.chance)
		return true
	})
	return best
}

// pagesRemedy says what to write so that the pages are reached.
func (a arrival) pagesRemedy() string {
	site := "write email_link in the site itself, before the handle blocks"
	if len(a.conditions) == 0 || !strings.HasPrefix(a.conditions[len(a.conditions)-1], "path ") {
		return site + ", with a matcher behind it for what needs signing in"
	}
	path := strings.Fields(a.conditions[len(a.conditions)-1])[1]
	if base, ok := strings.CutSuffix(path, "/*"); ok && CheckPrefix(base+a.handler.site.Prefix) == nil {
		return fmt.Sprintf("write 'path %s%s' in it, or 'email_link %s' in the site itself, before the handle blocks", base, a.handler.site.Prefix, path)
	}
	return fmt.Sprintf("write 'email_link %s' in the site itself, before the handle blocks", path)
}
