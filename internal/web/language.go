package web

import (
	"cmp"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// languageLifetime is how long a browser keeps the choice of a language: as long as browsers keep any cookie.
const languageLifetime = 400 * 24 * time.Hour

// preferredLanguage returns the language that the person has chosen on a page of ours, else the one that the browser asks for.
func (x *exchange) preferredLanguage() string {
	if chosen := x.Cookies.Language; chosen != "" && slices.Contains(x.Templates.Languages(), chosen) {
		return chosen
	}
	return x.Templates.Language(x.r.Header.Get("Accept-Language"))
}

// languagePage answers a GET of the address that takes the choice: the choice itself is on every page.
func (x *exchange) languagePage() { x.methodNotAllowedOr("/sign-in") }

// chooseLanguage keeps the language that a person has chosen in a cookie, and leads back to the page that the choice was on. The cookie holds
// the name of the language and nothing else.
func (x *exchange) chooseLanguage() {
	fields, err := x.form("language", "back")
	if err == nil && !slices.Contains(x.Templates.Languages(), fields["language"]) {
		err = errForm
	}
	if err != nil {
		x.refuseForm(err)
		return
	}
	x.setCookie(boundary.LanguageCookie, fields["language"], languageLifetime)
	if x.json {
		x.replyOK(http.StatusOK, map[string]string{"language": fields["language"]})
		return
	}
	x.redirect(x.localPage(fields["back"]))
}

// localPage validates an address to lead back to: a page of ours or one of the site's, never one with a token.
func (x *exchange) localPage(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxBack || token.Holds(raw, x.Clock.Now) || TokenRoute(u, x.Site.Prefix):
	case u.Scheme == "" && u.Host == "" && u.User == nil && u.EscapedPath() == u.Path && path.Clean(u.Path) == strings.TrimSuffix(u.Path, "/") &&
		strings.HasPrefix(u.Path, x.Site.Prefix+"/"):
		return u.Path + x.pageQuery(u.RawQuery, "")
	default:
		if to := x.returnTo(raw); to != "" {
			return to
		}
		if raw == "/" {
			return "/"
		}
	}
	return x.path("/sign-in")
}

// maxBack is the longest address that the choice of a language leads back to, in bytes.
const maxBack = 4 << 10

// here returns the address of this page for localPage, empty where the choice of a language has no use: at a Host that is no site's.
func (x *exchange) here(facts templates.PageFacts) string {
	if x.Site == nil || x.misdirected {
		return ""
	}
	p, below := strings.CutPrefix(x.r.URL.Path, x.Site.Prefix+"/")
	_, _, linked := tokenRoute("/" + p)
	done := linked && (x.r.URL.RawQuery == "done" || x.r.URL.RawQuery == accountEnded) // the page after a cancel
	switch {
	case !below:
		return cmp.Or(x.requestedPage(), "/")
	case linked && !done:
		return x.path("/confirm")
	case x.r.Method == http.MethodPost && p == "code":
		return x.path("/resend")
	}
	back := ""
	switch f := facts.(type) { // the field of a form that was refused
	case templates.SignIn:
		back = f.ReturnTo
	case templates.SignUp:
		back = f.ReturnTo
	}
	if x.r.Method == http.MethodPost {
		return x.r.URL.EscapedPath() + x.pageQuery("", back)
	}
	return x.r.URL.EscapedPath() + x.pageQuery(x.r.URL.RawQuery, back)
}

// pageFlags are the words that our pages know in their queries, beside return_to.
var pageFlags = append([]string{
	"again", "change", "done", cancelledDevice, deleteDone, deletionUndone, "opened", "other", passwordSet,
	"sent", accountInvited, addressHalfNew, addressHalfOld, addressChanged, addressRestored,
}, accountNotes...)

// pageQuery returns what our pages know of a query, with its question mark. back stands in for a missing return_to.
func (x *exchange) pageQuery(raw, back string) string {
	values, err := url.ParseQuery(raw)
	if err != nil {
		values = nil
	}
	var parts []string
	for _, flag := range pageFlags {
		if values.Has(flag) {
			parts = append(parts, flag)
		}
	}
	if to := cmp.Or(x.returnTo(values.Get("return_to")), back); to != "" {
		parts = append(parts, "return_to="+url.QueryEscape(to))
	}
	if len(parts) == 0 {
		return ""
	}
	return "?" + strings.Join(parts, "&")
}
