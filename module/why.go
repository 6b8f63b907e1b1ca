package module

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/idna"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// explainRequest follows a request through the routes to the gates that it comes to, and has each judge it. It asks no matcher that depends on more than
// host, path and method: what such a one decides is told as a condition.
func (a *App) explainRequest(c *core, q operator.RouteQuestion) (answer operator.RouteAnswer, err error) {
	u, err := parsePageAddress(q.URL)
	if err != nil {
		return answer, err
	}
	gates := a.gatesOn(u, q.Method)
	if len(gates) == 0 {
		return answer, &operator.Error{Kind: operator.NotFound, Message: "no site with email_link answers for " + u.Host + "; there are: " + a.siteList()}
	}
	r, err := browserRequest(u, q.Method)
	if err != nil {
		return answer, &operator.Error{Kind: operator.Invalid, Message: "the address or the method cannot be used: " + err.Error()}
	}
	rt := &gate.Runtime{Vault: c.Vault}
	outer := gates[0].handler
	for _, one := range gates {
		h := one.handler
		if h.Off {
			answer.Add("email_link off", h.Source.line(""), "lets everything through", false)
			continue
		}
		if outer.Off {
			outer = h
		}
		e := h.site.Explain(r, outer.site, rt, q.Account, q.Proven)
		if a.explain(&answer, one, e, q, r); answer.Refused != 0 || e.Own || answer.Decided() {
			break
		}
	}
	if o, ok := gate.Resolve(outer.site.Origins, r.Host); ok {
		answer.Origin = o
	}
	if outer.site.Led {
		answer.Portal = a.portal.origin.String()
		answer.Add("portal", a.Source.line("portal"), "people sign in at "+answer.Portal+" for this site", false)
	}
	return answer, nil
}

// parsePageAddress reads the address of a page as a browser does: a host of other than ASCII letters is asked for by its A-labels.
func parsePageAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	var escape url.EscapeError
	switch {
	case errors.As(err, &escape):
		return nil, &operator.Error{Kind: operator.Invalid, Message: fmt.Sprintf("%q holds %q, which is no escape: the gate answers every such request with 400; write %%25 for a percent sign", text, string(escape))}
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, &operator.Error{Kind: operator.Invalid, Message: fmt.Sprintf("%q is not the address of a page, such as https://app.example.com/page", text)}
	}
	if ascii, err := idna.Lookup.ToASCII(u.Hostname()); err == nil {
		u.Host = strings.Replace(u.Host, u.Hostname(), ascii, 1)
	}
	return u, nil
}

// gatesOn returns the gates that a request comes to, in their order.
func (a *App) gatesOn(u *url.URL, method string) (gates []arrival) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for _, exact := range []bool{true, false} {
		for _, name := range slices.Sorted(maps.Keys(a.configuration.routes)) {
			server := a.configuration.routes[name]
			if exact && !slices.ContainsFunc(server.Listen, func(l string) bool { return strings.HasSuffix(l, ":"+port) }) {
				continue
			}
			q := question{host: strings.ToLower(u.Hostname()), path: u.EscapedPath(), method: method}
			if q.path == "" {
				q.path = "/"
			}
			travel(server, q, func(at arrival) bool {
				if at.kind == gateKind && !at.failed {
					gates = append(gates, at)
				}
				return false
			})
		}
		if len(gates) > 0 {
			break
		}
	}
	return gates
}

// browserRequest returns the request as a browser would send it, for matchers.
func browserRequest(u *url.URL, method string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	r.RequestURI, r.RemoteAddr = u.RequestURI(), "127.0.0.1:1"
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	host := strings.ToLower(u.Host)
	r.Host = strings.TrimSuffix(strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme]), ".")
	r.URL.Host, r.URL.Scheme = "", ""
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, &caddyhttp.Server{}), nil
}

