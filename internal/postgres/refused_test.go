//go:build postgres

package postgres_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// obey runs the statement that an error ends in, as its reader would.
func obey(t *testing.T, s *pgtest.Server, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error to obey")
	}
	m := regexp.MustCompile(`run: ((?:grant|alter role) [^;]*);`).FindStringSubmatch(err.Error())
	if m == nil {
		t.Fatalf("%v\nsays nothing to run", err)
	}
	s.Exec(t, m[1])
}

const password = `p@ss:w/rd?#[1]&=%41'\ +`

// TestSTO2_BadConnectionsOverTheNetwork: each error names the reason and the remedy, never the password, and what it says to do works.
func TestSTO2_BadConnectionsOverTheNetwork(t *testing.T) {
	settings, caFile := pgtest.Network(t, "hostssl all all 127.0.0.1/32 scram-sha-256", "hostssl all all ::1/128 scram-sha-256")
	s := pgtest.StartFor(t, settings...)
	s.Exec(t, "create role app login; alter role app password '"+strings.ReplaceAll(password, "'", "''")+"'")
	s.Exec(t, "create database app")
	s.Exec(t, "revoke connect on database app from public")
	at := func(host, user, password, rest string) postgres.Options {
		u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: host + ":" + s.Port(), Path: "app", RawQuery: rest}
		return postgres.Options{DSN: u.String()}
	}
	verify := "sslmode=verify-full&sslrootcert=" + url.QueryEscape(caFile)
	no := func(o postgres.Options, want ...string) error {
		t.Helper()
		err := refused(t, o, want...)
		for _, form := range []string{password, url.QueryEscape(password), url.PathEscape(password), url.UserPassword("", password).String()[1:]} {
			if err != nil && strings.Contains(err.Error(), form) {
				t.Errorf("the password is in %v", err)
			}
		}
		return err
	}
	no(at("127.0.0.1", "app", password+"x", verify), `refuses the user "app"`, "check user and password")
	no(at("127.0.0.1", "nobody_here", password, verify), `refuses the user "nobody_here"`)
	no(at("127.0.0.1", "app", password, "sslmode=disable"), `refuses the user "app"`, "pg_hba.conf", "no encryption")
	no(at("127.0.0.1", "app", password, "sslmode=verify-full"), "certificate of the server 127.0.0.1", "sslrootcert")
	no(at("localhost", "app", password, verify), "certificate of the server localhost", "name the host as the certificate does")
	no(at("no-host.invalid", "app", password, verify), "no-host.invalid", "check host and port")
	no(postgres.Options{DSN: at("127.0.0.1", "app", password, verify).DSN, Schema: "x;"}, "schema")
	no(postgres.Options{DSN: "postgres://app:" + password + "@127.0.0.1/app"}, "cannot be read", "%40")

	err := no(at("127.0.0.1", "app", password, verify), `"connect" on the database app`)
	obey(t, s, err)
	no(at("127.0.0.1", "app", password, verify+"&colour=red"), "an option that is neither", "colour")
	err = no(at("127.0.0.1", "app", password, verify), `may not make or change the schema email_link`)
	s.Exec(t, regexp.MustCompile(`grant create on database .* to "app"`).FindString(err.Error()))
	if err := open(t, at("127.0.0.1", "app", password, verify)).Close(); err != nil {
		t.Error(err)
	}

	passfile := filepath.Join(t.TempDir(), "pgpass")
	line := "*:*:*:app:" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(password) + "\n"
	if err := os.WriteFile(passfile, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSFILE", passfile)
	withoutPassword := fmt.Sprintf("postgres://app@127.0.0.1:%s/app?%s", s.Port(), verify)
	if err := open(t, postgres.Options{DSN: withoutPassword}).Close(); err != nil {
		t.Error(err)
	}
	t.Setenv("PGPASSFILE", "/dev/null")
	no(postgres.Options{DSN: withoutPassword}, `refuses the user "app"`)
}

