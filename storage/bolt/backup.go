package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Backup streams a consistent copy. The copy is made in a temporary file beside the database first, which takes as much room
// as the database, so that a slow reader holds no transaction open; it gets its mark there, and the file is removed at the end.
func (s *Store) Backup(ctx context.Context, w io.Writer) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	f, err := tempFile(s.path, backupSuffix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := s.copyTo(withContext{ctx, f}); err != nil {
		return fmt.Errorf("copying the database: %w", err)
	}
	if err := markRestored(f.Name()); err != nil {
		return fmt.Errorf("marking the copy of the database: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(withContext{ctx, w}, f)
	return err
}

// copyTo writes the pages of one snapshot.
func (s *Store) copyTo(w io.Writer) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	btx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer func() {
		r := recover()
		s.rollback(btx)
		if r != nil {
			err = s.damaged(fmt.Errorf("copying: %v", r))
		}
	}()
	_, err = btx.WriteTo(w)
	return err
}

// markAlloc is by how much a copy may grow for its mark.
const markAlloc = 64 << 10

// markRestored notes in a copy that it is one.
func markRestored(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockSlice, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	db.AllocSize = markAlloc
	err = db.Update(func(btx *bbolt.Tx) error {
		return btx.Bucket(bucketNames[bMeta]).Put([]byte(storage.MetaRestored), []byte{1})
	})
	return errors.Join(err, db.Close())
}

// withContext is a writer that stops when the context ends.
type withContext struct {
	ctx context.Context
	w   io.Writer
}

// Write writes to the writer below.
func (c withContext) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
