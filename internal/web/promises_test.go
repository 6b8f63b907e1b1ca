package web

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// sameForAll is an answer with what may differ between two people made alike: the typed address, cookie values.
func sameForAll(a answer, email string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		for _, v := range a.header[name] {
			b.WriteString(name + ": " + cookieValue.ReplaceAllString(v, "=…;") + "\n")
		}
	}
	b.WriteString("\n" + strings.ReplaceAll(a.body, email, "ADDRESS"))
	return b.String()
}

var cookieValue = regexp.MustCompile(`=[\w-]{20,};`)

func TestENUM1_SameBytesForEverybody(t *testing.T) {
	g := newGate(t)
	g.site.SignUp.Mode = 0
	g.account("known1@example.com")
	gone := g.account("gone12@example.com")
	g.disable(gone.ID)
	type step struct {
		name string
		run  func(b *browser, email string) answer
	}
	steps := []step{
		{"ask", func(b *browser, email string) answer { return b.post("/email-link/sign-in", "email", email) }},
		{"page", func(b *browser, _ string) answer { return b.get("/email-link/resend") }},
		{"early", func(b *browser, _ string) answer { return b.post("/email-link/resend") }},
		{"wrong code", func(b *browser, _ string) answer { return b.post("/email-link/code", "code", "00000000") }},
		{"after delivery", func(b *browser, _ string) answer { b.g.deliver(); return b.get("/email-link/resend") }},
		{"wrong code later", func(b *browser, _ string) answer { return b.json("POST", "/email-link/code", `{"code":"00000001"}`) }},
		{"ask again", func(b *browser, email string) answer {
			return b.json("POST", "/email-link/sign-in", `{"email":"`+email+`"}`)
		}},
		{"asked as JSON", func(b *browser, _ string) answer { return b.json("GET", "/email-link/resend", "") }},
	}
	emails := []string{"known1@example.com", "nobody@example.com", "gone12@example.com"}
	browsers := map[string]*browser{}
	for i, email := range emails {
		browsers[email] = g.browser()
		browsers[email].client = []string{"192.0.2.1:1", "198.51.100.1:1", "203.0.113.1:1"}[i]
	}
	for _, s := range steps {
		var first string
		var status int
		for i, email := range emails {
			a := s.run(browsers[email], email)
			got := sameForAll(a, email)
			if i == 0 {
				first, status = got, a.status
				continue
			}
			if a.status != status || got != first {
				t.Errorf("%s: %s: %d, %d, %s", s.name, email, status, a.status, cmp.Diff(first, got))
			}
		}
	}
	// Until its time is over a flow answers alike, whatever became of it.
	for len(g.deliver()) > 0 {
	}
	g.clock.Advance(14 * time.Minute)
	var first string
	for i, email := range emails {
		got := sameForAll(browsers[email].get("/email-link/resend"), email)
		if i == 0 {
			first = got
		} else if got != first {
			t.Errorf("late: %s", cmp.Diff(first, got))
		}
	}
	g.clock.Advance(time.Minute)
	for _, email := range emails {
		browsers[email].get("/email-link/resend").wants(t, 200, "").says(t, "not waiting for a mail")
	}
}

func TestENUM1_CapsAreNeutral(t *testing.T) {
	g := newGate(t)
	g.account("known1@example.com")
	var answers []string
	for _, email := range []string{"known1@example.com", "nobody@example.com"} {
		var last answer
		for range 6 {
			last = g.browser().post("/email-link/sign-in", "email", email)
		}
		last.wants(t, 429, "").says(t, "asked too often", `value="`+email+`"`)
		answers = append(answers, last.body)
		// Counters start at moments of their own: the countdown is all that may differ.
	}
	in := regexp.MustCompile(`try again in [^.]*\.`)
	first := strings.ReplaceAll(in.ReplaceAllString(answers[0], "…"), "known1@", "nobody@")
	if second := in.ReplaceAllString(answers[1], "…"); first != second {
		t.Error(cmp.Diff(first, second))
	}
}