func TestSTO2_TLSThatTheServerLacks(t *testing.T) {
	settings, _ := pgtest.Network(t, "host all all 127.0.0.1/32 trust")
	s := pgtest.StartFor(t, append(settings, "ssl=off")...)
	dsn := "postgres://gate@127.0.0.1:" + s.Port() + "/postgres?sslmode=require"
	refused(t, postgres.Options{DSN: dsn}, "offers no TLS", "ssl = on")
	open(t, postgres.Options{DSN: strings.ReplaceAll(dsn, "require", "disable")}) // on this machine
}

// TestSTO2_RightsThatAreMissing takes each right away from one who has no others, and gives it back as the error says.
func TestSTO2_RightsThatAreMissing(t *testing.T) {
	schema := pgtest.Schema()
	if err := open(t, postgres.Options{Schema: schema}).Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "create role worker login")
	t.Cleanup(func() {
		server.Exec(t, "drop owned by worker; drop role worker; grant execute on function pg_control_system(), pg_walfile_name(pg_lsn) to public")
	})
	o := postgres.Options{DSN: "host=" + server.Dir + " user=worker dbname=postgres", Schema: schema, Manual: true}
	sql, err := o.Statements()
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, sql) // a second time, which changes nothing and gives the rights
	if err := open(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	for revoke, want := range map[string]string{
		"usage on schema " + schema:                               `"usage" on the schema ` + schema,
		"select on " + schema + ".migrations":                     `"select" on the table ` + schema + ".migrations",
		"delete on " + schema + ".sessions":                       `"delete" on the table ` + schema + ".sessions",
		"update on " + schema + ".flows":                          `"update" on the table ` + schema + ".flows",
		"insert on " + schema + ".steps":                          `"insert" on the table ` + schema + ".steps",
		"execute on function " + schema + ".must from public":     `"execute" on the function ` + schema + ".must",
		"execute on function pg_control_system() from public":     "pg_control_system",
		"execute on function pg_walfile_name(pg_lsn) from public": "pg_walfile_name",
	} {
		server.Exec(t, "revoke "+strings.TrimSuffix(revoke, " from public")+" from worker, public")
		obey(t, server, refused(t, o, want, "is missing", "let the owner run"))
		if err := open(t, o).Close(); err != nil {
			t.Errorf("%s: %v", revoke, err)
		}
	}
}

// TestSTO2_RightsToMakeTheSchema: each error names the grant that is missing for the schema that is there, or is not.
func TestSTO2_RightsToMakeTheSchema(t *testing.T) {
	server.Exec(t, "create role maker login")
	t.Cleanup(func() { server.Exec(t, "drop owned by maker; drop role maker") })
	o := postgres.Options{DSN: "host=" + server.Dir + " user=maker dbname=postgres", Schema: pgtest.Schema()}
	server.Exec(t, "create schema "+o.Schema)
	err := refused(t, o, "grant usage, create on schema "+o.Schema)
	server.Exec(t, regexp.MustCompile(`grant usage, create on schema .* to "maker"`).FindString(err.Error()))
	if err := open(t, o).Close(); err != nil {
		t.Fatal(err)
	}

	others := pgtest.Schema()
	if err := open(t, postgres.Options{Schema: others}).Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "delete from "+others+".migrations where number > 1; grant usage, create on schema "+others+" to maker; grant all on all tables in schema "+
		others+" to maker")
	refused(t, postgres.Options{DSN: o.DSN, Schema: others}, "may not change the tables", "caddy email-link schema", "migrations manual")
}

