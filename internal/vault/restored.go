package vault

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// dropChunk is how many queued mails one transaction deletes.
const dropChunk = 256

// endRestored ends every session, flow, link and queued mail that a backup contains. It deletes the mails first, and the mark of
// the backup last, in the transaction that raises the epoch, so that the next opening repeats an interrupted one. Flows, tokens and
// sessions end by the epoch and are swept at their expiry.
func (v *Vault) endRestored(ctx context.Context, incarnation string) error {
	mails := 0
	for {
		n, err := v.dropMails(ctx)
		if err != nil {
			return err
		}
		mails += n
		if n == 0 {
			break
		}
	}
	now := v.Clock.Now()
	err := v.Store.Update(ctx, func(tx storage.Tx) error {
		if _, err := tx.Epochs().Raise(storage.GlobalEpoch); err != nil {
			return err
		}
		e := storage.Event{Time: now, Name: "changed", Purpose: "database", Outcome: "restored"}
		if err := tx.Events().Append(e, now.Add(storage.EventLifetime)); err != nil {
			return err
		}
		if err := storage.SetMetaTime(tx, storage.MetaCreated, now); err != nil {
			return err
		}
		if err := storeIncarnation(tx, incarnation); err != nil {
			return err
		}
		return tx.Meta().Delete(storage.MetaRestored)
	})
	if err != nil {
		return err
	}
	v.Restored = true
	v.log.Warn("this database is a restored backup: all links, sessions and queued mails it held have been ended",
		"event", "changed", "outcome", "restored", "mails", mails)
	return nil
}

// dropMails deletes up to dropChunk queued mails of each lane, whenever they are due. Nothing else uses the store yet.
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
