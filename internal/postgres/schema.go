package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// The schema has two numbers. known is the newest change that was applied; a change only adds, so that an older build goes on beside
// it. writes is the oldest build, by the changes that it knows, that may still write.
const (
	// schemaWrites is what this build demands of others: builds that know fewer changes must not write any more.
	schemaWrites = 2
	// migrationWait bounds how long a change waits for tables that others use.
	migrationWait = "3s"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one change of the schema.
type migration struct {
	number int
	name   string
	sql    string
}

// build is what a build of the gate knows of the schema.
type build struct {
	// migrations are its changes, in their order.
	migrations []migration
	// writes is the oldest build, by the changes that it knows, that may write beside this one.
	writes int
}

// newest is the last change that a build knows.
func (b build) newest() int { return b.migrations[len(b.migrations)-1].number }

// thisBuild returns what this build knows.
func thisBuild(schema string) build { return build{migrations(schema), schemaWrites} }

// migrations returns the changes of this build for a schema, in their order.
func migrations(schema string) (list []migration) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		panic(err) // a pattern of our own
	}
	sort.Strings(names)
	for _, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(err) // it was listed
		}
		base := strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql")
		number, _, _ := strings.Cut(base, "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			panic(err) // a file of our own
		}
		list = append(list, migration{n, base, strings.ReplaceAll(string(text), "{schema}", schema)})
	}
	return list
}

// Statements returns the statements that make the schema, or bring it up to date, for operators who do it themselves, and the rights that
// the user of the connection string needs at run time, which exclude any change of the schema. It asks no server.
func (o Options) Statements() (string, error) {
	config, err := o.config()
	if err != nil {
		return "", err
	}
	return thisBuild(o.Schema).statements(o.Schema, config.ConnConfig.User), nil
}

func (b build) statements(schema, user string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "begin;\ncreate schema if not exists %s;\n%s\n", schema, metaTable(schema))
	for _, m := range b.migrations {
		fmt.Fprintf(&text, "-- %s\ndo $migration$ begin\nif not exists (select 1 from %s.migrations where number = %d) then\n%s%s;\nend if;\nend $migration$;\n",
			m.name, schema, m.number, m.sql, recordMigration(schema, m.number, b.writes))
	}
	fmt.Fprintf(&text, "%s\ncommit;\n", strings.Join(grants(schema, user), "\n"))
	return text.String()
}

// grants are the rights that are needed at run time.
func grants(schema, user string) []string {
	user = pgx.Identifier{user}.Sanitize()
	return []string{
		fmt.Sprintf("grant usage on schema %s to %s;", schema, user),
		fmt.Sprintf("grant select, insert, update, delete on all tables in schema %s to %s;", schema, user),
		fmt.Sprintf("grant execute on all functions in schema %s to %s;", schema, user),
	}
}

func metaTable(schema string) string {
	return "create table if not exists " + schema + ".migrations (number integer primary key, writes integer not null, " +
		"applied timestamptz not null default now());"
}

func recordMigration(schema string, number, writes int) string {
	return fmt.Sprintf("insert into %s.migrations (number, writes) values (%d, %d)", schema, number, writes)
}

// errForeign refuses a schema that another program has made.
var errForeign = errors.New("there are tables that are not the gate's")

// applied reads which changes a schema has. found is false where there is no schema of the gate.
func applied(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, schema string,
) (known, writes int, found bool, err error) {
	var here, foreign bool
	err = q.QueryRow(ctx, "select count(*) = 3, exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1) "+
		"from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace "+
		"where n.nspname = $1 and c.relname = 'migrations' and a.attname in ('number', 'writes', 'applied')", schema).Scan(&here, &foreign)
	switch {
	case err != nil:
		return 0, 0, false, err
	case !here && foreign:
		return 0, 0, false, fmt.Errorf("%w: the schema %s: name another one with the option `schema`", errForeign, schema)
	case !here:
		return 0, 0, false, nil
	}
	err = q.QueryRow(ctx, "select coalesce(max(number), 0), coalesce(max(writes), 0) from "+schema+".migrations").Scan(&known, &writes)
	return known, writes, true, err
}

