package bolt

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// The format of a record: one byte of version, then its fields in a fixed order.
//
//	number    uvarint; a signed one zigzag
//	text      uvarint length, bytes
//	list      uvarint count, elements
//	digest    32 bytes
//	key       0, or 1 ‖ 5 bytes end ‖ 32 bytes digest
//	time      uvarint seconds since the year 1 (0: the zero time), uvarint nanoseconds
//	flag      0 or 1
//
// Nothing may follow the last field. A record that does not read back whole answers [storage.ErrDamaged]. A change of a record
// gets a new version byte; each change raises the schema number of the file, which older programs refuse.

// recordVersion is the first byte of every record whose kind has had one format only.
const recordVersion = 1

// yearOne is the zero time in seconds since 1970.
const yearOne = -62135596800

type writer struct{ b []byte }

func newWriter(size int) *writer {
	return &writer{b: append(make([]byte, 0, size), recordVersion)}
}

func (w *writer) num(n uint64)            { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) int(n int)               { w.b = binary.AppendVarint(w.b, int64(n)) }
func (w *writer) byte(c byte)             { w.b = append(w.b, c) }
func (w *writer) digest(d storage.Digest) { w.b = append(w.b, d[:]...) }

func (w *writer) text(s string) {
	w.num(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) bytes(p []byte) {
	w.num(uint64(len(p)))
	w.b = append(w.b, p...)
}

func (w *writer) flag(f bool) {
	if f {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

func (w *writer) key(k storage.Key) {
	w.flag(!k.IsZero())
	if !k.IsZero() {
		w.b = appendEnd(w.b, clampEnd(k.End))
		w.digest(k.Digest)
	}
}

func (w *writer) time(t time.Time) {
	if t.IsZero() || t.Unix() < yearOne {
		w.num(0)
		w.num(0)
		return
	}
	w.num(uint64(min(t.Unix(), maxEnd) - yearOne)) //nolint:gosec // not negative
	w.num(uint64(t.Nanosecond()))                  //nolint:gosec // not negative
}

func (w *writer) epochs(e storage.Epochs) {
	w.num(e.Global)
	w.num(e.Mailbox)
	w.num(e.Account)
}

// reader reads a record. After the first failure every field reads as zero, and done returns the error.
type reader struct {
	b   []byte
	bad bool
}

func newReader(b []byte) *reader {
	r, _ := newVersionReader(b, recordVersion)
	return r
}

// newVersionReader is newReader for a kind of record that has had several formats: it returns which of them this one has, and accepts
// none above newest.
func newVersionReader(b []byte, newest byte) (r *reader, version byte) {
	r = &reader{b: b}
	if version = r.byte(); version < recordVersion || version > newest {
		r.bad = true
	}
	return r, version
}

// done returns the error of the first failure, or of bytes left over.
func (r *reader) done(what string) error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w: a record of %s cannot be read", storage.ErrDamaged, what)
	}
	return nil
}

// next returns the next n bytes, nil after a failure.
func (r *reader) next(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.next(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) num() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad || size <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int() int {
	n, size := binary.Varint(r.b)
	if r.bad || size <= 0 || int64(int(n)) != n {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}

func (r *reader) text() string { return string(r.next(r.num())) }

// bytes returns a copy, nil for none.
func (r *reader) bytes() []byte {
	if p := r.next(r.num()); len(p) > 0 {
		return append([]byte(nil), p...)
	}
	return nil
}

func (r *reader) flag() bool {
	switch r.byte() {
	case 0:
		return false
	case 1:
		return true
	default:
		r.bad = true
		return false
	}
}

func (r *reader) digest() (d storage.Digest) {
	copy(d[:], r.next(32))
	return d
}

func (r *reader) key() (k storage.Key) {
	if !r.flag() {
		return k
	}
	if p := r.next(endLen); p != nil {
		k.End = readEnd(p)
	}
	k.Digest = r.digest()
	return k
}

// maxSeconds bounds a stored time to the year 36812, where arithmetic on it is still safe.
const maxSeconds = maxEnd - yearOne

func (r *reader) time() time.Time {
	sec, nsec := r.num(), r.num()
	if r.bad || sec > maxSeconds || nsec >= 1e9 {
		r.bad = true
		return time.Time{}
	}
	if sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec)+yearOne, int64(nsec)).UTC()
}

func (r *reader) epochs() storage.Epochs {
	return storage.Epochs{Global: r.num(), Mailbox: r.num(), Account: r.num()}
}

// count reads the length of a list whose elements take at least size bytes, so that no length can ask for more memory than the
// record could fill.
func (r *reader) count(size int) int {
	n := r.num()
	if r.bad || n > uint64(len(r.b)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (w *writer) texts(list []string) {
	w.num(uint64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}

func (r *reader) texts() (list []string) {
	for range r.count(1) {
		list = append(list, r.text())
	}
	return list
}

func (w *writer) digests(list []storage.Digest) {
	w.num(uint64(len(list)))
	for _, d := range list {
		w.digest(d)
	}
}

func (r *reader) digests() (list []storage.Digest) {
	for range r.count(32) {
		list = append(list, r.digest())
	}
	return list
}

func (w *writer) keys(list []storage.Key) {
	w.num(uint64(len(list)))
	for _, k := range list {
		w.key(k)
	}
}

func (r *reader) keys() (list []storage.Key) {
	for range r.count(1) {
		list = append(list, r.key())
	}
	return list
}
