package bolt

import (
	"bytes"
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// One transaction of a sweep does sweepChunk parts of work, which keeps it below two milliseconds; whatever waits meanwhile shares
// the next one. A record that lies among others that have ended is one part (measured: 0.7 µs). A session also has an entry
// in an index that is in the order of accounts, so each changes a page of its own (25 µs, most of it the disk's). A mail has two
// entries in an index, one of them by when it is due. An event has one by its time, and mostly one by its account. An invitation has two.
const (
	sweepChunk   = 512
	sessionParts = 10
	invitedParts = 4
	mailParts    = 4
	eventParts   = 4
)

// Sweep deletes up to max records that have ended, in short transactions, between which other steps run.
func (s *Store) Sweep(ctx context.Context, now time.Time, max int) (deleted int, err error) {
	for deleted < max {
		want, n := min(max-deleted, sweepChunk), 0
		err := s.Update(ctx, func(t storage.Tx) error {
			var err error
			n, err = t.(*tx).sweep(now, want)
			return err
		})
		if err != nil {
			return deleted, err
		}
		if n == 0 {
			break
		}
		deleted += n
	}
	return deleted, nil
}

// sweep deletes up to max ended records of all kinds, within the work of one transaction. It deletes none only when there is
// none.
func (t *tx) sweep(now time.Time, max int) (deleted int, err error) {
	in := func(b bucket) func(time.Time, int) (int, error) {
		return func(now time.Time, max int) (int, error) { return t.sweepBucket(b, now, max) }
	}
	left := sweepChunk
	for _, kind := range []struct {
		parts int
		sweep func(now time.Time, max int) (int, error)
	}{
		{sessionParts, t.sweepSessions},
		{mailParts, t.sweepMails},
		{eventParts, t.sweepEvents},
		{invitedParts, t.sweepInvitations},
		{1, in(bFlows)},
		{1, in(bTokens)},
		{1, in(bMachineTokens)},
		{1, in(bCounters)},
	} {
		n, err := kind.sweep(now, min(max-deleted, left/kind.parts))
		if err != nil {
			return 0, err
		}
		deleted += n
		left -= n * kind.parts
	}
	return deleted, nil
}

// ended collects up to max keys from the first on whose end, found at an offset, is at or before now.
func (t *tx) ended(b bucket, from []byte, now time.Time, max int, fn func(k, v []byte)) error {
	if max <= 0 {
		return nil
	}
	at, n := len(from), 0
	return t.scan(b, from, func(k, v []byte) (bool, error) {
		if len(k) < at+endLen || string(k[:at]) != string(from) || readEnd(k[at:]) > now.Unix() {
			return false, nil
		}
		fn(k, v)
		n++
		return n < max, nil
	})
}

// sweepBucket sweeps records that have nothing beside them.
func (t *tx) sweepBucket(b bucket, now time.Time, max int) (int, error) {
	var keys [][]byte
	if err := t.ended(b, nil, now, max, func(k, _ []byte) { keys = append(keys, k) }); err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err := t.del(b, k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

// sweepSessions sweeps sessions with their entries in the index. A session that cannot be read is removed all the same; its
// entry then leads nowhere, which readers pass over.
func (t *tx) sweepSessions(now time.Time, max int) (int, error) {
	var keys, index [][]byte
	err := t.ended(bSessions, nil, now, max, func(k, v []byte) {
		keys = append(keys, k)
		if s, err := decodeSession(storage.Key{}, v); err == nil {
			index = append(index, signedIn(s.Account, k))
		}
	})
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err := t.del(bSessions, k); err != nil {
			return 0, err
		}
	}
	for _, k := range index {
		if err := t.del(bSignedIn, k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

// sweepInvitations sweeps invitations with their entries in the index. One that cannot be read is removed all the same; its entries then
// lead nowhere, which readers pass over.
func (t *tx) sweepInvitations(now time.Time, max int) (int, error) {
	var keys, index [][]byte
	err := t.ended(bInvitations, nil, now, max, func(k, v []byte) {
		keys = append(keys, k)
		if i, err := decodeInvitation(storage.Key{}, v); err == nil {
			index = append(index, invitationEntries(i, k)...)
		}
	})
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err := t.del(bInvitations, k); err != nil {
			return 0, err
		}
	}
	for _, k := range index {
		if err := t.del(bInvitationIndex, k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

// sweepMails sweeps waiting mails and dead letters, which lose what is sealed first. One that cannot be read is removed all the same;
// [outbox.Lease] removes what it leaves in the index.
func (t *tx) sweepMails(now time.Time, max int) (int, error) {
	var ids []storage.MailID
	var keys [][]byte
	err := t.ended(bMailIndex, []byte{endEntry}, now, max, func(k, _ []byte) {
		if len(k) == outLen {
			ids = append(ids, storage.MailID(k[1+endLen:]))
			keys = append(keys, k)
		}
	})
	if err != nil {
		return 0, err
	}
	for i, id := range ids {
		m, found, err := (outbox{t}).read(id)
		switch {
		case err == nil && found && m.Dead && len(m.Sealed) > 0 && bytes.Equal(keys[i], endKey(m)):
			if err := (outbox{t}).dropSealed(m); err != nil {
				return 0, err
			}
			continue
		case err == nil && found && !m.Dead:
			keys = append(keys, dueKey(m), placeKey(m, m.Due))
		}
		if err := t.del(bOutbox, id[:]); err != nil {
			return 0, err
		}
	}
	for _, k := range keys {
		if err := t.del(bMailIndex, k); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// sweepEvents sweeps events with their entries in the indexes. An event that cannot be read is removed all the same; its entries then
// lead nowhere, which List passes over.
func (t *tx) sweepEvents(now time.Time, max int) (int, error) {
	var keys [][]byte
	type entry struct {
		in  bucket
		key []byte
	}
	var index []entry
	err := t.ended(bEvents, nil, now, max, func(k, v []byte) {
		keys = append(keys, k)
		if e, err := decodeEvent(v); err == nil && len(k) == eventKeyLen {
			_ = eventEntries(e, k, func(b bucket, k []byte) error { index = append(index, entry{b, k}); return nil }) // it returns no error
		}
	})
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err := t.del(bEvents, k); err != nil {
			return 0, err
		}
	}
	for _, e := range index {
		if err := t.del(e.in, e.key); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}
