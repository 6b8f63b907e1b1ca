//go:build postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/storagetest"
)

var server *pgtest.Server

func TestMain(m *testing.M) { pgtest.Main(m, &server) }

func TestStore(t *testing.T) { storagetest.Run(t, server.Open) }

func TestConcurrency(t *testing.T) { storagetest.RunConcurrency(t, server.Open) }

func TestDUR1_Durability(t *testing.T) {
	storagetest.RunDurability(t, storagetest.Durable{Open: func(dir string) (storage.Store, error) {
		h := fnv.New32()
		_, _ = h.Write([]byte(dir))
		return openAfter(postgres.Options{DSN: server.DSN(), Schema: fmt.Sprintf("durable_%d", h.Sum32())})
	}})
}

// openAfter opens a database as soon as the server has noticed that the process which had it is dead.
func openAfter(o postgres.Options) (storage.Store, error) {
	for {
		s, err := postgres.Open(context.Background(), o)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, storage.ErrLocked) {
			return nil, err
		}
	}
}

// open opens a schema that the test names, and closes it at the end.
func open(t *testing.T, o postgres.Options) *postgres.Store {
	t.Helper()
	if o.DSN == "" {
		o.DSN = server.DSN()
	}
	s, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, storage.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// refused opens what must not be opened, and checks that the error names what is wrong and what to do.
func refused(t *testing.T, o postgres.Options, want ...string) error {
	t.Helper()
	s, err := postgres.Open(t.Context(), o)
	if err == nil {
		t.Errorf("opened, although it should say %q", want)
		_ = s.Close()
		return nil
	}
	for _, words := range want {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%v\nlacks %q", err, words)
		}
	}
	return err
}

func TestSTO1_ASecondProcessIsRefusedByName(t *testing.T) {
	schema := pgtest.Schema()
	first := open(t, postgres.Options{Schema: schema})
	host, _ := os.Hostname()
	err := refused(t, postgres.Options{DSN: server.DSN(), Schema: schema}, fmt.Sprintf("process %d on %s", os.Getpid(), host))
	if !errors.Is(err, storage.ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
	open(t, postgres.Options{Schema: pgtest.Schema()}) // another schema is another gate
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, postgres.Options{Schema: schema})
}

// TestSTO1_ALostLockIsTakenAgain ends the connection of the lock, once with and once without another process that takes it.
func TestSTO1_ALostLockIsTakenAgain(t *testing.T) {
	schema := pgtest.Schema()
	s := open(t, postgres.Options{Schema: schema})
	notified := make(chan storage.Change, 9)
	s.Subscribe(func(c storage.Change) { notified <- c })
	number := postgres.LockNumber(schema)
	of := fmt.Sprintf(" from pg_locks where locktype = 'advisory' and objsubid = 1 and granted and (classid::bigint << 32 | objid::bigint) = %d", number)
	end := "select pg_terminate_backend(pid)" + of
	before := scan[int](t, "select pid"+of)
	server.Exec(t, end)
	held := func() bool { return scan[bool](t, "select exists (select 1"+of+" and pid <> "+fmt.Sprint(before)+")") }
	for !held() {
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Update(t.Context(), func(tx storage.Tx) error { return tx.Meta().Put("x", nil) }); err != nil {
		t.Errorf("with the lock back: %v", err)
	}
	if len(notified) > 0 {
		t.Errorf("notified of %v, although no other process has had the database", <-notified)
	}

	other, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(context.Background()) }()
	taken := make(chan error, 1)
	go func() { // waits in line, and gets the lock when the connection ends
		_, err := other.Exec(context.Background(), "select pg_advisory_lock($1)", number)
		if err == nil {
			_, err = other.Exec(context.Background(), "update "+schema+".node set owner = 'another'")
		}
		taken <- err
	}()
	for !scan[bool](t, "select exists (select 1 from pg_locks where locktype = 'advisory' and not granted and pid = "+fmt.Sprint(other.PgConn().PID())+")") {
		time.Sleep(10 * time.Millisecond)
	}
	server.Exec(t, end)
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if c := <-notified; c.Kind != storage.ChangeAll {
		t.Errorf("notified of %v", c)
	}
	<-notified
	step := func(storage.Tx) error { return nil }
	for name, err := range map[string]error{"Update": s.Update(t.Context(), step), "View": s.View(t.Context(), step)} {
		if !errors.Is(err, storage.ErrLocked) {
			t.Errorf("%s without the lock = %v, want ErrLocked", name, err)
		}
	}
}