func TestEML1_OneAddressForEachRequest(t *testing.T) {
	g := newGate(t)
	const form, js = "application/x-www-form-urlencoded", "application/json"
	for _, c := range []struct{ contentType, body string }{
		{form, "email=a@example.com&email=b@example.com"},
		{form, "email=a@example.com&Email=b@example.com"},
		{form, "email[]=a@example.com"},
		{form, "email[0]=a@example.com"},
		{form, "email=a@example.com,b@example.com"},
		{form, "email=a@example.com%0Abcc:b@example.com"},
		{form, "email=a@example.com;b@example.com"},
		{form, "email=a@example.com%00"},
		{form, "email=a%40example.com&x=1"},
		{form, "email=%ff@example.com"},
		{form, "email=%zz"},
		{form, "email=a%40example.com%20b%40example.com"},
		{form, ""},
		{form, "email="},
		{js, `{"email":["a@example.com"]}`},
		{js, `{"email":"a@example.com","email":"b@example.com"}`},
		{js, `{"email":"a@example.com","Email":"b@example.com"}`},
		{js, `{"email":"a@example.com","em\u0061il":"b@example.com"}`},
		{js, `{"EMAIL":"a@example.com"}`},
		{js, `{"email":{"x":"a@example.com"}}`},
		{js, `{"email":"a@example.com"} {"email":"b@example.com"}`},
		{js, `[{"email":"a@example.com"}]`},
		{js, `{"email":null}`},
		{js, `{"email":1}`},
		{js, `{"email":"a@example.com","user_id":"1"}`},
		{js, `{"email":"a@example.com"`},
		{js, ``},
		{js, "{\"email\":\"a@example.com\xff\"}"},
		{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@example.com\r\n--x--\r\n"},
		{"text/plain", "email=a@example.com"},
		{"", "email=a@example.com"},
		{"application/x-www-form-urlencoded; charset", "email=a@example.com"},
	} {
		for _, path := range []string{"/email-link/sign-in", "/email-link/sign-up"} {
			b := g.browser()
			a := b.do(http.MethodPost, path, c.contentType, c.body, nil)
			if a.status != 400 || len(b.cookies) != 0 {
				t.Errorf("%s %q: %d, cookies %v", c.contentType, c.body, a.status, b.cookies)
			}
		}
	}
	b := g.browser()
	a := b.do(http.MethodPost, "/email-link/sign-in?email=b@example.com", form, "email=a%40example.com", func(r *http.Request) {
		r.Header.Add("Content-Type", "application/json")
	})
	if a.status != 400 {
		t.Errorf("two content types: %d", a.status)
	}
	a = b.do(http.MethodPost, "/email-link/sign-in", form, "email=a%40example.com", func(r *http.Request) {
		r.Header.Set("Content-Encoding", "gzip")
	})
	if a.status != 400 {
		t.Errorf("an encoded body: %d", a.status)
	}
	if mails := g.deliver(); len(mails) != 0 {
		t.Errorf("mails: %+v", mails)
	}
	g.site.SignUp.Mode = 2
	b.do(http.MethodPost, "/email-link/sign-up?email=b@example.com", form+"; charset=utf-8", "email=+a%40example.com+", nil).
		wants(t, 303, "/email-link/resend")
	if mails := g.deliver(); len(mails) != 1 || mails[0].To != "a@example.com" {
		t.Errorf("mails: %+v", mails)
	}
}

func TestTOK2_NothingButTheAskingBrowserChangesAnything(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b := g.browser()
	mail := b.asks(known)
	link, cancel := g.find(linkPattern, mail.Text), g.find(cancelPattern, mail.Text)
	stranger := g.browser()
	for range 3 {
		for _, target := range []string{link, cancel} {
			for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"} {
				if a := stranger.do(method, target, "", "", nil); method == "GET" || method == "HEAD" {
					a.wants(t, 303, "/email-link/confirm")
				} else {
					a.wants(t, 405, "")
				}
			}
		}
		stranger.get("/email-link/confirm").wants(t, 200, "")
		stranger.do("HEAD", "/email-link/confirm", "", "", nil).wants(t, 200, "")
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del(name)
			if value != "" {
				r.Header.Set(name, value)
			}
		}
	}
	// The asking browser itself, with anything that is not a person's click.
	for name, change := range map[string]func(*http.Request){
		"prefetch":         header("Sec-Purpose", "prefetch"),
		"prerender":        header("Sec-Purpose", "prefetch;prerender"),
		"old prefetch":     header("Purpose", "prefetch"),
		"preview":          header("X-Purpose", "preview"),
		"old firefox":      header("X-Moz", "prefetch"),
		"no metadata":      header("Sec-Fetch-Mode", ""),
		"no destination":   header("Sec-Fetch-Dest", ""),
		"fetch":            header("Sec-Fetch-Mode", "cors"),
		"frame":            header("Sec-Fetch-Dest", "iframe"),
		"two modes":        func(r *http.Request) { r.Header.Add("Sec-Fetch-Mode", "navigate") },
		"two flow cookies": func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "__Host-email_link_flow", Value: "x"}) },
	} {
		if a := b.do("GET", link, "", "", change); a.status != 303 || a.location != "/email-link/confirm" {
			t.Errorf("%s: %d to %s", name, a.status, a.location)
		}
	}
	b.do("HEAD", link, "", "", nil).wants(t, 303, "/email-link/confirm")
	b.get(cancel).wants(t, 303, "/email-link/confirm")
	if len(g.deliver()) != 0 {
		t.Error("a mail left")
	}
	b.get(link).wants(t, 303, "/")
	if !b.has(boundary.SessionCookie, boundary.KnownCookie) {
		t.Errorf("cookies: %v", b.cookies)
	}
}

