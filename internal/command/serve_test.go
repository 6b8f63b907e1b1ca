package command

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

// TestServe_APortAloneIsThisMachines: reverse_proxy would take 3000 for a host.
func TestServe_APortAloneIsThisMachines(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"3000": "localhost:3000", "localhost:3000": "localhost:3000", ":3000": ":3000", "http://app:3000": "http://app:3000",
	} {
		text, err := serveInput{to: to}.caddyfile()
		if err != nil || !strings.Contains(text, "\treverse_proxy "+want+"\n") {
			t.Errorf("--to %s: %v\n%s", to, err, text)
		}
	}
	for _, to := range []string{
		"70000", "0", "3000/", "::1", "localhost", "localhost:0", "localhost:99999", "localhost:http", "user:pw@localhost:3000",
		"http://localhost:3000/path", "http://localhost:3000?x", "localhost:3000 other:1", "{env.X}",
	} {
		if text, err := (serveInput{to: to}).caddyfile(); err == nil || !strings.Contains(err.Error(), "such as --to localhost:3000") {
			t.Errorf("--to %s: %v\n%s", to, err, text)
		}
	}
	for to, want := range map[string]string{
		":3000": ":3000", "[::1]:3000": "[::1]:3000", "http://localhost:3000/": "http://localhost:3000", "https://app.internal": "https://app.internal",
		"unix//run/app.sock": "unix//run/app.sock",
	} {
		if text, err := (serveInput{to: to}).caddyfile(); err != nil || !strings.Contains(text, "\treverse_proxy "+want+"\n") {
			t.Errorf("--to %s: %v\n%s", to, err, text)
		}
	}
}

