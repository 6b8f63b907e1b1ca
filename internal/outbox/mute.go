package outbox

import (
	"math"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// MuteDuration is how long a cancelled flow mutes unknown browsers' mails to its mailbox from the network that asked.
const MuteDuration = 24 * time.Hour

const (
	labelMute      = "outbox mute"
	labelNoAccount = "outbox no account"
)

// suppression keeps something back for exactly its life, in a counter. A counter is found by the end of its window, so the windows
// are as long as the life, and the count is the time, in seconds since 1970, at which the hold ends.
type suppression struct {
	label    string
	duration time.Duration
	parts    [][]byte
}

// key returns the counter of a hold that ends in the window of t. The counter itself lives until the end of that window.
func (h suppression) key(ring *keyring.Ring, t time.Time) storage.Key {
	window := int64(h.duration / time.Second)
	return storage.Key{End: (t.Unix()/window + 1) * window, Digest: ring.MAC(h.label, h.parts...)}
}

// start holds from now on.
func (h suppression) start(tx storage.Tx, ring *keyring.Ring, now time.Time) error {
	ends := now.Add(h.duration)
	k := h.key(ring, ends)
	count, err := tx.Counters().Peek(k)
	if err != nil || count >= ends.Unix() {
		return err
	}
	_, _, err = tx.Counters().Spend(k, ends.Unix()-count, math.MaxInt64)
	return err
}

// active reports whether it holds.
func (h suppression) active(tx storage.Tx, ring *keyring.Ring, now time.Time) (bool, error) {
	for _, t := range [...]time.Time{now, now.Add(h.duration)} {
		ends, err := tx.Counters().Peek(h.key(ring, t))
		if err != nil {
			return false, err
		}
		if now.Unix() < ends {
			return true, nil
		}
	}
	return false, nil
}

func mute(limitKey storage.Digest, network string) suppression {
	return suppression{label: labelMute, duration: MuteDuration, parts: [][]byte{limitKey[:], []byte(network)}}
}

// Mute keeps unknown browsers' mails to a mailbox back when they are asked for from this network, for MuteDuration.
func Mute(tx storage.Tx, ring *keyring.Ring, limitKey storage.Digest, network string, now time.Time) error {
	return mute(limitKey, network).start(tx, ring, now)
}

// muted reports whether unknown browsers' mails are kept back.
func muted(tx storage.Tx, ring *keyring.Ring, limitKey storage.Digest, network string, now time.Time) (bool, error) {
	return mute(limitKey, network).active(tx, ring, now)
}
