package doctor

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func origin(text string) Origin {
	_, rest, _ := strings.Cut(text, "://")
	host, _, _ := strings.Cut(rest, ":")
	o := Origin{Text: text, Host: host}
	if rest, ok := strings.CutPrefix(host, "*"); ok {
		o.Wildcard, o.Host = true, rest
	}
	return o
}

func site(hosts string, origins ...string) Site {
	s := Site{Hosts: strings.Fields(hosts)}
	for _, text := range origins {
		s.Origins = append(s.Origins, origin(text))
	}
	return s
}

func TestCheap(t *testing.T) {
	t.Parallel()
	open := site("app.example.com", "https://app.example.com")
	open.OpenToAll = true
	portal := open
	portal.Portal = true
	closed := site("admin.example.com", "https://admin.example.com")
	closed.OpenedByPath = "app.example.com"
	inner := site("other.example.com", "https://app.example.com")
	inner.Nested = true
	asked, askedByAll := site("app.example.com"), site("app.example.com")
	asked.VerifyFrom = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/64")}
	askedByAll.VerifyFrom = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("::/0")}
	good := site("app.example.com", "https://app.example.com")
	for _, one := range []struct {
		name      string
		facts     Facts
		check     string
		want      Result
		text, fix string
	}{
		{"good", Facts{Sites: []Site{good, inner}}, "base_url", OK, "", ""},
		{
			"open elsewhere",
			Facts{Sites: []Site{closed}},
			"sign_up", Warn,
			"anyone who signs up at app.example.com can reach admin.example.com", "require email",
		},
		{
			"headers of clients",
			Facts{Sites: []Site{{Hosts: []string{"app.example.com"}, ClientHeaders: []string{"X-Access-Token", "X-Hasura-*"}}}},
			"client_headers", Warn,
			"clients of app.example.com may send X-Access-Token, X-Hasura-* to the app", "",
		},
		{
			"a public suffix",
			Facts{Sites: []Site{{Hosts: []string{"app.example.com"}, OpenSuffixes: []string{"*.css"}}}},
			"public", Warn,
			"public *.css of app.example.com opens every path with that ending, such as /admin/x.css", "public /assets/*",
		},
		{
			"a route past the gate",
			Facts{Routes: []Finding{{Check: "routes", Result: Warn, Text: "Caddyfile:4: email_link: a route", Fix: "write email_link before it"}}},
			"routes", Warn,
			"Caddyfile:4: email_link: a route", "before it",
		},
		{"another port", Facts{Sites: []Site{{Origins: []Origin{{Text: "http://localhost:18199", Host: "localhost"}}, Listens: []Listener{{"http", "18190"}}}}}, "addresses", Fail, "base_url says http://localhost:18199, but its site listens with http on port 18190", "right behind another proxy"},
		{"another scheme", Facts{Sites: []Site{{Hosts: []string{"app.example.com"}, Origins: []Origin{{Text: "https://app.example.com", Host: "app.example.com"}}, Listens: []Listener{{"http", "80"}}}}}, "addresses", Fail, "http on port 80", "otherwise write"},
		{"no site", Facts{}, "base_url", Warn, "nothing is protected", "write email_link into a site"},
		{"site without base_url", Facts{Sites: []Site{site("app.example.com www.example.com", "https://app.example.com")}}, "base_url", Fail, "the site www.example.com has no base_url", "write base_url https://www.example.com"},
		{"base_url without site", Facts{Sites: []Site{site("app.example.com", "https://app.example.com", "https://old.example.com")}}, "base_url", Fail, "serves https://old.example.com", "remove it from base_url"},
		{"any host", Facts{Sites: []Site{site("", "https://app.example.com")}}, "base_url", OK, "", ""},
		{"star covers", Facts{Sites: []Site{site("a.example.com", "https://*.example.com")}}, "base_url", OK, "", ""},
		{"star covers one label", Facts{Sites: []Site{site("a.b.example.com", "https://*.example.com")}}, "base_url", Fail, "a.b.example.com", ""},
		{"site with a star", Facts{Sites: []Site{site("*.example.com", "https://app.example.com")}}, "base_url", OK, "", ""},
		{"placeholder", Facts{Sites: []Site{site("{env.HOST}", "https://app.example.com")}}, "base_url", OK, "", ""},
		{"open", Facts{Sites: []Site{open}}, "sign_up", Warn, "anyone with a mailbox can reach app.example.com", "require email *@example.com"},
		{"asked", Facts{Sites: []Site{asked}}, "verify", OK, "only the listed", ""},
		{"asked by all", Facts{Sites: []Site{askedByAll}}, "verify", Warn, "::/0' answers anyone", "only the addresses"},
		{"closed", Facts{Sites: []Site{good}}, "sign_up", OK, "", ""},
		{"a portal before closed sites", Facts{Sites: []Site{portal, good}}, "sign_up", OK, "", ""},
		{"no proxies", Facts{Servers: []Server{{}}}, "trusted_proxies", OK, "no proxy is trusted", ""},
		{"proxies", Facts{Servers: []Server{{TrustsProxies: true, Strict: true}}}, "trusted_proxies", OK, "the last one", ""},
		{"credulous", Facts{Servers: []Server{{TrustsProxies: true}}}, "trusted_proxies", Warn, "believes addresses that clients invent", "trusted_proxies_strict"},
		{"two ports", Facts{Sites: []Site{site("a.example.com", "https://a.example.com", "https://a.example.com:8443")}}, "cookies", Warn, "differ only by port", "its own host name"},
		{"two sites, two ports", Facts{Sites: []Site{site("a.example.com", "https://a.example.com"), site("a.example.com", "https://a.example.com:8443")}}, "cookies", Warn, "differ only by port", ""},
		{"one origin twice", Facts{Sites: []Site{good, good}}, "cookies", OK, "__Host-", ""},
		{"http and https of one host", Facts{Sites: []Site{site("localhost", "https://localhost", "http://localhost:8080")}}, "cookies", OK, "plain http", ""},
		{"plain secret", Facts{Secrets: []string{"{env.X}", "0123456789"}}, "secret", Warn, "value 2 of 'secret'", "{env.EMAIL_LINK_SECRET}"},
		{"secret", Facts{Secrets: []string{"{env.X}"}}, "secret", OK, "", ""},
		{"mail folder", Facts{MailFolder: filepath.Join(t.TempDir(), "two", "levels")}, "mailer", Warn, "mails become files", "mailer smtp"},
		{"no account", Facts{NoAccount: true}, "accounts", Warn, "no account yet", "caddy email-link accounts add you@example.com --role admin"},
		{"no account, sign-up open", Facts{NoAccount: true, Sites: []Site{{OpenToAll: true}}}, "accounts", Warn, "no account yet", "--role admin, or sign up"},
	} {
		got := find(Offline(one.facts), one.check)
		if got.Result != one.want || !strings.Contains(got.Text, one.text) || !strings.Contains(got.Fix, one.fix) {
			t.Errorf("%s: %+v", one.name, got)
		}
	}
}

