package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// handed starts a flow and opens its link: the browser that is returned holds a hand-over.
func (a *ownUsers) handed() *client {
	a.t.Helper()
	c := a.w.client()
	if status, header, _ := c.visit(a.asks(c)); status != http.StatusSeeOther || header.Get("Location") != a.start.Continue {
		a.t.Fatalf("the link: %d, Location %q", status, header.Get("Location"))
	}
	return c
}

// TestWEB1_HandoverOfTheSiteItself hands over to what a page of the site itself sends, and to nobody's page beside it: cookies go with the
// POSTs of sibling origins. Neither does an upgrade carry it, which would outlive its end.
func TestWEB1_HandoverOfTheSiteItself(t *testing.T) {
	a := newOwnUsers(t, setup{})
	c := a.handed()
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"MDEyMzQ1Njc4OWFiY2RlZg=="}}
	own := upgrade.Clone()
	own["Origin"] = []string{a.w.origin()}
	for name, foreign := range map[string]http.Header{
		"a sibling":                  {"Origin": {"https://evil.example.com"}, "Sec-Fetch-Site": {"same-site"}},
		"a sibling, told by Origin":  {"Origin": {"https://evil.example.com"}, "Sec-Fetch-Site": nil},
		"another site, told by none": {"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}},
		"an upgrade":                 upgrade, "an upgrade of its own": own,
	} {
		method := http.MethodPost
		if foreign.Get("Upgrade") != "" {
			method = http.MethodGet
		}
		_, header, body := c.do(method, "/finish", nil, foreign)
		if body != "nobody" || len(header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s: the app did %q, %v", name, body, header)
		}
	}
	if _, _, body := c.do(http.MethodGet, "/finish", nil, http.Header{"Origin": {"https://evil.example.com"}, "Sec-Fetch-Site": {"same-site"}}); body != "nobody" {
		t.Errorf("a sibling reads: %q", body)
	}
	a.say(func(a *ownUsers) {
		a.finish = func(w http.ResponseWriter, r *http.Request, _ *identity.Identity) { _, _ = w.Write([]byte(r.Method)) }
	})
	for name, of := range map[string]http.Header{
		http.MethodGet:  {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, // a link in a web mail
		http.MethodPost: {"Origin": {a.w.origin()}, "Sec-Fetch-Site": {"same-origin"}},
	} {
		if _, _, body := c.do(name, "/finish", nil, of); body != name {
			t.Errorf("%s: %q", name, body)
		}
	}
	a.say(func(a *ownUsers) { a.finish = nil })
	if _, _, body := c.do(http.MethodPost, "/finish", nil, nil); body != "activation 42 s1" {
		t.Errorf("the site itself: %q", body)
	}
}

// TestTOK1_HandoverOnce hands over until the app says that it is done: an app that fails first, is restarted, or wants a form
// filled in gets the same jti again, by any method; afterwards nobody does, a copied cookie and a restart included.
func TestTOK1_HandoverOnce(t *testing.T) { bothModes(t, testHandoverOnce) }

func testHandoverOnce(t *testing.T, links string) {
	s := setup{global: links, site: optionalSite}
	a := newOwnUsers(t, s)
	a.say(func(a *ownUsers) {
		a.finish = func(w http.ResponseWriter, _ *http.Request, _ *identity.Identity) {
			http.Error(w, "", http.StatusBadGateway)
		}
	})
	c := a.handed()
	copied := http.Header{"Cookie": {c.cookie()}}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if status, _, _ := c.do(method, "/finish?step=2", nil, nil); status != http.StatusBadGateway {
			t.Errorf("%s: %d", method, status)
		}
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	a.w.load(s)
	a.reload()
	c.do(http.MethodPost, "/finish", url.Values{"password": {"new"}}, nil)
	got := a.handovers()
	if len(got) != 7 {
		t.Fatalf("%d hand-overs", len(got))
	}
	for _, id := range got {
		if id.ID != got[0].ID || id.Subject != "42" || id.State != "s1" || id.Purpose != "activation" || fmt.Sprint(id.Methods) != "[link]" || id.AuthTime.IsZero() {
			t.Errorf("%+v", id)
		}
	}
	a.say(func(a *ownUsers) { a.finish = nil })
	_, header, body := c.do(http.MethodPost, "/finish", url.Values{"password": {"new"}}, nil)
	if body != "activation 42 s1" || header.Get(identity.DoneHeader) != "" {
		t.Errorf("%q, %v", body, header)
	}
	if set := header.Values("Set-Cookie"); len(set) != 1 || !strings.HasPrefix(set[0], "email_link_handover=; Path=/; Max-Age=0; HttpOnly") {
		t.Errorf("Set-Cookie: %q", set)
	}
	for range 2 {
		for _, with := range []http.Header{nil, copied} {
			if _, _, body := c.do(http.MethodGet, "/finish", nil, with); body != "nobody" {
				t.Errorf("after it was done: %q", body)
			}
		}
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		a.w.load(s)
		a.reload()
	}
	if len(a.acted) != 1 {
		t.Errorf("%d effects", len(a.acted))
	}
}

// TestTOK3_HandoverPlace carries a hand-over to exactly the path that the app has named, and nowhere else.
func TestTOK3_HandoverPlace(t *testing.T) {
	a := newOwnUsers(t, setup{})
	a.say(func(a *ownUsers) { a.start.Continue = "/finish/a%2Fb" })
	c := a.handed()
	a.w.backend.taken()
	cookie := "Cookie: " + c.cookie() + "\n"
	for path, carries := range map[string]bool{
		"/finish/a%2Fb": true, "/finish/a%2Fb?x=1": true, "http://$HOST/finish/a%2Fb": true,
		"/finish/a%2fb": false, "/finish/a/b": false, "/finish/a%252Fb": false, "/finish/a%2Fb/": false, "/finish//a%2Fb": false,
		"/Finish/a%2Fb": false, "/finish/./a%2Fb": false, "/x/../finish/a%2Fb": false, "/finish": false, "/": false,
		"/%66inish/a%2Fb": false, "/finish/a%2Fb;x=1": false,
	} {
		res, _ := a.w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\n" + cookie + "\n")
		records := a.w.backend.taken()
		if res.StatusCode != http.StatusOK || len(records) != 1 {
			t.Errorf("%s: %d, %d requests arrived", path, res.StatusCode, len(records))
			continue
		}
		if got := len(records[0].header.Values(identity.Header)); got != 0 != carries || got > 1 {
			t.Errorf("%s: %d assertions", path, got)
		}
		for _, line := range records[0].header.Values("Cookie") {
			if strings.Contains(line, "email_link") {
				t.Errorf("%s: the backend got our cookie", path)
			}
		}
	}
	// Doubled, damaged, of another site: it counts as none.
	value := strings.TrimPrefix(cookie[strings.Index(cookie, "email_link_handover="):], "email_link_handover=")
	value, _, _ = strings.Cut(strings.TrimSpace(value), ";")
	for _, pair := range []string{
		"email_link_handover=" + value + "; email_link_handover=" + value, "email_link_handover=x" + value, "email_link_handover=",
		"__Host-email_link_handover=" + value, "email_link_handover=" + strings.Repeat("A", 5000), "email_link_flow=" + value,
	} {
		a.w.raw("GET /finish/a%2Fb HTTP/1.1\nHost: $HOST\nCookie: " + pair + "\n\n")
		if r := a.w.backend.taken(); len(r) != 1 || len(r[0].header.Values(identity.Header)) != 0 {
			t.Errorf("%.40s: %d requests", pair, len(r))
		}
	}
	a.w.load(setup{site: "optional\naudience other"})
	got := true
	for i := 0; got && i < 10; i++ { // the server of the old configuration may take a connection or two that come just now
		if status, _ := c.get("/finish/a%2Fb"); status != http.StatusOK {
			t.Errorf("another app: %d", status)
		}
		r := a.w.backend.taken()
		got = len(r) != 1 || len(r[0].header.Values(identity.Header)) != 0
	}
	if got {
		t.Error("another app got it")
	}
}

// TestTOK3_HandoverDone takes Email-Link-Done for the one jti that the request has carried, on its final answer alone.
func TestTOK3_HandoverDone(t *testing.T) {
	a := newOwnUsers(t, setup{})
	first := a.handed()
	other := a.handed()
	var theirs string
	a.say(func(a *ownUsers) {
		a.finish = func(_ http.ResponseWriter, _ *http.Request, id *identity.Identity) { theirs = id.ID }
	})
	other.get("/finish")
	for name, finish := range map[string]func(http.ResponseWriter, *identity.Identity){
		"another jti": func(w http.ResponseWriter, _ *identity.Identity) { w.Header().Set(identity.DoneHeader, theirs) },
		"doubled": func(w http.ResponseWriter, id *identity.Identity) {
			w.Header()[identity.DoneHeader] = []string{id.ID, id.ID}
		},
		"early": func(w http.ResponseWriter, id *identity.Identity) {
			w.Header().Set(identity.DoneHeader, id.ID)
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del(identity.DoneHeader)
		},
		"trailer": func(w http.ResponseWriter, id *identity.Identity) {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+identity.DoneHeader, id.ID)
		},
	} {
		a.say(func(a *ownUsers) {
			a.finish = func(w http.ResponseWriter, _ *http.Request, id *identity.Identity) { finish(w, id) }
		})
		_, header, _ := first.do(http.MethodGet, "/finish", nil, nil)
		if header.Get(identity.DoneHeader) != "" || len(header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s: %v", name, header)
		}
	}
	// From another path, with the right jti of this browser's hand-over.
	jti := a.handovers()[1].ID
	a.w.backend.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			w.Header().Set(identity.DoneHeader, jti)
			return
		}
		a.serve(w, r)
	})
	first.get("/elsewhere")
	a.say(func(a *ownUsers) { a.finish = nil })
	for _, c := range []*client{first, other} {
		if _, body := c.get("/finish"); body != "activation 42 s1" {
			t.Errorf("it is not there any more: %q", body)
		}
	}
}

