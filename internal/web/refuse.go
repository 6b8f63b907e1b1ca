package web

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// Refusal returns why the gate does not let a request through.
type Refusal uint8

// Refusals of the gate.
const (
	// SignIn: there is no session, or its last proof is too old. A browser's navigation is led to the form (303),
	// everything else gets a 401.
	SignIn Refusal = iota + 1
	// Forbidden: the account lacks what the site requires (403).
	Forbidden
	// Misdirected: no site of ours has this Host; the page names Visit.Site (421).
	Misdirected
	// Unavailable: the gate is not ready, or cannot read its store (503).
	Unavailable
	// BadRequest: a malformed path (400).
	BadRequest
	// MethodNotAllowed: TRACE, or CONNECT without a protocol (405).
	MethodNotAllowed
	// UpgradeOrigin: an upgrade that does not come from the site's own pages (403).
	UpgradeOrigin
	// InvalidToken: what the request presents as a machine token is not one, has expired or has been revoked (401).
	InvalidToken
	// TokenNotAllowed: the token is valid for something else (403).
	TokenNotAllowed
	// CrossOrigin: a page of another site made a browser send a token (403).
	CrossOrigin
	// EndServiceWorker: as SignIn, for a browser that asks for the script of an app's service worker. It gets one that removes itself
	// (200), since no other status takes the place of the app's.
	EndServiceWorker
	// PortalOnly: there is nothing behind the portal's own pages (404); its front page is theirs.
	PortalOnly
)

const (
	// retrySoon is the Retry-After of a 503.
	retrySoon = 5 * time.Second
	// unreadyRetry is that of a gate that is starting.
	unreadyRetry = 2 * time.Second
)

// Refuse answers in the gate's place a request to the backend, or one to no site at all.
func (p *Pages) Refuse(w http.ResponseWriter, r *http.Request, v Visit, refusal Refusal) {
	x := &exchange{Pages: p, Visit: v, w: w, r: r}
	switch refusal {
	case SignIn: // what strangers ask for most costs the least
		x.refuseAnonymous()
		return
	case EndServiceWorker:
		x.endServiceWorker()
		return
	}
	x.setHeaders()
	x.negotiate()
	// Elsewhere than below the prefix an Accept without text/html is a program's, not a person's.
	x.json = x.json || v.Token != nil || !acceptsHTML(r.Header)
	switch refusal {
	case PortalOnly:
		x.besidePortal()
	case Forbidden:
		x.refuse(http.StatusForbidden, templates.Forbidden)
	case Misdirected:
		x.refuseMisdirected()
	case BadRequest:
		x.refuse(http.StatusBadRequest, templates.BadRequest)
	case MethodNotAllowed:
		x.refuse(http.StatusMethodNotAllowed, templates.MethodNotAllowed)
	case UpgradeOrigin:
		x.refuse(http.StatusForbidden, templates.UpgradeOrigin)
	case InvalidToken, TokenNotAllowed, CrossOrigin:
		x.refuseToken(refusal)
	default:
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
	}
}

// Unready answers 503 while nothing has started yet that could write a page. Whether the site is https is not known then.
func Unready(w http.ResponseWriter) {
	header := w.Header()
	for _, one := range fixedHeaders[:len(fixedHeaders)-1] {
		header.Set(one[0], one[1])
	}
	header.Set("Content-Security-Policy", contentPolicy(nil))
	header.Set("Retry-After", strconv.Itoa(seconds(unreadyRetry)))
	http.Error(w, "The sign-in service is starting. Please try again in a moment.", http.StatusServiceUnavailable)
}

// refuseToken answers a request with a machine token. Who sends one reads no pages.
func (x *exchange) refuseToken(refusal Refusal) {
	x.json = true
	switch refusal {
	case InvalidToken:
		x.refuse(http.StatusUnauthorized, templates.InvalidToken)
	case CrossOrigin:
		x.refuse(http.StatusForbidden, templates.CrossOrigin)
	default:
		x.refuse(http.StatusForbidden, templates.TokenNotAllowed)
	}
}

// acceptsHTML reports whether Accept names pages, or says nothing.
func acceptsHTML(h http.Header) bool {
	accept := strings.Join(h.Values("Accept"), ",")
	return accept == "" || strings.Contains(accept, "text/html") || strings.Contains(accept, "*/*")
}

// refuseAnonymous leads to the sign-in form, and back here afterwards.
func (x *exchange) refuseAnonymous() {
	if x.Site.Led && boundary.IsFramed(x.r) {
		x.refuseFrame()
		return
	}
	if boundary.IsNavigation(x.r) {
		address := x.signInAddress("")
		x.setHeaders()
		x.redirect(address)
		return
	}
	address := x.signInAddress(x.Site.Origin)
	x.setScriptHeaders()
	x.language = x.preferredLanguage()
	x.problem(problem{status: http.StatusUnauthorized, code: templates.SignInRequired, signIn: address})
}

// signInAddress returns where to sign in, with where to go afterwards, below an origin.
func (x *exchange) signInAddress(origin string) string {
	page, sign := "/sign-in", "?"
	if x.Live != nil {
		// The form would lead a signed-in browser back here.
		page, sign = "/sign-in?again=1", "&"
	}
	back := x.pageInView()
	if back == "" {
		return origin + x.Site.Prefix + page
	}
	return origin + x.Site.Prefix + page + sign + "return_to=" + url.QueryEscape(back)
}

