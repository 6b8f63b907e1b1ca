package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// DefaultSchema is the schema whose tables hold the state.
	DefaultSchema = "email_link"
	// DefaultConnections is how many connections the pool has at most. One more holds the lock of the process.
	DefaultConnections = 8
	// MaxConnections is the most that can be configured.
	MaxConnections = 200

	// oldestServer is the oldest server that is used: PostgreSQL 14.
	oldestServer = 140000
	// pingAfter is how long a connection is idle before it is tried first.
	pingAfter = 30 * time.Second
)

// Options say which database to open.
type Options struct {
	// DSN is a connection string of libpq, as a URL or as words. Required.
	DSN string
	// Schema is the schema whose tables hold the state. It is made when it is missing. Default: [DefaultSchema].
	Schema string
	// Connections bounds the pool. Default: [DefaultConnections].
	Connections int
	// Manual is set when an operator changes the schema, with what [Options.Statements] returns. Open then refuses a schema that is too old.
	Manual bool
	// KeepFailover is set when a promoted standby has everything that was acknowledged: then it is the same incarnation.
	KeepFailover bool
	// Log receives what no caller gets as an error; nil discards it.
	Log *slog.Logger
}

// schemaName is what a schema can be called: the name is part of every statement.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,40}$`)

// config checks the options and reads the connection string. Its errors hold no password.
func (o *Options) config() (*pgxpool.Config, error) {
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if !schemaName.MatchString(o.Schema) {
		return nil, fmt.Errorf("schema %q: write lower-case letters, digits and _, beginning with a letter", o.Schema)
	}
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Connections < 2 || o.Connections > MaxConnections {
		return nil, fmt.Errorf("connections %d: write a number from 2 to %d", o.Connections, MaxConnections)
	}
	if strings.TrimSpace(o.DSN) == "" {
		return nil, errors.New("the connection string is missing: write one like postgres://gate@db.example.com/gate?sslmode=verify-full")
	}
	config, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		return nil, errors.New("the connection string cannot be read: write one like postgres://gate@db.example.com/gate?sslmode=verify-full")
	}
	for _, at := range append([]*pgconnFallback{{config.ConnConfig.Host, config.ConnConfig.TLSConfig != nil}}, fallbacks(config)...) {
		if !at.tls && !local(at.host) {
			return nil, fmt.Errorf("the connection to %s would not be encrypted: add sslmode=verify-full to the connection string "+
				"(and sslrootcert=<file> where its certificate is of an authority of your own)", at.host)
		}
	}
	config.MaxConns = int32(o.Connections) //nolint:gosec // the range is checked
	config.MinIdleConns = 1
	config.MaxConnIdleTime = 5 * time.Minute
	config.PingTimeout = time.Second
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > pingAfter }
	config.ConnConfig.ConnectTimeout = 2 * time.Second
	for name, value := range map[string]string{
		"application_name": "email_link", "statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s",
		"default_transaction_isolation": "read committed", "timezone": "UTC",
	} {
		config.ConnConfig.RuntimeParams[name] = value
	}
	return config, nil
}

// Check says what is wrong with the options, without asking any server.
func (o Options) Check() error {
	_, err := o.config()
	return err
}

// Database names the database and the schema, without user and password.
func (o Options) Database() (string, error) {
	config, err := o.config()
	if err != nil {
		return "", err
	}
	c := config.ConnConfig
	return fmt.Sprintf("%s:%d/%s/%s", c.Host, c.Port, c.Database, o.Schema), nil
}

type pgconnFallback struct {
	host string
	tls  bool
}

func fallbacks(config *pgxpool.Config) (list []*pgconnFallback) {
	for _, f := range config.ConnConfig.Fallbacks {
		list = append(list, &pgconnFallback{f.Host, f.TLSConfig != nil})
	}
	return list
}

