package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// TestENUM1_AppStartAnswersAlike answers a start as the gate's own form would: as JSON to programs, with its limits and its words,
// and alike whether the app knows the address or not.
func TestENUM1_AppStartAnswersAlike(t *testing.T) { bothModes(t, testAppStartAnswersAlike) }

func testAppStartAnswersAlike(t *testing.T, links string) {
	a := newOwnUsers(t, setup{global: "limit mail_ip 2-H\n" + links})
	jsonHeader := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "Accept-Language": {"en"}}
	var answers []string
	for _, known := range []bool{true, false} {
		a.say(func(a *ownUsers) {
			a.start.NoAccount, a.start.Email, a.start.Locale = !known, "ada@example.com", "de-AT"
		})
		status, header, body := a.w.client().do(http.MethodPost, "/start", url.Values{}, jsonHeader)
		var sent map[string]any
		if err := json.Unmarshal([]byte(body), &sent); err != nil || status != http.StatusAccepted || sent["status"] != "sent" || sent["resends_left"] != 5.0 {
			t.Errorf("%d %s", status, body)
		}
		if header.Get("Content-Type") != "application/json" || len(header.Values("Set-Cookie")) != 2 {
			t.Errorf("%v", header)
		}
		sent["expires_in"] = nil // counts down
		answers = append(answers, fmt.Sprint(sent))
		mail, link := a.w.mail()
		if (link != "") != known || strings.Contains(mail.Text, "/sign-up") || mail.Header.Get("Content-Language") != "de" {
			t.Errorf("known %v: %s", known, mail.Text)
		}
	}
	if answers[0] != answers[1] {
		t.Errorf("known and unknown: %s, %s", answers[0], answers[1])
	}
	status, header, body := a.w.client().do(http.MethodPost, "/start", url.Values{}, jsonHeader)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" || !strings.Contains(body, `"code":"limited"`) {
		t.Errorf("a spent limit: %d %v %s", status, header, body)
	}
	status, header, body = a.w.client().post("/start", url.Values{})
	if status != http.StatusTooManyRequests || !strings.Contains(body, "<html") || header.Get("Content-Security-Policy") == "" || strings.Contains(body, "mail gate missing") {
		t.Errorf("a spent limit, as a page: %d %v", status, header)
	}
}

// TestENUM1_ClosedSiteAndUnknownAddress obeys a start that leads nowhere, because the app knows nobody of this address, where the root
// needs a session: only for those who are known it matters where they go.
func TestENUM1_ClosedSiteAndUnknownAddress(t *testing.T) {
	bothModes(t, testClosedSiteAndUnknownAddress)
}

func testClosedSiteAndUnknownAddress(t *testing.T, links string) {
	a := newOwnUsers(t, setup{global: links, site: "audience shop\npublic /start /finish"})
	var answers []string
	for _, known := range []bool{true, false} {
		a.say(func(a *ownUsers) {
			a.start.NoAccount, a.start.Subject, a.start.State, a.start.Continue = false, "42", "s1", "/finish"
			if !known {
				a.start.NoAccount, a.start.Subject, a.start.State, a.start.Continue = true, "", "", ""
			}
		})
		status, header, body := a.w.client().post("/start", url.Values{})
		answers = append(answers, fmt.Sprint(status, header.Get("Location"), body))
		a.w.mail()
	}
	if answers[0] != answers[1] || !strings.HasPrefix(answers[0], "303") {
		t.Errorf("known and unknown: %q", answers)
	}
}

// TestEML2_AppStartAddresses refuses an address that the gate sends nothing to with a page of its own: the person has typed it.
func TestEML2_AppStartAddresses(t *testing.T) {
	a := newOwnUsers(t, setup{})
	for _, email := range []string{"ada", "a@b@example.com", `"a b"@example.com`, "a@example.com,b@example.com", "ada@[192.0.2.1]"} {
		a.say(func(a *ownUsers) { a.start.Email = email })
		status, header, body := a.w.client().post("/start", url.Values{})
		if status != http.StatusBadRequest || !strings.Contains(body, "<html") || strings.Contains(strings.Join(header.Values("Set-Cookie"), ""), "email_link") {
			t.Errorf("%s: %d %v", email, status, header)
		}
	}
	a.none(t)
}