// refuseMisdirected names the right address. What its page loads is served at the wrong one, too.
func (x *exchange) refuseMisdirected() {
	if x.Site != nil {
		if asset, ok := strings.CutPrefix(x.r.URL.Path, x.Site.Prefix+"/assets/"); ok {
			x.asset(asset)
			return
		}
	}
	// The wrong host may be plain http, or another site's: nothing about transport is promised for it.
	x.w.Header().Del(hsts)
	x.misdirected = true
	x.refuse(http.StatusMisdirectedRequest, templates.Misdirected)
}

// problem is a refusal in the making.
type problem struct {
	status int
	code   templates.Code
	field  string
	wait   time.Duration
	signIn string
	// address is that of the page at the portal.
	address string
	// min is the least number of characters of a password.
	min int
	// character of an address and its position, as in templates.Problem.
	character rune
	position  int
	// limit is what a limit says beside its end.
	limit limitWords
}

// limitWords are what a refusal by a limit says beside its end.
type limitWords struct {
	// address is set when it counts the address, reserve when a mail may leave all the same.
	address, reserve bool
	// altcha is the path of the proof of work that is taken in place of waiting, and mailbox what it is for; mail is where to ask for a mail
	// instead. Each is empty where there is none.
	altcha, mailbox, mail string
}

func (p problem) words() templates.Problem {
	return templates.Problem{
		Code: p.code, Wait: p.wait, Min: p.min, Character: p.character, Position: p.position,
		Address: p.limit.address, Reserve: p.limit.reserve, Challenge: p.limit.altcha, Mail: p.limit.mail != "",
	}
}

// refuse answers with an error page, or with problem+json.
func (x *exchange) refuse(status int, code templates.Code) {
	p := problem{status: status, code: code}
	if status == http.StatusServiceUnavailable {
		p.wait = retrySoon
	}
	x.refuseWith(p)
}

func (x *exchange) refuseWith(p problem) {
	facts := templates.Refused{Status: p.status, Problem: p.words(), NextSteps: x.nextSteps(p.code), Reference: x.Reference}
	if p.code == templates.Forbidden && x.Live != nil {
		facts.Email = x.Live.Account.Email
	}
	x.refuseOn(p, facts)
}

// requestedPage returns the address of a GET for coming back to it; "" means the front page, and for every other request.
func (x *exchange) requestedPage() string {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return ""
	}
	return x.returnTo(cmp.Or(x.URI, x.r.URL.RequestURI()))
}

// pageInView returns the page that a person sees who is to sign in: the one asked for, where that is a navigation, else the page of this site
// that made the request, as far as the browser says. A person who has signed in must not be led to what a script has fetched.
func (x *exchange) pageInView() string {
	if boundary.IsNavigation(x.r) {
		return x.requestedPage()
	}
	return x.returnTo(x.refererPath())
}

// refuseOn answers with a page of its own, or with problem+json.
func (x *exchange) refuseOn(p problem, page templates.PageFacts) {
	if p.wait > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(seconds(p.wait)))
	}
	if p.limit.mailbox != "" {
		x.setCookie(boundary.AltchaCookie, p.limit.mailbox, altchaLifetime)
	}
	if !x.json {
		x.page(p.status, page)
		return
	}
	x.problem(p)
}

// problem answers with problem+json.
func (x *exchange) problem(p problem) {
	body := problemBody{
		Type: "about:blank", Title: x.Templates.Text(x.language, p.words()), Status: p.status, Code: string(p.code),
		Field: p.field, SignIn: p.signIn, Altcha: p.limit.altcha, Mail: p.limit.mail, Reference: x.Reference,
	}
	if p.wait > 0 {
		body.RetryAfter = seconds(p.wait)
	}
	if body.Address = p.address; p.code == templates.Misdirected && x.Site != nil {
		body.Address = x.Site.Origin
	}
	x.setLanguage()
	x.answer(p.status, "application/problem+json", body.append(make([]byte, 0, problemSize)))
}

// seconds rounds up.
func seconds(d time.Duration) int { return max(int((d+time.Second-1)/time.Second), 0) }

func (x *exchange) methodNotAllowed(post bool) {
	allow := "GET, HEAD"
	if post {
		allow += ", POST"
	}
	x.w.Header().Set("Allow", allow)
	x.refuse(http.StatusMethodNotAllowed, templates.MethodNotAllowed)
}

// refuseForm answers a body that could not be read.
func (x *exchange) refuseForm(err error) {
	if errors.Is(err, errTooLarge) {
		x.refuse(http.StatusRequestEntityTooLarge, templates.TooLarge)
		return
	}
	x.refuse(http.StatusBadRequest, templates.BadForm)
}

// page writes a page.
func (x *exchange) page(status int, facts templates.PageFacts) {
	var b bytes.Buffer
	if err := x.Templates.Page(&b, x.frame(facts), facts); err != nil {
		if x.Log != nil {
			x.Log.Error("a page could not be rendered", "event", "template", "error", err)
		}
		x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		x.w.WriteHeader(http.StatusInternalServerError)
		_, _ = x.w.Write([]byte("500\n"))
		return
	}
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	x.setLanguage()
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(b.Bytes())
	}
}

// redirect leads on with a 303 that has no body: http.Redirect would write the address into one.
func (x *exchange) redirect(to string) {
	x.w.Header()["Location"] = []string{to}
	x.w.WriteHeader(http.StatusSeeOther)
}