func TestTOK2_NoPageSubmitsItself(t *testing.T) {
	for _, p := range templates.PageSamples() {
		set, err := templates.Load(templates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := set.Page(&b, p.Frame, p.Facts); err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?i)http-equiv|<script|\son\w+=`).Match(b.Bytes()) {
			t.Errorf("%s does something by itself", p.Name)
		}
	}
}

func TestTOK6_MalformedTokensAreDead(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	for _, query := range []string{
		"", "t=", "t=x", "t=" + strings.Repeat("A", 50) + "=", "t=" + strings.Repeat("A", 1<<16), "t=a&t=b", "t=%zz", "T=" + strings.Repeat("A", 50),
		"t=" + strings.Repeat("A", 49) + "!", "t=" + strings.Repeat("A", 49) + "B",
	} {
		for _, path := range []string{"/email-link/link?", "/email-link/cancel?"} {
			a := b.get(path + query)
			if a.status != 410 || len(a.header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s%.60s: %d %v", path, query, a.status, a.header.Values("Set-Cookie"))
			}
		}
	}
	b.cookies["__Host-email_link_token"] = "junk"
	if a := b.get("/email-link/confirm"); a.status != 410 || len(a.header.Values("Set-Cookie")) != 0 {
		t.Errorf("a junk cookie: %d", a.status)
	}
	if a := b.post("/email-link/confirm", "h", "x"); a.status != 410 || len(a.header.Values("Set-Cookie")) != 0 {
		t.Errorf("a junk cookie confirmed: %d", a.status)
	}
	dead := b.get("/email-link/confirm").body
	if other := g.browser().get("/email-link/link?t=x").body; other != dead {
		t.Error("there is more than one dead page")
	}
}

func TestFLOW7_APageConfirmsOnlyWhatItShowed(t *testing.T) {
	g := newGate(t)
	g.account(known)
	g.account("sam@example.com")
	asker := g.browser()
	first := g.find(linkPattern, asker.asks(known).Text)
	asker2 := g.browser()
	second := g.find(linkPattern, asker2.asks("sam@example.com").Text)

	victim := g.browser()
	victim.get(first)
	h := g.find(hPattern, victim.get("/email-link/confirm").body)
	victim.get(second) // another link was opened between GET and POST
	a := victim.post("/email-link/confirm", "h", h).wants(t, 409, "").says(t, "Something changed", "s•••@example.com")
	if !victim.has(boundary.TokenCookie) {
		t.Errorf("cookies: %v", victim.cookies)
	}
	victim.post("/email-link/confirm").wants(t, 409, "")
	victim.json("POST", "/email-link/confirm", `{"h":"x"}`).wants(t, 409, "").says(t, `"code":"changed"`)
	// A sign-in in between changes it as well.
	token := victim.cookies["__Host-email_link_token"]
	asker.get(first).wants(t, 303, "/")
	maps.Copy(victim.cookies, asker.cookies)
	victim.cookies["__Host-email_link_token"] = token
	victim.post("/email-link/confirm", "h", g.find(hPattern, a.body)).wants(t, 409, "").says(t, "This browser is signed in as")
	h = g.find(hPattern, victim.get("/email-link/confirm").body)
	victim.post("/email-link/confirm", "h", h).wants(t, 303, "/")
	victim.post("/email-link/confirm", "h", h).wants(t, 303, "/email-link/confirm")
	victim.get("/email-link/confirm").wants(t, 200, "").says(t, "No link is open here")
}

func TestRED1_OnlyPathsOfTheSite(t *testing.T) {
	g := newGate(t)
	for _, to := range []string{
		"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)", "/email-link/sign-out", "/%2f/evil.example",
		"/\tx", strings.Repeat("/a", 2000), "evil", "/email-link/link?t=x", "\x00",
	} {
		b := g.browser()
		if a := b.do("GET", "/email-link/sign-in?return_to="+strings.NewReplacer("\t", "%09", "\x00", "%00", `\`, "%5C", ":", "%3A").Replace(to), "", "", nil); strings.Contains(a.body, "return_to") {
			t.Errorf("%.40q stands in the form", to)
		}
		if strings.ContainsRune(to, 0) {
			continue
		}
		g.site.Limits.MailAddress, g.site.Limits.MailIP, g.site.Limits.MailMailbox = nil, nil, nil
		b.post("/email-link/sign-up", "email", "x@example.com", "return_to", to).wants(t, 303, "/email-link/resend")
		mails := g.deliver()
		link := g.find(linkPattern, mails[len(mails)-1].Text)
		if strings.Contains(mails[0].Text, "evil") {
			t.Error("return_to stands in a mail")
		}
		b.get(link).wants(t, 303, "/")
		g = newGate(t)
	}
}

func TestWEB1_CrossOriginRequestsAreRefused(t *testing.T) {
	g := newGate(t)
	g.account(known)
	in := g.browser()
	in.get(g.find(linkPattern, in.asks(known).Text)).wants(t, 303, "/")
	g.deliver() // the notice about a new device
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Del(pairs[i])
				if pairs[i+1] != "" {
					r.Header.Set(pairs[i], pairs[i+1])
				}
			}
		}
	}
	for name, change := range map[string]func(*http.Request){
		"cross-site":           set("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
		"same-site":            set("Sec-Fetch-Site", "same-site", "Origin", "https://other.example.com"),
		"old browser":          set("Sec-Fetch-Site", "", "Origin", "https://evil.example"),
		"opaque, old browser":  set("Sec-Fetch-Site", "", "Origin", "null"),
		"plain http":           set("Sec-Fetch-Site", "", "Origin", "http://app.example.com"),
		"metadata that misses": set("Origin", "https://evil.example"),
	} {
		for path, body := range map[string]string{
			"/email-link/sign-in": "email=jo%40example.com", "/email-link/sign-up": "email=jo%40example.com", "/email-link/resend": "",
			"/email-link/code": "code=12345678", "/email-link/confirm": "h=x", "/email-link/sign-out": "everywhere=1",
		} {
			a := in.do("POST", path, "application/x-www-form-urlencoded", body, change)
			if a.status != 403 || len(a.header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s at %s: %d %v", name, path, a.status, a.header.Values("Set-Cookie"))
			}
		}
	}
	if len(g.deliver()) != 0 {
		t.Error("a mail left")
	}
	in.get("/email-link/").wants(t, 200, "")
}

func TestWEB2_HeadersOnEveryRoute(t *testing.T) {
	g := newGate(t)
	g.account(known)
	in := g.browser()
	in.get(g.find(linkPattern, in.asks(known).Text))
	want := map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store, no-transform",
		"Referrer-Policy": "strict-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security": "max-age=31536000", "Vary": "Accept, Accept-Language, Cookie",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https://portal.example.com; " +
			"frame-ancestors 'none'; base-uri 'none'",
	}
	paths := []string{"/nothing-here", "/link?t=x", "/cancel?done"}
	for path := range routes {
		paths = append(paths, path)
	}
	check := func(path string, a answer) {
		for name, value := range want {
			if path == "/jwks.json" && a.status == 200 && (name == "Cache-Control" || name == "Vary") {
				continue
			}
			if got := a.header.Get(name); got != value {
				t.Errorf("%s (%d): %s: %q, want %q", path, a.status, name, got, value)
			}
		}
	}
	for _, b := range []*browser{g.browser(), in} {
		for _, path := range paths {
			check(path, b.get("/email-link"+path))
			check(path, b.json("GET", "/email-link"+path, ""))
			check(path, b.do("OPTIONS", "/email-link"+path, "", "", nil))
			check(path, b.do("PUT", "/email-link"+path, "text/plain", "x", nil))
		}
	}
	for _, path := range []string{"/sign-in", "/sign-up", "/resend", "/code", "/confirm", "/sign-out"} {
		check(path, in.do("POST", "/email-link"+path, "text/plain", "x", nil))
		check(path, in.post("/email-link"+path))
	}
	check("/protected", g.browser().get("/protected"))
	a := g.browser().get("/email-link/jwks.json")
	if got := a.header.Get("Cache-Control"); got != "public, max-age=300" {
		t.Errorf("jwks: %q", got)
	}
	a = g.browser().get("/email-link/assets/" + g.pages.Templates.StyleName())
	if a.status != 200 || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("stylesheet: %d %v", a.status, a.header)
	}
	g.browser().get("/email-link/assets/style.css").wants(t, 404, "")
}

func TestWEB2_ServiceWorkersAre404(t *testing.T) {
	g := newGate(t)
	for path := range routes {
		a := g.browser().do("GET", "/email-link"+path, "", "", func(r *http.Request) { r.Header.Set("Service-Worker", "script") })
		if a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

func TestWEB2_PlainHTTPOnLocalhost(t *testing.T) {
	g := newGate(t)
	g.site.Secure = false
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "http://localhost:8080/email-link/sign-up", strings.NewReader("email=x%40example.com"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	g.pages.Serve(w, r, Visit{Site: g.site})
	if w.Code != 303 || w.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	c := w.Result().Cookies()
	if len(c) != 1 || c[0].Name != "email_link_flow" || c[0].Secure || !c[0].HttpOnly {
		t.Errorf("cookies: %v", c)
	}
}

func TestCookies_AsInTheContract(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	life := map[string]int{}
	note := func() {
		for _, c := range b.last.Cookies() {
			if c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("%v", c)
			}
			life[c.Name] = c.MaxAge
		}
	}
	b.post("/email-link/sign-up", "email", known)
	note()
	link := g.find(linkPattern, g.deliver()[0].Text)
	b.do("HEAD", link, "", "", nil)
	note()
	if diff := cmp.Diff(map[string]int{"__Host-email_link_flow": 86400, "__Host-email_link_token": 600}, life); diff != "" {
		t.Error(diff)
	}
	g.clock.Advance(24*time.Hour - 90*time.Second)
	b.do("HEAD", link, "", "", nil)
	note()
	if life["__Host-email_link_token"] != 90 {
		t.Errorf("a token is parked for %d s, beyond its end", life["__Host-email_link_token"])
	}
	b.get(link).wants(t, 303, "/")
	note()
	want := map[string]int{
		"__Host-email_link": 30 * 86400, "__Host-email_link_known": 400 * 86400, "__Host-email_link_flow": -1, "__Host-email_link_token": -1,
	}
	if diff := cmp.Diff(want, life); diff != "" {
		t.Error(diff)
	}
}

func TestSES1_SignOutEndsACopiedCookie(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b, c := g.browser(), g.browser()
	b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
	c.get(g.find(linkPattern, c.asks(known).Text)).wants(t, 303, "/")
	copied := g.browser()
	maps.Copy(copied.cookies, b.cookies)
	b.post("/email-link/sign-out").wants(t, 303, "/email-link/sign-out")
	copied.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	c.get("/email-link/").wants(t, 200, "")
	d := g.browser()
	g.clock.Advance(time.Hour)
	d.get(g.find(linkPattern, d.asks(known).Text)).wants(t, 303, "/")
	d.post("/email-link/sign-out", "everywhere", "1").wants(t, 303, "/email-link/sign-out")
	c.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	b.post("/email-link/sign-out", "everywhere", "2").wants(t, 400, "")
	b.get("/email-link/sign-out").wants(t, 200, "").says(t, "You are signed out")
}

// endless is a body that never ends.
type endless struct{ n *int }

func (e endless) Read(p []byte) (int, error) {
	*e.n += len(p)
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestDOS1_BodiesAreCutEarly(t *testing.T) {
	g := newGate(t)
	for _, path := range []string{"/sign-in", "/sign-up", "/resend", "/code", "/confirm", "/sign-out"} {
		read := 0
		for _, contentType := range []string{"application/x-www-form-urlencoded", "application/json"} {
			r := httptest.NewRequest("POST", origin+"/email-link"+path, endless{&read})
			r.Header.Set("Content-Type", contentType)
			r.ContentLength = -1
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != 413 || read > 4*maxBody {
				t.Errorf("%s: %d after %d bytes", path, w.Code, read)
			}
			read = 0
		}
		r := httptest.NewRequest("POST", origin+"/email-link"+path, endless{&read})
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.ContentLength = 1 << 30
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != 413 || read != 0 {
			t.Errorf("%s, announced: %d after %d bytes", path, w.Code, read)
		}
		r = httptest.NewRequest("POST", origin+"/email-link"+path, broken{})
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = -1
		w = httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != 400 {
			t.Errorf("%s, broken off: %d", path, w.Code)
		}
	}
	full := "email=x%40example.com&return_to=%2F" + strings.Repeat("a", maxBody-len("email=x%40example.com&return_to=%2F"))
	g.browser().do("POST", "/email-link/sign-in", "application/x-www-form-urlencoded", full, nil).wants(t, 303, "/email-link/resend")
	g.browser().do("POST", "/email-link/sign-in", "application/x-www-form-urlencoded", full+"a", nil).wants(t, 413, "")
}

func TestDOS1_APanicIsA500(t *testing.T) {
	g := newGate(t)
	g.pages.JWKS = func() []byte { panic("secret-value") }
	a := g.browser().get("/email-link/jwks.json").wants(t, 500, "").says(t, "Something went wrong here")
	if strings.Contains(a.body+g.log.String(), "secret-value") || !strings.Contains(g.log.String(), "event=panic") {
		t.Errorf("the log says:\n%s", g.log.String())
	}
	g.browser().get("/email-link/sign-in").wants(t, 200, "")
}

func TestWEB3_AStoreThatFailsSaysNothing(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	b.post("/email-link/sign-in", "email", known)
	flow := b.cookies["__Host-email_link_flow"]
	closed := newGate(t)
	if err := closed.state.Store.Close(); err != nil {
		t.Fatal(err)
	}
	closed.pages.Health = func() error { return errors.New("/var/lib/secret.db: bad page") }
	d := closed.browser()
	d.cookies["__Host-email_link_flow"], d.cookies["__Host-email_link_token"] = flow, flow
	for _, a := range []answer{
		d.get("/email-link/resend"), d.get("/email-link/confirm"), d.post("/email-link/sign-in", "email", known),
		d.post("/email-link/code", "code", "12345678"), d.post("/email-link/resend"), d.get("/email-link/health"),
		d.json("POST", "/email-link/sign-in", `{"email":"jo@example.com"}`), d.post("/email-link/confirm", "h", "x"),
	} {
		if a.status != 503 || regexp.MustCompile(`(?i)bolt|closed|store|\.go|/var|database`).MatchString(a.body) || len(a.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%d %v:\n%s", a.status, a.header.Values("Set-Cookie"), a.body)
		}
	}
}

func TestLOG1_NothingSecretIsLogged(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	b.post("/email-link/sign-up", "email", known)
	mail := g.deliver()[0]
	code := strings.ReplaceAll(g.find(codePattern, mail.Text), " ", "")
	link := g.find(linkPattern, mail.Text)
	_, token, _ := strings.Cut(link, "t=")
	secrets := []string{token, code, known, "jo@"}
	b.post("/email-link/code", "code", "87654321")
	b.do("HEAD", link, "", "", nil)
	for _, v := range b.cookies {
		secrets = append(secrets, v)
	}
	b.get(link)
	for _, v := range b.cookies {
		secrets = append(secrets, v)
	}
	b.post("/email-link/sign-out")
	b.get(link)
	b.post("/email-link/confirm", "h", "x")
	if !strings.Contains(g.log.String(), "event=signed_out") {
		t.Errorf("a sign-out is not logged:\n%s", g.log.String())
	}
	for _, s := range secrets {
		if strings.Contains(g.log.String(), s) {
			t.Errorf("the log holds %q:\n%s", s, g.log.String())
		}
	}
}

func TestRefuse(t *testing.T) {
	g := newGate(t)
	refuse := func(why Refusal, change func(*http.Request, *Visit)) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", origin+"/app?x=1", nil)
		r.Header.Set("Accept", "text/html")
		v := Visit{Site: g.site}
		if change != nil {
			change(r, &v)
		}
		w := httptest.NewRecorder()
		g.pages.Refuse(w, r, v, why)
		return w
	}
	for why, want := range map[Refusal]int{
		SignIn: 303, Forbidden: 403, Misdirected: 421, Unavailable: 503, BadRequest: 400, MethodNotAllowed: 405, UpgradeOrigin: 403,
	} {
		if w := refuse(why, nil); w.Code != want {
			t.Errorf("%d: %d, want %d", why, w.Code, want)
		}
		if why == SignIn {
			continue
		}
		w := refuse(why, func(r *http.Request, v *Visit) { r.Header.Set("Accept", "application/json"); v.Site = nil })
		if w.Code != want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d without a site: %d %v", why, w.Code, w.Header())
		}
	}
	w := refuse(Misdirected, nil)
	if !strings.Contains(w.Body.String(), `href="https://app.example.com"`) || w.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("misdirected:\n%s", w.Body.String())
	}
	w = refuse(Misdirected, func(r *http.Request, _ *Visit) { r.URL.Path = "/email-link/assets/" + g.pages.Templates.StyleName() })
	if w.Code != 200 {
		t.Errorf("the stylesheet of a misdirected page: %d", w.Code)
	}
	w = refuse(SignIn, func(r *http.Request, v *Visit) { r.URL.Path, v.URI = "/stripped", "/before/stripped?y" })
	if got := w.Header().Get("Location"); got != "/email-link/sign-in?return_to=%2Fbefore%2Fstripped%3Fy" {
		t.Errorf("location: %s", got)
	}
	w = refuse(SignIn, func(r *http.Request, _ *Visit) { r.Method = "POST" })
	if w.Code != 401 || !strings.Contains(w.Body.String(), `"sign_in":"https://app.example.com/email-link/sign-in"`) {
		t.Errorf("a POST: %d %s", w.Code, w.Body.String())
	}
	w = refuse(Unavailable, nil)
	if w.Header().Get("Retry-After") != "5" {
		t.Errorf("503: %v", w.Header())
	}
}

func TestHealthAndLogo(t *testing.T) {
	g := newGate(t)
	g.browser().get("/email-link/health").wants(t, 200, "").says(t, "ok")
	g.site.Logo, g.site.LogoType = []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image/svg+xml"
	page := g.browser().get("/email-link/sign-in").body
	src := regexp.MustCompile(`<img src="([^"]+\.svg)"`).FindStringSubmatch(page)
	if src == nil {
		t.Fatalf("no logo:\n%s", page)
	}
	a := g.browser().get(src[1]).wants(t, 200, "")
	if a.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("logo: %v", a.header)
	}
	if !HealthRoute("/email-link/health", "/email-link") || HealthRoute("/health", "/email-link") ||
		!TokenRoute("/email-link/link", "/email-link") || !TokenRoute("/email-link/cancel", "/email-link") || TokenRoute("/link", "/email-link") {
		t.Error("routes are not told apart")
	}
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"email=a%40b.example", "email=a&email=b", `{"email":"x"}`, `{"email":true}`, `{"a":{}}`, "%", "{", "\x00", "email=%00"} {
		f.Add(seed)
	}
	fields := []string{"email", "return_to"}
	f.Fuzz(func(t *testing.T, body string) {
		for name, parse := range map[string]func([]byte, []string) (map[string]string, error){"form": parseForm, "json": parseJSON} {
			got, err := parse([]byte(body), fields)
			if err != nil {
				continue
			}
			for k, v := range got {
				if !slices.Contains(fields, k) || strings.ContainsRune(v, 0) {
					t.Errorf("%s: %q: %q", name, k, v)
				}
			}
		}
	})
}

func FuzzReturnTo(f *testing.F) {
	f.Add("/a?b#c")
	f.Add("//x")
	f.Fuzz(func(t *testing.T, raw string) {
		x := &exchange{Visit: Visit{Site: &Site{}}}
		x.Site.Prefix = "/email-link"
		if to := x.returnTo(raw); to != "" && (to[0] != '/' || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n\\ \"<>")) {
			t.Errorf("%q: %q", raw, to)
		}
	})
}
