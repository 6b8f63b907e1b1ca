// Package state opens a database and its keys into parts that are ready to use, for the running gate and for commands that
// open the file themselves, and looks after them: it persists the clock, sweeps what has expired and ends the sockets of
// sessions that are over.
package state

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
	"github.com/caddy-email-link/caddy-email-link/internal/machine"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// ErrNoDataKey says that a database holds accounts or keys, but not the data key they are sealed with. A new one would make
// them unreadable for good.
var ErrNoDataKey = errors.New("state: the database has lost its data key; restore a backup")

// Config says what to open.
type Config struct {
	// Store is the open store. Required; it belongs to the State once Open has succeeded.
	Store storage.Store
	// Masters returns the master keys. Required. It is called once, with the sealed data key of the database, which is empty
	// when the database is new: a key may be made then, and only then.
	Masters func(sealed []byte) ([][]byte, error)
	// Clock is the gate's clock; nil is the system's.
	Clock *clock.Clock
	// Log gets what nobody else is told; nil discards it.
	Log *slog.Logger
}

// State is an open database with its keys.
type State struct {
	Store    storage.Store
	Ring     *keyring.Ring
	Signing  *keyring.SigningKeys
	Clock    *clock.Clock
	Accounts *accounts.Service
	Sessions *session.Manager
	Machines *machine.Manager
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

// Open opens what is in a store. It starts nothing: see [State.Start]. On an error the store stays the caller's.
//
// Errors: keyring.ErrForeignKey when no master key opens the database, [ErrNoDataKey], those of cfg.Masters and the store's.
func Open(ctx context.Context, cfg Config) (*State, error) {
	s := &State{Store: cfg.Store, Clock: cfg.Clock, log: cfg.Log}
	if s.Clock == nil {
		s.Clock = clock.New(nil)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	found, err := read(ctx, cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("state: reading the database: %w", err)
	}
	if len(found.sealed) == 0 && found.used {
		return nil, ErrNoDataKey
	}
	s.Created = len(found.sealed) == 0
	masters, err := cfg.Masters(found.sealed)
	if err != nil {
		return nil, err
	}
	ring, resealed, err := keyring.Open(masters, found.sealed)
	if err != nil {
		return nil, err
	}
	s.Ring = ring
	s.Clock.Restore(found.clock)
	if found.restored {
		if err := s.killRestored(ctx); err != nil {
			return nil, fmt.Errorf("state: ending what a backup held: %w", err)
		}
	}
	if err := s.storeKeys(ctx, found.sealed, resealed); err != nil {
		return nil, fmt.Errorf("state: opening the keys: %w", err)
	}
	s.Accounts = &accounts.Service{Store: s.Store, Ring: s.Ring, Clock: s.Clock}
	s.Sessions = session.NewManager(s.Store, s.Ring, s.Clock, s.Accounts)
	s.Sessions.Log = s.log
	s.Machines = machine.NewManager(s.Store, s.Ring, s.Clock, s.Accounts)
	s.Machines.Log = s.log
	s.Sessions.Also = s.Machines.Changed
	if err := s.Machines.Load(ctx); err != nil {
		// Requests with a token get a 503 until Start's ticking has loaded them; everybody else goes on.
		s.log.Error("the machine tokens could not be loaded", "event", "unavailable", "error", err)
	}
	return s, nil
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
func (s *State) storeKeys(ctx context.Context, sealed, resealed []byte) error {
	var signing *keyring.SigningKeys
	err := s.Store.Update(ctx, func(tx storage.Tx) error {
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
		keys, changed, err := s.Ring.OpenSigningKeys(old, s.Clock.Now())
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
		return s.bear(tx)
	})
	s.Signing = signing
	return err
}

// bear notes the birth of a database that does not know it: a new one, or one from before anything asked for it.
func (s *State) bear(tx storage.Tx) error {
	if _, known, err := storage.MetaTime(tx, storage.MetaCreated); err != nil || known {
		return err
	}
	return storage.SetMetaTime(tx, storage.MetaCreated, s.Clock.Now())
}

// RotateSigningKey makes a new signing key, which is used once verifiers have had the time to fetch it. It returns the new
// key's id. Errors: keyring.ErrRotating while a rotation is under way, and the store's.
func (s *State) RotateSigningKey(ctx context.Context) (id string, err error) {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	now := s.Clock.Now()
	sealed, err := s.Signing.Rotate(now)
	if err != nil {
		return "", err
	}
	err = s.Store.Update(ctx, func(tx storage.Tx) error { return tx.Meta().Put(storage.MetaSigningKeys, sealed) })
	if err != nil {
		return "", errors.Join(err, s.reloadSigning())
	}
	listed := s.Signing.Listed(now)
	return listed[len(listed)-1].ID, nil
}

// reloadSigning takes over what is stored, after a rotation that was not.
func (s *State) reloadSigning() error {
	var sealed []byte
	err := s.Store.View(context.Background(), func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get(storage.MetaSigningKeys)
		sealed = append([]byte(nil), value...)
		return err
	})
	if err != nil {
		return err
	}
	return s.Signing.Reload(sealed)
}

// Close ends what Start has begun, persists the clock and closes the store. Call it once.
func (s *State) Close() error {
	// A Start that comes later begins nothing.
	s.start.Do(func() {})
	if s.cancel != nil {
		s.cancel()
	}
	s.wg.Wait()
	err := s.SaveClock(context.Background())
	if errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrUnknown) {
		// What is lost is a minute of the clock; why has been told where it happened.
		err = nil
	}
	return errors.Join(err, s.Store.Close())
}

// SaveClock persists the largest time believed.
func (s *State) SaveClock(ctx context.Context) error {
	value := binary.BigEndian.AppendUint64(nil, uint64(s.Clock.Trusted().Unix()))
	return s.Store.Update(ctx, func(tx storage.Tx) error { return tx.Meta().Put(storage.MetaClock, value) })
}

// parseTime reads what SaveClock writes; anything else is no time.
func parseTime(value []byte) time.Time {
	if len(value) != 8 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}