// TestHDR2_HandoverInPlaceOfTheSession passes a hand-over on in place of who is signed in at the gate: with no plain header, and
// only on its path.
func TestHDR2_HandoverInPlaceOfTheSession(t *testing.T) {
	a := newOwnUsers(t, setup{global: "sign_up open", site: optionalSite + "\nheaders {\n Remote-User {http.auth.user.email}\n}", after: "request_header X-Who {http.auth.user.email}|"})
	c := a.w.client()
	a.w.signUp(c, "root@example.com")
	if _, body := c.get("/finish"); body != "session of root@example.com" {
		t.Fatal(body)
	}
	c.post("/start", url.Values{})
	_, link := a.w.mail()
	c.visit(link)
	_, _, page := c.visit("/email-link/confirm")
	if strings.Contains(page, "root@example.com") {
		t.Errorf("the page says that somebody else is signed out:\n%s", page)
	}
	c.post("/email-link/confirm", url.Values{"h": {hiddenIn(page)}})
	a.w.backend.taken()
	a.say(func(a *ownUsers) { a.finish = func(http.ResponseWriter, *http.Request, *identity.Identity) {} })
	c.get("/finish")
	records := a.w.backend.taken()
	if got := a.handovers(); len(got) != 1 || got[0].Email != "ada@example.com" || len(records[0].header.Values("Remote-User")) != 0 || records[0].header.Get("X-Who") != "|" {
		t.Errorf("%+v, %v", got, records[0].header)
	}
	_, _ = c.get("/elsewhere")
	if r := a.w.backend.taken(); r[0].header.Get("Remote-User") != "root@example.com" {
		t.Errorf("elsewhere: %v", r[0].header)
	}
	if s := c.session(); s == nil || s["email"] != "root@example.com" {
		t.Errorf("the session: %v", s)
	}
}
