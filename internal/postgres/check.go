package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// explainConnect says why no connection was made, and what to write. It never holds the password.
func explainConnect(c *pgx.ConnConfig, err error) error {
	at := fmt.Sprintf("the server %s (port %d)", c.Host, c.Port)
	database, user := quoted(c.Database), quoted(c.User)
	var certificate *tls.CertificateVerificationError
	switch {
	case code(err) == codePassword || code(err) == codeRole:
		return fmt.Errorf("%s refuses the user %q: check user and password of the connection string, and pg_hba.conf: %w", at, c.User, cause(err))
	case code(err) == codeNoDatabase:
		return fmt.Errorf("there is no database %q on %s: create it (createdb -O %s %s) or name another one: %w", c.Database, at, c.User,
			c.Database, cause(err))
	case code(err) == codePrivilege:
		return fmt.Errorf("%s: %w: %w", at, missingRight("the database "+c.Database, "connect", "grant connect on database "+database+" to "+user+";"),
			cause(err))
	case code(err) == codeTooMany:
		return fmt.Errorf("%w: %s has no connection left: lower `connections`, or raise max_connections of the server: %w", storage.ErrUnreachable, at,
			cause(err))
	case code(err) == codeParameter || code(err) == codeValue:
		return fmt.Errorf("the connection string has an option that is neither one of libpq nor a setting of %s: correct or remove it: %w", at, cause(err))
	case errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not trusted: add sslrootcert=<file> with the certificate of its authority to the connection "+
			"string, and name the host as the certificate does: %w", at, certificate)
	case strings.Contains(err.Error(), "server refused TLS"):
		return fmt.Errorf("%s offers no TLS: switch it on (ssl = on in postgresql.conf): %w", at, cause(err))
	case strings.Contains(err.Error(), "read only connection"):
		return errors.New(standby)
	}
	return fmt.Errorf("%w: %s: check host and port of the connection string, and that the server runs: %w", storage.ErrUnreachable, at, cause(err))
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// standby is what to do where no server takes writes.
const standby = "the server is a standby and only reads: name the primary in the connection string, or name all servers and add " +
	"target_session_attrs=read-write"

// settings are those of a server on which it depends whether it keeps what the gate promises.
type settings struct {
	version                                                     int
	standby                                                     bool
	encoding, readOnly, isolation, isolationFrom, commit, fsync string
}

// checkServer refuses servers that cannot keep what the gate promises, and warns of settings that lose what was acknowledged.
func (s *Store) checkServer(ctx context.Context, conn *pgx.Conn) error {
	var has settings
	err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('server_encoding'), "+
		"current_setting('default_transaction_read_only'), s.setting, s.source, current_setting('synchronous_commit'), current_setting('fsync') "+
		"from pg_settings s where s.name = 'default_transaction_isolation'").
		Scan(&has.version, &has.standby, &has.encoding, &has.readOnly, &has.isolation, &has.isolationFrom, &has.commit, &has.fsync)
	if err != nil {
		return unreachable(err)
	}
	for _, loss := range has.losses() {
		s.log.Warn(loss, "event", "store")
	}
	return has.check(conn.Config().User, conn.Config().Database)
}

// check returns why a server is not used, for the user and the database of the connection string.
func (has settings) check(user, database string) error {
	role := "alter role " + quoted(user) + " in database " + quoted(database) + " set "
	switch {
	case has.version < oldestServer:
		return fmt.Errorf("the server is PostgreSQL %d: it has to be 14 or later; upgrade it, or name another server", has.version/10000)
	case has.standby:
		return errors.New(standby)
	case has.encoding != "UTF8":
		return fmt.Errorf("the database %q has the encoding %s: make one in UTF8 (createdb --encoding UTF8 --template template0)", database, has.encoding)
	case has.readOnly == "on":
		return errors.New("default_transaction_read_only is on, and the gate has to write: run: " + role + "default_transaction_read_only = off;")
	case has.isolation == isolation:
		return nil
	case has.isolationFrom == "client":
		return fmt.Errorf("default_transaction_isolation is %q, and the steps of the gate are made for %q: remove it from the connection string and from PGOPTIONS",
			has.isolation, isolation)
	}
	return fmt.Errorf("default_transaction_isolation is %q, and the steps of the gate are made for %q: run: %sdefault_transaction_isolation = '%s';",
		has.isolation, isolation, role, isolation)
}

// isolation is the level that steps run in: what they depend on they guard themselves.
const isolation = "read committed"

// losses names what the settings of a server may lose.
func (has settings) losses() (list []string) {
	if has.commit == "off" {
		list = append(list, "synchronous_commit is off: a crash of the server loses what was acknowledged in the last moments, so that a used link works "+
			"again and an ended session lives; set it to on")
	}
	if has.fsync == "off" {
		list = append(list, "fsync is off: a crash of the server's machine can damage the whole database, and lose every account; set it to on")
	}
	return list
}

// checkRights looks at each right that the gate needs at run time, and names the one that is missing.
func (s *Store) checkRights(ctx context.Context, conn *pgx.Conn) error {
	grant := grants(s.schema, conn.Config().User)
	var usage, execute, control bool
	var table *string
	b := &pgx.Batch{}
	b.Queue("select coalesce((select has_schema_privilege(oid, 'usage') from pg_namespace where nspname = $1), true), "+
		"coalesce((select bool_and(has_function_privilege(p.oid, 'execute')) from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = $1), true), "+
		"has_function_privilege('pg_control_system()', 'execute') and has_function_privilege('pg_walfile_name(pg_lsn)', 'execute')", s.schema).
		QueryRow(func(row pgx.Row) error { return row.Scan(&usage, &execute, &control) })
	b.Queue("select min(c.relname || ' ' || r) from pg_class c join pg_namespace n on n.oid = c.relnamespace, "+
		"unnest(array['select', 'insert', 'update', 'delete']) r where n.nspname = $1 and c.relkind = 'r' and (c.relname <> 'migrations' or r = 'select') "+
		"and not has_table_privilege(c.oid, r)", s.schema).
		QueryRow(func(row pgx.Row) error { return row.Scan(&table) })
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return unreachable(err)
	}
	switch {
	case !usage:
		return missingRight("the schema "+s.schema, "usage", grant[0])
	case table != nil:
		name, right, _ := strings.Cut(*table, " ")
		return missingRight("the table "+s.schema+"."+name, right, grant[1])
	case !execute:
		return missingRight("the function "+s.schema+".must", "execute", grant[2])
	case !control:
		return missingRight("the functions pg_control_system and pg_walfile_name, which tell a restored copy", "execute",
			"grant execute on function pg_control_system(), pg_walfile_name(pg_lsn) to "+quoted(conn.Config().User)+";")
	}
	return nil
}

func missingRight(on, right, grant string) error {
	return fmt.Errorf("the right %q on %s is missing: let the owner run: %s", right, on, grant)
}
