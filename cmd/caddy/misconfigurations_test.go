package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// misconfiguration is one that people make, and what the program has to say about it.
type misconfiguration struct {
	name string
	// options are those of the gate, below `mailer none` where they name no mailer; sites is aSite by default. {port} is free.
	options, sites string
	// whole is the whole Caddyfile, in the place of options and sites.
	whole string
	// before prepares the place and returns what else to fill in.
	before func(t *testing.T, p *place) *strings.Replacer
	// args are the command: `validate` by default.
	args []string
	// Each has to be in what is printed: the cause, where it is, and what to write. An empty one is Caddy's own to say, and is not said; what
	// is wrong outside of the configuration has the server or the file for its place.
	cause, place, remedy string
	// never must not be printed.
	never string
}

const aSite = "http://localhost:{port} {\n\temail_link\n\treverse_proxy localhost:1\n}\n"

const aBaseURL = "base_url http://localhost:{port}\n"

// misconfigurations are the twelve kinds of a first-time user's review, in 23 cases, each in a configuration that is right but for it.
var misconfigurations = []misconfiguration{
	{name: "1 a mistyped option", options: aBaseURL + "sigup open", cause: `option "sigup"`, place: "Caddyfile:6", remedy: "did you mean sign_up?"},
	{name: "1b a mistyped value", options: aBaseURL + "sign_up opne", cause: `sign_up value "opne"`, place: "Caddyfile:6", remedy: "did you mean open?"},
	{name: "1c a mistyped directive", options: aBaseURL, sites: "http://localhost:{port} {\n\temaillink\n}\n", cause: "unrecognized directive: emaillink", place: "Caddyfile:10"},
	{
		name: "2 another port in base_url", options: "base_url http://localhost:18199", args: []string{"email-link", "doctor"},
		cause: "base_url says http://localhost:18199", place: "listens with http on port {port}", remedy: "write the scheme and port of the site in base_url",
	},
	{name: "3 no base_url", options: "from no-reply@example.com", cause: "base_url is missing", place: "Caddyfile:10: email_link", remedy: "base_url https://app.example.com"},
	{
		name: "4 https in base_url, http in the site", options: "base_url https://app.example.com", sites: "http://app.example.com:{port} {\n\temail_link\n}\n", args: []string{"email-link", "doctor"},
		cause: "base_url says https://app.example.com", place: "listens with http on port {port}", remedy: "write the scheme and port of the site in base_url",
	},
	{name: "4b plain http", options: "base_url http://app.example.com", cause: "plain http is for localhost", place: "Caddyfile:5", remedy: "write https://app.example.com"},
	{
		name: "5 implicit TLS at a STARTTLS port", options: aBaseURL + "from no-reply@example.com\nmailer smtp {smtp} {\n\ttls implicit\n}", args: []string{"email-link", "doctor"},
		before: withSMTP, cause: "does not speak implicit TLS", place: "smtp", remedy: "write `tls starttls`",
	},
	{name: "5b no port", options: aBaseURL + "from no-reply@example.com\nmailer smtp mail.example.com", cause: `"mail.example.com" is not host:port`, place: "Caddyfile:7", remedy: "mail.example.com:587"},
	{
		name: "5b an empty password", options: aBaseURL + "from no-reply@example.com\nmailer smtp mail.example.com:587 mailer {env.EMAIL_LINK_TEST_UNSET}",
		cause: "the environment variable EMAIL_LINK_TEST_UNSET is not set where Caddy runs", place: "Caddyfile:7", remedy: "set it in the environment that Caddy is started with",
	},
	{
		name: "6 two global options", whole: "{\n\temail_link {\n\t\tbase_url http://localhost:{port}\n\t\tmailer none\n\t}\n\temail_link {\n\t\tsign_up open\n\t}\n}\n\n" + aSite,
		cause: "configured twice", place: "Caddyfile:6", remedy: "move everything into one block",
	},
	{name: "7 a secret's file that is missing", options: aBaseURL + "secret {file./nowhere/key}", cause: "the file /nowhere/key does not exist", place: "Caddyfile:6", remedy: "openssl rand -base64 32"},
	{
		name: "7 a secret's file that cannot be read", options: aBaseURL + "secret {file.{dir}}", before: withDirectory,
		cause: "{dir} cannot be read", place: "Caddyfile:6", remedy: "name the file that holds the key, and see that this user can read it", never: "openssl",
	},
	{name: "7b a secret that is none", options: aBaseURL + "secret hunter2", cause: "too short", place: "Caddyfile:6", remedy: "openssl rand -base64 32", never: "hunter2"},
	{name: "8 a sender that is none", options: aBaseURL + `from "Example <no-reply>"`, cause: `from: "Example <no-reply>": not a mailbox`, place: "Caddyfile:6", remedy: `"Name <name@example.com>"`},
	{name: "8 no sender", options: aBaseURL + "mailer file ./mails", cause: "the sender of the mails is missing", place: "Caddyfile:3", remedy: "from"},
	{
		name: "9 a second Caddy on the database", options: aBaseURL, before: withStartedCaddy, args: []string{"run", "--config", "Second", "--adapter", "caddyfile"},
		cause: "is in use by process", place: "email_link.db", remedy: "caddy reload",
	},
	{name: "10 a taken port", options: aBaseURL, before: withTakenPort, args: []string{"run"}, cause: "address already in use"},
	{
		name: "10 a taken port, serve", options: aBaseURL, before: withTakenPort, args: []string{"email-link", "serve", "--to", "localhost:1", "--from", "http://localhost:{port}", "--admin", "off"},
		cause: "is taken", place: "port {port}", remedy: "--from http://localhost:9080",
	},
	{
		name: "10 a taken admin port, serve", options: aBaseURL, before: withTakenPort, args: []string{"email-link", "serve", "--to", "localhost:1", "--from", "http://localhost:{free}", "--admin", "localhost:{port}"},
		cause: "is taken", place: "the admin address localhost:{port}", remedy: "--admin localhost:12019",
	},
	{name: "11 an unknown option of a command", options: aBaseURL, args: []string{"email-link", "accounts", "list", "--state"}, cause: "unknown flag: --state", place: "accounts list", remedy: "--help' lists"},
	{name: "12 an option in the wrong block", options: aBaseURL + "require role admin", cause: "require belongs", place: "Caddyfile:6", remedy: "in a site's email_link"},
	{name: "12b no global option", whole: aSite, cause: "the global option email_link is missing", place: "Caddyfile:2", remedy: "mailer smtp <your provider's host>:587"},
}

