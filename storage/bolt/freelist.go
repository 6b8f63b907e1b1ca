package bolt

import (
	"bytes"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// bbolt writes its list of free pages with each commit, 8 bytes for each page: after a million records have been swept the list is
// larger than what the step itself writes, for good. A long list is therefore left out, and put back when the database is closed.
// After a crash bbolt makes the list anew from all pages that are in use, which takes about a second for each GiB. The record
// that it was left out is written in the same transaction, so that Open can look at the whole file first: bbolt does so on a
// goroutine of its own, where a damaged page would end the process.

// longList is how many free pages are listed with each commit: 16 KiB of it.
const longList = 2048

// leftOutKey is a record in the bucket of the file that is there while the list is left out.
var leftOutKey = []byte("free_pages_left_out")

// list decides whether a transaction that is about to be committed writes the list. It is put back when it has become half as
// long as it may be.
func (s *Store) list(btx *bbolt.Tx) error {
	free := s.db.Stats().FreePageN
	return s.leaveOut(btx, free > s.longList || s.db.NoFreelistSync && free > s.longList/2)
}

// leaveOut makes a transaction write the list or leave it out.
func (s *Store) leaveOut(btx *bbolt.Tx, leave bool) error {
	if !leave && !s.db.NoFreelistSync {
		return nil
	}
	file := btx.Bucket(bucketNames[bFile])
	noted := file.Get(leftOutKey) != nil
	s.db.NoFreelistSync = leave
	switch {
	case leave && !noted:
		return file.Put(leftOutKey, []byte{1})
	case !leave && noted:
		return file.Delete(leftOutKey)
	}
	return nil
}

// restoreFreelist writes the list where it was left out, so that the next Open is fast. A failure is no harm: Open will do without.
func (s *Store) restoreFreelist() {
	if !s.db.NoFreelistSync || s.writable() != nil {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	btx, err := s.begin(true)
	if err != nil {
		return
	}
	defer s.rollback(btx)
	_, _ = try(func() error {
		if err := s.leaveOut(btx, false); err != nil {
			return err
		}
		return btx.Commit()
	})
}

// walk reads every record, where the list has been left out. It finds what is damaged before bbolt does.
func (s *Store) walk() error {
	return s.db.View(func(btx *bbolt.Tx) error {
		if btx.Bucket(bucketNames[bFile]).Get(leftOutKey) == nil {
			return nil
		}
		return btx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			var before []byte
			var sum byte // so that the ends of values are read
			err := b.ForEach(func(k, v []byte) error {
				if before != nil && bytes.Compare(before, k) >= 0 {
					return notOurs(s.path, fmt.Errorf("the bucket %q is not in order", name))
				}
				if before = k; len(v) > 0 {
					sum ^= v[len(v)-1]
				}
				return nil
			})
			_ = sum
			return err
		})
	})
}
