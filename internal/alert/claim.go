package alert

import (
	"context"
	"encoding/json"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// metaAlerts holds when the last alert of each kind was sent, in seconds since 1970.
const metaAlerts = "alerts"

// Claim stores that alerts are sent, and in the same step queues their mails to an address; to is empty for none. It returns those that are to be
// posted now: a kind of which an alert was sent within the hour is left out, whichever process has sent it. So one that is killed after the step has
// sent the mail, and may have lost the post; one that is killed before has sent neither.
//
// A time that is ahead of now is that of a clock that has been put right since, and holds nothing back.
func Claim(ctx context.Context, store storage.Store, ring *keyring.Ring, now time.Time, site, to string, due []Alert) (claimed []Alert, err error) {
	err = store.Update(ctx, func(tx storage.Tx) error {
		claimed = nil
		value, _, err := tx.Meta().GetForUpdate(metaAlerts)
		if err != nil {
			return err
		}
		last := map[Kind]int64{}
		_ = json.Unmarshal(value, &last) // what cannot be read is as nothing
		for _, a := range due {
			if since := now.Sub(time.Unix(last[a.Kind], 0)); since >= 0 && since < Interval {
				continue
			}
			last[a.Kind] = now.Unix()
			claimed = append(claimed, a)
			if err := enqueue(tx, ring, now, site, to, a); err != nil {
				return err
			}
		}
		if len(claimed) == 0 {
			return nil
		}
		if value, err = json.Marshal(last); err != nil {
			return err
		}
		return tx.Meta().Put(metaAlerts, value)
	})
	return claimed, err
}

// enqueue queues the mail of an alert. None says that no mail leaves.
func enqueue(tx storage.Tx, ring *keyring.Ring, now time.Time, site, to string, a Alert) error {
	if to == "" || a.Kind == NoMail {
		return nil
	}
	m, err := outbox.NewAlert(ring, now, to, site+": "+a.Title(), a.Text(site))
	if err != nil {
		return err
	}
	return tx.Outbox().Enqueue(m)
}