func withSMTP(t *testing.T, _ *place) *strings.Replacer {
	t.Helper()
	return strings.NewReplacer("{smtp}", mailertest.NewServer(t, mailertest.Options{}).Addr)
}

func withDirectory(_ *testing.T, p *place) *strings.Replacer {
	return strings.NewReplacer("{dir}", p.dir)
}

// withStartedCaddy runs one, and writes the configuration of another beside it.
func withStartedCaddy(t *testing.T, p *place) *strings.Replacer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	_, port, _ := net.SplitHostPort(p.site)
	p.write("Second", strings.NewReplacer(p.admin, gatetest.Address(t), port, gatetest.Port(t)).Replace(string(text)))
	return strings.NewReplacer()
}

// withTakenPort listens on {port}.
func withTakenPort(t *testing.T, p *place) *strings.Replacer {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", p.site)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return strings.NewReplacer("{free}", gatetest.Port(t))
}

// TestCFG1_MisconfigurationsSayWhereAndWhatToWrite makes each of them with the real program, and counts what it says of cause, place and
// remedy: at least 2.8 of 3 on average.
func TestCFG1_MisconfigurationsSayWhereAndWhatToWrite(t *testing.T) {
	t.Parallel()
	if len(misconfigurations) != 23 {
		t.Errorf("there are %d", len(misconfigurations))
	}
	sum := 0
	for _, m := range misconfigurations {
		score := m.score(t)
		t.Logf("%d of 3: %s", score, m.name)
		sum += score
	}
	average := float64(sum) / float64(len(misconfigurations))
	if t.Logf("%.2f on average", average); average < 2.8 {
		t.Errorf("%.2f of 3 on average", average)
	}
}

// score makes the misconfiguration and returns how many of the three are said. One that is expected and not said is an error.
func (m misconfiguration) score(t *testing.T) (score int) {
	t.Helper()
	p := newPlace(t)
	_, port, _ := net.SplitHostPort(p.site)
	ports := strings.NewReplacer("{port}", port)
	p.write("Caddyfile", ports.Replace(m.caddyfile(p.admin)))
	fill := ports.Replace
	if m.before != nil {
		more := m.before(t, p)
		fill = func(s string) string { return more.Replace(ports.Replace(s)) }
		p.write("Caddyfile", fill(m.caddyfile(p.admin)))
	}
	args := []string{"validate"}
	if m.args != nil {
		args = nil
		for _, arg := range m.args {
			args = append(args, fill(arg))
		}
	}
	cmd := p.command(args...)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Run(); err == nil {
		t.Errorf("%s: it is taken", m.name)
	}
	text := strings.NewReplacer(`\"`, `"`, `\n`, "\n", `\t`, "\t").Replace(printed.String())
	for what, want := range map[string]string{"the cause": m.cause, "the place": m.place, "the remedy": m.remedy} {
		switch {
		case want == "": // Caddy's own message
		case strings.Contains(text, fill(want)):
			score++
		default:
			t.Errorf("%s: %s is not said: %q in\n%s", m.name, what, fill(want), text)
		}
	}
	if m.never != "" && strings.Contains(text, m.never) {
		t.Errorf("%s: it says %q:\n%s", m.name, m.never, text)
	}
	return score
}

// caddyfile returns the configuration, with its admin address in the first lines.
func (m misconfiguration) caddyfile(admin string) string {
	if m.whole != "" {
		return m.whole
	}
	options := m.options
	if !strings.Contains(options, "mailer") {
		options = "mailer none\n" + options
	} else {
		options = "site_name Example\n" + options
	}
	text := "{\n\tadmin " + admin + "\n\temail_link {\n"
	for line := range strings.Lines(strings.TrimSuffix(options, "\n") + "\n") {
		text += "\t\t" + line
	}
	sites := aSite
	if m.sites != "" {
		sites = m.sites
	}
	return text + "\t}\n}\n\n" + sites
}
