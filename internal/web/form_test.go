package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
)

func TestEML1_OneAddressForEachRequest(t *testing.T) { bothModes(t, testOneAddressForEachRequest) }

func testOneAddressForEachRequest(t *testing.T) {
	g := newPasswordGate(t)
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
		for _, path := range []string{"/email-link/sign-in", "/email-link/sign-up", "/email-link/reset"} {
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

func TestRED1_OnlyPathsOfTheSite(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
			g.site.Limits[limit.MailAddress], g.site.Limits[limit.MailIP], g.site.Limits[limit.MailMailbox] = nil, nil, nil
			b.post("/email-link/sign-up", "email", "x@example.com", "return_to", to).wants(t, 303, "/email-link/resend")
			mails := g.deliver()
			link := g.find(linkPattern, mails[len(mails)-1].Text)
			if strings.Contains(mails[0].Text, "evil") {
				t.Error("return_to stands in a mail")
			}
			b.get(link).wants(t, 303, "/")
			g = newGate(t)
		}
	})
}

// endless is a body that never ends. It breaks off long after any limit, so that a limit that is gone fails the test rather than
// the machine.
type endless struct{ n *int }

func (e endless) Read(p []byte) (int, error) {
	if *e.n > 64*maxBody {
		return 0, errors.New("nobody stops reading")
	}
	*e.n += len(p)
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestDOS1_BodiesAreCutEarly(t *testing.T) {
	g := newPasswordGate(t)
	for _, path := range []string{"/sign-in", "/sign-up", "/reset", "/resend", "/code", "/confirm", "/sign-out"} {
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
		x := &exchange{Pages: &Pages{Clock: clock.New(nil)}, Visit: Visit{Site: &Site{}}}
		x.Site.Prefix = "/email-link"
		if to := x.returnTo(raw); to != "" && (to[0] != '/' || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n\\ \"<>")) {
			t.Errorf("%q: %q", raw, to)
		}
	})
}

// TestEML2_UnseenCharactersAreNamed types what looks like an address, and reads which character is not what it looks like.
func TestEML2_UnseenCharactersAreNamed(t *testing.T) {
	g := newPasswordGate(t)
	for address, want := range map[string]string{
		"jo\u200b@example.com":        "Character 3 of this address is invisible (U+200B)",
		"\ufeffjo@example.com":        "Character 1 of this address is invisible (U+FEFF)",
		"j\u00ado@example.com":        "Character 2 of this address is invisible (U+00AD)",
		"jo@exa\u2060mple.com":        "Character 7 of this address is invisible (U+2060)",
		"jo\u202e@example.com":        "Character 3 of this address is invisible (U+202E)",
		"jo\uff20example.com":         "Character 3 of this address, \uff20 (U+FF20), is not the ordinary one",
		"\uff4ao@example.com":         "Character 1 of this address, \uff4a (U+FF4A), is not the ordinary one",
		"jo \u00a0@example.com":       "Character 3 of this address is a space",
		"jo@example.com, x@y.example": "Character 16 of this address is a space",
		"jo.example.com":              "This does not look like an email address",
		"b\u00fccher@example.com":     "This does not look like an email address",
	} {
		onPage := strings.ReplaceAll(want, "+", "&#43;")
		g.browser().post("/email-link/sign-in", "email", address, "mail", "1").wants(t, 400, "").says(t, onPage, `aria-invalid="true"`)
		g.browser().post("/email-link/sign-in", "email", address, "password", oldWords).wants(t, 400, "").says(t, onPage)
		g.browser().json("POST", "/email-link/sign-up", `{"email":"`+address+`"}`).wants(t, 400, "").says(t, want, `"code":"invalid_email"`)
	}
}