// TestHDR1_ClientsSayNothingForTheApp sends a valid start and a valid Done as a client would: neither reaches the app, and neither
// is obeyed.
func TestHDR1_ClientsSayNothingForTheApp(t *testing.T) {
	a := newOwnUsers(t, setup{})
	forged := http.Header{identity.StartHeader: {a.token(a.start)}, identity.DoneHeader: {"x"}, "Email_link_start": {a.token(a.start)}}
	a.w.backend.answers(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header { // an app that sends back what it got
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		_, _ = w.Write([]byte("mail gate missing"))
	})
	status, header, body := a.w.client().do(http.MethodPost, "/start", url.Values{}, forged)
	a.obeyedNot("a client's start", status, header, body)
	for _, r := range a.w.backend.taken() {
		if got := r.identities(); len(got) != 0 {
			t.Errorf("the app got %v", got)
		}
	}
	a.w.backend.answers(a.serve)
	a.none(t)
}

// TestPATH1_ClosedContinue starts no flow that leads to a path where the gate would stop the person: a hand-over signs nobody in.
func TestPATH1_ClosedContinue(t *testing.T) {
	a := newOwnUsers(t, setup{global: "sign_up open", site: "audience shop\npublic /start /finish"})
	a.say(func(a *ownUsers) { a.start.Continue = "/private" })
	status, header, body := a.w.client().post("/start", url.Values{})
	a.obeyedNot("a closed path", status, header, body)
	a.say(func(a *ownUsers) { a.start.Continue = "/finish" })
	c := a.handed()
	if _, body := c.get("/finish"); body != "activation 42 s1" {
		t.Errorf("a public path: %q", body)
	}
	if status, _ := c.get("/private"); status != http.StatusUnauthorized {
		t.Errorf("the hand-over opens %d", status)
	}
}

// TestHDR2_HandoverBehindTwoHandlers has a second handler of ours between the gate and the app, which names the audience: what the
// app says gets through to the one that writes to the browser, and one assertion arrives, at the audience that it is for.
func TestHDR2_HandoverBehindTwoHandlers(t *testing.T) {
	const inner = "email_link {\n optional\n audience shop\n identity {\n ttl 30s\n }\n }"
	a := newOwnUsers(t, setup{
		global: "sign_up open", site: "optional",
		after: "route /start {\n " + inner + "\n}\nroute /finish {\n encode\n " + inner + "\n}",
	})
	c := a.w.client()
	a.w.signUp(c, "root@example.com")
	c.visit(a.asks(c))
	_, _, page := c.visit("/email-link/confirm")
	c.post("/email-link/confirm", url.Values{"h": {hiddenIn(page)}})
	a.say(func(a *ownUsers) { a.finish = func(http.ResponseWriter, *http.Request, *identity.Identity) {} })
	a.w.backend.taken()
	c.get("/finish")
	r := a.w.backend.taken()[0]
	if got := a.handovers(); len(got) != 1 || got[0].Subject != "42" || len(r.header.Values(identity.Header)) != 1 {
		t.Errorf("%+v, %v", got, r.header)
	}
	a.say(func(a *ownUsers) { a.finish = nil })
	_, header, _ := c.do(http.MethodPost, "/finish", nil, nil)
	if set := header.Values("Set-Cookie"); len(set) != 1 || !strings.HasPrefix(set[0], "email_link_handover=;") || header.Get(identity.DoneHeader) != "" {
		t.Errorf("Set-Cookie: %q", set)
	}
	if _, body := c.get("/finish"); body != "session of root@example.com" {
		t.Errorf("after it was done: %q", body)
	}
}

