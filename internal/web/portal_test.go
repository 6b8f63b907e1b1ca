package web

import (
	"context"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
)

// TestPORT13_AnOperatorsLinkLeadsToTheSite opens a link that was printed for a site in a browser that has never been anywhere.
func TestPORT13_AnOperatorsLinkLeadsToTheSite(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	l, err := s.pages.Flows.Link(t.Context(), s.site.Site, flow.LinkInput{Email: known, ReturnTo: "/email-link/open?app=" + url.QueryEscape(photosOrigin)})
	if err != nil {
		t.Fatal(err)
	}
	p := s.person()
	page := p.visit(l.URL).says(t, "photos.example.org</bdi>").lacks(t, "/email-link/open")
	if got := p.visit(authOrigin+"/email-link/confirm", url.Values{"h": {s.find(hPattern, page.body)}}); got.body != "app of photos.example.org" {
		t.Errorf("the button leads to %d by way of %v\n%s", got.status, p.trail, got.body)
	}
}

// TestPORT5_NothingLeadsOutside puts what leads elsewhere into each place of the way that names a destination. No step leads out of the
// sites: visit fails where one does.
func TestPORT5_NothingLeadsOutside(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	p := s.person()
	p.signIn(known, "")
	foreign := []string{
		"https://evil.example", "//evil.example", `/\evil.example`, `\\evil.example`, "/%2f/evil.example", "/%5cevil.example", "https:evil.example",
		"/a/../..//evil.example", "/\t/evil.example", "javascript:alert(1)", "https://photos.example.org.evil.example/", "@evil.example", ".evil.example",
		"/email-link/open?app=https%3A%2F%2Fevil.example", "/email-link/open?app=https%3A%2F%2Fphotos.example.org%40evil.example",
		"/email-link/open?r=x&app=https%3A%2F%2Fevil.example", "app=https%3A%2F%2Fphotos.example.org", "/email-link/enter?t=x", "/EMAIL-LINK/open?app=https%3A%2F%2Fevil.example",
	}
	for _, raw := range foreign {
		to := url.QueryEscape(raw)
		for _, address := range []string{
			photosOrigin + "/email-link/sign-in?return_to=" + to, photosOrigin + "/email-link/sign-in?again=1&return_to=" + to,
			photosOrigin + "/email-link/sign-in?return_to=/a&return_to=" + to, photosOrigin + "/email-link/sign-up?return_to=" + to,
			photosOrigin + "/email-link/reset?return_to=" + to, photosOrigin + "/email-link/account?return_to=" + to,
			photosOrigin + "/email-link/enter?t=" + to, photosOrigin + "/email-link/enter?return_to=" + to,
			authOrigin + "/email-link/sign-in?return_to=" + to, authOrigin + "/email-link/open?r=" + to, authOrigin + "/email-link/open?app=" + to,
			authOrigin + "/?app=" + to, authOrigin + "/email-link/?app=" + to,
		} {
			p.visit(address)
		}
	}
	// What another gate has sealed, or this one for a site that the configuration has lost, is no destination.
	sealed, err := s.pages.Flows.SealPortalRequest(authOrigin, flow.NewBinder(), flow.PortalRequest{Site: "https://gone.example.com", Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if p.visit(authOrigin + "/email-link/open?r=" + sealed); p.at() != authOrigin+"/email-link/" {
		t.Errorf("a request of a site that is gone leads to %v", p.trail)
	}
	if p.visit(authOrigin + "/email-link/sign-in?return_to=" + url.QueryEscape("/email-link/open?r="+sealed)); p.at() != authOrigin+"/email-link/" {
		t.Errorf("as a return path it leads to %v", p.trail)
	}
	path := "/album?x=1&y=%2F%2Fevil.example"
	if got := p.visit(photosOrigin + "/email-link/sign-in?return_to=" + url.QueryEscape(path)); got.body != "app of photos.example.org" || p.at() != photosOrigin+path {
		t.Errorf("a path of the site itself: %d by way of %v", got.status, p.trail)
	}
}

// TestPORT15_OnlyANavigationHandsOver sends what is no person's visit to /open and /enter: other methods, prefetches, frames, scripts and
// clients of JSON. None of them uses an entry up, sets a session, or writes; afterwards the entry works.
func TestPORT15_OnlyANavigationHandsOver(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	p := s.person()
	p.signIn(known, "")
	enter := p.stop(photosOrigin+"/", "/email-link/enter")
	open := strings.Replace(p.stop(filesOrigin+"/", "/email-link/open"), filesOrigin, authOrigin, 1)
	page := p.header
	navigation := func(pairs ...string) http.Header {
		h := page.Clone()
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	before := s.writes.updates
	for name, c := range map[string]struct {
		method string
		header http.Header
	}{
		"HEAD": {http.MethodHead, page}, "POST": {http.MethodPost, page}, "OPTIONS": {http.MethodOptions, page}, "PUT": {http.MethodPut, page},
		"HEAD of old": {http.MethodHead, http.Header{"Accept": {"text/html"}}}, "POST of old": {http.MethodPost, http.Header{"Accept": {"text/html"}}},
		"a prefetch of old": {http.MethodGet, http.Header{"Accept": {"text/html"}, "Purpose": {"prefetch"}}},
		"a prefetch":        {http.MethodGet, navigation("Sec-Purpose", "prefetch;prerender")},
		"an old prefetch":   {http.MethodGet, navigation("Purpose", "prefetch")},
		"Firefox's":         {http.MethodGet, navigation("X-Moz", "prefetch")},
	} {
		p.header = c.header
		for _, address := range []string{enter, open} {
			got := p.send(c.method, address, nil)
			if got.status == http.StatusOK || strings.Contains(got.location, "/enter?t=") || p.session(photosOrigin) != "" || len(got.header["Set-Cookie"]) > 0 || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s at %.45s: %d to %q", name, address, got.status, got.location)
			}
			if !strings.Contains(got.header.Get("Cache-Control"), "no-store") || got.header.Get("Referrer-Policy") == "strict-origin" && c.method == http.MethodGet {
				t.Errorf("%s at %.45s has the headers %v", name, address, got.header)
			}
		}
	}
	for name, header := range map[string]http.Header{
		"a frame":  navigation("Sec-Fetch-Dest", "iframe"),
		"a script": navigation("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"),
		"JSON":     navigation("Accept", "application/json", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"),
		"an image": navigation("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"),
	} {
		p.header = header
		for _, address := range []string{enter, open} {
			if got := p.send(http.MethodGet, address, nil); got.status == http.StatusOK || strings.Contains(got.location, "/enter?t=") || p.session(photosOrigin) != "" {
				t.Errorf("%s at %.45s: %d to %q", name, address, got.status, got.location)
			}
		}
	}
	if n := s.writes.updates - before; n != 0 {
		t.Errorf("%d steps wrote", n)
	}
	p.header = page
	if got := p.visit(enter); got.body != "app of photos.example.org" {
		t.Errorf("after all of them the entry leads to %d by way of %v", got.status, p.trail)
	}
	if got := p.visit(open); got.body != "app of files.example.net" {
		t.Errorf("after all of them the request leads to %d by way of %v", got.status, p.trail)
	}
}

// TestPORT10_AMinuteThatIsOver presses the button of a parked entry when the browser has forgotten it, and twice: the first is told that it is
// not signed in yet, and not to open a link again, of which there is none.
func TestPORT10_AMinuteThatIsOver(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	p := s.person()
	p.signIn(known, "")
	p.header = http.Header{"Accept": {"text/html"}} // what a text browser says
	park := func() (h string) {
		page := p.visit(photosOrigin + "/album").body
		if h = s.find(hPattern, page); strings.Contains(page, "This link") {
			t.Errorf("no link has led to %s", page)
		}
		if p.at() != photosOrigin+"/email-link/confirm" {
			t.Fatalf("led to %s", p.at())
		}
		return h
	}
	h := park()
	delete(p.jar["photos.example.org"], boundary.CookieName(boundary.TokenCookie, true))
	late := p.visit(photosOrigin+"/email-link/confirm", url.Values{"h": {h}})
	if !strings.Contains(late.body, "You are not signed in yet") || strings.Contains(late.body, "Request a new link") || !strings.Contains(late.body, `href="/email-link/sign-in"`) {
		t.Errorf("pressed late: %s", late.body)
	}
	h = park()
	for range 2 {
		if got := p.visit(photosOrigin+"/email-link/confirm", url.Values{"h": {h}}); got.body != "app of photos.example.org" {
			t.Errorf("led to %s: %s", p.at(), got.body)
		}
	}
	p.jar["files.example.net"] = map[string]string{boundary.CookieName(boundary.FlowCookie, true): "x"}
	if got := p.visit(filesOrigin + "/email-link/confirm"); !strings.Contains(got.body, "No link is open here") {
		t.Errorf("with a flow that an app has started: %s", got.body)
	}
}

// TestPORT9_AnotherAddress follows "Sign in with another address" of a page that an account may not open: at a site, which lets the account in
// elsewhere, and at the portal. It leads to the form, and then to the page with the other account.
func TestPORT9_AnotherAddress(t *testing.T) {
	const other = "grace@example.com"
	s := newSeveral(t)
	s.account(known)
	s.account(other)
	portal := s.sites[authOrigin].Portal
	portal.Site(filesOrigin).Admits = func(a *accounts.Account) bool { return a.Email == other }
	for name, start := range map[string]func(p *person) string{
		"at a site": func(p *person) string {
			p.visit(photosOrigin + "/album")
			return photosOrigin + "/email-link/sign-in?other=1&return_to=%2Falbum"
		},
		"at the portal": func(p *person) string {
			page := p.visit(filesOrigin + "/")
			link := regexp.MustCompile(`href="(/email-link/sign-in\?other=1[^"]*)"`)
			return authOrigin + html.UnescapeString(s.find(link, page.body))
		},
	} {
		p := s.person()
		p.signIn(known, "")
		form := p.visit(start(p))
		back := html.UnescapeString(s.find(regexp.MustCompile(`name="return_to" value="([^"]+)"`), form.body))
		if !strings.HasPrefix(p.at(), authOrigin+"/email-link/sign-in?other=1&") || form.status != http.StatusOK {
			t.Fatalf("%s: led to %d %s", name, form.status, p.at())
		}
		p.signIn(other, back)
		p.visit(p.at(), url.Values{"h": {s.find(hPattern, p.visit(p.at()).body)}}) // it is another account
		origin := "https://" + strings.SplitN(p.at(), "/", 4)[2]
		if got := s.owner(p.session(origin), origin); got != other || origin == authOrigin {
			t.Errorf("%s: at %s as %q", name, p.at(), got)
		}
	}
}

// TestPORT1_AnotherBrowserGetsNothing opens, in browsers other than the one that asked, the request and the entry of an attacker or of a
// victim: the victim's own way begins, as the victim's own account, and no cookie of the other's is set.
func TestPORT1_AnotherBrowserGetsNothing(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	s.account("mallory@example.com")
	victim, attacker := s.person(), s.person()
	victim.signIn(known, "")
	attacker.signIn("mallory@example.com", "")
	entry := attacker.stop(photosOrigin+"/mine", "/email-link/enter")
	if got := victim.visit(entry); got.body != "app of photos.example.org" || s.owner(victim.session(photosOrigin), photosOrigin) != known {
		t.Errorf("the attacker's entry in the victim's browser: %d as %q by way of %v", got.status, s.owner(victim.session(photosOrigin), photosOrigin), victim.trail)
	}
	request := attacker.stop(filesOrigin+"/mine", "/email-link/open")
	if got := victim.visit(request); got.body != "app of files.example.net" || s.owner(victim.session(filesOrigin), filesOrigin) != known {
		t.Errorf("the attacker's request in the victim's browser: %d by way of %v", got.status, victim.trail)
	}
	if attacker.visit(filesOrigin + "/"); s.owner(attacker.session(filesOrigin), filesOrigin) != "mallory@example.com" {
		t.Errorf("the attacker is %q afterwards", s.owner(attacker.session(filesOrigin), filesOrigin))
	}
	stolen, thief := victim.stop(photosOrigin+"/email-link/sign-in?again=1", "/email-link/open"), s.person()
	if got := thief.visit(stolen); thief.session(photosOrigin) != "" || thief.session(authOrigin) != "" || got.body == "app of photos.example.org" {
		t.Errorf("the victim's request in a stranger's browser: %d by way of %v", got.status, thief.trail)
	}
}

// owner returns the address of the account of a session, empty where there is none.
func (s *several) owner(cookie, origin string) string {
	s.t.Helper()
	live, err := s.state.Sessions.Find(context.Background(), cookie, origin)
	if err != nil {
		s.t.Fatal(err)
	}
	if live == nil {
		return ""
	}
	return live.Account.Email
}

// TestPORT2_OneSiteAsksForAFreshProof gives one site a max_age: it asks once, the others go on, and a hand-over refreshes nothing. A cookie of
// the portal's that was copied before the proof opens nothing after it.
func TestPORT2_OneSiteAsksForAFreshProof(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	s.sites[filesOrigin].MaxAge = 10 * time.Minute
	p := s.person()
	p.signIn(known, "")
	opens := func(origin string) bool {
		return p.visit(origin+"/").body == "app of "+strings.TrimPrefix(origin, "https://")
	}
	if !opens(photosOrigin) || !opens(filesOrigin) {
		t.Fatalf("right after the sign-in: %v", p.trail)
	}
	s.clock.Advance(11 * time.Minute)
	delete(p.jar["photos.example.org"], boundary.CookieName("", true)) // so that a hand-over comes after the proof has aged
	if !opens(photosOrigin) {
		t.Errorf("the site without max_age: %v", p.trail)
	}
	got := p.visit(filesOrigin+"/box?x=1").says(t, "sign-in")
	if at, err := url.Parse(p.at()); err != nil || "https://"+at.Host != authOrigin || at.Path != "/email-link/sign-in" || !at.Query().Has("again") {
		t.Fatalf("the site with max_age leads to %d by way of %v", got.status, p.trail)
	}
	back := mustQuery(t, p.at()).Get("return_to")
	copied, before := p.session(authOrigin), p.session(photosOrigin)
	if got := p.signIn(known, back); got.body != "app of files.example.net" || p.at() != filesOrigin+"/box?x=1" {
		t.Errorf("the proof leads to %d by way of %v", got.status, p.trail)
	}
	if !opens(filesOrigin) || !opens(photosOrigin) || p.session(photosOrigin) != before {
		t.Errorf("after the proof: %v", p.trail)
	}
	if s.owner(copied, authOrigin) != "" {
		t.Error("a cookie that was copied before the proof is good after it")
	}
	thief := s.person()
	thief.jar["auth.example.com"] = map[string]string{boundary.CookieName("", true): copied}
	if thief.visit(filesOrigin + "/"); thief.session(filesOrigin) != "" {
		t.Errorf("and opens a site, by way of %v", thief.trail)
	}
	s.clock.Advance(11 * time.Minute)
	if opens(filesOrigin) {
		t.Error("the proof never ages")
	}
}

func mustQuery(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// TestPORT6_TenThousandStrangersLeaveNothing opens pages as strangers do, whose requests follow the whole way to the portal's form, some with
// what is sealed under another key: nothing is written, the file is as large as before, and the database holds as many records of each kind.
func TestPORT6_TenThousandStrangersLeaveNothing(t *testing.T) {
	s := newSeveral(t)
	ring, _, err := keyring.Open([][]byte{[]byte("a master key of another gate's own")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := flow.Service{Ring: ring, Clock: s.state.Clock}
	wrong, err := other.SealPortalRequest(authOrigin, flow.NewBinder(), flow.PortalRequest{Site: photosOrigin, Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(s.dir, enginetest.File))
		if err != nil {
			return -1 // the engine is none of files
		}
		return info.Size()
	}
	before, records := size(), enginetest.CountRecords(t, s.state.Store)
	for i := range 2500 { // four navigations each
		p := s.person()
		open := p.stop(fmt.Sprintf("%s/album/%d", photosOrigin, i), "/email-link/open")
		form := p.send(http.MethodGet, open, nil)
		if form.status != http.StatusSeeOther || !strings.HasPrefix(form.location, "/email-link/sign-in?return_to=") {
			t.Fatalf("%d to %q", form.status, form.location)
		}
		if got := p.send(http.MethodGet, authOrigin+"/email-link/open?r="+wrong, nil); got.location != "/email-link/" {
			t.Fatalf("a request under another key leads to %d %q", got.status, got.location)
		}
	}
	if s.writes.updates != 0 || size() != before {
		t.Errorf("%d steps wrote; the file has %d bytes, before %d", s.writes.updates, size(), before)
	}
	if after := enginetest.CountRecords(t, s.state.Store); !maps.Equal(after, records) {
		t.Errorf("the database holds %v, before %v", after, records)
	}
}

// TestPORT9_NoCookieIsForMoreThanItsHost goes the whole way and looks at each cookie that is set.
func TestPORT9_NoCookieIsForMoreThanItsHost(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	p := s.person()
	p.signIn(known, "")
	p.visit(photosOrigin + "/")
	p.visit(filesOrigin+"/email-link/sign-out", url.Values{"form": {"1"}})
	if p.session(photosOrigin); len(p.set) < 5 {
		t.Fatalf("%d cookies in the whole run", len(p.set))
	}
	for _, line := range p.set {
		if !strings.HasPrefix(line, "__Host-email_link") || strings.Contains(strings.ToLower(line), "domain") || !strings.Contains(line, "Secure") ||
			!strings.Contains(line, "HttpOnly") || !strings.Contains(line, "SameSite=Lax") || !strings.Contains(line, "Path=/;") {
			t.Errorf("a cookie is %s", line)
		}
	}
}

// TestWHY2_ThePortalsRefusalHasAReference goes to a site that does not admit the account: the portal's page shows the reference of that refusal.
func TestWHY2_ThePortalsRefusalHasAReference(t *testing.T) {
	s := newSeveral(t)
	s.account(known)
	p := s.person()
	p.signIn(known, "")
	s.site.Portal.Site(photosOrigin).Admits = func(*accounts.Account) bool { return false }
	a := p.visit(photosOrigin + "/album")
	if a.status != http.StatusForbidden || !strings.Contains(a.body, "403 · K7QF2MAB") {
		t.Errorf("%d by way of %v\n%s", a.status, p.trail, a.body)
	}
}
