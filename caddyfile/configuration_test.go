package caddyfile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// global is the global option that the configurations of these tests have.
const global = `{
	email_link {
		base_url https://app.example.com https://*.example.com
		from no-reply@example.com
		mailer none
		scopes files
	}
}

`

// load adapts and validates a Caddyfile, as `caddy validate` does, and returns the error.
func load(t *testing.T, input string) error {
	t.Helper()
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	return loadJSON(t, out)
}

func loadJSON(t *testing.T, config []byte) error {
	t.Helper()
	var cfg *caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		t.Fatalf("reading the adapted JSON: %v", err)
	}
	cfg.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}
	cfg.StorageRaw = ownStorage(t)
	return caddy.Validate(cfg)
}

// ownStorage is a storage for one test. Tests of another package may make the keys of Caddy's own certificate authority right now, and two
// processes that do break each other.
func ownStorage(t *testing.T) json.RawMessage {
	t.Helper()
	return caddyconfig.JSONModuleObject(map[string]string{"root": t.TempDir()}, "module", "file_system", nil)
}

// TestCONF4_AnyOrder validates the same configurations many times: Caddy provisions apps and servers in random order.
func TestCONF4_AnyOrder(t *testing.T) {
	for _, test := range []struct{ name, sites, want string }{
		{"refused in one of four servers", `
:8081 {
	email_link
	reverse_proxy localhost:3001
}

:8082 {
	handle_path /photos/* {
		email_link
		reverse_proxy localhost:3002
	}
}

:8083 {
	email_link
	reverse_proxy localhost:3003
}

app.example.com {
	email_link
	reverse_proxy localhost:3004
}
`, "Caddyfile:18: email_link: it stands behind 'handle_path /photos*'"},
		{"whole", `
app.example.com {
	email_link
	handle /admin/* {
		email_link {
			require role admin
		}
		reverse_proxy localhost:3000
	}
	handle {
		reverse_proxy localhost:3000
	}
}

http://localhost:8080 {
	respond "hello"
}
`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range 100 {
				err := load(t, global+test.sites)
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Fatalf("provision %d: got %v, want %q", i, err, test.want)
				}
			}
		})
	}
}

