package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

const whySite = `$ADDR {
	email_link {
		public /open/* /also/*
		public @read
		require scope calendar session
		@read {
			method GET
			path /read/*
		}
	}
	handle /admin* {
		email_link {
			require role admin
		}
		reverse_proxy $BACKEND
	}
	handle /staff* {
		email_link {
			require email *@staff.example
		}
		reverse_proxy $BACKEND
	}
	handle /fresh* {
		email_link {
			max_age 1ms
		}
		reverse_proxy $BACKEND
	}
	handle /calendar* {
		email_link {
			require scope calendar
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}
}
`

// whyCase is somebody who opens a page.
type whyCase struct {
	email, path, method string
	// decides is the beginning of the rule that decides, and of the line that has it in the Caddyfile; both are empty where the request goes on.
	decides, line string
}

// TestWHY1_WhyAPersonCannotOpenAPage: what 'why' says of each case is what the person's browser gets, and the line that it names is the one.
func TestWHY1_WhyAPersonCannotOpenAPage(t *testing.T) {
	t.Parallel()
	p := startProcess(t, setup{global: "sign_up open\nscopes calendar\nlimit mail_mailbox 3-D", sites: whySite})
	browsers := map[string]*client{"nobody@example.com": p.client(), "away@example.com": p.client()}
	for _, email := range []string{"ada@example.com", "boss@example.com", "gone@example.com"} {
		browsers[email] = p.client()
		p.signUp(browsers[email], email)
	}
	p.must("accounts", "add", "away@example.com")
	p.must("accounts", "set", "boss@example.com", "--role", "admin")
	p.must("accounts", "disable", "gone@example.com")
	cases := []whyCase{
		{"ada@example.com", "/x", "GET", "", ""},
		{"nobody@example.com", "/open/x", "GET", "", ""},
		{"nobody@example.com", "/x", "GET", "account", ""},
		{"gone@example.com", "/x", "GET", "account", ""},
		{"away@example.com", "/x", "GET", "session", ""},
		{"ada@example.com", "/admin/x", "GET", "require role admin", "require role admin"},
		{"boss@example.com", "/admin/x", "GET", "", ""},
		{"ada@example.com", "/staff/x", "GET", "require email *@staff.example", "require email"},
		{"ada@example.com", "/fresh/x", "GET", "max_age 1ms", "max_age"},
		{"ada@example.com", "/calendar", "GET", "require scope calendar", "require scope"},
		{"nobody@example.com", "/open%2fx", "GET", "account", ""},
		{"nobody@example.com", "/read/x", "GET", "", ""},
		{"nobody@example.com", "/read/x", "POST", "account", ""},
		{"ada@example.com", "/x", "TRACE", "method", "email_link"},
		{"ada@example.com", "/a%00b", "GET", "path", "email_link"},
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	caddyfile := strings.Split(string(text), "\n")
	for _, one := range cases {
		w := p.why(one)
		status, header, body := browsers[one.email].do(one.method, one.path, nil, navigation)
		if w.Status != status && (w.Status != 0 || status != http.StatusOK) {
			t.Errorf("%+v: 'why' says %d, the browser gets %d %v", one, w.Status, status, header)
		}
		p.checkDecides(one, w, caddyfile)
		if w.Reference == "" {
			continue
		}
		if !strings.Contains(body, w.Reference) || strings.Contains(body, "require") || strings.Contains(body, "Caddyfile") {
			t.Errorf("WHY-2: %+v: the page has not the reference %s, or more:\n%s", one, w.Reference, body)
		}
		err := p.cmd.Await(10*time.Millisecond, func() error { // what the process has written comes by a pipe
			if !strings.Contains(p.out.String(), `"reference":"`+w.Reference+`"`) {
				return errors.New("no line of the log has the reference " + w.Reference)
			}
			return nil
		})
		if err != nil {
			t.Errorf("WHY-2: %v", err)
		}
	}
	p.checkWhyMails(caddyfile)
	if out, err := p.command("why", "ada@example.com", "http://nobody.example/x"); err == nil || !strings.Contains(out, "no site with email_link answers for nobody.example; there are: "+p.origin()) {
		t.Errorf("a host of nobody: %v %s", err, out)
	}
	p.stop()
	if w := p.why(cases[5]); w.Status != http.StatusForbidden || w.Reference == "" {
		t.Errorf("without a running Caddy: %+v", w)
	}
}

// why asks the command.
func (p *process) why(one whyCase) (w operator.Explanation) {
	p.t.Helper()
	out := p.must("why", one.email, p.origin()+one.path, "--method", one.method, "--json")
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &w); err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	return w
}

// checkDecides looks at the rule that decides and at its line.
func (p *process) checkDecides(one whyCase, w operator.Explanation, caddyfile []string) {
	p.t.Helper()
	var decides []operator.Rule
	for _, r := range w.Rules {
		if r.Decides {
			decides = append(decides, r)
		}
	}
	if one.decides == "" && len(decides) == 0 {
		return
	}
	if len(decides) != 1 || !strings.HasPrefix(decides[0].Rule, one.decides) || one.decides == "" {
		p.t.Errorf("%+v: decided by %+v, of %+v", one, decides, w.Rules)
		return
	}
	number := 0
	if _, n, ok := strings.Cut(decides[0].At, "Caddyfile:"); ok {
		_, _ = fmt.Sscan(n, &number)
	}
	if one.line == "" && number == 0 {
		return
	}
	if number == 0 || !strings.Contains(caddyfile[number-1], one.line) {
		p.t.Errorf("%+v: it names %q, want the line of %q", one, decides[0].At, one.line)
	}
}

// checkWhyMails: a person whose mail waits, and whose mailbox has had its mails.
func (p *process) checkWhyMails(caddyfile []string) {
	p.t.Helper()
	p.mails.Fault(mailertest.From, mailertest.Fault{Code: 451, Text: "4.7.1 later"})
	away := whyCase{"away@example.com", "/x", "GET", "mail sign_in", ""}
	p.client().post("/email-link/sign-in", url.Values{"email": {away.email}})
	p.checkDecides(away, p.why(away), caddyfile)
	for status, n := 0, 0; status != http.StatusTooManyRequests && n < 10; n++ {
		status, _, _ = p.client().post("/email-link/sign-in", url.Values{"email": {away.email}})
	}
	away.decides = "limit mail_mailbox 3-D"
	p.checkDecides(away, p.why(away), caddyfile)
}
