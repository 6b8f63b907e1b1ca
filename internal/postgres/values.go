package postgres

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// The columns of a record and the fields of its type: times are timestamptz, null for the zero time; digests and what is sealed are
// bytea, null for none; a key that a record refers to is a pair of columns, both null for none.

// maxEnd is the largest end that a key can have: the year 36812.
const maxEnd = 1<<40 - 1

func validKey(k storage.Key) bool { return k.End >= 0 && k.End <= maxEnd }

func compareKeys(a, b storage.Key) int {
	return cmp.Or(cmp.Compare(a.End, b.End), bytes.Compare(a.Digest[:], b.Digest[:]))
}

// keyArgs returns the parameters of a key that finds a record.
func keyArgs(k storage.Key) []any { return []any{k.Ends(), digestArg(k.Digest)} }

// endArg and digestArg return the parameters of a key that a record refers to.
func endArg(k storage.Key) any {
	if k.IsZero() {
		return nil
	}
	return k.Ends()
}

func digestArg(d storage.Digest) any { return bytes.Clone(d[:]) }

func refArg(k storage.Key) any {
	if k.IsZero() {
		return nil
	}
	return digestArg(k.Digest)
}

func optionalDigest(d storage.Digest) any {
	if d.IsZero() {
		return nil
	}
	return digestArg(d)
}

func timeArg(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// textsArg returns a list that is not null.
func textsArg(list []string) any {
	if list == nil {
		return []string{}
	}
	return list
}

// texts returns a list as a record has it: nil for an empty one.
func texts(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func digestsArg(list []storage.Digest) any {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = bytes.Clone(list[i][:])
	}
	return out
}

// keysArgs returns the two parameters of a list of keys.
func keysArgs(list []storage.Key) (ends, digests any) {
	e, d := make([]time.Time, len(list)), make([][]byte, len(list))
	for i, k := range list {
		e[i], d[i] = k.Ends(), bytes.Clone(k.Digest[:])
	}
	return e, d
}

// digestTo scans a bytea into a digest.
type digestTo struct{ to *storage.Digest }

// ScanBytes implements pgtype.BytesScanner.
func (d digestTo) ScanBytes(v []byte) error {
	if v == nil {
		*d.to = storage.Digest{}
		return nil
	}
	if len(v) != len(d.to) {
		return fmt.Errorf("%w: a digest of %d bytes", storage.ErrDamaged, len(v))
	}
	copy(d.to[:], v)
	return nil
}

// digestsTo scans a list of digests after the row was read.
func digestsTo(raw [][]byte) (list []storage.Digest, err error) {
	for _, v := range raw {
		var d storage.Digest
		if err := (digestTo{&d}).ScanBytes(v); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// timeTo scans a timestamptz, null for the zero time.
type timeTo struct{ to *time.Time }

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (t timeTo) ScanTimestamptz(v pgtype.Timestamptz) error {
	*t.to = time.Time{}
	if v.Valid {
		*t.to = v.Time.UTC()
	}
	return nil
}

// endTo scans the end of a key.
type endTo struct{ to *storage.Key }

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (e endTo) ScanTimestamptz(v pgtype.Timestamptz) error {
	e.to.End = 0
	if v.Valid {
		e.to.End = v.Time.Unix()
	}
	return nil
}

// smallTo scans a smallint into a byte.
type smallTo[T ~uint8] struct{ to *T }

// ScanInt64 implements pgtype.Int64Scanner.
func (s smallTo[T]) ScanInt64(v pgtype.Int8) error {
	if !v.Valid || v.Int64 < 0 || v.Int64 > 255 {
		return fmt.Errorf("%w: a number out of range", storage.ErrDamaged)
	}
	*s.to = T(v.Int64)
	return nil
}

// micro rounds a time down to what a column holds, so that a step sees what it will read.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}
