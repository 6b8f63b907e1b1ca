// Package migrate copies everything that a gate keeps from one storage to another, record by record through the port, so that accounts,
// sessions, links, queued mails, limits, tokens and keys go on there as they were.
//
// Each page of records and the mark that says how far the copy is are one step of the target, under [storage.MetaMigration]. So a copy that is
// killed goes on where it was, and a gate that is started on a target that is not complete refuses it. At the end the target is read again, and
// each kind of record has to have the digest that it has in the source:
//
//	survey the source → copy page by page → compare → mark the source → take the mark off the target
//
// The source is then marked as a restored copy, because what ends in the target from now on does not end there: a gate that is started on it
// nevertheless ends everything first.
//
// Not copied is what an engine keeps for itself: indexes, locks, the list of nodes, the changes that they tell each other.
package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Errors of [Run] that say what is wrong with a storage. Nothing was written, but for [ErrDiffers].
var (
	// ErrNoGate reports that the source has no data key.
	ErrNoGate = errors.New("no gate has kept anything there")
	// ErrUnfinished reports that the source is the target of a migration that has not ended.
	ErrUnfinished = errors.New("a migration into it has not ended: finish that one first")
	// ErrInUse reports that the target is not empty, and not the beginning of this migration.
	ErrInUse = errors.New("it is not empty")
	// ErrOther reports that the target is the beginning of a migration from another source.
	ErrOther = errors.New("a migration from another database into it has not ended")
	// ErrNoRoom reports that the target's disk is too small.
	ErrNoRoom = errors.New("there is not enough room")
	// ErrDiffers reports that the target does not have what the source has.
	ErrDiffers = errors.New("what was copied is not what the source has")
)

// Options is the input of [Run].
type Options struct {
	// Source is open for this process alone. Required.
	Source storage.Store
	// OpenTarget opens the target for this process alone, and creates it where it is missing. Required. Run closes it.
	OpenTarget func(ctx context.Context) (storage.Store, error)
	// CheckKey is called with the sealed data key of the source, and returns an error if the configured master keys do not open it. Required.
	CheckKey func(sealed []byte) error
	// Capacity returns how many bytes the target may take; known is false where that cannot be found out. Nil: it cannot.
	Capacity func() (bytes uint64, known bool, err error)
	// Progress is called with how many records of a kind are in the target, and how many there will be. Nil: nobody asks.
	Progress func(kind storage.RecordKind, done, total int)
	// Page is how many records one step writes. Default: 500.
	Page int
}

// defaultPage keeps a step far below the bounds that engines have for one.
const defaultPage = 500

// Result says what was copied.
type Result struct {
	Kinds []Digest
	// Resumed reports whether an earlier run had begun.
	Resumed bool
}

// Digest is what the records of one kind come to.
type Digest struct {
	Kind    storage.RecordKind
	Records int
	// Sum is a SHA-256 over all of them, in their order.
	Sum [sha256.Size]byte
	// Bytes is how much they hold.
	Bytes uint64
}

// String returns the digest in hex, shortened for people.
func (d Digest) String() string { return hex.EncodeToString(d.Sum[:8]) }

// run is one run of a migration.
type run struct {
	Options
	target storage.Store
	// source names the database that is copied.
	source string
	// restored is set when the source is a restored copy on which no gate was started yet.
	restored bool
	survey   []Digest
}

// Run copies everything from the source to the target, or what an earlier run has left.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Page <= 0 {
		o.Page = defaultPage
	}
	if o.Progress == nil {
		o.Progress = func(storage.RecordKind, int, int) {}
	}
	r := &run{Options: o}
	if err := r.look(ctx); err != nil {
		return Result{}, fmt.Errorf("the source: %w", err)
	}
	if err := r.checkRoom(); err != nil {
		return Result{}, fmt.Errorf("the target: %w", err)
	}
	target, err := o.OpenTarget(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("the target: %w", err)
	}
	r.target = target
	resumed, err := r.copy(ctx)
	if err = errors.Join(err, target.Close()); err != nil {
		return Result{}, err
	}
	return Result{r.survey, resumed}, nil
}

