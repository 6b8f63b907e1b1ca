package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/command"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/migrate"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// migrateStorage copies everything from one storage to another, under the keys of a configuration.
func migrateStorage(ctx context.Context, in command.Migration) (done command.Migrated, err error) {
	app, err := offline(in.Configuration)
	if err != nil {
		return done, err
	}
	from, err := movable(in.From)
	if err != nil {
		return done, fmt.Errorf("--from: %w", err)
	}
	to, err := movable(in.To)
	if err != nil {
		return done, fmt.Errorf("--to: %w", err)
	}
	if from.StorageKey() == to.StorageKey() {
		return done, errors.New("--from and --to name the same database: name another one to move to")
	}
	source, err := from.OpenToMove(ctx, true)
	if err != nil {
		return done, fmt.Errorf("--from: %w", explainMove(err, in.Target, from))
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	result, err := migrate.Run(ctx, migrate.Options{
		Source:     source,
		OpenTarget: func(ctx context.Context) (storage.Store, error) { return to.OpenToMove(ctx, false) },
		CheckKey:   app.secrets.opens,
		Capacity:   to.Capacity,
		Progress:   in.Progress,
	})
	if err != nil {
		return done, explainMove(err, in.Target, to)
	}
	return command.Migrated{Result: result, Secret: app.secretLine(to)}, nil
}

// movable reads a storage out of a configuration, and checks it.
func movable(configuration []byte) (MovableStorage, error) {
	var in struct {
		Apps struct {
			Gate struct {
				StorageRaw json.RawMessage `caddy:"namespace=email_link.storage inline_key=engine" json:"storage"`
			} `json:"email_link"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(configuration, &in); err != nil {
		return nil, err
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		return nil, err
	}
	guest, err := ctx.LoadModule(&in.Apps.Gate, "StorageRaw")
	if err != nil {
		return nil, err
	}
	place, ok := guest.(MovableStorage)
	if !ok {
		return nil, fmt.Errorf("the storage %T cannot move", guest)
	}
	return place, nil
}

// opens returns an error if the keys do not open a data key.
func (s secrets) opens(sealed []byte) error {
	masters, err := s.load(sealed)
	if err != nil {
		return err
	}
	if _, _, err := keyring.Open(masters, sealed); err != nil {
		return fmt.Errorf("%w; name the configuration with its key with --config: the key moves with the database", s.explain(err))
	}
	return nil
}

// explainMove adds what to do about a storage from which or to which nothing was moved. again is the target as the operator has written it.
func explainMove(err error, again string, place MovableStorage) error {
	switch {
	case errors.Is(err, storage.ErrLocked):
		return fmt.Errorf("%w\nstop every Caddy that uses it, and run the command again; if process %d is named, which is this command, --from and --to "+
			"are one database", err, os.Getpid())
	case errors.Is(err, migrate.ErrInUse):
		return fmt.Errorf("%w: name an empty one, or, if nothing there is needed, %s", err, place.EmptyAdvice())
	case errors.Is(err, migrate.ErrOther):
		return fmt.Errorf("%w: run that one again, or, if nothing there is needed, %s", err, place.EmptyAdvice())
	case errors.Is(err, migrate.ErrDiffers):
		return fmt.Errorf("%w\na Caddy has used one of them since the first run, perhaps: %s, and run the command again with --to %q", err, place.EmptyAdvice(), again)
	case errors.Is(err, migrate.ErrNoRoom):
		return fmt.Errorf("%w: make room there, or name another place", err)
	}
	return err
}

// secretLine returns the line `secret` that a configuration with another storage needs, empty if it needs no other one than it has.
func (a *App) secretLine(to StorageGuest) string {
	shared, ok := to.(SharedStorage)
	if !ok || !shared.DemandsSecret() || a.secrets.masters != nil {
		return ""
	}
	file := a.secrets.keyFile
	want, _, err := keyring.LoadOrCreateKeyFile(file, true)
	if err != nil {
		return ""
	}
	if text, _, err := readSecretFile(file); err == nil {
		if got, err := keyring.ParseMasters([]string{text}); err == nil && reflect.DeepEqual(got, want) {
			return `secret "{file.` + strings.ReplaceAll(file, `\`, `\\`) + `}"`
		}
	}
	return fmt.Sprintf("secret <each of the %d keys of %s, in their order>", len(want), file)
}
