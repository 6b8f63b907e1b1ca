package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// scoped is a gate at which tokens of the scope calendar pass, and people.
const scoped = "require scope calendar session"

// token makes an account with its session in c, and a token for it.
func (w *world) token(c *client, email string, scopes ...string) (text, id string) {
	w.t.Helper()
	w.signUp(c, email)
	return w.tokenOf(email, scopes...)
}

// tokenOf makes a token for an account that is there.
func (w *world) tokenOf(email string, scopes ...string) (text, id string) {
	w.t.Helper()
	parts, _ := module.Running()
	a, found, err := parts.Accounts.Lookup(context.Background(), email)
	if err != nil || !found {
		w.t.Fatal(found, err)
	}
	text, tok, err := parts.Machines.Create(context.Background(), machinetoken.Input{
		Account: a.ID, Site: w.origin(), Scopes: scopes, TTL: time.Hour, Name: "test",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return text, tok.ID
}

// ways are the three in which a request presents a token.
func ways(text string) map[string]http.Header {
	return map[string]http.Header{
		"own header": {"Email-Link-Token": {text}},
		"bearer":     {"Authorization": {"Bearer " + text}},
		"basic":      {"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("whoever:"+text))}},
	}
}

// refusedToken makes sure that a request did not get to the backend, and that nobody is told more than a program reads.
func (w *world) refusedToken(what string, status int, header http.Header, want int) {
	w.t.Helper()
	if n := len(w.backend.taken()); status != want || n != 0 {
		w.t.Errorf("%s: %d, want %d; %d requests at the backend", what, status, want, n)
	}
	if kind := header.Get("Content-Type"); kind != "application/problem+json" {
		w.t.Errorf("%s: %s", what, kind)
	}
	if header.Get("Set-Cookie") != "" || header.Get("Location") != "" {
		w.t.Errorf("%s: %v", what, header)
	}
}

func TestMACH3_PassesWhereItsScopeIsNamed(t *testing.T) {
	w := start(t, setup{global: "sign_up open\nscopes calendar files", site: scoped + "\npublic /open/*\nheaders {\n Remote-User {http.auth.user.email}\n}"})
	c := w.client()
	text, id := w.token(c, "ada@example.com", "calendar")
	other, _ := w.token(w.client(), "grace@example.com", "files")
	v := w.verifier()
	program := w.client()
	for way, header := range ways(text) {
		for _, path := range []string{"/x", "/open/x"} {
			status, _, _ := program.do("PROPFIND", path, nil, header)
			got := w.backend.taken()
			if status != http.StatusOK || len(got) != 1 {
				t.Fatalf("%s %s: %d, %d requests", way, path, status, len(got))
			}
			if strings.Contains(strings.ToLower(dump(got[0].header)), "elt_") || got[0].header.Get("Authorization") != "" {
				t.Errorf("%s: the backend got %v", way, got[0].header)
			}
			who, err := v.Verify(t.Context(), got[0].header.Get("Email-Link-Assertion"))
			if err != nil {
				t.Fatalf("%s: %v", way, err)
			}
			if !slices.Equal(who.Scope, []string{"calendar"}) || !slices.Equal(who.Methods, []string{"token"}) || who.Email != "ada@example.com" ||
				who.SessionID != id || time.Since(who.AuthTime) > time.Hour || got[0].header.Get("Remote-User") != "ada@example.com" {
				t.Errorf("%s: %+v", way, who)
			}
		}
		// The cookie of somebody else beside it says nothing.
		mixed := header.Clone()
		mixed.Set("Cookie", "email_link=nonsense")
		if status, _, _ := program.do(http.MethodGet, "/x", nil, mixed); status != http.StatusOK {
			t.Errorf("%s beside a cookie: %d", way, status)
		}
		w.backend.taken()
	}
	for way, header := range ways(other) {
		for _, path := range []string{"/x", "/open/x"} {
			status, got, _ := c.do(http.MethodGet, path, nil, header) // c is signed in
			w.refusedToken(way+" with another scope at "+path, status, got, http.StatusForbidden)
		}
	}
	for way, header := range ways(text + "x") {
		for _, path := range []string{"/x", "/open/x", "/email-link/session", "/email-link/", "/email-link/assets/style.css"} {
			status, got, _ := c.do(http.MethodGet, path, nil, header)
			w.refusedToken(way+", invalid at "+path, status, got, http.StatusUnauthorized)
			asked := strings.Join(got.Values("Www-Authenticate"), "; ")
			if strings.Contains(asked, "Bearer") != (way != "basic") || strings.Contains(asked, "Basic") != true {
				t.Errorf("%s at %s: asked for %q", way, path, asked)
			}
		}
	}
	// People go on as before.
	if status, _ := c.get("/x"); status != http.StatusOK {
		t.Errorf("a person: %d", status)
	}
	w.backend.taken()
	foreign := http.Header{"Authorization": {"Bearer the-apps-own"}}
	if status, _, _ := c.do(http.MethodGet, "/x", nil, foreign); status != http.StatusOK {
		t.Errorf("a foreign Authorization: %d", status)
	}
	if got := w.backend.taken(); len(got) != 1 || got[0].header.Get("Authorization") != "Bearer the-apps-own" {
		t.Errorf("a foreign Authorization: %v", got)
	}
	if status, header, _ := w.client().do(http.MethodGet, "/x", nil, foreign); status != http.StatusUnauthorized || header.Get("Www-Authenticate") == "" {
		t.Errorf("a foreign Authorization and no session: %d", status)
	}
}

func dump(h http.Header) string {
	text, _ := json.Marshal(h) //nolint:errchkjson // a map of texts
	return string(text)
}

func TestMACH3_OnlyOneAndOnlyHere(t *testing.T) {
	w := start(t, setup{global: "sign_up open\nscopes calendar", site: scoped})
	c := w.client()
	text, _ := w.token(c, "ada@example.com", "calendar")
	basic := ways(text)["basic"].Get("Authorization")
	for name, header := range map[string]http.Header{
		"two of our own":       {"Email-Link-Token": {text, text}},
		"two bearers":          {"Authorization": {"Bearer " + text, "Bearer " + text}},
		"own and bearer":       {"Email-Link-Token": {text}, "Authorization": {"Bearer " + text}},
		"own and basic":        {"Email-Link-Token": {text}, "Authorization": {basic}},
		"foreign and bearer":   {"Authorization": {"Bearer x", "Bearer " + text}},
		"empty":                {"Email-Link-Token": {""}},
		"an identity's place":  {"Email-Link-Token": {"Bearer " + text}},
		"without its prefix":   {"Email-Link-Token": {strings.TrimPrefix(text, "elt_")}},
		"a list":               {"Authorization": {"Bearer " + text + ", Bearer " + text}},
		"with a space in it":   {"Email-Link-Token": {text[:20] + " " + text[20:]}},
		"the session's cookie": {"Email-Link-Token": {c.cookieValue()}},
	} {
		status, got, _ := c.do(http.MethodGet, "/x", nil, header)
		w.refusedToken(name, status, got, http.StatusUnauthorized)
	}
	// Other spellings are nobody's, and do not arrive.
	status, _, _ := c.do(http.MethodGet, "/x", nil, http.Header{"Email_link_token": {text}, "Email.link.token": {text}})
	if got := w.backend.taken(); status != http.StatusOK || len(got) != 1 || strings.Contains(dump(got[0].header), "elt_") {
		t.Errorf("other spellings: %d %v", status, got)
	}
	for _, path := range []string{
		"/email-link/", "/email-link", "/email-link/sign-in", "/email-link/sign-out", "/email-link/password", "/email-link/jwks.json",
		"/email-link/nowhere", "/email-link/assets/x", "/email-link/confirm", "/email-link/session/",
	} {
		for way, header := range ways(text) {
			status, got, _ := c.do(http.MethodGet, path, nil, header)
			w.refusedToken(way+" at "+path, status, got, http.StatusForbidden)
		}
		if status, got, _ := c.do(http.MethodPost, path, url.Values{"email": {"x@example.com"}}, ways(text)["bearer"]); status != http.StatusForbidden {
			t.Errorf("POST %s: %d %v", path, status, got)
		}
	}
	for way, header := range ways(text) {
		status, _, body := c.do(http.MethodGet, "/email-link/session", nil, header)
		var who map[string]any
		if err := json.Unmarshal([]byte(body), &who); err != nil || status != http.StatusOK || who["email"] != "ada@example.com" ||
			who["scope"] != "calendar" || dumpAny(who["amr"]) != `["token"]` {
			t.Errorf("%s: /session: %d %s", way, status, body)
		}
	}
	if n := c.session(); n == nil {
		t.Error("the session has ended")
	}
	// A browser sends Basic by itself: not for other sites.
	header := ways(text)["basic"]
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		cross := header.Clone()
		cross.Set(name, value)
		status, got, _ := w.client().do(http.MethodPost, "/x", nil, cross)
		w.refusedToken(name, status, got, http.StatusForbidden)
	}
}

func dumpAny(v any) string {
	text, _ := json.Marshal(v) //nolint:errchkjson // read from JSON
	return string(text)
}

// cookieValue is the value of the session's cookie.
func (c *client) cookieValue() string {
	_, value, _ := strings.Cut(c.cookie(), "=")
	value, _, _ = strings.Cut(value, ";")
	return value
}

// TestMACH3_WithoutARequiredScope tries sites that name no scope: no token passes, not even where everybody does.
func TestMACH3_WithoutARequiredScope(t *testing.T) {
	for name, site := range map[string]string{
		"plain": "public /open/*", "optional": "optional", "for people": "require scope session", "by role": "require email *@example.com",
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{global: "sign_up open\nscopes calendar", site: site})
			c := w.client()
			text, _ := w.token(c, "ada@example.com", "calendar")
			for way, header := range ways(text) {
				for _, path := range []string{"/x", "/open/x"} {
					status, got, _ := c.do(http.MethodGet, path, nil, header)
					w.refusedToken(way+" at "+path, status, got, http.StatusForbidden)
				}
			}
			status, got, _ := c.do(http.MethodGet, "/x", nil, http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("a:elt_x"))}})
			w.refusedToken("invalid", status, got, http.StatusUnauthorized)
			if asked := got.Get("Www-Authenticate"); asked != "" {
				t.Errorf("asked for %q, with which nobody passes", asked)
			}
			if status, _ := c.get("/x"); status != http.StatusOK {
				t.Errorf("a person: %d", status)
			}
		})
	}
}