func TestSTO2_BadOptionsAreRefusedWithTheRemedy(t *testing.T) {
	const secret = "s3cret-w0rd"
	for dsn, want := range map[string][]string{
		"":  {"connection string is missing", "postgres://"},
		"%": {"cannot be read", "postgres://"},
		"postgres://gate:" + secret + "@db.example.com/gate?sslmode=bad":     {"cannot be read"},
		"postgres://gate:" + secret + "@db.example.com/gate":                 {"db.example.com", "not be encrypted", "sslmode=verify-full"},
		"postgres://gate:" + secret + "@db.example.com/gate?sslmode=prefer":  {"not be encrypted"},
		"postgres://gate:" + secret + "@db.example.com/gate?sslmode=disable": {"not be encrypted"},
	} {
		err := refused(t, postgres.Options{DSN: dsn}, want...)
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the password is in %v", err)
		}
	}
	refused(t, postgres.Options{DSN: server.DSN(), Schema: "Gate; drop"}, "lower-case letters")
	refused(t, postgres.Options{DSN: server.DSN(), Connections: 1}, "from 2 to 200")
	for _, dsn := range []string{
		"postgres://gate@db.example.com/gate?sslmode=require", "postgres://gate@127.0.0.1/gate", "postgres://gate@localhost/gate",
		"host=/run/postgresql dbname=gate",
	} {
		if err := (postgres.Options{DSN: dsn}).Check(); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestSTO2_BadServersAreRefusedWithTheRemedy(t *testing.T) {
	dir := "host=" + server.Dir + " "
	server.Exec(t, "create role poor login; create role reader login")
	t.Cleanup(func() { server.Exec(t, "drop owned by poor, reader; drop role poor, reader") })
	refused(t, postgres.Options{DSN: "host=" + t.TempDir() + " user=gate dbname=postgres"}, "check host and port")
	refused(t, postgres.Options{DSN: "host=127.0.0.1 port=1 user=gate dbname=postgres password=s3cret"}, "127.0.0.1 (port 1)", "check host and port")
	refused(t, postgres.Options{DSN: dir + "user=nobody_here dbname=postgres"}, `refuses the user "nobody_here"`, "pg_hba.conf")
	refused(t, postgres.Options{DSN: dir + "user=gate dbname=none_here"}, `no database "none_here"`, "createdb")
	refused(t, postgres.Options{DSN: dir + "user=poor dbname=postgres", Schema: pgtest.Schema()}, "grant create on database", "caddy email-link schema")
	refused(t, postgres.Options{DSN: server.DSN(), Schema: pgtest.Schema(), Manual: true}, "migrations manual", "caddy email-link schema")

	schema := pgtest.Schema()
	if err := open(t, postgres.Options{Schema: schema}).Close(); err != nil {
		t.Fatal(err)
	}
	reader := postgres.Options{DSN: dir + "user=reader dbname=postgres", Schema: schema, Manual: true}
	refused(t, reader, `"usage" on the schema`, "grant usage on schema "+schema)
	server.Exec(t, "grant usage on schema "+schema+" to reader; grant select on "+schema+".migrations to reader")
	refused(t, reader, `"delete" on the table `+schema+".accounts", "grant select, insert, update, delete on all tables")
	sql, err := reader.Statements()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(sql) { // the rights that the command prints are all that is needed
		if strings.HasPrefix(line, "grant ") {
			server.Exec(t, line)
		}
	}
	s := open(t, reader)
	if err := s.Update(t.Context(), func(tx storage.Tx) error { return tx.Meta().Put("x", nil) }); err != nil {
		t.Errorf("with the rights that are listed: %v", err)
	}
	if _, err := s.Sweep(t.Context(), time.Unix(1, 0), 9); err != nil {
		t.Errorf("a sweep with the rights that are listed: %v", err)
	}

	foreign := pgtest.Schema()
	server.Exec(t, "create schema "+foreign+"; create table "+foreign+".invoices (n int)")
	refused(t, postgres.Options{DSN: server.DSN(), Schema: foreign}, "not the gate's", "`schema`")

	newer := pgtest.Schema()
	if err := open(t, postgres.Options{Schema: newer}).Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "insert into "+newer+".migrations (number, writes) values (90, 1)")
	open(t, postgres.Options{Schema: newer}) // what only adds is no obstacle
	last := pgtest.Schema()
	if err := open(t, postgres.Options{Schema: last}).Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "insert into "+last+".migrations (number, writes) values (91, 91)")
	if err := refused(t, postgres.Options{DSN: server.DSN(), Schema: last}, "newer build"); !errors.Is(err, storage.ErrNewer) {
		t.Errorf("%v, want ErrNewer", err)
	}
}

func TestSTO2_LossySettingsAreNamed(t *testing.T) {
	var log strings.Builder
	server.Exec(t, "alter role gate set synchronous_commit = off")
	if err := open(t, postgres.Options{Schema: pgtest.Schema(), Log: slog.New(slog.NewTextHandler(&log, nil))}).Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "alter role gate reset synchronous_commit")
	for _, want := range []string{"synchronous_commit is off", "fsync is off"} { // the tests' server does not sync
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &log)
		}
	}
}

// TestSTO2_TheSchemaIsMadeByHand runs what the command prints as the owner, and then opens it without any right to change it.
func TestSTO2_TheSchemaIsMadeByHand(t *testing.T) {
	schema := pgtest.Schema()
	sql, err := postgres.Options{DSN: server.DSN(), Schema: schema}.Statements()
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, sql)
	s := open(t, postgres.Options{Schema: schema, Manual: true})
	if err := s.Update(t.Context(), func(tx storage.Tx) error { return tx.Meta().Put("x", nil) }); err != nil {
		t.Error(err)
	}
	one, err1 := s.Incarnation(t.Context())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "vacuum full "+schema+".migrations")
	two, err2 := open(t, postgres.Options{Schema: schema, Manual: true}).Incarnation(t.Context())
	if one == "" || one != two || err1 != nil || err2 != nil {
		t.Errorf("incarnations %q and %q, %v, %v", one, two, err1, err2)
	}
}
