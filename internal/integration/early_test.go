package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestPATH2_ErrorsBeforeTheGate makes an error before the gate, by a matcher that fails: the gate has not seen the request. A
// backend on error routes is named at each start with the remedy, and the remedy works for errors before and behind the gate,
// for people who are signed in and not.
func TestPATH2_ErrorsBeforeTheGate(t *testing.T) {
	const sites = `
$ADDR {
	@bad expression ` + "`{http.request.uri.query.n} != '' && int({http.request.uri.query.n}) > 1`" + `
	redir @bad /elsewhere
	email_link {
		public /open/*
	}
	reverse_proxy $BACKEND
	error /open/error 503
	handle_errors {
		REMEDY
		reverse_proxy $BACKEND
	}
}
`
	for name, remedy := range map[string]string{
		"without": "", "optional": "email_link {\n optional\n }", "as in the site": "email_link {\n public /open/*\n }",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "caddy.log")
			s := setup{global: "sign_up open", sites: strings.Replace(sites, "REMEDY", remedy, 1), top: "log default {\n output file " + file + "\n}"}
			w := start(t, s)
			c := w.client()
			w.signUp(c, "ada@example.com")
			w.backend.taken()
			if remedy != "" {
				for _, path := range []string{"/open/x?n=abc", "/open/error?n=1", "/x?n=abc", "/open/x?n=1"} {
					for _, cookie := range []string{"", "Cookie: " + c.cookie() + "\n"} {
						_, _ = w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\n" + cookie + "Email-Link-Assertion: forged\nRemote-User: root\nConnection: close, Remote-User\n\n")
						records := w.backend.taken()
						if len(records) != 1 && (name == "optional" || cookie != "" || path != "/x?n=abc") {
							t.Errorf("%s: %d requests arrived", path, len(records))
						}
						for _, r := range records {
							got := r.identities()
							if a := got["Email-Link-Assertion"]; len(got) > 1 || len(a) > 1 || (len(a) == 1) != (cookie != "") || (len(a) == 1 && a[0] == "forged") {
								t.Errorf("%s, signed in %v: the backend got %v", path, cookie != "", got)
							}
							if strings.Contains(r.header.Get("Cookie"), "email_link") {
								t.Errorf("SES-2: %s: a cookie of ours arrived", path)
							}
						}
					}
				}
			}
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if told := strings.Contains(string(text), "handle_errors of "); told != (remedy == "") {
				t.Errorf("told of it: %v", told)
			}
		})
	}
}
