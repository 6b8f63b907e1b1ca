package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// schema is the number of the layout of the file: its buckets, their keys and the formats of its records. A file with a larger one is
// refused, one with a smaller one gets what is missing when it is opened.
const schema = 8

// since names the schema with which a bucket came, where that is not the first.
var since = map[bucket]uint32{bMachineTokens: 2, bEventTimes: 3, bEventAccounts: 7, bInvitations: 8, bInvitationIndex: 8}

var schemaKey = []byte("schema")

const (
	defaultTimeout = 5 * time.Second
	// lockSlice is how long bbolt waits for the lock before the context is looked at again.
	lockSlice = 150 * time.Millisecond
	// allocSize is by how much the file grows at a time.
	allocSize = 4 << 20
)

// Open opens the database, and creates it together with its directory when it does not exist. It returns an error that wraps
// [storage.ErrLocked] when another process holds the file for longer than the timeout, [storage.ErrNewer] when the file has a
// larger schema number, and [storage.ErrDamaged] when the file is truncated, damaged or not a database of this package; such
// a file is left as it is, byte for byte.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	path, err := Canonical(o.Path)
	if err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("creating the database %s: %w", path, err)
		}
	} else if err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	} else if info.Size() == 0 {
		return nil, notOurs(path, errors.New("it is empty")) // bbolt would make a database of it
	}

	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, storage.ErrLocked)
	defer cancel()
	// First read-only: bbolt may write when it opens a file for writing, and a file that is not ours must stay as it is.
	probe, err := openFile(ctx, path, true)
	if err != nil {
		return nil, err
	}
	if err := probe.Close(); err != nil {
		return nil, err
	}
	s, err := openFile(ctx, path, false)
	if err != nil {
		return nil, err
	}
	if err := narrow(s.file); err != nil {
		_ = s.Close()
		return nil, err
	}
	removeLeftovers(path)
	return s, nil
}

// openFile opens an existing file and verifies it. A panic or a fault of bbolt on the way becomes [storage.ErrDamaged].
func openFile(ctx context.Context, path string, readOnly bool) (out *Store, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	s := &Store{path: path, longList: longList}
	options := bbolt.Options{
		Timeout:      lockSlice,
		ReadOnly:     readOnly,
		FreelistType: bbolt.FreelistMapType,
		// Otherwise bbolt would write a list that was left out as soon as it opens the file.
		NoFreelistSync: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			s.file, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
			return s.file, err
		},
	}
	if !readOnly {
		options.InitialMmapSize = mapSize
	}
	opened := false
	defer func() {
		if r := recover(); r != nil {
			err = notOurs(path, fmt.Errorf("%v", r))
			if s.db != nil { // in a View, which bbolt has ended; while the file is mapped it stays locked
				_, _ = try(s.db.Close)
			}
		}
		if err != nil {
			if !opened && s.file != nil {
				_ = s.file.Close() // bbolt has closed it already, unless it panicked
			}
			out = nil
		}
	}()
	if s.db, err = openLocked(ctx, path, &options); err != nil {
		return nil, err
	}
	s.db.AllocSize = allocSize
	found, err := s.verify()
	switch {
	case err != nil:
	case readOnly:
		err = s.walk()
	case found < schema:
		err = s.upgrade(found)
	}
	if err != nil {
		_ = s.db.Close()
		return nil, err
	}
	opened = true
	return s, nil
}

// openLocked opens the file with bbolt, as soon as no other process holds its lock.
func openLocked(ctx context.Context, path string, options *bbolt.Options) (db *bbolt.DB, err error) {
	for {
		db, err = bbolt.Open(path, 0o600, options)
		if !errors.Is(err, berrors.ErrTimeout) {
			break
		}
		if ctx.Err() != nil {
			return nil, lockedError(ctx, path)
		}
	}
	var p *fs.PathError
	var n syscall.Errno
	switch {
	case err == nil:
		return db, nil
	case errors.As(err, &p), errors.As(err, &n): // the system refused; that says nothing about the file
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	default:
		return nil, notOurs(path, err)
	}
}

// verify looks at what is cheap to look at: the size, the schema number, which it returns, and the buckets.
func (s *Store) verify() (found uint32, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	s.size = info.Size()
	err = s.db.View(func(btx *bbolt.Tx) error {
		if info.Size() < btx.Size() {
			return notOurs(s.path, fmt.Errorf("it has %d bytes of %d", info.Size(), btx.Size()))
		}
		file := btx.Bucket(bucketNames[bFile])
		if file == nil {
			return notOurs(s.path, errors.New("it is a bbolt file of another program"))
		}
		v := file.Get(schemaKey)
		if len(v) != 4 {
			return notOurs(s.path, errors.New("it has no schema number"))
		}
		if found = binary.BigEndian.Uint32(v); found > schema {
			return fmt.Errorf("%w: %s has schema %d, this program knows up to %d", storage.ErrNewer, s.path, found, schema)
		}
		s.db.NoFreelistSync = file.Get(leftOutKey) != nil
		for b, name := range bucketNames {
			if since[bucket(b)] <= found && btx.Bucket(name) == nil {
				return notOurs(s.path, fmt.Errorf("the bucket %q is missing", name))
			}
		}
		return nil
	})
	return found, err
}

// notOurs is the refusal of a file that is damaged or of another kind.
func notOurs(path string, hint error) error {
	return fmt.Errorf("%s is not a database of this program, or is damaged, and has not been touched: %w (%w)",
		path, hint, storage.ErrDamaged)
}

// lockedError names the process that holds the file, or returns that the caller's context has ended.
func lockedError(ctx context.Context, path string) error {
	if cause := context.Cause(ctx); !errors.Is(cause, storage.ErrLocked) {
		return cause
	}
	return fmt.Errorf("%w: %s is in use by %s; one process owns this file", storage.ErrLocked, path, holder(path))
}
