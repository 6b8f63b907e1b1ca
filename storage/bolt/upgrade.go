package bolt

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// upgrade makes the buckets that have come since the file was made, and fills those that are indexes. A crash leaves the file as
// it was, or upgraded.
func (s *Store) upgrade(found uint32) error {
	err := s.db.Update(func(btx *bbolt.Tx) error {
		for _, name := range bucketNames {
			if _, err := btx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if found < max(since[bEventTimes], since[bEventAccounts]) {
			if err := indexEvents(btx); err != nil {
				return err
			}
		}
		return btx.Bucket(bucketNames[bFile]).Put(schemaKey, binary.BigEndian.AppendUint32(nil, schema))
	})
	if err != nil {
		return fmt.Errorf("bringing the database %s to schema %d: %w", s.path, schema, err)
	}
	return nil
}

// indexEvents makes the entries of all events, for a file of a schema that had none or not all of them. An event that cannot be read gets
// none.
func indexEvents(btx *bbolt.Tx) error {
	return btx.Bucket(bucketNames[bEvents]).ForEach(func(k, v []byte) error {
		e, err := decodeEvent(v)
		if err != nil || len(k) != eventKeyLen {
			return nil //nolint:nilerr // a sweep removes it
		}
		return eventEntries(e, k, func(b bucket, entry []byte) error { return btx.Bucket(bucketNames[b]).Put(entry, k[:endLen]) })
	})
}
