package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/module"
)

// secretsOf returns everything of a sign-up that nobody may find afterwards: token, code and cookies.
func (w *world) secretsOf(c *client, email string) []string {
	w.t.Helper()
	status, header, _ := c.post("/email-link/sign-up", url.Values{"email": {email}})
	if status != http.StatusSeeOther {
		w.t.Fatalf("sign-up: %d", status)
	}
	var found []string
	note := func(h http.Header) {
		for _, k := range (&http.Response{Header: h}).Cookies() {
			if len(k.Value) > 10 {
				found = append(found, k.Value)
			}
		}
	}
	note(header)
	m, link := w.mail()
	u, err := url.Parse(link)
	if err != nil {
		w.t.Fatal(err)
	}
	found = append(found, u.Query().Get("t"))
	code := regexp.MustCompile(`\b\d{4}[ -]?\d{4}\b`).FindString(m.Text)
	if code == "" {
		w.t.Fatalf("no code in the mail:\n%s", m.Text)
	}
	found = append(found, code, strings.NewReplacer(" ", "", "-", "").Replace(code))
	// A scanner opens the link first, then the person does.
	other := w.client()
	_, _, _ = other.do(http.MethodGet, link, nil, http.Header{"Accept": {"*/*"}})
	_, header, _ = c.visit(link)
	note(header)
	_, header, _ = c.visit(link)
	note(header)
	_, _, _ = other.do(http.MethodGet, strings.Replace(link, "/link?", "/nowhere?", 1), nil, nil)
	_, _, _ = other.do(http.MethodPost, link, url.Values{}, nil)
	_, _, _ = other.do(http.MethodGet, strings.Replace(link, "/link?t=", "/link?t=%20", 1), nil, nil)
	return found
}

// TestLOG1_NoSecrets logs everything at DEBUG through a sign-up, a 404, a 405, a 502, a panic and a lost database, and looks for
// tokens, codes, cookies and addresses in the log and in the files of the database.
func TestLOG1_NoSecrets(t *testing.T) {
	bothModes(t, func(t *testing.T, links string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "caddy.log")
		w := start(t, setup{
			global: "sign_up open\n" + links, before: "log",
			after: "handle /dead {\n reverse_proxy 127.0.0.1:1\n }\n handle /panic {\n email_link_test_panic\n }\n handle /missing {\n error 404\n }\n handle_errors {\n reverse_proxy $BACKEND\n }",
			top:   "debug\nlog default {\n output file " + file + " {\n mode 0600\n }\n level DEBUG\n}",
		})
		c := w.client()
		secrets := w.secretsOf(c, "ada.lovelace@example.com")
		for _, path := range []string{"/x", "/dead", "/missing", "/email-link/", "/email-link/nowhere", "/email-link/session"} {
			_, _, _ = c.visit(path)
		}
		if status, _ := c.try(http.MethodGet, "/panic", nil); status != 0 && status != http.StatusInternalServerError {
			t.Errorf("a panic behind the gate: %d", status)
		}
		if status, _ := c.get("/x"); status != http.StatusOK {
			t.Errorf("DOS-1: the request after a panic: %d", status)
		}
		parts, _ := module.Running()
		disk := readAll(t, filepath.Dir(w.db))
		if err := parts.Store.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, _ = c.post("/email-link/sign-up", url.Values{"email": {"grace.hopper@example.com"}})
		_, _, _ = c.visit("/email-link/link?t=" + secrets[1])
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "a handler behind the gate") || !strings.Contains(string(text), `"event":"signed_in"`) || !strings.Contains(string(text), `"level":"debug"`) {
			t.Fatal("the log is not what this test needs")
		}
		for _, secret := range append(secrets, "ada.lovelace", "grace.hopper") {
			if i := strings.Index(string(text), secret); i >= 0 && secret != "" {
				t.Errorf("the log holds %q: …%s…", secret, text[max(0, i-200):min(len(text), i+100)])
			}
			if strings.Contains(string(disk), secret) && secret != "" {
				t.Errorf("REST-1, MAIL-5: the database holds %q", secret)
			}
		}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if !json.Valid([]byte(line)) {
				t.Errorf("a line that is not one JSON object: %q", line)
			}
		}
	})
}

// TestRL1_ForwardingHeaders counts by the address that Caddy vouches for, and says once which lines to paste.
func TestRL1_ForwardingHeaders(t *testing.T) {
	for name, trusted := range map[string]string{
		"untrusted": "", "trusted": "servers {\n trusted_proxies static 127.0.0.0/8\n}",
		"private": "servers {\n trusted_proxies static private_ranges\n}",
		"strict":  "servers {\n trusted_proxies static 127.0.0.0/8 203.0.113.7\n trusted_proxies_strict\n}",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "caddy.log")
			w := start(t, setup{global: "sign_up open\nlimit mail_ip 2-H", top: trusted + "\nlog default {\n output file " + file + "\n}"})
			limited := 0
			for i := range 4 {
				c := w.client()
				// The client writes what it likes; the proxy in front has appended what it saw.
				seen := []string{"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"}[i]
				switch name {
				case "private":
					seen += ", 192.168.1.9" // a client of the same network is what the proxy has seen
				case "strict":
					seen += ", 192.0.2.9, 203.0.113.7"
				default:
					seen += ", 192.0.2.9"
				}
				c.header = http.Header{"X-Forwarded-For": {seen}}
				status, _, _ := c.post("/email-link/sign-up", url.Values{"email": {string(rune('a'+i)) + "@example.com"}})
				if status == http.StatusTooManyRequests {
					limited++
				} else if status != http.StatusSeeOther {
					t.Errorf("asking: %d", status)
				}
			}
			if limited != 2 {
				t.Errorf("%d of 4 were limited; the left-most address is the client's own choice", limited)
			}
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := 1
			if name == "strict" {
				want = 0
			}
			if n := strings.Count(string(text), "trusted_proxies_strict"); n < want || n > want*2 || (want == 0 && n > 0) {
				t.Errorf("the lines to paste were told %d times:\n%s", n, text)
			}
		})
	}
}

// TestCFG2_Metrics finds the contract's names in Caddy's registry, and counts that go on over a reload.
func TestCFG2_Metrics(t *testing.T) {
	s := setup{global: "sign_up open", sites: "$ADDR {\n handle /metrics {\n metrics\n }\n handle {\n email_link\n reverse_proxy $BACKEND\n }\n}\n"}
	w := start(t, s)
	c := w.client()
	w.signUp(c, "ada@example.com")
	if status, _ := c.get("/x"); status != http.StatusOK {
		t.Fatal(status)
	}
	minted := regexp.MustCompile(`(?m)^caddy_email_link_assertions_minted_total (\d+)$`)
	_, text := c.get("/metrics")
	before := minted.FindString(text)
	w.load(s)
	_, text = c.get("/metrics")
	if after := minted.FindString(text); after == "" || after != before {
		t.Errorf("assertions over a reload: %q, then %q", before, after)
	}
	for _, name := range []string{
		`mails_total{outcome="sent",purpose="activation"}`, "mail_queue_length 0", "mail_oldest_seconds 0", `flows_total{outcome="ok",purpose="activation",step="request"}`,
		"sessions 1", "store_commit_seconds_count",
	} {
		if !strings.Contains(text, "\ncaddy_email_link_"+name) {
			t.Errorf("%s is missing", name)
		}
	}
	if strings.Contains(text, "example.com") {
		t.Error("LOG-1: an address in the metrics")
	}
}
