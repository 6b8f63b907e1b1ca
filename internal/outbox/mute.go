package outbox

import (
	"math"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// MuteByOwner and MuteByOthers are how long a cancelled flow mutes mails to its mailbox that the browser which asked for it asks for:
// the longer one where "this wasn't me" was pressed in a browser that is signed in to the mailbox's account. Scanners of mails press
// buttons, too.
const (
	MuteByOwner  = 24 * time.Hour
	MuteByOthers = time.Hour
)

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

// keys names what active reads.
func (h suppression) keys(ring *keyring.Ring, now time.Time) []storage.Key {
	return []storage.Key{h.key(ring, now), h.key(ring, now.Add(h.duration))}
}

// active reports whether it holds.
func (h suppression) active(tx storage.Tx, ring *keyring.Ring, now time.Time) (bool, error) {
	for _, k := range h.keys(ring, now) {
		ends, err := tx.Counters().Peek(k)
		if err != nil {
			return false, err
		}
		if now.Unix() < ends {
			return true, nil
		}
	}
	return false, nil
}

// mute holds back what unknown browsers ask for in one network and with one name of a device. Its life is a part of its label, since
// windows of different lengths have different ends.
func mute(limitKey storage.Digest, network, device string, duration time.Duration) suppression {
	return suppression{label: labelMute + " " + duration.String(), duration: duration, parts: [][]byte{limitKey[:], []byte(network), []byte(device)}}
}

// Mute keeps mails to a mailbox back that unknown browsers of this device's name ask for in this network, for MuteByOwner or MuteByOthers.
func Mute(tx storage.Tx, ring *keyring.Ring, limitKey storage.Digest, network, device string, duration time.Duration, now time.Time) error {
	return mute(limitKey, network, device, duration).start(tx, ring, now)
}

// muted reports whether such mails are kept back.
func muted(tx storage.Tx, ring *keyring.Ring, limitKey storage.Digest, network, device string, now time.Time) (bool, error) {
	for _, duration := range [...]time.Duration{MuteByOwner, MuteByOthers} {
		if active, err := mute(limitKey, network, device, duration).active(tx, ring, now); err != nil || active {
			return active, err
		}
	}
	return false, nil
}