// TestLOG1_AppStartWords tells the operator once why a start is not obeyed, in words and without anything secret.
func TestLOG1_AppStartWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "caddy.log")
	a := newOwnUsers(t, setup{top: "log default {\n output file " + file + "\n}"})
	a.say(func(a *ownUsers) { a.start.Audience = "app" })
	var tokens []string
	for range 3 {
		a.w.client().post("/start", url.Values{})
	}
	a.say(func(a *ownUsers) { a.start.Audience = ""; tokens = append(tokens, a.token(a.start)) })
	a.w.client().do(http.MethodGet, "/start", nil, nil)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, want := range []string{`iss is \"app\", and the audience of this site is \"shop\"`, "the request was no POST"} {
		if n := strings.Count(text, want); n != 1 {
			t.Errorf("%q stands %d times in\n%s", want, n, text)
		}
	}
	for _, secret := range []string{"ada@example.com", strings.SplitN(tokens[0], ".", 3)[1][:20]} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// TestHDR3_UnreadableHandover closes the store under the gate: where the app would get a hand-over it gets no request, and a start
// is answered with 503.
func TestHDR3_UnreadableHandover(t *testing.T) {
	a := newOwnUsers(t, setup{})
	c := a.handed()
	parts, _ := module.Running()
	if err := parts.Store.Close(); err != nil {
		t.Fatal(err)
	}
	a.w.backend.taken()
	if status, _ := c.get("/finish"); status != http.StatusServiceUnavailable {
		t.Errorf("the hand-over: %d", status)
	}
	if got := a.w.backend.taken(); len(got) != 0 {
		t.Errorf("%d requests arrived", len(got))
	}
	status, header, body := c.post("/start", url.Values{})
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || strings.Contains(body, "mail gate missing") {
		t.Errorf("a start: %d %v", status, header)
	}
	if status, _ := c.get("/elsewhere"); status != http.StatusOK {
		t.Errorf("another path: %d", status)
	}
}

// TestKEY1_SignKeyOfTheConfiguration takes starts that are signed with the configured key, and none with the one of the key ring. A
// key that is short, or the one that opens assertions as well, is refused.
func TestKEY1_SignKeyOfTheConfiguration(t *testing.T) {
	const one, other = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "3031323334353637383961626364656630313233343536373839616263646566"
	t.Setenv("EMAIL_LINK_TEST_KEY", one)
	site := optionalSite + "\nidentity {\n sign_key {env.EMAIL_LINK_TEST_KEY}\n}"
	a := newOwnUsers(t, setup{site: site})
	status, header, body := a.w.client().post("/start", url.Values{})
	a.obeyedNot("signed with the key of the key ring", status, header, body)
	key, err := identity.ParseKey(one)
	if err != nil {
		t.Fatal(err)
	}
	a.say(func(a *ownUsers) { a.key = key })
	a.asks(a.w.client())
	const next = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA"
	a.w.load(setup{site: optionalSite + "\nidentity {\n sign_key " + next + " {env.EMAIL_LINK_TEST_KEY}\n}"})
	a.asks(a.w.client()) // with the older one
	if key, err = identity.ParseKey(next); err != nil {
		t.Fatal(err)
	}
	a.say(func(a *ownUsers) { a.key = key })
	a.asks(a.w.client())
	a.w.load(setup{site: site})
	status, header, body = a.w.client().post("/start", url.Values{})
	a.obeyedNot("a key that is not configured", status, header, body)
	for name, keys := range map[string]string{
		"short": "sign_key MDEyMzQ1Njc4OWFiY2RlZg", "twice the same": "key " + one + "\n sign_key " + one,
		"one of two": "key " + one + "\n sign_key " + next + " " + one, "the same in other words": "key " + one + "\n sign_key " + other, "without an assertion": "format none\n sign_key " + one,
	} {
		err := a.w.tryLoad(setup{site: optionalSite + "\nidentity {\n " + keys + "\n}"})
		if err == nil || !strings.Contains(err.Error(), "sign_key") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), one[:20]) {
			t.Errorf("%s: the error tells the key: %v", name, err)
		}
	}
}