func TestMACH3_EachLineHolds(t *testing.T) {
	w := start(t, setup{
		global: "sign_up open\nscopes calendar files",
		sites: `$ADDR {
	email_link {
		require scope calendar session
		require email ada@example.com
	}
	handle /people/* {
		email_link {
			require scope session
		}
		reverse_proxy $BACKEND
	}
	handle /admin/* {
		email_link {
			require role admin
		}
		reverse_proxy $BACKEND
	}
	handle /new/* {
		email_link {
			max_age 1ms
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}
}
`,
	})
	ada, grace := w.client(), w.client()
	text, _ := w.token(ada, "ada@example.com", "calendar")
	other, _ := w.token(grace, "grace@example.com", "calendar")
	for _, one := range []struct {
		text, path string
		want       int
	}{
		{text, "/x", 200}, {text, "/people/x", 403}, {text, "/admin/x", 403}, {text, "/new/x", 401}, {other, "/x", 403},
	} {
		status, _, body := w.client().do(http.MethodGet, one.path, nil, ways(one.text)["bearer"])
		if n := len(w.backend.taken()); status != one.want || n != 0 != (one.want == 200) {
			t.Errorf("%s: %d, want %d; %d at the backend\n%s", one.path, status, one.want, n, body)
		}
	}
	if status, _ := ada.get("/people/x"); status != http.StatusOK {
		t.Errorf("a person: %d", status)
	}
}