// local reports whether a host is a socket, or this machine.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Open opens the database, brings its schema up to date unless that is manual, and takes the lock of the process.
//
// Errors: [storage.ErrLocked] with the host and the id of the process that has the database, [storage.ErrNewer],
// [storage.ErrUnreachable], and what is wrong with the server, the rights or the options, each with what to do.
func Open(ctx context.Context, o Options) (*Store, error) {
	config, err := o.config()
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s := &Store{schema: o.Schema, log: o.Log, keepFailover: o.KeepFailover}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.kinds = newKinds(o.Schema)
	s.counters, s.texts, s.prefetch = newCounterTexts(o.Schema), newTexts(o.Schema), newPrefetchTexts(o.Schema, s.kinds)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.pool, err = pgxpool.NewWithConfig(s.ctx, config); err != nil {
		s.cancel()
		return nil, fmt.Errorf("postgres: %w", cause(err))
	}
	if err := s.open(ctx, config.ConnConfig, o.Manual); err != nil {
		s.cancel()
		s.background.Wait()
		s.lock.release()
		s.pool.Close()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return s, nil
}

// openBound is how long Open takes at most.
const openBound = 20 * time.Second

func (s *Store) open(ctx context.Context, config *pgx.ConnConfig, manual bool) error {
	ctx, cancel := context.WithTimeout(ctx, openBound)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return explainConnect(config, err)
	}
	defer conn.Release()
	if err := s.checkServer(ctx, conn.Conn()); err != nil {
		return err
	}
	if err := s.migrate(ctx, conn.Conn(), manual); err != nil {
		return err
	}
	if err := s.checkRights(ctx, conn.Conn(), config.User); err != nil {
		return err
	}
	s.lock, err = acquireLock(ctx, s, config)
	return err
}

// explainConnect says why no connection was made, and what to write. It never holds the password.
func explainConnect(c *pgx.ConnConfig, err error) error {
	at := fmt.Sprintf("the server %s (port %d)", c.Host, c.Port)
	switch code(err) {
	case codePassword, codeRole:
		return fmt.Errorf("%s refuses the user %q: check user and password of the connection string, and pg_hba.conf: %w", at, c.User, cause(err))
	case codeNoDatabase:
		return fmt.Errorf("there is no database %q on %s: create it (createdb -O %s %s) or name another one: %w", c.Database, at, c.User,
			c.Database, cause(err))
	}
	if strings.Contains(err.Error(), "server refused TLS") {
		return fmt.Errorf("%s offers no TLS: switch it on (ssl = on in postgresql.conf): %w", at, cause(err))
	}
	return fmt.Errorf("%w: %s: check host and port of the connection string, and that the server runs: %w", storage.ErrUnreachable, at, cause(err))
}

// checkServer refuses servers that cannot keep what the gate promises, and warns of settings that lose what was acknowledged.
func (s *Store) checkServer(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var recovery bool
	var isolation, commit, fsync string
	err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int, pg_is_in_recovery(), "+
		"current_setting('default_transaction_isolation'), current_setting('synchronous_commit'), current_setting('fsync')").
		Scan(&version, &recovery, &isolation, &commit, &fsync)
	switch {
	case err != nil:
		return unreachable(err)
	case version < oldestServer:
		return fmt.Errorf("the server is PostgreSQL %d: it has to be 14 or later", version/10000)
	case recovery:
		return errors.New("the server is a standby and only reads: name the primary in the connection string, or name all servers and add " +
			"target_session_attrs=read-write")
	case isolation != "read committed":
		return fmt.Errorf("default_transaction_isolation is %q although the gate asks for \"read committed\": a pooler hides what it asks "+
			"for; set it for the role: alter role %s set default_transaction_isolation = 'read committed'", isolation, conn.Config().User)
	}
	if commit == "off" {
		s.log.Warn("synchronous_commit is off: a crash of the server loses what was acknowledged in the last moments, so that a used link works "+
			"again and an ended session lives; set it to on", "event", "store")
	}
	if fsync == "off" {
		s.log.Warn("fsync is off: a crash of the server's machine can damage the whole database; set it to on", "event", "store")
	}
	return nil
}

// Incarnation names the server, the database and, unless failovers keep what there is, the time line that the server is on.
func (s *Store) Incarnation(ctx context.Context) (name string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := s.enter(); err != nil {
		return "", err
	}
	defer s.leave()
	var line string
	err = s.pool.QueryRow(ctx, "select s.system_identifier::text || ' ' || d.oid::text, c.timeline_id::text "+
		"from pg_control_system() s, pg_control_checkpoint() c, pg_database d where d.datname = current_database()").Scan(&name, &line)
	if err == nil && !s.keepFailover {
		name += " " + line
	}
	return name, unreachable(err)
}