// TestFLOW6_ServeAdmitsWhoWasSaid: a trial is on this machine alone and open, everything else is closed unless that was said.
func TestFLOW6_ServeAdmitsWhoWasSaid(t *testing.T) {
	t.Parallel()
	public := serveInput{to: "localhost:3000", from: "app.example.com", mailFrom: "no-reply@example.com", smtp: "mail.example.com:587"}
	open := public
	open.signUp = "open"
	for name, c := range map[string]struct {
		in     serveInput
		signUp string
		bind   bool
	}{
		"a trial":                {serveInput{to: "localhost:3000"}, "open", true},
		"a trial, another port":  {serveInput{to: "localhost:3000", from: "http://localhost:9080"}, "open", true},
		"a trial, closed":        {serveInput{to: "localhost:3000", signUp: "closed"}, "closed", true},
		"a site":                 {public, "closed", false},
		"a site, open":           {open, "open", false},
		"plain http with a mail": {serveInput{to: "localhost:3000", from: "http://localhost:9080", mailFrom: "a@example.com", smtp: "localhost:25"}, "closed", false},
	} {
		text, err := c.in.caddyfile()
		if err != nil || !strings.Contains(text, "\t\tsign_up "+c.signUp+"\n") || strings.Contains(text, "\tbind 127.0.0.1\n") != c.bind {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// TestCFG1_AFlagOfServeIsOneWord: no value writes further options into the Caddyfile that is served.
func TestCFG1_AFlagOfServeIsOneWord(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"a b", "a\n\t\tsign_up open", `a" {`, "a{$HOME}", "a # b", "a`b", `a\b`, "a\tb", ""} {
		plain := serveInput{to: "localhost:3000", contact: "CONTACT"}
		text, err := plain.caddyfile()
		if err != nil {
			t.Fatal(err)
		}
		plain.contact = value
		got, err := plain.caddyfile()
		if err != nil {
			t.Fatal(err)
		}
		if value == "" {
			if strings.Contains(got, "contact") {
				t.Errorf("no value is written as %s", got)
			}
			continue
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
		if want := strings.Replace(text, "CONTACT", quoted, 1); got != want {
			t.Errorf("%q is written as %s", value, got)
		}
	}
}

// TestServe_NeedsThePasswordItUses: an empty one would be found out by the first mail.
func TestServe_NeedsThePasswordItUses(t *testing.T) {
	t.Setenv("SMTP_PASSWORD", "")
	in := serveInput{to: "localhost:3000", from: "app.example.com", mailFrom: "a@example.com", smtp: "mail.example.com:587", smtpUser: "mailer", admin: "off"}
	if err := in.run(t.Context(), "{", io.Discard); err == nil || !strings.Contains(err.Error(), "SMTP_PASSWORD is empty") {
		t.Error(err)
	}
	in.smtpUser = ""
	if err := in.run(t.Context(), "{", io.Discard); err == nil || strings.Contains(err.Error(), "SMTP_PASSWORD") { // "{" is not a Caddyfile
		t.Error(err)
	}
}

// TestServe_ItsHintsNameTheAdminAddress: as printed, the commands have to reach the Caddy that serves.
func TestServe_ItsHintsNameTheAdminAddress(t *testing.T) {
	t.Parallel()
	for _, trial := range []bool{true, false} {
		for admin, want := range map[string]string{"": "", "localhost:12019": " --address localhost:12019"} {
			for line := range strings.Lines(serveInput{admin: admin}.notice("https://app.example.com", trial, "")) {
				command := strings.Contains(line, "caddy email-link ")
				if command && (!strings.HasSuffix(line, want+"\n") || strings.Contains(line, "--address") != (want != "")) {
					t.Errorf("--admin %q: %q", admin, line)
				}
			}
		}
	}
}

// TestServe_ATakenAdminAddressIsRefused listens as another Caddy would.
func TestServe_ATakenAdminAddressIsRefused(t *testing.T) {
	t.Parallel()
	port, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	in := serveInput{admin: "localhost:" + port}
	if err := in.checkAdmin(t.Context()); err != nil {
		t.Errorf("a free port: %v", err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := in.checkAdmin(t.Context()); err == nil || !strings.Contains(err.Error(), "localhost:"+port+" is taken") ||
		!strings.Contains(err.Error(), "--admin localhost:") {
		t.Errorf("a taken port: %v", err)
	}
	for _, other := range []string{"off", "unix//run/caddy.sock", "192.0.2.1:" + port} {
		if err := (serveInput{admin: other}).checkAdmin(t.Context()); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// TestServe_TheMailsTakeNoPortOfTheApp: the app may be started after the gate.
func TestServe_TheMailsTakeNoPortOfTheApp(t *testing.T) {
	t.Parallel()
	text, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	gate, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	app := strconv.Itoa(gate + 1)
	for _, to := range []string{app, "localhost:" + app, "http://localhost:" + app} {
		address, err := (serveInput{to: to}).serveMails(t.Context(), "http://localhost:"+text)
		if err != nil || strings.HasSuffix(address, ":"+app) {
			t.Errorf("--to %s: the mails are at %q, %v", to, address, err)
		}
	}
	if address, err := (serveInput{admin: "localhost:" + app}).serveMails(t.Context(), "http://localhost:"+text); err != nil || strings.HasSuffix(address, ":"+app) {
		t.Errorf("--admin localhost:%s: the mails are at %q, %v", app, address, err)
	}
	if address, err := (serveInput{smtp: "mail.example.com:587"}).serveMails(t.Context(), "http://localhost:"+text); err != nil || address != "" {
		t.Errorf("with a mail server: %q, %v", address, err)
	}
}

func TestServe_SaysWhereTheMailsAre(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"Mails     http://localhost:8081\n":                    serveInput{}.notice(trialOrigin, true, "http://localhost:8081"),
		"Mails     files in ./mails":                           serveInput{}.notice(trialOrigin, true, ""),
		"mails leave through mail.example.com:587\n":           serveInput{smtp: "mail.example.com:587"}.notice(trialOrigin, true, ""),
		"Open      http://localhost:8080/email-link/sign-up\n": serveInput{}.notice(trialOrigin, true, "http://localhost:8081"),
		"Open      https://app.example.com\n":                  serveInput{smtp: "mail.example.com:587"}.notice("https://app.example.com", false, ""),
		"Account   caddy email-link accounts add you@example":  serveInput{smtp: "mail.example.com:587"}.notice("https://app.example.com", false, ""),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