func TestMACH3_PeopleNeedTheWordSession(t *testing.T) {
	w := start(t, setup{global: "sign_up open\nscopes calendar", site: "require scope calendar"})
	c := w.client()
	text, _ := w.token(c, "ada@example.com", "calendar")
	if status, _ := c.get("/x"); status != http.StatusForbidden {
		t.Errorf("a person: %d", status)
	}
	if status, _, _ := w.client().do(http.MethodGet, "/x", nil, ways(text)["bearer"]); status != http.StatusOK {
		t.Errorf("a token: %d", status)
	}
	status, header, _ := w.client().do("PROPFIND", "/x", nil, nil)
	if status != http.StatusUnauthorized || !strings.HasPrefix(header.Get("Www-Authenticate"), `Basic realm="localhost:`) {
		t.Errorf("a client that waits to be asked: %d %q", status, header.Get("Www-Authenticate"))
	}
	for name, h := range map[string]http.Header{
		"a navigation": navigation, "a script": {"Sec-Fetch-Mode": {"cors"}}, "an old script": {"X-Requested-With": {"XMLHttpRequest"}},
		"an old browser": {"Accept": {"text/html"}},
	} {
		if _, header, _ := w.client().do(http.MethodGet, "/x", nil, h); header.Get("Www-Authenticate") != "" {
			t.Errorf("%s is asked by a window of the browser's own", name)
		}
	}
}

