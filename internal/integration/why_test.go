package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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
		{"nobody@example.com", "/x", "HEAD", "account", ""},
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
		p.checkReference(one, w.Reference, body)
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

// TestWHY1_WhyAtASiteOfAPortal: what 'why' says of people who sign in at a portal is what their browsers get, wherever they are led.
func TestWHY1_WhyAtASiteOfAPortal(t *testing.T) {
	t.Parallel()
	p := startSeveralAsProcess(t)
	ada := p.visitor()
	ada.signUp("ada@example.com", "")
	browsers := map[string]*visitor{"ada@example.com": ada, "nobody@example.com": p.visitor()}
	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	caddyfile := strings.Split(string(text), "\n")
	auth, photos, staff := p.portalAt("auth"), p.portalAt("photos"), p.portalAt("staff")
	for _, one := range []struct {
		whyCase
		status int
		// final is the status at the end, and trail the hosts that the browser comes by.
		final int
		trail string
	}{
		{whyCase{"nobody@example.com", photos + "/x", "GET", "account", ""}, 303, 200, "photos photos auth auth"},
		{whyCase{"ada@example.com", photos + "/x", "GET", "session", ""}, 303, 200, "photos photos auth photos photos"},
		{whyCase{"ada@example.com", photos + "/x", "GET", "", ""}, 0, 200, "photos"},
		{whyCase{"ada@example.com", staff + "/x", "GET", "require role staff", "require role staff"}, 403, 403, "staff staff auth auth"},
		{whyCase{"ada@example.com", auth + "/x", "GET", "portal", "portal http"}, 404, 404, "auth"},
		{whyCase{"ada@example.com", auth + "/", "GET", "portal", "portal http"}, 303, 200, "auth auth"},
		{whyCase{"ada@example.com", auth + "/email-link/", "GET", "path", ""}, 0, 200, "auth"},
		{whyCase{"ada@example.com", "/x", "GET", "session", ""}, 303, 200, "localhost localhost"},
	} {
		w := p.why(one.whyCase)
		browser := browsers[one.email]
		address := one.path
		if strings.HasPrefix(address, "/") {
			address = p.origin() + address
		}
		res, body := browser.visit(http.MethodGet, address, nil)
		var trail []string
		for _, at := range browser.trail {
			host, _, _ := strings.Cut(at, ":")
			trail = append(trail, strings.TrimSuffix(host, ".localhost"))
		}
		if got := strings.Join(trail, " "); w.Status != one.status || res.StatusCode != one.final || got != one.trail {
			t.Errorf("%+v: 'why' says %d, the browser gets %d by way of %s", one, w.Status, res.StatusCode, got)
		}
		p.checkDecides(one.whyCase, w, caddyfile)
		led := strings.HasPrefix(one.path, photos) || strings.HasPrefix(one.path, staff)
		if says := slices.ContainsFunc(w.Rules, func(r operator.Rule) bool { return r.Says == "people sign in at "+auth+" for this site" }); says != led {
			t.Errorf("%+v: the portal: %+v", one, w.Rules)
		}
		if one.status == http.StatusForbidden {
			p.checkReference(one.whyCase, w.Reference, body)
		}
	}
}

// checkReference looks for the reference of a refusal in its page, which says no more, and in the log.
func (p *process) checkReference(one whyCase, reference, body string) {
	p.t.Helper()
	if reference == "" || !strings.Contains(body, reference) || strings.Contains(body, "require") || strings.Contains(body, "Caddyfile") {
		p.t.Errorf("WHY-2: %+v: the page has not the reference %q, or more:\n%s", one, reference, body)
	}
	err := p.cmd.Await(10*time.Millisecond, func() error { // what the process has written comes by a pipe
		if !strings.Contains(p.out.String(), `"reference":"`+reference+`"`) {
			return errors.New("no line of the log has the reference " + reference)
		}
		return nil
	})
	if err != nil {
		p.t.Errorf("WHY-2: %v", err)
	}
}

// why asks the command.
func (p *process) why(one whyCase) (w operator.Explanation) {
	p.t.Helper()
	address := one.path
	if strings.HasPrefix(address, "/") {
		address = p.origin() + address
	}
	out := p.must("why", one.email, address, "--method", one.method, "--json")
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
