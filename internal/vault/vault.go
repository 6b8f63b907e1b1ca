// Package vault opens a database and its keys into parts that are ready to use, for the running gate and for commands that
// open the file themselves, and looks after them: it persists the clock, sweeps what has expired and ends the sockets of
// sessions that are over.
package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// ErrNoDataKey says that a database holds accounts or keys, but not the data key they are sealed with. A new one would make
// them unreadable for good.
var ErrNoDataKey = errors.New("vault: the database has lost its data key; restore a backup")

// Config says what to open.
type Config struct {
	// Store is the open store. Required; it belongs to the Vault once Open has succeeded.
	Store storage.Store
	// Masters returns the master keys. Required. It is called once, with the sealed data key of the database, which is empty
	// when the database is new: a key may be made then, and only then.
	Masters func(sealed []byte) ([][]byte, error)
	// Clock is the gate's clock; nil is the system's.
	Clock *clock.Clock
	// Log gets what nobody else is told; nil discards it.
	Log *slog.Logger
}

// Vault is an open database with its keys.
type Vault struct {
	Store    storage.Store
	Ring     *keyring.Ring
	Signing  *keyring.SigningKeys
	Clock    *clock.Clock
	Accounts *accounts.Service
	Sessions *session.Manager
	Machines *machinetoken.Manager
	// Restored says that this was the first opening of a restored backup.
	Restored bool
	// Created says that the database was new.
	Created bool

	log      *slog.Logger
	cancel   context.CancelFunc
	start    sync.Once
	wg       sync.WaitGroup
	rotating sync.Mutex
	// stepped is what was logged last about the wall clock.
	stepped bool
}