// look reads the whole source, and refuses one that cannot be copied.
func (r *run) look(ctx context.Context) error {
	incarnation, err := r.Source.Incarnation(ctx)
	if err != nil {
		return err
	}
	var sealed []byte
	var unfinished bool
	err = r.Source.View(ctx, func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get(storage.MetaDataKey)
		if err != nil {
			return err
		}
		sealed = value
		if _, unfinished, err = tx.Meta().Get(storage.MetaMigration); err != nil {
			return err
		}
		if _, r.restored, err = tx.Meta().Get(storage.MetaRestored); err != nil {
			return err
		}
		last, _, err := tx.Meta().Get(storage.MetaIncarnation)
		r.restored = r.restored || len(last) > 0 && string(last) != incarnation
		return err
	})
	switch {
	case err != nil:
		return err
	case unfinished:
		return ErrUnfinished
	case len(sealed) == 0:
		return ErrNoGate
	}
	if err := r.CheckKey(sealed); err != nil {
		return err
	}
	name := sha256.Sum256(sealed)
	r.source = hex.EncodeToString(name[:])
	for _, kind := range storage.RecordKinds() {
		d, err := sum(ctx, r.Source, kind, r.Page)
		if err != nil {
			return fmt.Errorf("reading its %s: %w", kind, err)
		}
		r.survey = append(r.survey, d)
	}
	return nil
}

// spare is how much more room than what the records hold a target needs: for keys and indexes, pages that are not full, and the log of an engine.
const (
	spareFactor = 3
	spareBytes  = 16 << 20
)

func (r *run) checkRoom() error {
	if r.Capacity == nil {
		return nil
	}
	room, known, err := r.Capacity()
	if err != nil || !known {
		return err
	}
	need := uint64(spareBytes)
	for _, d := range r.survey {
		need += spareFactor * d.Bytes
	}
	if room < need {
		return fmt.Errorf("%w: it needs about %d MiB and may take %d", ErrNoRoom, need>>20, room>>20)
	}
	return nil
}

// mark is what the target has under [storage.MetaMigration].
type mark struct {
	// Source names the source.
	Source string `json:"source"`
	// Restored is set when the source was a restored copy as the migration began: the target has to end what such a copy ends.
	Restored bool `json:"restored,omitempty"`
	// Kind is what is being copied, After the position of the last record in the source, and Done how many of them there are.
	Kind  storage.RecordKind `json:"kind"`
	After []byte             `json:"after,omitempty"`
	Done  int                `json:"done,omitempty"`
}

func (r *run) copy(ctx context.Context) (resumed bool, err error) {
	m, found, err := readMark(ctx, r.target)
	switch {
	case err != nil:
		return false, fmt.Errorf("the target: %w", err)
	case found && m.Source != r.source:
		return false, fmt.Errorf("the target: %w", ErrOther)
	case !found:
		if err := empty(ctx, r.target); err != nil {
			return false, fmt.Errorf("the target: %w", err)
		}
		m = mark{Source: r.source, Restored: r.restored, Kind: storage.KindAccounts}
	}
	r.restored = m.Restored
	for i, kind := range storage.RecordKinds() {
		if kind < m.Kind {
			continue
		}
		if kind > m.Kind {
			m = mark{Source: r.source, Restored: r.restored, Kind: kind}
		}
		if err := r.copyKind(ctx, m, r.survey[i].Records); err != nil {
			return found, fmt.Errorf("copying %s: %w", kind, err)
		}
	}
	if err := r.compare(ctx); err != nil {
		return found, err
	}
	if err := r.finish(ctx); err != nil {
		return found, fmt.Errorf("finishing: %w", err)
	}
	return found, nil
}

// readMark reads how far an earlier run has come.
func readMark(ctx context.Context, target storage.Store) (m mark, found bool, err error) {
	var value []byte
	err = target.View(ctx, func(tx storage.Tx) error {
		value, found, err = tx.Meta().Get(storage.MetaMigration)
		return err
	})
	if err == nil && found {
		err = json.Unmarshal(value, &m)
	}
	return m, found, err
}

