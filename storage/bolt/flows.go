package bolt

import (
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type flows struct{ *tx }

// Create stores a new flow.
func (t flows) Create(f storage.Flow) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	return t.create(bFlows, f.Key, encodeFlow(f))
}

// Get returns a flow, over or not.
func (t flows) Get(k storage.Key) (f storage.Flow, found bool, err error) {
	_, f, found, err = t.read(k)
	return f, found, err
}

// GetForUpdate is Get: the writer is alone in this engine.
func (t flows) GetForUpdate(k storage.Key) (storage.Flow, bool, error) { return t.Get(k) }

func (t flows) read(k storage.Key) (key []byte, f storage.Flow, found bool, err error) {
	key, v, err := t.getKeyed(bFlows, k)
	if err != nil || v == nil {
		return nil, f, false, err
	}
	if f, err = decodeFlow(k, v); err != nil {
		return nil, storage.Flow{}, false, err
	}
	return key, f, true, nil
}

// ConsumeResend spends one of the flow's resends.
func (t flows) ConsumeResend(k storage.Key, now time.Time, wait time.Duration, code storage.Digest) (
	storage.Flow, storage.ResendResult, error,
) {
	if !t.writable {
		return storage.Flow{}, 0, storage.ErrReadOnly
	}
	key, f, found, err := t.read(k)
	switch {
	case err != nil:
		return f, 0, err
	case !found || f.State != storage.FlowOpen || !k.Alive(now):
		return f, storage.ResendMissing, nil
	case f.ResendsLeft <= 0:
		return f, storage.ResendSpent, nil
	case now.Before(f.NextResend):
		return f, storage.ResendTooEarly, nil
	}
	f.ResendsLeft--
	f.NextResend = now.Add(wait).UTC()
	if !code.IsZero() {
		f.Codes = append(f.Codes, code)
	}
	return f, storage.ResendConsumed, t.put(bFlows, key, encodeFlow(f))
}

// AttemptCode counts one attempt at the typed code.
func (t flows) AttemptCode(k storage.Key, now time.Time, code storage.Digest, max int) (
	storage.Flow, storage.CodeResult, error,
) {
	if !t.writable {
		return storage.Flow{}, 0, storage.ErrReadOnly
	}
	key, f, found, err := t.read(k)
	switch {
	case err != nil:
		return f, 0, err
	case !found || f.State != storage.FlowOpen || !k.Alive(now):
		return f, storage.CodeMissing, nil
	case f.WrongCodes >= max:
		return f, storage.CodeOff, nil
	}
	right := 0
	for _, c := range f.Codes {
		right |= subtle.ConstantTimeCompare(c[:], code[:])
	}
	if right == 1 && !code.IsZero() {
		return f, storage.CodeRight, nil
	}
	f.WrongCodes++
	return f, storage.CodeWrong, t.put(bFlows, key, encodeFlow(f))
}

// Bind notes what the mail worker found out. The first binding stays: a later one answers whether it says the same.
func (t flows) Bind(k storage.Key, account string, epoch uint64) (bound bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	key, f, found, err := t.read(k)
	if err != nil || !found || f.State != storage.FlowOpen {
		return false, err
	}
	if f.Bound {
		return f.Account == account, nil
	}
	f.Bound, f.Account, f.Epochs.Account = true, account, epoch
	return true, t.put(bFlows, key, encodeFlow(f))
}

// Finish ends an open flow.
func (t flows) Finish(k storage.Key, state storage.FlowState, by storage.Digest, session storage.Key) (bool, error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	if state != storage.FlowRedeemed && state != storage.FlowCancelled {
		return false, fmt.Errorf("storage/bolt: a flow cannot be finished with state %d", state)
	}
	key, f, found, err := t.read(k)
	if err != nil || !found || f.State != storage.FlowOpen {
		return false, err
	}
	f.State, f.EndedBy, f.Session = state, by, session
	return true, t.put(bFlows, key, encodeFlow(f))
}
