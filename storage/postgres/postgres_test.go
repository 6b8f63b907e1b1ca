package postgres

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/module"
)

var (
	_ module.SharedStorage = (*Storage)(nil)
	_ module.SchemaGuest   = (*Storage)(nil)
)

func TestCFG1_TheBlockAndTheLineAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"postgres host=/run/postgresql": `{"dsn":"host=/run/postgresql"}`,
		"postgres {\n dsn postgres://gate@localhost/gate\n schema sign_in\n connections 4\n migrations manual\n failover keep\n}": `{"dsn":"postgres://gate@localhost/gate",` +
			`"schema":"sign_in","connections":4,"migrations":"manual","failover":"keep"}`,
	} {
		var s Storage
		if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		got, err := json.Marshal(s)
		if err != nil || string(got) != want {
			t.Errorf("%s became %s, %v", text, got, err)
		}
		if err := s.Provision(caddy.Context{}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestCFG1_BadOptionsNameTheRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"postgres":                                "connection string is missing",
		"postgres host=/run dbname=gate":          "quote it where it has spaces",
		"postgres host=/run {\n colour red\n}":    "expected one of connections, dsn, failover, migrations, schema",
		"postgres host=/run {\n dsn host=/x\n}":   "dsn stands twice",
		"postgres host=/run {\n schema\n}":        "takes one value",
		"postgres host=/run {\n connections x\n}": "from 2 to 200",
	} {
		if err := new(Storage).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, c := range []struct {
		s    Storage
		want string
	}{
		{Storage{DSN: "postgres://gate@db.example.com/gate"}, "sslmode=verify-full"},
		{Storage{DSN: "host=/run", Migrations: "never"}, "write auto or manual"},
		{Storage{DSN: "host=/run", Failover: "perhaps"}, "write end or keep"},
		{Storage{DSN: "host=/run", Schema: "Gate"}, "lower-case"},
		{Storage{DSN: "{env.NOT_SET_ANYWHERE}"}, "env.NOT_SET_ANYWHERE"},
	} {
		if err := c.s.Provision(caddy.Context{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
	}
}

// TestSTO2_NoPasswordInTheConfiguration: Caddy saves its configuration and shows it under /config.
func TestSTO2_NoPasswordInTheConfiguration(t *testing.T) {
	const secret = "s3cret-w0rd"
	t.Setenv("GATE_PASSWORD", secret)
	for _, dsn := range []string{
		"postgres://gate:" + secret + "@localhost/gate", "postgresql://gate:" + secret + "@localhost/gate",
		"postgres://gate@localhost/gate?password=" + secret, "postgres://gate@localhost/gate?sslmode=disable&password=" + secret,
		"host=/run password=" + secret, "password='" + secret + "' host=/run", "host=/run password = " + secret,
		"postgres://gate:" + secret + "{env.GATE_PASSWORD}@localhost/gate",
	} {
		err := (&Storage{DSN: dsn}).Provision(caddy.Context{})
		if err == nil || !strings.Contains(err.Error(), "{env.X}") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	for _, dsn := range []string{
		"postgres://gate:{env.GATE_PASSWORD}@localhost/gate", "host=/run password={env.GATE_PASSWORD}", "host=/run password='{env.GATE_PASSWORD}'",
		"postgres://gate@localhost/gate",
	} {
		s := Storage{DSN: dsn}
		if err := s.Provision(caddy.Context{}); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
		if strings.Contains(s.StorageKey(), secret) || !s.DemandsSecret() {
			t.Errorf("%s: the key is %s", dsn, s.StorageKey())
		}
	}
}
