package vault

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// dropChunk is how many queued mails one transaction deletes.
const dropChunk = 256

// EndRestored ends every session, flow, link, machine token and queued mail of a database that is a restored copy, and returns how many
// mails it deleted. Its first step ends what people and programs hold, and marks the database; the last one takes the mark away, so that the
// next opening repeats an interrupted one. Flows, tokens and sessions end by the epoch and are swept at their expiry. A mail that a worker
// sends meanwhile has a link that has ended. The first step runs beside in the place of the event and the log line of the gate's own, unless
// that is nil.
func (v *Vault) EndRestored(ctx context.Context, beside func(storage.Tx) error) (mails int, err error) {
	incarnation, err := v.Store.Incarnation(ctx)
	if err != nil {
		return 0, err
	}
	now, done := v.Clock.Now(), false
	err = v.Store.Update(ctx, func(tx storage.Tx) error {
		if beside == nil {
			if done, err = isEnded(tx, incarnation); err != nil || done {
				return err
			}
		}
		return endEverything(tx, now, beside)
	})
	if err != nil {
		return 0, err
	}
	if done {
		v.incarnation.Store(&incarnation)
		return 0, nil
	}
	for {
		n, err := v.dropMails(ctx)
		if err != nil {
			return mails, err
		}
		mails += n
		if n == 0 {
			break
		}
	}
	err = v.Store.Update(ctx, func(tx storage.Tx) error {
		if err := storeIncarnation(tx, incarnation); err != nil {
			return err
		}
		return tx.Meta().Delete(storage.MetaRestored)
	})
	if err != nil {
		return mails, err
	}
	v.incarnation.Store(&incarnation)
	if beside != nil {
		return mails, nil
	}
	v.log.Warn("this database is a restored backup: all links, sessions and queued mails it held have been ended",
		"event", "changed", "outcome", "restored", "mails", mails)
	return mails, nil
}

// endEverything is the first step of EndRestored.
func endEverything(tx storage.Tx, now time.Time, beside func(storage.Tx) error) error {
	if _, err := tx.Epochs().Raise(storage.GlobalEpoch); err != nil {
		return err
	}
	e := storage.Event{Time: now, Name: "changed", Purpose: "database", Outcome: "restored"}
	if beside == nil {
		if err := tx.Events().Append(e, now.Add(storage.EventLifetime)); err != nil {
			return err
		}
	} else if err := beside(tx); err != nil {
		return err
	}
	if err := storage.SetMetaTime(tx, storage.MetaCreated, now); err != nil {
		return err
	}
	if err := tx.Meta().Put(storage.MetaRestored, []byte{1}); err != nil {
		return err
	}
	return tx.Changes().Publish(storage.Change{Kind: storage.ChangeAll})
}

// isEnded reports whether another node has ended all of what this incarnation of the database may have revived.
func isEnded(tx storage.Tx, incarnation string) (bool, error) {
	stored, _, err := tx.Meta().GetForUpdate(storage.MetaIncarnation)
	if err != nil || incarnation == "" || string(stored) != incarnation {
		return false, err
	}
	_, marked, err := tx.Meta().Get(storage.MetaRestored)
	return !marked, err
}

// checkIncarnation ends what another server, such as a promoted standby, may have revived while the gate runs.
func (v *Vault) checkIncarnation(ctx context.Context) error {
	if !v.doubt.Load() {
		return nil
	}
	incarnation, err := v.Store.Incarnation(ctx)
	if err != nil {
		return err
	}
	v.doubt.Store(false)
	if incarnation == *v.incarnation.Load() {
		return nil
	}
	if _, err := v.EndRestored(ctx, nil); err != nil {
		v.doubt.Store(true)
		return err
	}
	return nil
}

// dropMails deletes up to dropChunk queued mails of each lane, whenever they are due.
func (v *Vault) dropMails(ctx context.Context) (n int, err error) {
	far := v.Clock.Now().AddDate(100, 0, 0)
	err = v.Store.Update(ctx, func(tx storage.Tx) error {
		n = 0
		for _, lane := range storage.Lanes() {
			mails, err := tx.Outbox().Lease(lane, far, far.Add(time.Minute), dropChunk)
			if err != nil {
				return err
			}
			for _, m := range mails {
				if _, err := tx.Outbox().Finish(m.ID, m.Attempts); err != nil {
					return err
				}
			}
			n += len(mails)
		}
		return nil
	})
	return n, err
}
