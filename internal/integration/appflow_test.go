package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// ownUsers is an app with users of its own behind an optional gate: POST /start starts a flow with the claims that the test
// has set, and /finish acts on what comes back, once for each jti.
type ownUsers struct {
	t   *testing.T
	w   *world
	key []byte
	// v takes hand-overs, people sign-ins.
	v, people *identity.Verifier

	mu sync.Mutex
	// start is what the next POST /start says; respond, where set, answers instead.
	start   identity.Start
	respond func(w http.ResponseWriter, token string)
	// finish, where set, answers /finish instead of doing what it is for.
	finish func(w http.ResponseWriter, r *http.Request, id *identity.Identity)
	// seen are the hand-overs that came, acted those that had an effect, by jti.
	seen  []*identity.Identity
	acted map[string]string
}

const optionalSite = "optional\naudience shop"

func newOwnUsers(t *testing.T, s setup) *ownUsers {
	t.Helper()
	if s.site == "" {
		s.site = optionalSite
	}
	w := start(t, s)
	a := &ownUsers{t: t, w: w, acted: map[string]string{}}
	a.reload()
	a.start = identity.Start{Purpose: "activation", Email: "ada@example.com", Subject: "42", State: "s1", Continue: "/finish"}
	w.backend.answers(a.serve)
	return a
}

// reload reads the keys of the gate that runs.
func (a *ownUsers) reload() {
	parts, ok := module.Running()
	if !ok {
		a.t.Fatal("no gate runs")
	}
	a.key = parts.Ring.SignKey("shop")
	config := identity.Config{
		Issuers: []string{a.w.origin()}, Audience: "shop", Type: identity.TypeAssertion, Keys: [][]byte{parts.Ring.AudienceKey("shop")},
		JWKSURL: a.w.origin() + "/email-link/jwks.json",
	}
	var err error
	if a.people, err = identity.NewVerifier(config); err != nil {
		a.t.Fatal(err)
	}
	config.Purposes = []string{"activation", "sign_in", "reset"}
	if a.v, err = identity.NewVerifier(config); err != nil {
		a.t.Fatal(err)
	}
}

// token signs what the next start says.
func (a *ownUsers) token(s identity.Start) string {
	if s.Audience == "" {
		s.Audience = "shop"
	}
	if s.Origin == "" {
		s.Origin = a.w.origin()
	}
	text, err := s.Sign(a.key, time.Now())
	if err != nil {
		a.t.Error(err)
	}
	return text
}

func (a *ownUsers) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.URL.Path == "/start" && a.respond != nil:
		a.respond(w, a.token(a.start))
	case r.URL.Path == "/start":
		w.Header().Add("Set-Cookie", "app=session; Path=/; HttpOnly")
		w.Header().Add("Set-Cookie", "__Host-email_link_flow=evil; Path=/; Secure")
		w.Header().Set("X-App", "yes")
		w.Header().Set(identity.StartHeader, a.token(a.start))
		_, _ = io.WriteString(w, "mail gate missing")
	case r.URL.Path == "/finish":
		a.serveFinish(w, r)
	default:
		_, _ = io.WriteString(w, "hello")
	}
}