// migrate applies the changes that the schema lacks, under a lock that two first starts share.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn, o Options) error {
	known, writes, found, err := applied(ctx, conn, s.schema)
	newest := s.build.newest()
	switch {
	case code(err) == codePrivilege:
		return errors.Join(s.checkRights(ctx, conn), err)
	case errors.Is(err, errForeign):
		return err
	case err != nil:
		return unreachable(err)
	case writes > newest:
		return fmt.Errorf("%w: the schema %s is written by a build that knows its change %d, and this one knows %d: use the newer build",
			storage.ErrNewer, s.schema, writes, newest)
	case known >= newest:
		return nil
	case o.Existing && !found:
		return fmt.Errorf("the schema %s of the database %q has no tables of a gate: check the connection string, and the option `schema`",
			s.schema, conn.Config().Database)
	case o.Manual:
		return fmt.Errorf("the schema %s lacks changes (it has %d of %d) and `migrations manual` is set: let its owner run what "+
			"'caddy email-link schema' prints", s.schema, known, newest)
	}
	for {
		err := s.apply(ctx, conn, found)
		switch {
		case err == nil:
			return nil
		case code(err) == codePrivilege:
			return s.explainMigration(ctx, conn, err)
		case code(err) == codeLockTimeout && ctx.Err() == nil:
			s.log.Info("the schema is being changed by another start, or its tables are in use; trying again", "event", "store")
		default:
			return fmt.Errorf("changing the schema %s: %w", s.schema, unreachable(err))
		}
	}
}

// explainMigration says which right is missing to change the schema.
func (s *Store) explainMigration(ctx context.Context, conn *pgx.Conn, cause error) error {
	user, grant := quoted(conn.Config().User), "grant create on database "+quoted(conn.Config().Database)
	var owner *string
	var create bool
	err := conn.QueryRow(ctx, "select pg_get_userbyid(nspowner), has_schema_privilege(oid, 'create') from pg_namespace where nspname = $1", s.schema).
		Scan(&owner, &create)
	switch {
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return unreachable(err)
	case owner != nil && create: // the tables have another owner
		return fmt.Errorf("the user %q may not change the tables of the schema %s: let their owner run what 'caddy email-link schema' prints, "+
			"and set `migrations manual`: %w", conn.Config().User, s.schema, cause)
	case owner != nil:
		grant = "grant usage, create on schema " + s.schema
	}
	return fmt.Errorf("the user %q may not make or change the schema %s: let its owner run what 'caddy email-link schema' prints, and "+
		"set `migrations manual`; or run: %s to %s: %w", conn.Config().User, s.schema, grant, user, cause)
}

// apply makes the schema and applies what it lacks, in one transaction.
func (s *Store) apply(ctx context.Context, conn *pgx.Conn, found bool) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // no effect after the commit
	for _, sql := range []string{"set local lock_timeout = '" + migrationWait + "'", fmt.Sprintf("select pg_advisory_xact_lock(%d)",
		lockNumber("migrations "+s.schema))} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	known := 0
	if !found { // another first start may have made it while this one waited
		if known, _, found, err = applied(ctx, tx, s.schema); err != nil {
			return err
		}
	}
	if !found {
		// Not "if not exists": that asks for the right to make one also where there is one.
		if _, err := tx.Exec(ctx, "do $$ begin if to_regnamespace('"+s.schema+"') is null then create schema "+s.schema+"; end if; end $$"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, metaTable(s.schema)); err != nil {
			return err
		}
	}
	if err := tx.QueryRow(ctx, "select coalesce(max(number), 0) from "+s.schema+".migrations").Scan(&known); err != nil {
		return err
	}
	for _, m := range s.build.migrations {
		if m.number <= known {
			continue
		}
		for _, sql := range []string{m.sql, recordMigration(s.schema, m.number, s.build.writes)} {
			if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return tx.Commit(ctx)
}
