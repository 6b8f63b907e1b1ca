// Package vault opens a database and its keys, for the running gate and for commands that open the file themselves. It persists
// the clock, sweeps expired records and ends the requests in flight of sessions that have ended.
package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// ErrNoDataKey is returned for a database with accounts or keys but without the data key that seals them. A new data key would
// make them unreadable for ever.
var ErrNoDataKey = errors.New("vault: the database has lost its data key; restore a backup")

// ErrMigrating is returned for a database that does not have all that is being copied into it.
var ErrMigrating = errors.New("vault: a migration into this database has not ended: run 'caddy email-link migrate' again as it was, or name " +
	"the storage that it copies from")

// Config is the input of [Open].
type Config struct {
	// Store is the open store. Required; it belongs to the Vault once Open has succeeded.
	Store storage.Store
	// Masters returns the master keys. Required. It is called with the sealed data key of the database. That is empty when the
	// database is new; only then may Masters create a key. It is called again if another process has made one meanwhile.
	Masters func(sealed []byte) ([][]byte, error)
	// Clock is the gate's clock; nil means the system's.
	Clock *clock.Clock
	// Log receives what no caller gets as an error; nil discards it.
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
	// Restored reports whether this was the first opening of a restored backup.
	Restored bool
	// Created reports whether the database was new.
	Created bool

	log    *slog.Logger
	cancel context.CancelFunc
	start  sync.Once
	wg     sync.WaitGroup
	probe  writeProbe
	// incarnation is the one of the database, doubt whether it is to be asked for again.
	incarnation atomic.Pointer[string]
	doubt       atomic.Bool
	// stepped reports whether the last log line about the wall clock was that it has stepped.
	stepped bool
	// shared is the store where other nodes use it too, else nil.
	shared storage.Shared
}

// Open opens the database in a store and its keys. It starts no goroutine: see [Vault.Start]. On an error the caller keeps the
// store.
//
// Errors: keyring.ErrForeignKey when no master key opens the database, [ErrNoDataKey], [ErrMigrating], those of cfg.Masters and the store's.
func Open(ctx context.Context, cfg Config) (*Vault, error) {
	v := &Vault{Store: cfg.Store, Clock: cfg.Clock, log: cfg.Log}
	v.shared, _ = cfg.Store.(storage.Shared)
	if v.Clock == nil {
		v.Clock = clock.New(nil)
		if v.shared != nil {
			v.Clock.Follow(func() time.Time {
				now, _ := v.shared.Now()
				return now
			})
		}
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	var err error
	for range openTries {
		if err = v.openKeys(ctx, cfg.Masters); !errors.Is(err, errKeyChanged) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	v.Store.Subscribe(v.changed)
	v.Accounts = &accounts.Service{Store: v.Store, Ring: v.Ring, Clock: v.Clock}
	v.Sessions = session.NewManager(v.Store, v.Ring, v.Clock, v.Accounts)
	v.Sessions.Log = v.log
	v.Machines = machinetoken.NewManager(v.Store, v.Ring, v.Clock, v.Accounts)
	v.Machines.Log = v.log
	if err := v.Machines.Load(ctx); err != nil {
		// Requests with a token get a 503 until Start's ticking has loaded them; everybody else goes on.
		v.log.Error("the machine tokens could not be loaded", "event", "unavailable", "error", err)
	}
	return v, nil
}

// SelfService returns what people do with their own accounts. log gets one line for each act; it may be nil.
func (v *Vault) SelfService(flows *flow.Service, log *slog.Logger) *selfservice.Service {
	return &selfservice.Service{
		Store: v.Store, Clock: v.Clock, Accounts: v.Accounts, Sessions: v.Sessions, Machines: v.Machines, Flows: flows, Log: log,
	}
}

// openTries bounds how often Open begins anew because another process has stored a data key meanwhile.
const openTries = 3

// errKeyChanged reports that the data key is not the one that was read.
var errKeyChanged = errors.New("the data key has changed meanwhile")

// openKeys opens the data key and the signing keys, and makes those that a new database needs.
func (v *Vault) openKeys(ctx context.Context, load func(sealed []byte) ([][]byte, error)) error {
	incarnation, err := v.Store.Incarnation(ctx)
	if err != nil {
		return fmt.Errorf("vault: asking which database this is: %w", err)
	}
	found, err := read(ctx, v.Store)
	if err != nil {
		return fmt.Errorf("vault: reading the database: %w", err)
	}
	if found.migrating {
		return ErrMigrating
	}
	if len(found.sealed) == 0 && found.used {
		return ErrNoDataKey
	}
	v.Created = len(found.sealed) == 0
	masters, err := load(found.sealed)
	if err != nil {
		return err
	}
	ring, resealed, err := keyring.Open(masters, found.sealed)
	if err != nil {
		return err
	}
	v.Ring = ring
	v.Clock.Restore(found.clock)
	if resealed != nil && !v.Created && v.shared != nil {
		// Nodes with other configurations would undo each other's.
		v.log.Warn("the database is sealed by an older key of `secret` than the first one: run 'caddy email-link reseal' when every node has the new one",
			"event", "config")
		resealed = nil
	}
	v.incarnation.Store(&incarnation)
	if found.restored || found.incarnation != "" && found.incarnation != incarnation {
		if _, err := v.EndRestored(ctx, nil); err != nil {
			return fmt.Errorf("vault: ending what a backup held: %w", err)
		}
		v.Restored = true
	}
	if err := v.storeKeys(ctx, found.sealed, resealed, incarnation); err != nil {
		return fmt.Errorf("vault: opening the keys: %w", err)
	}
	return nil
}

// contents is what Open reads from a database.
type contents struct {
	sealed   []byte
	clock    time.Time
	restored bool
	// migrating reports whether not all of another database has been copied into it.
	migrating bool
	// incarnation is the one that the database was last opened as, empty where none was stored.
	incarnation string
	// used reports whether anything is sealed with the data key.
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
		if _, c.migrating, err = tx.Meta().Get(storage.MetaMigration); err != nil {
			return err
		}
		if value, _, err = tx.Meta().Get(storage.MetaIncarnation); err != nil {
			return err
		}
		c.incarnation = string(value)
		if _, c.used, err = tx.Meta().Get(storage.MetaSigningKeys); err != nil || c.used {
			return err
		}
		c.used, err = tx.Accounts().Any()
		return err
	})
	return c, err
}

