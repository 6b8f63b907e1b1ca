// Package postgres is the Caddy module email_link.storage.postgres: it keeps the state of a gate in a PostgreSQL database. It is a package of
// its own, which a build of the plugin does not contain:
//
//	xcaddy build --with github.com/caddy-email-link/caddy-email-link --with github.com/caddy-email-link/caddy-email-link/storage/postgres
package postgres

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func init() {
	caddy.RegisterModule(Storage{})
}

// Storage keeps everything in a PostgreSQL database, of version 14 or later. Several Caddys may use it at the same time.
type Storage struct {
	// DSN is a connection string, as a URL or as words: `postgres://gate@db.example.com/gate?sslmode=verify-full`. Required. The password
	// comes from a placeholder (`{env.X}`, `{file.X}`), whose value is written as it is and encoded here, from PGPASSWORD or from the file
	// of PGPASSFILE; one in clear is refused. TLS is demanded unless the server is on a socket or on this machine.
	DSN string `json:"dsn,omitempty"`
	// Schema is the schema whose tables hold the state. Default: `email_link`.
	Schema string `json:"schema,omitempty"`
	// Connections bounds the pool, 2 to 200; two more learn of what other nodes change, and of what became of lost answers. Default: 8.
	Connections int `json:"connections,omitempty"`
	// Migrations says who makes and changes the schema: `auto`, the gate when it starts, or `manual`, an operator with what
	// `caddy email-link schema` prints. Default: `auto`.
	Migrations string `json:"migrations,omitempty"`
	// Failover says what happens when the server is another one of the same line, a promoted standby or a recovery to a point in time: `end`
	// ends sessions, links and queued mails, because acknowledged ends of some may be lost; `keep` keeps them, for those who
	// replicate synchronously. A restored copy ends them in either case. Default: `end`.
	Failover string `json:"failover,omitempty"`
	// ServeCached is how long sessions and machine tokens that were seen before go on while the database cannot be reached, 0 to 10
	// minutes. Meanwhile what ends on other nodes lives on here. Default: 60 seconds.
	ServeCached *caddy.Duration `json:"serve_cached,omitempty"`

	options postgres.Options
	key     string
}

// CaddyModule returns the Caddy module information.
func (Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "email_link.storage.postgres", New: func() caddy.Module { return new(Storage) }}
}

// Provision reads the options and asks no server.
func (s *Storage) Provision(ctx caddy.Context) error {
	dsn, err := expandDSN(s.DSN)
	if err != nil {
		return fmt.Errorf("storage postgres: %w", err)
	}
	for name, one := range map[string]struct {
		value *string
		other string
		first string
	}{"migrations": {&s.Migrations, "manual", "auto"}, "failover": {&s.Failover, "keep", "end"}} {
		if *one.value != "" && *one.value != one.first && *one.value != one.other {
			return fmt.Errorf("storage postgres: %s %q: write %s or %s", name, *one.value, one.first, one.other)
		}
	}
	serve := defaultServeCached
	if s.ServeCached != nil {
		serve = time.Duration(*s.ServeCached)
	}
	if serve < 0 || serve > maxServeCached {
		return fmt.Errorf("storage postgres: serve_cached %s: write a duration from 0 to %s", serve, maxServeCached)
	}
	s.options = postgres.Options{
		DSN: dsn, Schema: s.Schema, Connections: s.Connections, Manual: s.Migrations == "manual", KeepFailover: s.Failover == "keep", ServeCached: serve,
		NodeFile: filepath.Join(caddy.AppDataDir(), "email_link", "node"), Log: ctx.Slogger(),
	}
	s.key, err = s.options.Database()
	if err != nil {
		return fmt.Errorf("storage postgres: %w", err)
	}
	return nil
}

// StorageKey names the database and the schema.
func (s *Storage) StorageKey() string { return "postgres:" + s.key }

const (
	defaultServeCached = time.Minute
	// maxServeCached is less than the 15 minutes that a signing key is known before its first use.
	maxServeCached = 10 * time.Minute
)

// OpenStorage opens the database as one of its nodes.
func (s *Storage) OpenStorage(ctx context.Context) (storage.Store, error) {
	return openShared(ctx, s.options)
}

// OpenBeside opens the database for a command, which is no node that others count.
func (s *Storage) OpenBeside(ctx context.Context) (storage.Store, error) {
	o := s.options
	o.Beside = true
	return openShared(ctx, o)
}

// openShared returns no store with an error, not even one that is nil.
func openShared(ctx context.Context, o postgres.Options) (storage.Store, error) {
	store, err := postgres.OpenShared(ctx, o)
	if err != nil {
		return nil, err
	}
	return store, nil
}

// OpenToMove opens the database where no node uses it, and keeps nodes out. With existing it refuses a schema without tables of a gate instead of making them.
func (s *Storage) OpenToMove(ctx context.Context, existing bool) (storage.Store, error) {
	o := s.options
	o.Existing = existing
	store, err := postgres.Open(ctx, o)
	if err != nil {
		return nil, err // and no store, not even one that is nil
	}
	return store, nil
}

// Capacity knows nothing of the disk of a server.
func (s *Storage) Capacity() (bytes uint64, known bool, err error) { return 0, false, nil }

// EmptyAdvice says how the place becomes empty.
func (s *Storage) EmptyAdvice() string {
	return "drop schema " + cmp.Or(s.Schema, postgres.DefaultSchema) + " cascade"
}

// DemandsSecret reports that the master keys have to be configured: a key file on one machine would be none beside a database that
// others reach.
func (s *Storage) DemandsSecret() bool { return true }

// Statements returns what makes the schema, and the rights that the gate needs at run time.
func (s *Storage) Statements() (string, error) { return s.options.Statements() }

// UnmarshalCaddyfile reads `postgres [<dsn>]` and its block.
func (s *Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		s.DSN = d.Val()
	}
	if d.NextArg() {
		return d.Errf("storage postgres takes one connection string, found %q after it; quote it where it has spaces", d.Val())
	}
	texts := map[string]*string{"dsn": &s.DSN, "schema": &s.Schema, "migrations": &s.Migrations, "failover": &s.Failover}
	seen := map[string]bool{"dsn": s.DSN != ""}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] {
			return d.Errf("storage postgres: %s stands twice", name)
		}
		seen[name] = true
		args := d.RemainingArgs()
		if len(args) != 1 {
			return d.Errf("storage postgres: %s takes one value, found %d", name, len(args))
		}
		switch into := texts[name]; {
		case into != nil:
			*into = args[0]
		case name == "serve_cached":
			serve, err := caddy.ParseDuration(args[0])
			if err != nil || serve < 0 || serve > maxServeCached {
				return d.Errf("storage postgres: serve_cached %q: write a duration from 0 to 10m, such as 60s", args[0])
			}
			s.ServeCached = (*caddy.Duration)(&serve)
		case name == "connections":
			var err error
			if s.Connections, err = strconv.Atoi(args[0]); err != nil || s.Connections < 1 {
				return d.Errf("storage postgres: connections %q: write a number from 2 to %d", args[0], postgres.MaxConnections)
			}
		default:
			return d.Errf("unrecognized storage postgres option %q; expected one of connections, dsn, failover, migrations, schema, serve_cached", name)
		}
	}
	if s.DSN == "" {
		return d.Err("storage postgres: the connection string is missing: write one like postgres://gate@db.example.com/gate?sslmode=verify-full")
	}
	return nil
}

var (
	_ caddy.Provisioner     = (*Storage)(nil)
	_ caddyfile.Unmarshaler = (*Storage)(nil)
)
