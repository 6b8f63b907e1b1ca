package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
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
	// Existing is set where a schema without the gate's tables is refused instead of made.
	Existing bool
	// KeepFailover is set when a promoted standby has everything that was acknowledged: then it is the same incarnation.
	KeepFailover bool
	// Beside is set by a command: it is no node that others count. Only [OpenShared] looks at it.
	Beside bool
	// NodeFile keeps the id of this node, by which the database is taken back at once after a crash where a pooler is in between. It is made when
	// it is missing. Empty keeps none: then a crash is waited for, see [BeatLife].
	NodeFile string
	// ServeCached is how long what was read before is served while the database cannot be reached.
	ServeCached time.Duration
	// NoNotify is set where no notices arrive, as behind a pooler. Changes are then looked for by themselves.
	NoNotify bool
	// Log receives what no caller gets as an error; nil discards it.
	Log *slog.Logger

	// shared is set by [OpenShared].
	shared bool
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
		// The driver's own words may quote a password that stands where none belongs.
		return nil, errors.New("the connection string cannot be read: write one like postgres://gate@db.example.com/gate?sslmode=verify-full; " +
			"a URL takes signs such as @ : / # % as %40 %3A %2F %23 %25 only, unless they come from a placeholder")
	}
	for _, at := range servers(config.ConnConfig) {
		if at.TLSConfig == nil && !local(at.Host) {
			return nil, fmt.Errorf("the connection to %s would not be encrypted: add sslmode=verify-full to the connection string "+
				"(and sslrootcert=<file> where its certificate is of an authority of your own)", at.Host)
		}
	}
	config.MaxConns = int32(o.Connections) //nolint:gosec // the range is checked
	config.MinIdleConns = 1
	config.MaxConnIdleTime = 5 * time.Minute
	config.PingTimeout = time.Second
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > pingAfter }
	config.ConnConfig.ConnectTimeout = 2 * time.Second
	switch config.ConnConfig.DefaultQueryExecMode {
	case pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe:
	default:
		return nil, errors.New("default_query_exec_mode: leave it out of the connection string, the gate finds out which one the server needs")
	}
	params := config.ConnConfig.RuntimeParams
	params["application_name"], params["timezone"] = "email_link", "UTC"
	maps.Copy(params, perSession)
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

// servers are those that a connection string names, in the order in which they are tried.
func servers(config *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
}

// unverified returns a host on the network whose certificate is not checked, empty if there is none.
func unverified(config *pgx.ConnConfig) string {
	for _, at := range servers(config) {
		if at.TLSConfig != nil && at.TLSConfig.InsecureSkipVerify && at.TLSConfig.VerifyPeerCertificate == nil && !local(at.Host) {
			return at.Host
		}
	}
	return ""
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
	return openAs(ctx, o, thisBuild)
}

// openAs opens the database as a build that knows a schema.
func openAs(ctx context.Context, o Options, as func(schema string) build) (*Store, error) {
	config, err := o.config()
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s := &Store{
		schema: o.Schema, build: as(o.Schema), log: o.Log, keepFailover: o.KeepFailover, beside: o.Beside,
		shared: o.shared, serveCached: o.ServeCached, nodes: newNodes(o.Schema),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.kinds = newKinds(o.Schema)
	s.counters, s.texts, s.prefetch = newCounterTexts(o.Schema), newTexts(o.Schema), newPrefetchTexts(o.Schema, s.kinds)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	config.AfterConnect, config.ConnConfig.Tracer = s.sameIncarnation, &s.trips
	detecting, cancel := context.WithTimeout(ctx, openBound)
	err = s.detectPooler(detecting, config.ConnConfig)
	cancel()
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if s.pool, err = pgxpool.NewWithConfig(s.ctx, config); err != nil {
		s.cancel()
		return nil, fmt.Errorf("postgres: %w", cause(err))
	}
	if err := s.open(ctx, config.ConnConfig, o); err != nil {
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

func (s *Store) open(ctx context.Context, config *pgx.ConnConfig, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, openBound)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return explainConnect(config, err)
	}
	defer conn.Release()
	if host := unverified(config); host != "" {
		s.log.Warn("the connection is encrypted to whoever answers as the server: write sslmode=verify-full into the connection string", "event", "store",
			"server", host)
	}
	if err := s.checkServer(ctx, conn.Conn()); err != nil {
		return err
	}
	if err := s.migrate(ctx, conn.Conn(), o); err != nil {
		return err
	}
	if err := s.checkRights(ctx, conn.Conn()); err != nil {
		return err
	}
	s.resolver = newResolver(s, config)
	s.background.Go(s.resolver.run)
	if s.shared {
		err := s.follow(ctx, config, o.NoNotify)
		if code(err) == codeTooMany {
			return explainConnect(config, err)
		}
		return err
	}
	s.lock, err = acquireLock(ctx, s, config, o.NodeFile)
	if code(err) == codeTooMany {
		return explainConnect(config, err)
	}
	return err
}