// storeKeys opens the signing keys and stores the keys that are new or sealed anew, in one transaction.
func (v *Vault) storeKeys(ctx context.Context, sealed, resealed []byte, incarnation string) error {
	var signing *keyring.SigningKeys
	err := v.Store.Update(ctx, func(tx storage.Tx) error {
		now, _, err := tx.Meta().GetForUpdate(storage.MetaDataKey)
		if err != nil {
			return err
		}
		if string(now) != string(sealed) {
			return errKeyChanged
		}
		if err := storeIncarnation(tx, incarnation); err != nil {
			return err
		}
		stored, _, err := tx.Meta().GetForUpdate(storage.MetaSigningKeys)
		if err != nil {
			return err
		}
		keys, changed, err := v.Ring.OpenSigningKeys(stored, v.Clock.Now())
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

// storeIncarnation notes which database this is, for the next opening.
func storeIncarnation(tx storage.Tx, incarnation string) error {
	stored, found, err := tx.Meta().GetForUpdate(storage.MetaIncarnation)
	if err != nil || string(stored) == incarnation && (found || incarnation == "") {
		return err
	}
	return tx.Meta().Put(storage.MetaIncarnation, []byte(incarnation))
}

// RotateSigningKey makes a new signing key, which is used once verifiers have had the time to fetch it. It returns the new
// key's id. The step that stores it runs beside, unless that is nil. Errors: keyring.ErrRotating while a rotation is under way, and
// the store's.
func (v *Vault) RotateSigningKey(ctx context.Context, beside func(storage.Tx) error) (id string, err error) {
	now := v.Clock.Now()
	err = v.Store.Update(ctx, func(tx storage.Tx) error {
		stored, _, err := tx.Meta().GetForUpdate(storage.MetaSigningKeys)
		if err != nil {
			return err
		}
		keys, _, err := v.Ring.OpenSigningKeys(stored, now)
		if err != nil {
			return err
		}
		sealed, err := keys.Rotate(now)
		if err != nil {
			return err
		}
		listed := keys.Listed(now)
		id = listed[len(listed)-1].ID
		if err := tx.Meta().Put(storage.MetaSigningKeys, sealed); err != nil {
			return err
		}
		if err := tx.Changes().Publish(storage.Change{Kind: storage.ChangeKeys}); err != nil || beside == nil {
			return err
		}
		return beside(tx)
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// changed takes over the signing keys that a committed step has stored. After a change of everything, which a lost connection is as well, the
// database may be another one.
func (v *Vault) changed(c storage.Change) {
	if c.Kind == storage.ChangeAll {
		v.doubt.Store(true)
	}
	if c.Kind != storage.ChangeKeys {
		return
	}
	if err := v.reloadSigning(context.Background()); err != nil {
		v.log.Warn("the signing keys could not be read; they are read again within a minute", "event", "unavailable", "error", err)
	}
}

// reloadSigning replaces the signing keys by the stored ones.
func (v *Vault) reloadSigning(ctx context.Context) error {
	var sealed []byte
	err := v.Store.View(ctx, func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get(storage.MetaSigningKeys)
		sealed = value
		return err
	})
	if err != nil {
		return err
	}
	return v.Signing.Reload(sealed)
}

// Close stops the work of Start, persists the clock and closes the store. It must be called once.
func (v *Vault) Close() error {
	// A later Start does nothing.
	v.start.Do(func() {})
	if v.cancel != nil {
		v.cancel()
	}
	v.wg.Wait()
	_ = v.Sessions.WriteUses(context.Background()) // what is lost is a minute of idle time
	err := v.SaveClock(context.Background())
	if errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrLocked) || v.shared != nil {
		// A minute of the clock is lost, and its cause has been logged already; or another process has the database, and keeps the clock.
		err = nil
	}
	return errors.Join(err, v.Store.Close())
}

// SaveClock persists the latest time that the clock trusts, unless a later one has been persisted.
func (v *Vault) SaveClock(ctx context.Context) error {
	trusted := v.Clock.Trusted()
	value := binary.BigEndian.AppendUint64(nil, uint64(trusted.Unix()))
	return v.Store.Update(ctx, func(tx storage.Tx) error {
		stored, _, err := tx.Meta().GetForUpdate(storage.MetaClock)
		if err != nil || parseTime(stored).Unix() >= trusted.Unix() {
			return err
		}
		return tx.Meta().Put(storage.MetaClock, value)
	})
}

// parseTime parses the value that SaveClock stores. It returns the zero time for anything else.
func parseTime(value []byte) time.Time {
	if len(value) != 8 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}
