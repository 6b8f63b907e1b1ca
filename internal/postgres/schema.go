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

// newest is the last change that this build knows.
func newest(list []migration) int { return list[len(list)-1].number }

// Statements returns the statements that make the schema, for operators who do it themselves, and the rights that the user of the
// connection string needs at run time, which exclude any change of the schema. It asks no server.
func (o Options) Statements() (string, error) {
	config, err := o.config()
	if err != nil {
		return "", err
	}
	user := config.ConnConfig.User
	var b strings.Builder
	list := migrations(o.Schema)
	fmt.Fprintf(&b, "begin;\ncreate schema if not exists %s;\n%s\n", o.Schema, metaTable(o.Schema))
	for _, m := range list {
		fmt.Fprintf(&b, "-- %s\n%s%s;\n", m.name, m.sql, recordMigration(o.Schema, m.number))
	}
	fmt.Fprintf(&b, "%s\ncommit;\n", strings.Join(grants(o.Schema, user), "\n"))
	return b.String(), nil
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

func recordMigration(schema string, number int) string {
	return fmt.Sprintf("insert into %s.migrations (number, writes) values (%d, %d)", schema, number, schemaWrites)
}

// applied reads which changes a schema has. found is false where there is no schema of the gate.
func applied(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, schema string,
) (known, writes int, found bool, err error) {
	var here, foreign bool
	err = q.QueryRow(ctx, "select to_regclass($1) is not null, exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace "+
		"where n.nspname = $2 and c.relkind in ('r', 'p', 'v'))", schema+".migrations", schema).Scan(&here, &foreign)
	switch {
	case err != nil:
		return 0, 0, false, err
	case !here && foreign:
		return 0, 0, false, fmt.Errorf("the schema %s holds tables that are not the gate's: name another one with the option `schema`", schema)
	case !here:
		return 0, 0, false, nil
	}
	err = q.QueryRow(ctx, "select coalesce(max(number), 0), coalesce(max(writes), 0) from "+schema+".migrations").Scan(&known, &writes)
	return known, writes, true, err
}

// migrate applies the changes that the schema lacks, under a lock that two first starts share.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn, manual bool) error {
	list := migrations(s.schema)
	known, writes, found, err := applied(ctx, conn, s.schema)
	switch {
	case err != nil:
		return s.explainRights(err, conn.Config().User)
	case writes > newest(list):
		return fmt.Errorf("%w: the schema %s is written by a build that knows its change %d, and this one knows %d: use the newer build",
			storage.ErrNewer, s.schema, writes, newest(list))
	case known >= newest(list):
		return nil
	case manual:
		return fmt.Errorf("the schema %s lacks changes (it has %d of %d) and `migrations manual` is set: let its owner run what "+
			"'caddy email-link schema' prints", s.schema, known, newest(list))
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // no effect after the commit
	if err := s.apply(ctx, tx, list, found); err != nil {
		if code(err) == codePrivilege {
			return fmt.Errorf("the user %q may not make or change the schema %s: let its owner run what 'caddy email-link schema' prints, and "+
				"set `migrations manual`; or run: grant create on database %s to %s: %w", conn.Config().User, s.schema,
				pgx.Identifier{conn.Config().Database}.Sanitize(), pgx.Identifier{conn.Config().User}.Sanitize(), err)
		}
		return fmt.Errorf("changing the schema %s: %w", s.schema, unreachable(err))
	}
	return nil
}

func (s *Store) apply(ctx context.Context, tx pgx.Tx, list []migration, found bool) error {
	for _, sql := range []string{"set local lock_timeout = '" + migrationWait + "'", fmt.Sprintf("select pg_advisory_xact_lock(%d)",
		lockNumber("migrations "+s.schema))} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	known := 0
	if !found { // another first start may have made it while this one waited
		var err error
		if known, _, found, err = applied(ctx, tx, s.schema); err != nil {
			return err
		}
	}
	if !found {
		if _, err := tx.Exec(ctx, "create schema if not exists "+s.schema); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, metaTable(s.schema)); err != nil {
			return err
		}
	}
	if err := tx.QueryRow(ctx, "select coalesce(max(number), 0) from "+s.schema+".migrations").Scan(&known); err != nil {
		return err
	}
	for _, m := range list {
		if m.number <= known {
			continue
		}
		for _, sql := range []string{m.sql, recordMigration(s.schema, m.number)} {
			if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return tx.Commit(ctx)
}

// checkRights tries what the gate does at run time, and names the right that is missing.
func (s *Store) checkRights(ctx context.Context, conn *pgx.Conn, user string) error {
	var usage bool
	if err := conn.QueryRow(ctx, "select has_schema_privilege($1, 'usage')", s.schema).Scan(&usage); err != nil {
		return unreachable(err)
	}
	if !usage {
		return missingRight("the schema "+s.schema, "usage", grants(s.schema, user)[0])
	}
	rows, err := conn.Query(ctx, "select c.relname, r from pg_class c join pg_namespace n on n.oid = c.relnamespace, "+
		"unnest(array['select', 'insert', 'update', 'delete']) r where n.nspname = $1 and c.relkind = 'r' and c.relname <> 'migrations' "+
		"and not has_table_privilege(c.oid, r) order by 1, 2 limit 1", s.schema)
	if err != nil {
		return unreachable(err)
	}
	missing, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m [2]string, err error) {
		err = r.Scan(&m[0], &m[1])
		return m, err
	})
	if err != nil {
		return unreachable(err)
	}
	if len(missing) > 0 {
		return missingRight("the table "+s.schema+"."+missing[0][0], missing[0][1], grants(s.schema, user)[1])
	}
	var execute bool
	if err := conn.QueryRow(ctx, "select has_function_privilege($1, 'execute')", s.schema+".must(boolean)").Scan(&execute); err != nil {
		return unreachable(err)
	}
	if !execute {
		return missingRight("the function "+s.schema+".must", "execute", grants(s.schema, user)[2])
	}
	return nil
}

func missingRight(on, right, grant string) error {
	return fmt.Errorf("the right %q on %s is missing: let the owner run: %s", right, on, grant)
}

// explainRights turns the refusal of a read into what is missing.
func (s *Store) explainRights(err error, user string) error {
	if code(err) == codePrivilege {
		return errors.Join(missingRight("the schema "+s.schema, "usage", strings.Join(grants(s.schema, user), " ")), err)
	}
	return unreachable(err)
}