// Open opens what is in a store. It starts nothing: see [Vault.Start]. On an error the store stays the caller's.
//
// Errors: keyring.ErrForeignKey when no master key opens the database, [ErrNoDataKey], those of cfg.Masters and the store's.
func Open(ctx context.Context, cfg Config) (*Vault, error) {
	v := &Vault{Store: cfg.Store, Clock: cfg.Clock, log: cfg.Log}
	if v.Clock == nil {
		v.Clock = clock.New(nil)
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	found, err := read(ctx, cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("vault: reading the database: %w", err)
	}
	if len(found.sealed) == 0 && found.used {
		return nil, ErrNoDataKey
	}
	v.Created = len(found.sealed) == 0
	masters, err := cfg.Masters(found.sealed)
	if err != nil {
		return nil, err
	}
	ring, resealed, err := keyring.Open(masters, found.sealed)
	if err != nil {
		return nil, err
	}
	v.Ring = ring
	v.Clock.Restore(found.clock)
	if found.restored {
		if err := v.killRestored(ctx); err != nil {
			return nil, fmt.Errorf("vault: ending what a backup held: %w", err)
		}
	}
	if err := v.storeKeys(ctx, found.sealed, resealed); err != nil {
		return nil, fmt.Errorf("vault: opening the keys: %w", err)
	}
	v.Accounts = &accounts.Service{Store: v.Store, Ring: v.Ring, Clock: v.Clock}
	v.Sessions = session.NewManager(v.Store, v.Ring, v.Clock, v.Accounts)
	v.Sessions.Log = v.log
	v.Machines = machinetoken.NewManager(v.Store, v.Ring, v.Clock, v.Accounts)
	v.Machines.Log = v.log
	v.Sessions.Also = v.Machines.Changed
	if err := v.Machines.Load(ctx); err != nil {
		// Requests with a token get a 503 until Start's ticking has loaded them; everybody else goes on.
		v.log.Error("the machine tokens could not be loaded", "event", "unavailable", "error", err)
	}
	return v, nil
}

// contents is what Open finds in a database.
type contents struct {
	sealed   []byte
	clock    time.Time
	restored bool
	// used says that something is sealed with the data key.
	used bool
}

func read(ctx context.Context, store storage.Store) (c contents, err error) {
	err = store.View(ctx, func(tx storage.Tx) error {
		c = contents{}
		value, _, err := tx.Meta().Get(storage.MetaDataKey)
		if err != nil {
			return err
		}
		c.sealed = append([]byte(nil), value...)
		if value, _, err = tx.Meta().Get(storage.MetaClock); err != nil {
			return err
		}
		c.clock = parseTime(value)
		if _, c.restored, err = tx.Meta().Get(storage.MetaRestored); err != nil {
			return err
		}
		if _, c.used, err = tx.Meta().Get(storage.MetaSigningKeys); err != nil || c.used {
			return err
		}
		c.used, err = tx.Accounts().Any()
		return err
	})
	return c, err
}

// storeKeys opens the signing keys and stores what is new of all keys, in one step.
func (v *Vault) storeKeys(ctx context.Context, sealed, resealed []byte) error {
	var signing *keyring.SigningKeys
	err := v.Store.Update(ctx, func(tx storage.Tx) error {
		now, _, err := tx.Meta().Get(storage.MetaDataKey)
		if err != nil {
			return err
		}
		if string(now) != string(sealed) {
			return errors.New("the data key has changed meanwhile")
		}
		old, _, err := tx.Meta().Get(storage.MetaSigningKeys)
		if err != nil {
			return err
		}
		keys, changed, err := v.Ring.OpenSigningKeys(old, v.Clock.Now())
		if err != nil {
			return err
		}
		if resealed != nil {
			if err := tx.Meta().Put(storage.MetaDataKey, resealed); err != nil {
				return err
			}
		}
		if changed != nil {
			if err := tx.Meta().Put(storage.MetaSigningKeys, changed); err != nil {
				return err
			}
		}
		signing = keys
		return v.recordCreation(tx)
	})
	v.Signing = signing
	return err
}

// recordCreation stores the time of creation in a database that has none: a new one, or one of a build that did not store it.
func (v *Vault) recordCreation(tx storage.Tx) error {
	if _, known, err := storage.MetaTime(tx, storage.MetaCreated); err != nil || known {
		return err
	}
	return storage.SetMetaTime(tx, storage.MetaCreated, v.Clock.Now())
}

// RotateSigningKey makes a new signing key, which is used once verifiers have had the time to fetch it. It returns the new
// key's id. Errors: keyring.ErrRotating while a rotation is under way, and the store's.
func (v *Vault) RotateSigningKey(ctx context.Context) (id string, err error) {
	v.rotating.Lock()
	defer v.rotating.Unlock()
	now := v.Clock.Now()
	sealed, err := v.Signing.Rotate(now)
	if err != nil {
		return "", err
	}
	err = v.Store.Update(ctx, func(tx storage.Tx) error { return tx.Meta().Put(storage.MetaSigningKeys, sealed) })
	if err != nil {
		return "", errors.Join(err, v.reloadSigning())
	}
	listed := v.Signing.Listed(now)
	return listed[len(listed)-1].ID, nil
}

// reloadSigning takes over what is stored, after a rotation that was not.
func (v *Vault) reloadSigning() error {
	var sealed []byte
	err := v.Store.View(context.Background(), func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get(storage.MetaSigningKeys)
		sealed = append([]byte(nil), value...)
		return err
	})
	if err != nil {
		return err
	}
	return v.Signing.Reload(sealed)
}

// Close ends what Start has begun, persists the clock and closes the store. Call it once.
func (v *Vault) Close() error {
	// A Start that comes later begins nothing.
	v.start.Do(func() {})
	if v.cancel != nil {
		v.cancel()
	}
	v.wg.Wait()
	err := v.SaveClock(context.Background())
	if errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrUnknown) {
		// What is lost is a minute of the clock; why has been told where it happened.
		err = nil
	}
	return errors.Join(err, v.Store.Close())
}

// SaveClock persists the largest time believed.
func (v *Vault) SaveClock(ctx context.Context) error {
	value := binary.BigEndian.AppendUint64(nil, uint64(v.Clock.Trusted().Unix()))
	return v.Store.Update(ctx, func(tx storage.Tx) error { return tx.Meta().Put(storage.MetaClock, value) })
}

// parseTime reads what SaveClock writes; anything else is no time.
func parseTime(value []byte) time.Time {
	if len(value) != 8 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}