// explain adds what one gate makes of a request.
func (a *App) explain(answer *operator.RouteAnswer, at arrival, e gate.Explanation, q operator.RouteQuestion, r *http.Request) {
	h := at.handler
	name := "email_link"
	if at.chance != always {
		name += " (" + at.matchers() + ")"
	}
	answer.Add(name, h.Source.line(""), "the request comes to this gate", false)
	switch {
	case e.Refusal == web.Misdirected:
		answer.Refuse(http.StatusMisdirectedRequest, e.Reference)
		at := h.Source.line("base_url")
		if len(h.BaseURL) == 0 {
			at = a.Source.line("base_url")
		}
		answer.Add("base_url", at, "names no such host", true)
		return
	case e.Own:
		answer.Add("path", h.Source.line("path"), "a page of the gate's own, which no rule of the site guards", true)
		return
	case e.Refusal == web.PortalOnly && r.URL.Path == "/":
		answer.Refuse(http.StatusSeeOther, "")
		answer.Add("portal", a.Source.line("portal"), "leads to the portal's own page", true)
		return
	case e.Refusal == web.PortalOnly:
		answer.Refuse(http.StatusNotFound, "")
		answer.Add("portal", a.Source.line("portal"), "there is nothing behind the portal's own pages", true)
		return
	case e.Refusal == web.BadRequest:
		answer.Refuse(http.StatusBadRequest, e.Reference)
		answer.Add("path", h.Source.line(""), "holds NUL or a malformed escape", true)
		return
	case e.Refusal == web.MethodNotAllowed:
		answer.Refuse(http.StatusMethodNotAllowed, e.Reference)
		answer.Add("method", h.Source.line(""), q.Method+" goes on nowhere", true)
		return
	}
	a.explainNeed(answer, h, e)
	refused := e.Refusal == web.Forbidden || e.Refusal == web.SignIn && q.Account != nil
	for _, d := range e.Demands {
		says := "is met"
		if !d.Met {
			says = "is not met"
		}
		if d.Option == "require role" && q.Account != nil {
			says += ": the account has " + orNone(q.Account.Roles)
		}
		answer.Add(d.Option+" "+strings.Join(d.Words, " "), d.At, says, refused && !d.Met && e.Elsewhere == nil)
		refused = refused && d.Met
	}
	if e.Elsewhere != nil {
		answer.Add("another site", e.Elsewhere.Line("", 0), "by another reading this path is that site's, which refuses it", refused)
	}
	if e.Refusal == web.Forbidden {
		answer.Refuse(http.StatusForbidden, e.Reference)
	}
	if e.Refusal == web.SignIn && q.Account != nil {
		answer.Refuse(http.StatusSeeOther, "")
	}
}

// explainNeed adds why a request needs a session, or none.
func (a *App) explainNeed(answer *operator.RouteAnswer, h *Handler, e gate.Explanation) {
	answer.NeedsSession = answer.NeedsSession || e.Need != gate.NeedNothing
	switch {
	case h.Optional:
		answer.Add("optional", h.Source.line("optional"), "lets everybody through", false)
	case e.Need == gate.NeedNothing && len(h.site.Access.Public) > 0:
		for i := range max(1, len(h.Source.lines("public"))) {
			answer.Add("public", h.Source.nth("public", i), "opens the path, or what is protected leaves it open", false)
		}
	case e.Need == gate.NeedNothing:
		answer.Add("matcher", h.Source.line(""), "protects other requests only", false)
	case len(h.site.Access.Public) > 0:
		for i := range max(1, len(h.Source.lines("public"))) {
			answer.Add("public", h.Source.nth("public", i), "does not open this path", false)
		}
	}
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "no role"
	}
	return strings.Join(words, ", ")
}

// siteList names the origins of the configuration.
func (a *App) siteList() string {
	var list []string
	for _, h := range a.handlers {
		for _, o := range h.origins {
			list = append(list, o.String())
		}
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(sorted(list), ", ")
}