func (a *ownUsers) serveFinish(w http.ResponseWriter, r *http.Request) {
	values := r.Header.Values(identity.Header)
	if len(values) == 0 {
		_, _ = io.WriteString(w, "nobody")
		return
	}
	id, err := a.people.Verify(context.Background(), values[0])
	if errors.Is(err, identity.RefusedPurpose) {
		id, err = a.v.Verify(context.Background(), values[0])
	}
	if err != nil || len(values) != 1 {
		a.t.Errorf("%s %s: %d assertions, %v", r.Method, r.URL, len(values), err)
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	if id.Purpose == "" {
		_, _ = io.WriteString(w, "session of "+id.Email)
		return
	}
	a.seen = append(a.seen, id)
	if a.finish != nil {
		a.finish(w, r, id)
		return
	}
	a.acted[id.ID] = id.Subject
	w.Header().Set(identity.DoneHeader, id.ID)
	_, _ = fmt.Fprintf(w, "%s %s %s", id.Purpose, id.Subject, id.State)
}

func (a *ownUsers) say(change func(*ownUsers)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// handovers returns the hand-overs that came since the last call.
func (a *ownUsers) handovers() []*identity.Identity {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.seen
	a.seen = nil
	return all
}

// asks starts a flow in a browser and returns the link of its mail.
func (a *ownUsers) asks(c *client) string {
	a.t.Helper()
	status, header, body := c.post("/start", url.Values{})
	if status != http.StatusSeeOther || header.Get("Location") != "/email-link/resend" {
		a.t.Fatalf("starting: %d, Location %q, %s", status, header.Get("Location"), body)
	}
	_, link := a.w.mail()
	if link == "" {
		a.t.Fatal("no link in the mail")
	}
	return link
}

// TestTOK3_AppFlow lets an app start each kind of flow: the gate answers in its place, mails, and hands the app back what it
// has said, once it is proven, by link in the same browser, by link in another one, and by code. There is no session of the
// gate and no account.
func TestTOK3_AppFlow(t *testing.T) {
	for _, links := range []string{"links stored", "links stateless"} {
		t.Run(links, func(t *testing.T) { appFlow(t, newOwnUsers(t, setup{global: "resend 5 1ms\n" + links})) })
	}
}

func appFlow(t *testing.T, a *ownUsers) {
	for _, purpose := range []string{"activation", "sign_in", "reset"} {
		for _, way := range []string{"link", "other browser", "code"} {
			if purpose == "reset" && way == "code" {
				continue
			}
			t.Run(purpose+" by "+way, func(t *testing.T) {
				a.say(func(a *ownUsers) {
					a.start.Purpose, a.start.State, a.start.Email = purpose, way, strings.ReplaceAll(purpose+way, " ", "")+"@example.com"
				})
				c := a.w.client()
				status, header, body := c.do(http.MethodPost, "/start", url.Values{}, http.Header{"Referer": {a.w.origin() + "/app/form?x=1"}})
				if status != http.StatusSeeOther || header.Get("Location") != "/email-link/resend" || body != "" {
					t.Fatalf("%d, Location %q, %q", status, header.Get("Location"), body)
				}
				if got := header.Values("Set-Cookie"); len(got) != 2 || !strings.HasPrefix(got[0], "app=session") || !strings.HasPrefix(got[1], "email_link_flow=") {
					t.Errorf("Set-Cookie: %q", got)
				}
				if header.Get("X-App") != "" || header.Get(identity.StartHeader) != "" {
					t.Errorf("the app's answer shines through: %v", header)
				}
				if status, _, page := c.visit("/email-link/resend"); status != http.StatusOK || strings.Contains(page, "/email-link/sign-up") || !strings.Contains(page, `href="/app/form"`) {
					t.Errorf("check your mail: %d\n%s", status, page)
				}
				mail, link := a.w.mail()
				at := c
				switch {
				case way == "code":
					status, header, _ = c.post("/email-link/code", url.Values{"code": {codeIn.FindString(mail.Text)}})
				case way == "link" && purpose != "reset":
					status, header, _ = c.visit(link)
				default:
					if way == "other browser" {
						at = a.w.client()
					}
					at.visit(link)
					_, _, page := at.visit("/email-link/confirm")
					if strings.Contains(page, `name="password"`) {
						t.Errorf("the gate asks for a password:\n%s", page)
					}
					status, header, _ = at.post("/email-link/confirm", url.Values{"h": {hiddenIn(page)}})
				}
				if status != http.StatusSeeOther || header.Get("Location") != "/finish" {
					t.Fatalf("redeeming: %d, Location %q", status, header.Get("Location"))
				}
				if at.session() != nil {
					t.Error("the gate has opened a session")
				}
				_, body = at.get("/finish")
				if want := purpose + " 42 " + way; body != want {
					t.Errorf("the app got %q, want %q", body, want)
				}
				if got := a.handovers(); len(got) != 1 || got[0].Email != a.start.Email || !got[0].EmailVerified || got[0].SessionID != "" || len(got[0].Roles) != 0 {
					t.Errorf("handed over: %+v", got)
				}
				if _, body = at.get("/finish"); body != "nobody" {
					t.Errorf("after Email-Link-Done: %q", body)
				}
			})
		}
	}
	parts, _ := module.Running()
	if _, found, err := parts.Accounts.Lookup(context.Background(), "activationlink@example.com"); err != nil || found {
		t.Errorf("an account: %v, %v", found, err)
	}
}
