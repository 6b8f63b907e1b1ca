package integration

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// obeyedNot makes sure that the app's own answer came through, without a word of ours, and that no mail is under way.
func (a *ownUsers) obeyedNot(what string, status int, header http.Header, body string) {
	a.t.Helper()
	if status != http.StatusOK || body != "mail gate missing" || header.Get(identity.StartHeader) != "" {
		a.t.Errorf("%s: %d %q, %v", what, status, body, header)
	}
	for _, line := range header.Values("Set-Cookie") {
		if strings.Contains(line, "email_link") {
			a.t.Errorf("%s: %s", what, line)
		}
	}
}

// TestTOK3_AppStartsRefused sends starts that are not obeyed: the app's answer passes without them, and nothing is mailed.
func TestTOK3_AppStartsRefused(t *testing.T) {
	a := newOwnUsers(t, setup{})
	c := a.w.client()
	parts, _ := module.Running()
	good := a.key
	for name, change := range map[string]func(*ownUsers){
		"another audience's key":        func(a *ownUsers) { a.key = parts.Ring.SignKey("other") },
		"the key that opens":            func(a *ownUsers) { a.key = parts.Ring.AudienceKey("shop") },
		"in another audience's name":    func(a *ownUsers) { a.start.Audience = "other" },
		"for another origin":            func(a *ownUsers) { a.start.Origin = "https://other.example.com" },
		"over":                          func(a *ownUsers) { a.start.IssuedAt = time.Now().Add(-2 * time.Minute) },
		"from the future":               func(a *ownUsers) { a.start.IssuedAt = time.Now().Add(2 * time.Minute) },
		"for too long":                  func(a *ownUsers) { a.start.Expiry = time.Now().Add(2 * time.Minute) },
		"for an unknown purpose":        func(a *ownUsers) { a.start.Purpose = "invite" },
		"without sub":                   func(a *ownUsers) { a.start.Subject = "" },
		"leading elsewhere":             func(a *ownUsers) { a.start.Continue = "https://other.example.com/" },
		"leading nowhere":               func(a *ownUsers) { a.start.Continue = "//other.example.com/" },
		"leading to a page of ours":     func(a *ownUsers) { a.start.Continue = "/email-link/sign-out" },
		"leading to an unsent spelling": func(a *ownUsers) { a.start.Continue = "/a/../finish" },
		"with a long state":             func(a *ownUsers) { a.start.State = strings.Repeat("s", identity.MaxState+1) },
		"with a long sub":               func(a *ownUsers) { a.start.Subject = strings.Repeat("s", identity.MaxSubject+1) },
		"with a long continue":          func(a *ownUsers) { a.start.Continue = "/" + strings.Repeat("s", identity.MaxContinue) },
	} {
		kept := a.start
		a.say(change)
		status, header, body := c.post("/start", url.Values{})
		a.obeyedNot(name, status, header, body)
		a.say(func(a *ownUsers) { a.start, a.key = kept, good })
	}
	status, header, body := c.do(http.MethodGet, "/start", nil, nil)
	a.obeyedNot("on a GET", status, header, body)
	status, header, body = c.do(http.MethodPut, "/start", url.Values{}, nil)
	a.obeyedNot("on a PUT", status, header, body)
	for name, foreign := range map[string]http.Header{
		"cross-site":   {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		"other origin": {"Sec-Fetch-Site": nil, "Origin": {"https://evil.example"}},
		"same site":    {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://www.example.com"}},
	} {
		status, header, body = c.do(http.MethodPost, "/start", url.Values{}, foreign)
		a.obeyedNot(name, status, header, body)
	}
	a.none(t)
}

// none makes sure that nothing has been mailed so far: a mail asked for now is the first one.
func (a *ownUsers) none(t *testing.T) {
	t.Helper()
	a.say(func(a *ownUsers) { a.respond = nil; a.start.Email = "last@example.com" })
	a.asks(a.w.client())
	if m := a.w.mails.Wait(t, a.w.seen)[a.w.seen-1]; a.w.seen != 1 || m.To != "last@example.com" {
		t.Errorf("%d mails, the last one to %s", a.w.seen, m.To)
	}
}

// TestTOK3_AppStartAnswers lets the header come where it is not obeyed: doubled, on 1xx, in trailers, with a failure.
func TestTOK3_AppStartAnswers(t *testing.T) {
	for _, secure := range []bool{false, true} {
		a := newOwnUsers(t, setup{tls: secure})
		c := a.w.client()
		for name, respond := range map[string]func(http.ResponseWriter, string){
			"doubled": func(w http.ResponseWriter, token string) {
				w.Header()[identity.StartHeader] = []string{token, token}
			},
			"early": func(w http.ResponseWriter, token string) {
				w.Header().Set(identity.StartHeader, token)
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Del(identity.StartHeader)
			},
			"announced trailer": func(w http.ResponseWriter, token string) {
				w.Header().Set("Trailer", identity.StartHeader)
				_, _ = io.WriteString(w, "mail gate ")
				w.Header().Set(identity.StartHeader, token)
				_, _ = io.WriteString(w, "missing")
			},
			"trailer": func(w http.ResponseWriter, token string) {
				_, _ = io.WriteString(w, "mail gate ")
				w.(http.Flusher).Flush()
				w.Header().Set(http.TrailerPrefix+identity.StartHeader, token)
				_, _ = io.WriteString(w, "missing")
			},
			"other spelling": func(w http.ResponseWriter, token string) {
				w.Header()["email_link_start"] = []string{token}
			},
			"empty": func(w http.ResponseWriter, _ string) { w.Header().Set(identity.StartHeader, "") },
			"no token": func(w http.ResponseWriter, _ string) {
				w.Header().Set(identity.StartHeader, strings.Repeat("x", 20_000))
			},
		} {
			a.say(func(a *ownUsers) {
				a.respond = func(w http.ResponseWriter, token string) {
					respond(w, token)
					if !strings.Contains(name, "trailer") {
						_, _ = io.WriteString(w, "mail gate missing")
					}
				}
			})
			status, header, body := c.post("/start", url.Values{})
			a.obeyedNot(name, status, header, body)
		}
		a.say(func(a *ownUsers) {
			a.respond = func(w http.ResponseWriter, token string) {
				w.Header().Set(identity.StartHeader, token)
				http.Error(w, "broken", http.StatusInternalServerError)
			}
		})
		if status, _, body := c.post("/start", url.Values{}); status != http.StatusInternalServerError || body != "broken\n" {
			t.Errorf("a failure: %d %q", status, body)
		}
		a.none(t)
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTOK1_AppStartReplayed has an app say the same twice: the second time has no effect, in another browser neither, nor after
// a restart.
func TestTOK1_AppStartReplayed(t *testing.T) { bothModes(t, testAppStartReplayed) }

func testAppStartReplayed(t *testing.T, links string) {
	s := setup{global: links, site: optionalSite}
	a := newOwnUsers(t, s)
	c := a.w.client()
	a.say(func(a *ownUsers) { a.start.ID = "once" })
	a.asks(c)
	for _, again := range []*client{c, a.w.client()} {
		status, header, body := again.post("/start", url.Values{})
		a.obeyedNot("a replay", status, header, body)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	a.w.load(s)
	status, header, body := a.w.client().post("/start", url.Values{})
	a.obeyedNot("a replay after a restart", status, header, body)
	a.say(func(a *ownUsers) { a.start.ID = "twice" })
	a.asks(a.w.client())
	if a.w.seen != 2 {
		t.Errorf("%d mails", a.w.seen)
	}
}

// TestHDR4_AppAnswersThrownAway takes the place of answers of every kind, endless ones included, and does not wait for them.
func TestHDR4_AppAnswersThrownAway(t *testing.T) {
	for _, secure := range []bool{false, true} {
		a := newOwnUsers(t, setup{tls: secure, before: "encode", global: "limit mail_ip 100-H\nlimit mail_address 100-H\nlimit mail_mailbox 100-D"})
		for name, respond := range map[string]func(http.ResponseWriter){
			"204": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
			"202": func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted); _, _ = io.WriteString(w, "soon") },
			"redirect": func(w http.ResponseWriter) {
				w.Header().Set("Location", "/missing")
				w.WriteHeader(http.StatusSeeOther)
			},
			"long": func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "6000000")
				_, _ = io.WriteString(w, strings.Repeat("x", 6_000_000))
			},
			"trailer": func(w http.ResponseWriter) {
				w.Header().Set("Trailer", identity.DoneHeader)
				_, _ = io.WriteString(w, "x")
				w.Header().Set(identity.DoneHeader, "leak")
				w.Header().Set(http.TrailerPrefix+identity.StartHeader, "leak")
			},
		} {
			a.say(func(a *ownUsers) {
				a.respond = func(w http.ResponseWriter, token string) {
					w.Header().Set(identity.StartHeader, token)
					respond(w)
				}
			})
			status, header, body := a.w.client().post("/start", url.Values{})
			if status != http.StatusSeeOther || header.Get("Location") != "/email-link/resend" || body != "" {
				t.Errorf("%s: %d, Location %q, %d bytes", name, status, header.Get("Location"), len(body))
			}
		}
		a.w.backend.answers(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set(identity.StartHeader, a.token(a.start))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		if status, _, _ := a.w.client().post("/start", url.Values{}); status != http.StatusSeeOther {
			t.Errorf("an endless answer: %d", status)
		}
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}