// TestStart_ATrialIsNotWarnedOfWhatItMeans: mails as files and an open sign-up, at an address of this machine alone. Anything else is said.
func TestStart_ATrialIsNotWarnedOfWhatItMeans(t *testing.T) {
	t.Parallel()
	local, public := Origin{Text: "http://localhost:8080", Host: "localhost"}, Origin{Text: "https://app.example.com", Host: "app.example.com"}
	folder, missing := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(missing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		facts Facts
		want  string
	}{
		"a trial":                  {Facts{MailFolder: folder, NoAccount: true, Sites: []Site{{Origins: []Origin{local}, OpenToAll: true}}}, ""},
		"closed":                   {Facts{MailFolder: folder, NoAccount: true, Sites: []Site{{Origins: []Origin{local}}}}, "accounts"},
		"mails leave":              {Facts{NoAccount: true, Sites: []Site{{Origins: []Origin{local}, OpenToAll: true}}}, "sign_up accounts"},
		"a public address":         {Facts{MailFolder: folder, NoAccount: true, Sites: []Site{{Origins: []Origin{public}, OpenToAll: true}}}, "sign_up mailer accounts"},
		"a public address as well": {Facts{MailFolder: folder, Sites: []Site{{Origins: []Origin{local, public}, OpenToAll: true}}}, "sign_up mailer"},
		"one of two sites":         {Facts{MailFolder: folder, Sites: []Site{{Origins: []Origin{local}, OpenToAll: true}, {Origins: []Origin{public}}}}, "sign_up mailer"},
		"a folder that is a file":  {Facts{MailFolder: missing, Sites: []Site{{Origins: []Origin{local}, OpenToAll: true}}}, "mailer"},
	} {
		var got []string
		for _, f := range Start(c.facts) {
			if f.Result != Warn && f.Result != Fail {
				t.Errorf("%s: %+v", name, f)
			}
			got = append(got, f.Check)
		}
		if words := strings.Join(got, " "); words != c.want {
			t.Errorf("%s: the start speaks of %q, want %q", name, words, c.want)
		}
	}
}

func TestFileModes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing here")
	}
	for _, one := range []struct {
		name          string
		dir, db, keys os.FileMode
		want          Result
		text, fix     string
	}{
		{"good", 0o700, 0o600, 0o600, OK, "nobody else", ""},
		{"readable directory", 0o755, 0o600, 0o600, OK, "nobody else", ""},
		{"database", 0o700, 0o644, 0o600, Fail, "mode 0644", "chmod 600 "},
		{"key", 0o700, 0o600, 0o640, Fail, "chmod 600", ""},
		{"directory", 0o770, 0o600, 0o600, Fail, "can replace", ""}, // of the key, which lies there as well
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f := Facts{Database: filepath.Join(dir, "email_link.db"), KeyFile: filepath.Join(dir, "master.key")}
		for path, mode := range map[string]os.FileMode{f.Database: one.db, f.KeyFile: one.keys} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, one.dir); err != nil {
			t.Fatal(err)
		}
		got := find(Offline(f), "file modes")
		if got.Result != one.want || !strings.Contains(got.Text, one.text) || !strings.Contains(got.Fix, one.fix) {
			t.Errorf("%s: %+v", one.name, got)
		}
	}
	missing := Facts{Database: filepath.Join(t.TempDir(), "none.db")}
	if got := find(Offline(missing), "file modes"); got.Result != OK {
		t.Errorf("a database that is not made yet: %+v", got)
	}
}

// TestFailed_IsAFailureAlone, whatever else was found and whether or not there is something to do about it.
func TestFailed_IsAFailureAlone(t *testing.T) {
	t.Parallel()
	rest := []Finding{{Result: OK}, {Result: Warn, Fix: "write it"}, {Result: Skip}}
	if Failed(nil) || Failed(rest) {
		t.Error("a warning is a failure")
	}
	for _, f := range []Finding{{Result: Fail}, {Result: Fail, Fix: "write it"}} {
		if !Failed(append(rest[:3:3], f)) || !Failed([]Finding{f, rest[0]}) {
			t.Errorf("%+v is no failure", f)
		}
	}
}

func TestLineHasTheFix(t *testing.T) {
	t.Parallel()
	if got := (Finding{Text: "it is so", Fix: "write x"}).Line(); got != "it is so; write x" {
		t.Errorf("got %q", got)
	}
	if got := (Finding{Text: "it is so"}).Line(); got != "it is so" {
		t.Errorf("got %q", got)
	}
}