// empty returns an error if a store has any record.
func empty(ctx context.Context, target storage.Store) error {
	return target.View(ctx, func(tx storage.Tx) error {
		for _, kind := range storage.RecordKinds() {
			list, _, err := tx.Records().List(kind, nil, 1)
			if err != nil {
				return err
			}
			if len(list) > 0 {
				return fmt.Errorf("%w: it has %s already", ErrInUse, kind)
			}
		}
		return nil
	})
}

// copyKind copies the records of a kind from a mark on.
func (r *run) copyKind(ctx context.Context, m mark, total int) error {
	r.Progress(m.Kind, m.Done, total)
	for {
		p, err := read(ctx, r.Source, m.Kind, m.After, r.Page)
		if err != nil {
			return err
		}
		m.After, m.Done = p.end, m.Done+len(p.records)
		if err := r.target.Update(ctx, func(tx storage.Tx) error { return put(tx, p.records, m) }); err != nil {
			return err
		}
		r.Progress(m.Kind, m.Done, total)
		if p.last {
			return nil
		}
	}
}

// page is a page of records, without those that are true of their own database alone.
type page struct {
	records []storage.Record
	// end is the position of the last one; last is set when no other page follows.
	end  []byte
	last bool
}

func read(ctx context.Context, s storage.Store, kind storage.RecordKind, after []byte, size int) (p page, err error) {
	err = s.View(ctx, func(tx storage.Tx) error {
		list, end, err := tx.Records().List(kind, after, size)
		p = page{end: end, last: len(list) < size}
		p.records = slices.DeleteFunc(list, own)
		return err
	})
	return p, err
}

// put stores a page and how far the copy is then.
func put(tx storage.Tx, list []storage.Record, m mark) error {
	for _, record := range list {
		if err := tx.Records().Put(record); err != nil {
			return err
		}
	}
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return tx.Meta().Put(storage.MetaMigration, value)
}

// own reports whether a record is true of its own database alone.
func own(r storage.Record) bool {
	m, ok := r.(storage.MetaRecord)
	return ok && slices.Contains([]string{storage.MetaMigration, storage.MetaIncarnation, storage.MetaRestored}, m.Name)
}

// compare reads the target, and compares the digests of each kind.
func (r *run) compare(ctx context.Context) error {
	var errs []error
	for _, want := range r.survey {
		got, err := sum(ctx, r.target, want.Kind, r.Page)
		if err != nil {
			return fmt.Errorf("reading the %s of the target: %w", want.Kind, err)
		}
		if got.Records != want.Records || !bytes.Equal(got.Sum[:], want.Sum[:]) {
			errs = append(errs, fmt.Errorf("%w: the source has %d %s (%s), the target %d (%s)", ErrDiffers, want.Records, want.Kind, want, got.Records, got))
		}
	}
	return errors.Join(errs...)
}

// finish marks the source, whose sessions and links now live in the target, and then makes the target one that a gate may open.
func (r *run) finish(ctx context.Context) error {
	err := r.Source.Update(ctx, func(tx storage.Tx) error {
		_, was, err := tx.Meta().GetForUpdate(storage.MetaRestored)
		if err != nil || was {
			return err
		}
		return tx.Meta().Put(storage.MetaRestored, []byte{1})
	})
	if err != nil {
		return err
	}
	incarnation, err := r.target.Incarnation(ctx)
	if err != nil {
		return err
	}
	return r.target.Update(ctx, func(tx storage.Tx) error {
		if r.restored {
			if err := tx.Meta().Put(storage.MetaRestored, []byte{1}); err != nil {
				return err
			}
		}
		if incarnation != "" {
			if err := tx.Meta().Put(storage.MetaIncarnation, []byte(incarnation)); err != nil {
				return err
			}
		}
		return tx.Meta().Delete(storage.MetaMigration)
	})
}