// TestCONF4_NoGlobalOption validates JSON with a handler and without the app, which no start could ever open.
func TestCONF4_NoGlobalOption(t *testing.T) {
	const config = `{"apps":{"http":{"servers":{"a":{"listen":[":8080"],"routes":[{"handle":[{"handler":"email_link"%s}]}]}}}}}`
	for source, want := range map[string]string{
		``:                               "email_link: the global option email_link is missing; write at the top of the Caddyfile",
		`,"source":{"at":"gate.conf:7"}`: "gate.conf:7: email_link: the global option email_link is missing",
	} {
		if err := loadJSON(t, []byte(strings.Replace(config, "%s", source, 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: got %v, want %q", source, err, want)
		}
	}
}

// TestCONF4_Validate refuses at validation what a start would refuse, with the line that is to change.
func TestCONF4_Validate(t *testing.T) {
	for _, test := range []struct{ name, site, want string }{
		{"handle_path", "app.example.com {\n\thandle_path /photos/* {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}", "Caddyfile:12: email_link: it stands behind 'handle_path"},
		{"strip_prefix before it", "app.example.com {\n\troute {\n\t\turi strip_prefix /photos\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}", "Caddyfile:13: email_link: it stands behind"},
		{"inner base_url", "app.example.com {\n\temail_link\n\thandle /a/* {\n\t\temail_link {\n\t\t\tbase_url https://other.example.com\n\t\t}\n\t}\n}", "Caddyfile:14: email_link: base_url, path, sign_up and portal off"},
		{"inner path", "app.example.com {\n\temail_link\n\thandle /a/* {\n\t\temail_link {\n\t\t\trequire role admin\n\t\t\tpath /auth\n\t\t}\n\t}\n}", "Caddyfile:15: email_link: base_url, path, sign_up and portal off"},
		{"inner sign_up", "app.example.com {\n\temail_link\n\thandle /a/* {\n\t\temail_link {\n\t\t\tsign_up open\n\t\t}\n\t}\n}", "Caddyfile:14: email_link: base_url, path, sign_up and portal off"},
		{"inner after route", "app.example.com {\n\troute {\n\t\temail_link\n\t\troute {\n\t\t\temail_link {\n\t\t\t\tpath /auth\n\t\t\t}\n\t\t}\n\t}\n}", "Caddyfile:15: email_link: base_url, path, sign_up and portal off"},
		{"inner scope", "app.example.com {\n\temail_link\n\thandle /a/* {\n\t\temail_link {\n\t\t\trequire scope files\n\t\t}\n\t}\n}", "Caddyfile:14: email_link: no machine token gets to"},
		{"inner verify", "app.example.com {\n\temail_link\n\thandle /a/* {\n\t\temail_link {\n\t\t\tverify from 10.0.0.2\n\t\t}\n\t}\n}", "Caddyfile:14: email_link: verify judges by the first"},
		{"one audience, two backends", "http://localhost:8080 {\n\temail_link {\n\t\tbase_url http://localhost:8080\n\t\taudience app\n\t}\n\treverse_proxy localhost:3000\n}\n\napp:8081 {\n\temail_link {\n\t\tbase_url https://app\n\t}\n\treverse_proxy localhost:3001\n}", "Caddyfile:11: email_link: the sites localhost and app share the audience"},
		{"from a snippet", "(gate) {\n\temail_link {\n\t\tpath /auth\n\t}\n}\n\napp.example.com {\n\temail_link\n\thandle /a/* {\n\t\timport gate\n\t}\n}", "Caddyfile:12 (from Caddyfile:19 (import gate)): email_link: base_url, path, sign_up and portal off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := load(t, global+test.site+"\n"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestCFG1_JSONWithoutLinesNamesTheSite: an error about one of several sites says which.
func TestCFG1_JSONWithoutLinesNamesTheSite(t *testing.T) {
	const site = `{"match":[{"host":[%s]}],"terminal":true,"handle":[{"handler":"subroute","routes":[{"handle":[{"handler":"email_link"%s}]}]}]}`
	route := func(hosts, options string) string { return fmt.Sprintf(site, hosts, options) }
	const config = `{"apps":{"email_link":{"mailer":{"transport":"none"}},"http":{"servers":{"a":{"listen":[":443"],"routes":[%s]}}}}}`
	for name, c := range map[string]struct{ routes, want string }{
		"one of two": {
			route(`"a.example.com"`, `,"base_url":["https://a.example.com"]`) + "," + route(`"b.example.com","c.example.com"`, ""),
			"the site b.example.com, c.example.com: email_link: base_url is missing; write `base_url https://app.example.com`",
		},
		"any host":    {`{"handle":[{"handler":"email_link"}]}`, "the site of any host: email_link: base_url is missing"},
		"with a line": {route(`"b.example.com"`, `,"source":{"at":"gate.conf:7"}`), "gate.conf:7: email_link: base_url is missing"},
	} {
		if err := loadJSON(t, []byte(strings.Replace(config, "%s", c.routes, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestCFG1_AccountsIsGone: configurations of earlier builds are refused in words that can be obeyed, in either form.
func TestCFG1_AccountsIsGone(t *testing.T) {
	const site = "http://localhost:9080 {\n\temail_link\n\treverse_proxy localhost:3000\n}\n"
	const options = "{\n\temail_link {\n\t\tbase_url http://localhost:9080\n\t\tfrom no-reply@example.com\n\t\tmailer none\n%s\t}\n}\n\n"
	without := strings.Replace(options, "%s", "", 1) + site
	const want = "accounts is gone: remove the line; the gate keeps its own accounts, or an app its own by app-started flows"
	if err := load(t, strings.Replace(options, "%s", "\t\taccounts embedded\n", 1)+site); err == nil || !strings.Contains(err.Error(), want+", at Caddyfile:6") {
		t.Errorf("Caddyfile: %v", err)
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(without), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(string(config), `"email_link":{`, `"email_link":{"accounts":{"source":"embedded"},`, 1)
	if err := loadJSON(t, []byte(old)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("JSON: %v", err)
	}
	if err := load(t, without); err != nil {
		t.Errorf("without the line: %v", err)
	}
}
