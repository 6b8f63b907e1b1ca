package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// KeySuffix is what the name of a key file that belongs to a backup ends in.
const KeySuffix = ".key"

func (r *root) backup() *cobra.Command {
	var withKey bool
	cmd := r.command("backup <file> [--with-key]", "Writes a consistent copy of the database",
		`Writes a consistent copy of the database while the gate keeps running; a database in PostgreSQL is backed up by pg_dump and the other tools
of its server instead. The copy is of no use without the master key that the command names. With --with-key the key is written beside it;
together they open every address, so keep them as you keep passwords.

A restored backup has the accounts. Sessions and links from before no longer work.

Example: caddy email-link backup /var/backups/email_link-2031-05-04.db`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error { return r.writeBackup(ctx, b, args[0], withKey, out) })
		})
	cmd.Flags().BoolVar(&withKey, "with-key", false, "Write the master key beside it, as <file>"+KeySuffix)
	return cmd
}

func (r *root) writeBackup(ctx context.Context, b operator.Operations, file string, withKey bool, out io.Writer) error {
	info, err := b.BackupInfo(ctx)
	if err != nil {
		return err
	}
	keyFile := ""
	if withKey {
		keys, err := b.MasterKeys(ctx)
		if err != nil {
			return err
		}
		keyFile = file + KeySuffix
		if err := writeNew(keyFile, func(w io.Writer) error { _, err := io.WriteString(w, keys); return err }); err != nil {
			return err
		}
	}
	if err := writeNew(file, func(w io.Writer) error { return b.Backup(ctx, w) }); err != nil {
		return err
	}
	return r.print(out, backedUp{file, info.Fingerprint, keyFile, info.KeyFile}, r.backupText(file, keyFile, info))
}

// backedUp is the answer of a backup.
type backedUp struct {
	File        string `json:"file"`
	Fingerprint string `json:"fingerprint"`
	// KeyFile is the copy of the key, empty without --with-key; Key is the file that holds the key now, empty where the option secret does.
	KeyFile string `json:"key_file,omitempty"`
	Key     string `json:"key,omitempty"`
}

// backupText says what was written, and where the key is that it needs.
func (r *root) backupText(file, keyFile string, info operator.BackupInfo) string {
	switch {
	case keyFile != "":
		return fmt.Sprintf("wrote %s and %s\nkeep them as you keep passwords: together they open every address\n", file, keyFile)
	case info.KeyFile != "":
		return fmt.Sprintf("wrote %s\nit is of no use without the master key %s, the file %s:\nkeep a copy of that file elsewhere, or write both with --with-key\n",
			file, info.Fingerprint, info.KeyFile)
	}
	return fmt.Sprintf("wrote %s\nit is of no use without the master key %s, which the option secret names: keep that too\n", file, info.Fingerprint)
}

// writeNew creates a file of mode 0600 that did not exist, whole or not at all.
func writeNew(path string, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists; name another file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".email_link-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	err = errors.Join(f.Chmod(0o600), write(f), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (r *root) restore() *cobra.Command {
	var keyFile string
	cmd := r.command("restore <file> [--key <file>]", "Restores a backup where there is no database",
		`Checks a backup, puts it where the configuration keeps its database, and writes the key file unless there is one. There must be no
database there and no running Caddy: stop Caddy, move the old file away, restore, start.

The first start ends every session, link and queued mail from before, and says so. A database in PostgreSQL is restored by pg_restore and the
other tools of its server; the gate finds out by itself.

Example: caddy email-link restore /var/backups/email_link-2031-05-04.db`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			if _, err := os.Stat(args[0]); err != nil {
				return err
			}
			keys, err := readBackupKey(args[0], keyFile)
			if err != nil {
				return err
			}
			configuration, err := r.load()
			if err != nil {
				return err
			}
			done, err := r.host.Restore(ctx, configuration, args[0], keys)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("restored %s, which the master key %s opens\n", done.Database, done.Fingerprint)
			if done.KeyFile != "" {
				text += "wrote the key file " + done.KeyFile + "\n"
			}
			return r.print(out, done, text+"sessions and links from before are dead; start Caddy now\n")
		})
	cmd.Flags().StringVar(&keyFile, "key", "", "The key file that came with the backup (default: <file>"+KeySuffix+" if it exists)")
	return cmd
}

func (r *root) restored() *cobra.Command {
	var yes bool
	var cmd *cobra.Command
	cmd = r.command("restored [--yes]", "Ends everything in a database that was put back",
		`Ends every session, link, machine token and queued mail, as the first start on a restored backup does. Use it where the gate cannot
tell that its database is an older one: after the snapshot of a volume or of a file was put back, or after a failover that has lost
something where the option "failover keep" is set. Accounts stay, and everybody signs in again.

Example: caddy email-link restored --yes`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			if !yes {
				if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), "end every session, link, machine token and queued mail"); err != nil {
					return err
				}
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				done, err := b.EndRestored(ctx)
				if err != nil {
					return err
				}
				return r.print(out, done, "ended every session, link and machine token, and "+count(done.Mails, "queued mail")+"\n")
			})
		})
	cmd.Flags().BoolVar(&yes, "yes", false, "Do not ask")
	return cmd
}

func (r *root) schema() *cobra.Command {
	return r.command("schema", "Prints the SQL that makes the schema of a database in PostgreSQL",
		`Prints what makes the tables of the configured database, and the rights that the gate's user needs afterwards: for a server on
which that user may not make tables. Let the owner of the database run it, and set "migrations manual". It asks no server.

Example: caddy email-link schema --config /etc/caddy/Caddyfile | psql "$OWNER_DSN"`, 0, 0,
		func(_ context.Context, _ []string, out io.Writer) error {
			configuration, err := r.load()
			if err != nil {
				return err
			}
			statements, err := r.host.Schema(configuration)
			if err != nil {
				return err
			}
			return r.print(out, map[string]string{"sql": statements}, statements)
		})
}

// readBackupKey reads the named key file, or the one beside the backup where there is one.
func readBackupKey(backup, named string) (string, error) {
	path := named
	if path == "" {
		path = backup + KeySuffix
	}
	text, err := os.ReadFile(path)
	if named == "" && errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}
