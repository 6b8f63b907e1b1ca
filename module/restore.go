package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/caddy-email-link/caddy-email-link/internal/command"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

// schemaStatements returns what makes the schema of a configuration's database.
func schemaStatements(configuration []byte) (string, error) {
	app, err := offline(configuration)
	if err != nil {
		return "", err
	}
	guest, ok := app.storage.(SchemaGuest)
	if !ok {
		return "", errors.New("the configured storage has no schema that an operator makes: it is for 'storage postgres'")
	}
	return guest.Statements()
}

// restoreBackup puts a backup where the configuration keeps its database. It works on a copy beside that place, which gets the
// place's name as its last step: a restore that fails leaves nothing behind.
func restoreBackup(ctx context.Context, configuration []byte, backup, keyText string) (command.Restored, error) {
	app, err := offline(configuration)
	if err != nil {
		return command.Restored{}, err
	}
	own, ok := app.storage.(*StorageBbolt)
	if !ok {
		return command.Restored{}, errors.New("this storage is restored by the tools of its server, such as pg_restore, from a copy that they made; " +
			"keep the keys of `secret`. The first start on it ends every session, link and queued mail; after the snapshot of a volume, which " +
			"looks like the original, run 'caddy email-link restored' before that")
	}
	done := command.Restored{Database: own.path}
	if _, err := os.Lstat(own.path); err == nil {
		return done, fmt.Errorf("there is a database at %s: stop Caddy and move it away first", own.path)
	}
	if err := os.MkdirAll(filepath.Dir(own.path), 0o700); err != nil {
		return done, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(own.path), ".restore-*")
	if err != nil {
		return done, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what went well is in its place by then
	work := filepath.Join(dir, "email_link.db")
	if err := copyFile(work, backup); err != nil {
		return done, err
	}
	sealed, err := markRestored(ctx, work)
	if err != nil {
		return done, fmt.Errorf("%s is no backup that can be restored: %w", backup, err)
	}
	if done.Fingerprint, err = keyring.SealedBy(sealed); err != nil {
		return done, err
	}
	if done.KeyFile, err = app.secrets.adopt(dir, keyText, sealed); err != nil {
		return done, err
	}
	if err := os.Link(work, own.path); err != nil { // unlike a rename it never replaces a file
		return done, fmt.Errorf("putting the database into its place: %w", err)
	}
	return done, nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// markRestored checks a copy, marks it as restored, also when it was copied by other means than `backup`, and returns its
// sealed data key.
func markRestored(ctx context.Context, path string) (sealed []byte, err error) {
	store, err := bolt.Open(ctx, bolt.Options{Path: path})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Check(ctx); err != nil {
		return nil, err
	}
	err = store.Update(ctx, func(tx storage.Tx) error {
		value, found, err := tx.Meta().Get(storage.MetaDataKey)
		if err != nil {
			return err
		}
		if !found {
			return errors.New("it holds no data key")
		}
		sealed = append([]byte(nil), value...)
		return tx.Meta().Put(storage.MetaRestored, []byte{1})
	})
	return sealed, err
}

// adopt makes sure that the configured keys open a restored database. A key that came with the backup becomes the key file
// where there is none; scratch is a directory to try it in.
func (s secrets) adopt(scratch, keyText string, sealed []byte) (written string, err error) {
	if s.masters == nil {
		if _, err := os.Lstat(s.keyFile); errors.Is(err, os.ErrNotExist) && keyText != "" {
			return s.keyFile, writeKeyFile(s.keyFile, filepath.Join(scratch, "master.key"), keyText, sealed)
		}
	}
	masters, err := s.load(sealed)
	if err != nil {
		return "", err
	}
	_, _, err = keyring.Open(masters, sealed)
	return "", s.explain(err)
}

func writeKeyFile(path, trial, text string, sealed []byte) error {
	if err := os.WriteFile(trial, []byte(text), 0o600); err != nil {
		return err
	}
	masters, _, err := keyring.LoadOrCreateKeyFile(trial, true)
	if err == nil {
		_, _, err = keyring.Open(masters, sealed)
	}
	if err != nil {
		return fmt.Errorf("the key that came with the backup does not open it: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.Rename(trial, path)
}