func TestSTO2_ServersThatAreNotUsed(t *testing.T) {
	schema := pgtest.Schema()
	o := postgres.Options{DSN: "host=" + server.Dir + " user=odd dbname=odd", Schema: schema}
	server.Exec(t, "create role odd login")
	server.Exec(t, "create database odd owner odd")
	server.Exec(t, "create database latin owner odd encoding latin1 template template0 lc_collate 'C' lc_ctype 'C'")
	t.Cleanup(func() {
		server.Exec(t, "drop database odd with (force)")
		server.Exec(t, "drop database latin with (force)")
		server.Exec(t, "drop role odd")
	})
	for _, setting := range []string{"default_transaction_isolation = 'serializable'", "default_transaction_read_only = on"} {
		name, _, _ := strings.Cut(setting, " ")
		for _, where := range []string{"database odd", "role odd", "role odd in database odd"} {
			server.Exec(t, "alter "+where+" set "+setting)
			obey(t, server, refused(t, o, name))
			if err := open(t, o).Close(); err != nil {
				t.Errorf("%s of the %s: %v", setting, where, err)
			}
			server.Exec(t, "alter role odd in database odd reset "+name)
			server.Exec(t, "alter "+where+" reset "+name)
		}
	}
	refused(t, postgres.Options{DSN: o.DSN + " default_transaction_isolation=serializable", Schema: schema}, "remove it from the connection string")
	refused(t, postgres.Options{DSN: o.DSN + " options='-c default_transaction_isolation=serializable'", Schema: schema}, "remove it from the connection string")
	refused(t, postgres.Options{DSN: "host=" + server.Dir + " user=odd dbname=latin", Schema: schema}, "encoding LATIN1", "createdb --encoding UTF8 --template template0")
	server.Exec(t, "alter role odd connection limit 1")
	refused(t, o, "no connection left", "lower `connections`")
}

// TestDUR2_EachConnectionIsBounded: what the server does for a connection that is lost ends by itself.
func TestDUR2_EachConnectionIsBounded(t *testing.T) {
	settings, _ := pgtest.Network(t, "host all all 127.0.0.1/32 trust")
	server := pgtest.StartFor(t, settings...)
	s := open(t, postgres.Options{DSN: "postgres://gate@127.0.0.1:" + server.Port() + "/postgres?sslmode=disable"})
	for name, want := range map[string]string{
		"statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s",
		"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off",
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "20000",
	} {
		if got, err := s.Setting(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is %s, want %s, %v", name, got, want, err)
		}
	}
}

func TestSTO2_AStandbyIsNotUsed(t *testing.T) {
	s := pgtest.StartFor(t)
	if err := open(t, postgres.Options{DSN: s.DSN()}).Close(); err != nil {
		t.Fatal(err)
	}
	standby := s.Copy(t, "--write-recovery-conf")
	standby.RunFor(t)
	refused(t, postgres.Options{DSN: standby.DSN()}, "is a standby and only reads", "target_session_attrs=read-write")
	refused(t, postgres.Options{DSN: standby.DSN() + " target_session_attrs=read-write"}, "is a standby and only reads", "name the primary")
	both := postgres.Options{DSN: strings.Replace(standby.DSN(), "host=", "host="+s.Dir+",", 1)}
	open(t, both)
	standby.Exec(t, "select pg_promote()")
	refused(t, postgres.Options{DSN: both.DSN + " target_session_attrs=standby"}, "") // whatever it says, it is not opened
}

func TestSTO2_SchemasThatAreNotTheGates(t *testing.T) {
	for what, make := range map[string]string{
		"tables":               "create table %s.invoices (n int)",
		"migrations of others": "create table %s.migrations (id serial primary key, name text)",
		"a view":               "create view %s.v as select 1",
		"a sequence":           "create sequence %s.s",
	} {
		schema := pgtest.Schema()
		server.Exec(t, "create schema "+schema+"; "+fmt.Sprintf(make, schema))
		if err := refused(t, postgres.Options{DSN: server.DSN(), Schema: schema}, "not the gate's", "option `schema`"); err != nil && errors.Is(err, storage.ErrUnreachable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestSTO2_LossesAreNamed: a setting that loses what was acknowledged does not keep the gate from starting.
func TestSTO2_LossesAreNamed(t *testing.T) {
	var log strings.Builder
	s := pgtest.StartFor(t, "fsync=on", "synchronous_commit=off")
	if err := open(t, postgres.Options{DSN: s.DSN(), Log: slog.New(slog.NewTextHandler(&log, nil))}).Close(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "a used link works again and an ended session lives; set it to on") || strings.Contains(text, "fsync is off") {
		t.Error(text)
	}
}
