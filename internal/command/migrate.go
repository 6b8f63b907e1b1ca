package command

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/migrate"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Migration is the input of a [Migrator].
type Migration struct {
	// Configuration has the master keys. From and To are configurations whose storages are the source and the target, which Target is as the
	// operator has written it.
	Configuration, From, To []byte
	Target                  string
	// Progress is called with how many records of a kind have been copied, and how many there are.
	Progress func(kind storage.RecordKind, done, total int)
}

// Migrated says what was copied.
type Migrated struct {
	migrate.Result
	// Secret is the line `secret` that the configuration needs besides, empty if it has what it needs.
	Secret string
}

// Migrator copies everything from one storage to another.
type Migrator func(ctx context.Context, in Migration) (Migrated, error)

func (r *root) migrate() *cobra.Command {
	var from, to string
	var cmd *cobra.Command
	cmd = r.command("migrate --from <storage> --to <storage>", "Copies everything to another storage",
		`Copies everything that the gate keeps from one storage to another: from the database file to PostgreSQL, and back. Accounts, sessions, links,
queued mails, limits, machine tokens, keys and the audit log go on there as they were. Stop Caddy first, and afterwards write the new storage into
the configuration, as the command says.

A storage is written as after the option "storage", or as the path of a file, or as a postgres:// URL. The keys come from the configuration: the
data stays sealed as it is. The target has to be empty; nothing is written before everything was looked at. A copy that was interrupted, by
kill -9 too, goes on where it was if you run the same command again. At the end each kind of record has one digest on both sides.

The source is then marked as a restored copy: a Caddy that is started on it nevertheless ends every session and link there.

Examples:
  caddy email-link migrate --from /var/lib/caddy/email_link.db \
      --to 'postgres://gate:{env.GATE_DB_PASSWORD}@db.example.com/gate?sslmode=verify-full'
  caddy email-link migrate --from 'postgres "host=/run/postgresql user=gate dbname=gate"' --to 'bbolt /var/lib/caddy/email_link.db'`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			if from == "" || to == "" {
				return errors.New("--from and --to are both needed: what has the data, and where it is to go")
			}
			in, err := r.migration(from, to)
			if err != nil {
				return err
			}
			in.Progress = progress(cmd.ErrOrStderr())
			done, err := r.host.Migrate(ctx, in)
			if err != nil {
				return err
			}
			return r.print(out, migrationJSON(done), migrationText(done, storageWords(to)))
		})
	cmd.Flags().StringVar(&from, "from", "", "The storage that has the data")
	cmd.Flags().StringVar(&to, "to", "", "The storage that is to get it, which must be empty")
	return cmd
}

// migration reads the configuration and both storages.
func (r *root) migration(from, to string) (in Migration, err error) {
	in.Target = to
	if in.Configuration, err = r.load(); err != nil {
		return in, err
	}
	if in.From, err = storageConfiguration(from); err != nil {
		return in, fmt.Errorf("--from: %w", err)
	}
	if in.To, err = storageConfiguration(to); err != nil {
		return in, fmt.Errorf("--to: %w", err)
	}
	return in, nil
}

// storageWords returns a storage as the option takes it: a postgres:// URL and a path name their engine.
func storageWords(text string) string {
	text = strings.TrimSpace(text)
	first, _, _ := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(text, "postgres://"), strings.HasPrefix(text, "postgresql://"):
		return "postgres " + quoteWord(text)
	case strings.ContainsAny(first, `/\.`) && !strings.ContainsAny(first, "{=\n"), filepath.IsAbs(text):
		return "bbolt " + quoteWord(text)
	}
	return text
}

// storageConfiguration returns a configuration that has a storage.
func storageConfiguration(text string) ([]byte, error) {
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		return nil, errors.New("this Caddy has no Caddyfile adapter")
	}
	adapted, _, err := adapter.Adapt([]byte("{\n\temail_link {\n\t\tmailer none\n\t\tstorage "+storageWords(text)+"\n\t}\n}\n"),
		map[string]any{"filename": "storage"})
	return adapted, err
}

// progress returns what writes a line for each kind and each tenth of one.
func progress(out io.Writer) func(kind storage.RecordKind, done, total int) {
	var last string
	return func(kind storage.RecordKind, done, total int) {
		tenth := 10
		if total > 0 {
			tenth = done * 10 / total
		}
		if line := fmt.Sprint(kind, " ", tenth); total > 0 && line != last {
			fmt.Fprintf(out, "%s: %d of %d\n", kind, done, total)
			last = line
		}
	}
}

// migratedKind is one kind of record in the answer.
type migratedKind struct {
	Kind    string `json:"kind"`
	Records int    `json:"records"`
	Digest  string `json:"digest"`
}

// migrated is the answer of a migration.
type migrated struct {
	Resumed bool           `json:"resumed,omitempty"`
	Kinds   []migratedKind `json:"kinds"`
	Secret  string         `json:"secret,omitempty"`
}

func migrationJSON(done Migrated) migrated {
	answer := migrated{Resumed: done.Resumed, Secret: done.Secret}
	for _, d := range done.Kinds {
		answer.Kinds = append(answer.Kinds, migratedKind{d.Kind.String(), d.Records, hex.EncodeToString(d.Sum[:])})
	}
	return answer
}

// migrationText says what was copied, and what to write into the configuration.
func migrationText(done Migrated, storage string) string {
	var b strings.Builder
	rows := make([]string, len(done.Kinds))
	for i, d := range done.Kinds {
		rows[i] = row(d.Kind.String(), fmt.Sprint(d.Records), d.String())
	}
	_ = table(&b, "COPIED\tRECORDS\tDIGEST", rows) // a builder takes everything
	b.WriteString("\neach digest is the same on both sides; the source is now like a restored backup: what is live there ends if Caddy uses it again\n" +
		"write this into email_link { … } in the place of what is there, and start Caddy:\n\n\tstorage " + storage + "\n")
	if done.Secret != "" {
		b.WriteString("\t" + done.Secret + "\n")
	}
	return b.String()
}
