package web

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

func TestTOK2_NothingButTheAskingBrowserChangesAnything(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
	})
}

func TestTOK2_NoPageSubmitsItself(t *testing.T) { bothModes(t, testNoPageSubmitsItself) }

func testNoPageSubmitsItself(t *testing.T) {
	for _, p := range templates.PageSamples() {
		set, err := templates.Load(templates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := set.Page(&b, p.Frame, p.Facts); err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?i)http-equiv|<script>|\son\w+=`).Match(b.Bytes()) {
			t.Errorf("%s does something by itself", p.Name)
		}
	}
}

// TestTOK2_TheScriptSubmitsACodeOnInputAlone reads our script: it submits in one place, the listener for a person's input in the code box,
// and presses nothing. The pages that confirm have no code box, but where the code belongs to the browser that asked.
func TestTOK2_TheScriptSubmitsACodeOnInputAlone(t *testing.T) {
	g := newGate(t)
	page := g.browser().get("/email-link/sign-in").wants(t, 200, "").body
	src := regexp.MustCompile(`<script src="([^"]+)" defer>`).FindStringSubmatch(page)
	if src == nil {
		t.Fatal("no script")
	}
	a := g.browser().get(src[1]).wants(t, 200, "")
	if a.header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("the script is %q", a.header.Get("Content-Type"))
	}
	_, listener, found := strings.Cut(a.body, `code?.addEventListener("input", (event) => {`)
	listener, _, _ = strings.Cut(listener, "});")
	guard, _, submits := strings.Cut(listener, "code.form.requestSubmit()")
	if !found || !submits || !strings.Contains(guard, `if (!event.isTrusted || sent || code.getAttribute("aria-invalid") === "true") return;`) {
		t.Error("a code is submitted without a person's input, or after a refused one")
	}
	if n := len(regexp.MustCompile(`(?i)submit\(|\.click\(|dispatchEvent|innerHTML|eval\(|import\(`).FindAllString(a.body, -1)); n != 1 {
		t.Errorf("the script submits, presses or writes HTML in %d places, want 1", n)
	}
}

func TestTOK6_MalformedTokensAreDead(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
		foreign := token.New(g.state.Ring, token.NewSeed(), flow.SignIn, "https://other.example", g.state.Clock.Now().Add(time.Minute))
		other := g.browser()
		other.get("/email-link/link?t="+foreign).wants(t, 303, "/email-link/confirm")
		if body := other.get("/email-link/confirm").wants(t, 410, "").body; body != dead {
			t.Error("there is more than one dead page")
		}
	})
}

func TestFLOW7_APageConfirmsOnlyWhatItShowed(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		g.account("sam@example.com")
		requester := g.browser()
		first := g.find(linkPattern, requester.asks(known).Text)
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
		requester.get(first).wants(t, 303, "/")
		maps.Copy(victim.cookies, requester.cookies)
		victim.cookies["__Host-email_link_token"] = token
		victim.post("/email-link/confirm", "h", g.find(hPattern, a.body)).wants(t, 409, "").says(t, "This browser is signed in as")
		h = g.find(hPattern, victim.get("/email-link/confirm").body)
		victim.post("/email-link/confirm", "h", h).wants(t, 303, "/")
		victim.post("/email-link/confirm", "h", h).wants(t, 303, "/email-link/confirm")
		victim.get("/email-link/confirm").wants(t, 200, "").says(t, "No link is open here", "You are signed in as", `href="/">Go to`)
	})
}

func TestTOK1_OfManyPressesOneCounts(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		requester := g.browser()
		link := g.find(linkPattern, requester.asks(known).Text)
		const n = 50
		statuses, sessions := make(chan int, n), make(chan string, n)
		start := make(chan struct{})
		for range n {
			b := g.browser()
			b.get(link)
			h := g.find(hPattern, b.get("/email-link/confirm").body)
			go func() {
				<-start
				r := httptest.NewRequest("POST", origin+"/email-link/confirm", strings.NewReader("h="+h))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.AddCookie(&http.Cookie{Name: "__Host-email_link_token", Value: b.cookies["__Host-email_link_token"]})
				w := httptest.NewRecorder()
				g.ServeHTTP(w, r)
				for _, c := range w.Result().Cookies() {
					if c.Name == "__Host-email_link" {
						sessions <- c.Value
					}
				}
				statuses <- w.Code
			}()
		}
		close(start)
		count := map[int]int{}
		for range n {
			count[<-statuses]++
		}
		if count[303] != 1 || count[410] != n-1 || len(sessions) != 1 {
			t.Errorf("answers %v, %d sessions", count, len(sessions))
		}
	})
}
