package postgres

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/module"
)

var (
	_ module.SharedStorage  = (*Storage)(nil)
	_ module.BesideStorage  = (*Storage)(nil)
	_ module.SchemaGuest    = (*Storage)(nil)
	_ module.MovableStorage = (*Storage)(nil)
)

func TestCFG1_TheBlockAndTheLineAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"postgres host=/run/postgresql": `{"dsn":"host=/run/postgresql"}`,
		"postgres {\n dsn postgres://gate@localhost/gate\n schema sign_in\n connections 4\n migrations manual\n failover keep\n serve_cached 0\n}": `{"dsn":"postgres://gate@localhost/gate",` +
			`"schema":"sign_in","connections":4,"migrations":"manual","failover":"keep","serve_cached":0}`,
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
		"postgres host=/run {\n colour red\n}":    "expected one of connections, dsn, failover, migrations, schema, serve_cached",
		"postgres host=/run {\n dsn host=/x\n}":   "dsn stands twice",
		"postgres host=/run {\n schema\n}":        "takes one value",
		"postgres host=/run {\n connections x\n}": "from 2 to 200",

		"postgres host=/run {\n serve_cached 11m\n}":  "from 0 to 10m",
		"postgres host=/run {\n serve_cached soon\n}": "from 0 to 10m",
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
		{Storage{DSN: "host=/run", ServeCached: new(caddy.Duration(time.Hour))}, "from 0 to 10m"},
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
		"host=/run password=" + secret, "password='" + secret + "' host=/run", "host=/run password = " + secret, "host='/run'password=" + secret,
		"postgres://gate:" + secret + "{env.GATE_PASSWORD}@localhost/gate", "postgres://gate@localhost/gate?pass%77ord=" + secret,
		"postgres://ga@te:" + secret + "@localhost/gate", "host=/run sslpassword=" + secret, "postgres://gate@localhost/gate?sslpassword=" + secret,
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

// TestSTO2_APasswordMayHaveAnyCharacter: a value is encoded for its place, and the driver reads it as it was.
func TestSTO2_APasswordMayHaveAnyCharacter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for _, password := range []string{`p@ss:w/rd?#[1]&=%41+ x`, `it's "quoted" \ and {braced}`, "plain", "\u00e4\u00f6 \u4e2d", "\ttab"} {
		t.Setenv("GATE_PASSWORD", password)
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, dsn := range []string{
			"postgres://gate:{env.GATE_PASSWORD}@localhost/gate?sslmode=disable", "postgresql://gate:{file." + file + "}@localhost:5433/gate",
			"postgres://gate@localhost/gate?password={env.GATE_PASSWORD}&sslmode=disable", "host=localhost user=gate dbname=gate password={env.GATE_PASSWORD}",
			"host=localhost password='{file." + file + "}' user=gate dbname=gate",
		} {
			text, err := expandDSN(dsn)
			if err != nil {
				t.Errorf("%s: %v", dsn, err)
				continue
			}
			config, err := pgx.ParseConfig(text)
			if err != nil || config.Password != password || config.User != "gate" || config.Database != "gate" || config.Host != "localhost" {
				t.Errorf("%s with %q became %s, %v", dsn, password, text, err)
			}
		}
	}
	const whole = "host=localhost user=gate dbname=gate"
	t.Setenv("GATE_DSN", whole)
	for _, dsn := range []string{"{env.GATE_DSN}", "{env.GATE_DSN} dbname=gate"} {
		if text, err := expandDSN(dsn); err != nil || !strings.HasPrefix(text, whole) {
			t.Errorf("%s became %q, %v", dsn, text, err)
		}
	}
}
