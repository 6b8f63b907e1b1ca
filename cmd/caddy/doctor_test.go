package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type finding struct{ Check, Result, Text, Fix string }

// doctor runs the doctor and returns what it found.
func (p *place) doctor(args ...string) (list []finding, code int) {
	p.t.Helper()
	out, errs, code := p.run(append([]string{"doctor", "--json"}, args...)...)
	dec := json.NewDecoder(strings.NewReader(out))
	for dec.More() {
		var f finding
		if err := dec.Decode(&f); err != nil {
			p.t.Fatalf("%v\n%s%s", err, out, errs)
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		p.t.Fatalf("the doctor found nothing: exit %d, %q", code, errs)
	}
	return list, code
}

func (p *place) wants(list []finding, check, result, text, fix string) {
	p.t.Helper()
	if !slices.ContainsFunc(list, func(f finding) bool {
		return f.Check == check && f.Result == result && strings.Contains(f.Text, text) && strings.Contains(f.Fix, fix)
	}) {
		p.t.Errorf("no %s %s %q %q among\n%+v", result, check, text, fix, list)
	}
}

func TestDoctorOfARunningCaddy(t *testing.T) {
	t.Parallel()
	p, server := newMailPlace(t)
	stop := p.start()
	list, code := p.doctor("--to", "you@example.org")
	if code != 0 {
		t.Errorf("exit %d, %+v", code, list)
	}
	p.wants(list, "caddy", "ok", "runs", "")
	p.wants(list, "base_url", "ok", "", "")
	p.wants(list, "sign_up", "warn", "anyone with a mailbox can reach localhost", "sign_up open example.com")
	p.wants(list, "smtp", "ok", server.Addr+" would accept a mail", "")
	p.wants(list, "reachable", "ok", p.origin()+" answers", "")
	p.wants(list, "file modes", "ok", "", "")
	p.wants(list, "accounts", "warn", "no account", "accounts add")
	p.wants(list, "clock", "skip", "", "")
	if len(server.Mails()) > 0 {
		t.Error("the doctor has sent a mail")
	}

	server.Close()
	list, code = p.doctor()
	if code != 1 {
		t.Errorf("without a mail server: exit %d", code)
	}
	p.wants(list, "smtp", "fail", "refused", "firewall")
	if out, errs, code := p.run("doctor"); code != 1 || !strings.Contains(out, "fail  smtp ") || !strings.Contains(errs, "a check failed") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}

	// The start says the same as the doctor, without asking anybody.
	stop()
	for _, line := range []string{"anyone with a mailbox can reach localhost", "no account yet"} {
		if !strings.Contains(p.log.String(), line) {
			t.Errorf("the start does not say %q:\n%s", line, p.log)
		}
	}
}

func TestDoctorOfAFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	data := filepath.Join(p.dir, "data", "caddy", "email_link")
	list, code := p.doctor()
	if code != 0 {
		t.Errorf("exit %d, %+v", code, list)
	}
	p.wants(list, "caddy", "skip", "no Caddy", "")
	p.wants(list, "mailer", "warn", "mails become files", "mailer smtp")
	if _, err := os.Stat(data); err == nil {
		t.Error("the doctor has made something")
	}

	p.must("accounts", "add", "anna@example.com", "--create")
	if err := os.Chmod(filepath.Join(data, "email_link.db"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.edit("\n\tbind", "\n\t# another host than base_url\n\tbind")
	p.edit(p.origin()+" {", p.origin()+", http://other.localhost {")
	list, code = p.doctor()
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	p.wants(list, "file modes", "fail", "mode 0644", "chmod 600")
	p.wants(list, "base_url", "fail", "the site other.localhost has no base_url", "write base_url")

	p.edit("from \"Example", "form \"Example")
	list, code = p.doctor()
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	p.wants(list, "configuration", "fail", "form", "")
}

// TestDoctorMissesNoAccountOfOptionalSites leaves an app with users of its own alone: nobody signs in at its gate.
func TestDoctorMissesNoAccountOfOptionalSites(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.edit("\temail_link\n\trespond", "\temail_link {\n\t\toptional\n\t}\n\trespond")
	stop := p.start()
	list, _ := p.doctor()
	stop()
	if slices.ContainsFunc(list, func(f finding) bool { return f.Check == "accounts" }) || strings.Contains(p.log.String(), "no account yet") {
		t.Errorf("%+v\n%s", list, p.log)
	}
}

func TestDoctorTrustedProxies(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.edit("\temail_link {", "\tservers {\n\t\ttrusted_proxies static private_ranges\n\t}\n\temail_link {")
	list, _ := p.doctor()
	p.wants(list, "trusted_proxies", "warn", "without trusted_proxies_strict", "trusted_proxies_strict")
	p.edit("private_ranges\n", "private_ranges\n\t\ttrusted_proxies_strict\n")
	list, _ = p.doctor()
	p.wants(list, "trusted_proxies", "ok", "trusted proxy", "")
}

func TestDoctorBadUse(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, one := range []struct {
		args []string
		want string
	}{
		{[]string{"doctor", "--to", "nobody"}, "the address cannot be used"},
		{[]string{"doctor", "now"}, "unexpected argument"},
		{[]string{"doctor", "--address", "127.0.0.1:1"}, "no Caddy answers"},
		{[]string{"mail", "test"}, "missing argument"},
		{[]string{"mail", "retry"}, "--all"},
		{[]string{"mail", "retry", "x", "--all"}, "--all"},
		{[]string{"mail", "lst"}, "lst"},
		{[]string{"limits", "show"}, "missing argument"},
		{[]string{"keys", "show", "x"}, "unexpected argument"},
		{[]string{"mail", "test", "a@example.com", "--config", "missing"}, "missing"},
		{[]string{"mail", "test", "a@example.com", "--adapter", "nothing"}, "nothing"},
	} {
		out, errs, code := p.run(one.args...)
		if code != 1 || !strings.Contains(errs, one.want) {
			t.Errorf("%v: exit %d\n%s%s", one.args, code, out, errs)
		}
	}
}

// TestMACH3_WhatTheDoctorSaysOfTokens: those that end or open nothing, and a place that they get into without a word about it, which the
// start says as well.
func TestMACH3_WhatTheDoctorSaysOfTokens(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "scopes calendar contacts")
	p.edit("\temail_link\n\trespond", `	email_link {
		require scope calendar session
	}
	handle /admin/* {
		email_link {
			require role admin
		}
		respond "admin"
	}
	handle /dav/* {
		email_link {
			require scope calendar session
		}
		respond "dav"
	}
	respond`)
	made := func(email string, args ...string) string {
		p.must("accounts", "add", email, "--role", "admin", "--create")
		var m struct{ ID, Token string }
		if err := json.Unmarshal([]byte(p.must(append([]string{"tokens", "create", email, "--json"}, args...)...)), &m); err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	soon, dead := made("ada@example.com", "--scope", "calendar", "--ttl", "13d"), made("bob@example.com", "--scope", "calendar")
	lost, gone := made("cyd@example.com", "--scope", "contacts"), made("dan@example.com", "--scope", "calendar")
	p.must("tokens", "revoke", gone)
	p.must("accounts", "disable", "bob@example.com")
	p.edit("scopes calendar contacts", "scopes calendar")
	stop := p.start()
	list, code := p.doctor()
	if code != 0 {
		t.Errorf("exit %d, %+v", code, list)
	}
	const inside = "the email_link inside 'handle /admin/*' of localhost names no scope"
	p.wants(list, "scopes", "warn", inside, "require scope session")
	p.wants(list, "tokens", "warn", soon, "tokens create")
	p.wants(list, "tokens", "warn", dead+" no longer opens anything", "")
	p.wants(list, "tokens", "warn", lost+" has the scope contacts", "")
	for _, f := range list {
		if strings.Contains(f.Text, gone) || strings.Contains(f.Text, "@") || strings.Contains(f.Text, "/dav") {
			t.Errorf("%+v", f)
		}
	}
	stop()
	if n := strings.Count(p.log.String(), inside); n != 1 {
		t.Errorf("the start says it %d times:\n%s", n, p.log)
	}
}
