package limit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// fakeTx is a transaction with counters only. It counts writes.
type fakeTx struct {
	storage.Tx
	counts map[storage.Key]int64
	writes int
	// race, when set, runs before each Take, as another step on an engine with row locks may.
	race func(storage.Key)
}

func newTx() *fakeTx { return &fakeTx{counts: map[storage.Key]int64{}} }

func (f *fakeTx) Counters() storage.Counters { return (*fakeCounters)(f) }

type fakeCounters fakeTx

func (f *fakeCounters) Spend(k storage.Key, n, limit int64) (int64, bool, error) {
	if f.race != nil {
		f.race(k)
	}
	if f.counts[k]+n > limit {
		return f.counts[k], false, nil
	}
	f.writes++
	f.counts[k] += n
	return f.counts[k], true, nil
}

func (f *fakeCounters) Peek(k storage.Key) (int64, error) { return f.counts[k], nil }

func (f *fakeCounters) Refund(k storage.Key, n int64) (int64, error) {
	if f.counts[k] == 0 {
		return 0, nil
	}
	f.writes++
	f.counts[k] = max(f.counts[k]-n, 0)
	return f.counts[k], nil
}

func (f *fakeCounters) Reset(k storage.Key) (bool, error) {
	_, existed := f.counts[k]
	delete(f.counts, k)
	return existed, nil
}

// fakeRing is a keyed digest of length-prefixed parts.
type fakeRing struct{}

func (fakeRing) MAC(label string, parts ...[]byte) (d storage.Digest) {
	mac := hmac.New(sha256.New, []byte("a key of tests"))
	for _, part := range append([][]byte{[]byte(label)}, parts...) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write(part)
	}
	mac.Sum(d[:0])
	return d
}