func TestCFG1_ScopesThatNobodyHas(t *testing.T) {
	w := start(t, setup{global: "scopes calendar"})
	for name, s := range map[string]setup{
		"not in the list": {global: "scopes files", site: "require scope calendar"},
		"no list":         {site: "require scope calendar"},
		"only inside": {global: "scopes calendar", sites: `$ADDR {
	email_link
	handle /dav/* {
		email_link {
			require scope calendar
		}
		reverse_proxy $BACKEND
	}
}
`},
	} {
		if err := w.tryLoad(s); err == nil || !strings.Contains(err.Error(), "scope") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.up()
}

// TestMACH3_Verify asks for requests with tokens as a proxy does, which is told what to pass on instead of the client's
// Authorization.
func TestMACH3_Verify(t *testing.T) {
	gate := asked(verifySite+"\n"+scoped, "")
	gate.global += "\nscopes calendar files"
	w := start(t, gate)
	c := w.client()
	text, _ := w.token(c, "ada@example.com", "calendar")
	other, _ := w.token(w.client(), "grace@example.com", "files")
	line := func(h http.Header) (lines string) {
		for name, values := range h {
			lines += name + ": " + values[0] + "\n"
		}
		return lines
	}
	for way, header := range ways(text) {
		for _, cookie := range []string{"", "email_link=nonsense"} {
			res, _ := w.asks(cookie, question{method: "PROPFIND", more: line(header)})
			passed(t, way, res, "ada@example.com")
			if got, sent := res.Header["Email-Link-Authorization"]; !sent || got[0] != "" {
				t.Errorf("%s: goes on with %q", way, got)
			}
		}
	}
	for way, header := range ways(other) {
		res, _ := w.asks(c.cookie(), question{more: line(header)})
		refused(t, way+" with another scope", res, http.StatusForbidden)
	}
	for way, header := range ways(text + "x") {
		for _, uri := range []string{"/x", "/open/x"} {
			res, _ := w.asks(c.cookie(), question{uri: uri, more: line(header)})
			refused(t, way+", invalid", res, http.StatusUnauthorized)
			if res.Header.Get("Www-Authenticate") == "" || res.Header.Get("Email-Link-Sign-In") != "" {
				t.Errorf("%s: %v", way, res.Header)
			}
		}
	}
	res, _ := w.asks(c.cookie(), question{more: "Authorization: Bearer the-apps-own\n"})
	passed(t, "a foreign Authorization", res, "ada@example.com")
	if got := res.Header.Get("Email-Link-Authorization"); got != "Bearer the-apps-own" {
		t.Errorf("goes on with %q", got)
	}
}
