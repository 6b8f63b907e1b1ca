package postgres

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type epochs struct {
	*rows[storage.EpochKey, epochValue]
}

func (t epochs) get(k storage.EpochKey, guard bool) (uint64, error) {
	if k == "" {
		return 0, errNoKey
	}
	one, err := t.read(k, guard)
	if err != nil {
		return 0, err
	}
	return uint64(one.next), nil //nolint:gosec // not negative
}

// Get returns the epoch, 0 when it was never raised.
func (t epochs) Get(k storage.EpochKey) (uint64, error) { return t.get(k, false) }

// GetForUpdate is Get for a read that guards a write.
func (t epochs) GetForUpdate(k storage.EpochKey) (uint64, error) { return t.get(k, true) }

// Raise adds one and returns the new value.
func (t epochs) Raise(k storage.EpochKey) (uint64, error) {
	if err := t.changeable(); err != nil {
		return 0, err
	}
	if k == "" {
		return 0, errNoKey
	}
	one, err := t.read(k, true)
	if err != nil {
		return 0, err
	}
	t.put(one, epochValue{})
	return uint64(one.next), nil //nolint:gosec // not negative
}

type meta struct{ *rows[string, metaValue] }

func (t meta) get(name string, guard bool) ([]byte, bool, error) {
	if name == "" {
		return nil, false, errNoKey
	}
	one, err := t.read(name, guard)
	if err != nil || !one.found {
		return nil, false, err
	}
	return slices.Clone(one.rec), true, nil
}

// Get returns a copy of the value under a name.
func (t meta) Get(name string) ([]byte, bool, error) { return t.get(name, false) }

// GetForUpdate is Get for a read that guards a write.
func (t meta) GetForUpdate(name string) ([]byte, bool, error) { return t.get(name, true) }

// Put stores a copy of the value under a name.
func (t meta) Put(name string, value []byte) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if name == "" {
		return errNoKey
	}
	one, err := t.read(name, true)
	if err != nil {
		return err
	}
	t.put(one, append(metaValue{}, value...))
	return nil
}

// Delete removes the value under a name, if there is one.
func (t meta) Delete(name string) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if name == "" {
		return errNoKey
	}
	one, err := t.read(name, false)
	if err == nil && one.found {
		t.remove(one)
	}
	return err
}

type flows struct {
	*rows[storage.Key, storage.Flow]
}

// Create stores a new flow.
func (t flows) Create(f storage.Flow) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if !validKey(f.Key) || f.Key.Digest.IsZero() {
		return errNoKey
	}
	f.Started, f.NextResend = micro(f.Started), micro(f.NextResend)
	return t.create(f.Key, f, storage.ErrExists)
}

func (t flows) get(k storage.Key, guard bool) (storage.Flow, bool, error) {
	if !validKey(k) {
		return storage.Flow{}, false, t.usable()
	}
	one, err := t.read(k, guard)
	if err != nil || !one.found {
		return storage.Flow{}, false, err
	}
	return one.rec, true, nil
}

// Get returns a flow, over or not.
func (t flows) Get(k storage.Key) (storage.Flow, bool, error) { return t.get(k, false) }

// GetForUpdate is Get for a read that guards a write.
func (t flows) GetForUpdate(k storage.Key) (storage.Flow, bool, error) { return t.get(k, true) }

// open returns the row of a flow for a change; one is nil when there is no such flow.
func (t flows) open(k storage.Key) (one *row[storage.Flow], err error) {
	if err := t.changeable(); err != nil || !validKey(k) {
		return nil, err
	}
	one, err = t.read(k, false)
	if err != nil || !one.found {
		return nil, err
	}
	return one, nil
}

// ConsumeResend spends one of the flow's resends.
func (t flows) ConsumeResend(k storage.Key, now time.Time, wait time.Duration, code storage.Digest) (
	storage.Flow, storage.ResendResult, error,
) {
	one, err := t.open(k)
	if err != nil || one == nil {
		return storage.Flow{}, storage.ResendMissing, err
	}
	f := one.rec
	switch {
	case f.State != storage.FlowOpen || !k.Alive(now):
		return f, storage.ResendMissing, nil
	case f.ResendsLeft <= 0:
		return f, storage.ResendSpent, nil
	case now.Before(f.NextResend):
		return f, storage.ResendTooEarly, nil
	}
	f.ResendsLeft--
	f.NextResend = micro(now.Add(wait))
	if !code.IsZero() {
		f.Codes = append(slices.Clone(f.Codes), code)
	}
	t.put(one, f)
	return f, storage.ResendConsumed, nil
}

// AttemptCode counts one attempt at the typed code.
func (t flows) AttemptCode(k storage.Key, now time.Time, code storage.Digest, max int) (storage.Flow, storage.CodeResult, error) {
	one, err := t.open(k)
	if err != nil || one == nil {
		return storage.Flow{}, storage.CodeMissing, err
	}
	f := one.rec
	switch {
	case f.State != storage.FlowOpen || !k.Alive(now):
		return f, storage.CodeMissing, nil
	case f.WrongCodes >= max:
		return f, storage.CodeOff, nil
	}
	right := 0
	for _, c := range f.Codes {
		right |= subtle.ConstantTimeCompare(c[:], code[:])
	}
	if right == 1 && !code.IsZero() {
		one.guard = true // as many wrong ones as were counted
		return f, storage.CodeRight, nil
	}
	f.WrongCodes++
	t.put(one, f)
	return f, storage.CodeWrong, nil
}

// Bind notes what the mail worker found out. The first binding stays.
func (t flows) Bind(k storage.Key, account string, epoch uint64) (bound bool, err error) {
	one, err := t.open(k)
	if err != nil || one == nil || one.rec.State != storage.FlowOpen {
		return false, err
	}
	f := one.rec
	if f.Bound {
		return f.Account == account, nil
	}
	f.Bound, f.Account, f.Epochs.Account = true, account, epoch
	t.put(one, f)
	return true, nil
}

// Finish ends an open flow.
func (t flows) Finish(k storage.Key, state storage.FlowState, by storage.Digest, session storage.Key) (bool, error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	if state != storage.FlowRedeemed && state != storage.FlowCancelled {
		return false, fmt.Errorf("postgres: a flow cannot be finished with state %d", state)
	}
	one, err := t.open(k)
	if err != nil || one == nil || one.rec.State != storage.FlowOpen {
		return false, err
	}
	f := one.rec
	f.State, f.EndedBy, f.Session = state, by, session
	t.put(one, f)
	return true, nil
}

type tokens struct {
	*rows[storage.Key, storage.Token]
}

// Create stores a new token.
func (t tokens) Create(k storage.Token) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if !validKey(k.Key) || k.Key.Digest.IsZero() {
		return errNoKey
	}
	k.Used = micro(k.Used)
	return t.create(k.Key, k, storage.ErrExists)
}

// Get returns a token, used or not, over or not.
func (t tokens) Get(k storage.Key) (storage.Token, bool, error) {
	if !validKey(k) {
		return storage.Token{}, false, t.usable()
	}
	one, err := t.read(k, false)
	if err != nil || !one.found {
		return storage.Token{}, false, err
	}
	return one.rec, true, nil
}

// Consume marks the token as used, once.
func (t tokens) Consume(k storage.Key, now time.Time) (storage.Token, storage.TokenResult, error) {
	if err := t.changeable(); err != nil {
		return storage.Token{}, 0, err
	}
	if now.IsZero() { // it would read back as "not used"
		return storage.Token{}, 0, errNoKey
	}
	token, found, err := t.Get(k)
	switch {
	case err != nil:
		return storage.Token{}, 0, err
	case !found || !k.Alive(now):
		return token, storage.TokenMissing, nil
	case token.Replayed:
		return token, storage.TokenReplayed, nil
	}
	result := storage.TokenConsumed
	if token.Used.IsZero() {
		token.Used = micro(now)
	} else {
		token.Replayed, result = true, storage.TokenUsed
	}
	t.put(t.m[k], token)
	return token, result, nil
}

// listAfter lists records in the order of their keys.
func listAfter[R any](t *rows[storage.Key, R], after storage.Key, limit int, keyOf func(*R) storage.Key) ([]*R, error) {
	if limit <= 0 || after.End > maxEnd {
		return nil, nil
	}
	after.End = max(after.End, 0)
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where (ends, digest) > ($1, $2) order by ends, digest limit $3"
	return t.list(sql, append(keyArgs(after), limit+t.written()), func(r *R) bool { return compareKeys(keyOf(r), after) > 0 },
		func(a, b *R) int { return compareKeys(keyOf(a), keyOf(b)) }, limit)
}

// values copies the records of a list.
func values[R any](list []*R) []R {
	out := make([]R, 0, len(list))
	for _, r := range list {
		out = append(out, *r)
	}
	return out
}

type machineTokens struct {
	*rows[storage.Key, storage.MachineToken]
}

// Create stores the record of a new machine token.
func (t machineTokens) Create(m storage.MachineToken) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if m.ID == "" || m.Account == "" || !validKey(m.Key) || m.Key.Digest.IsZero() {
		return errNoKey
	}
	m.Created, m.Revoked = micro(m.Created), micro(m.Revoked)
	return t.create(m.Key, m, storage.ErrExists)
}

// Get returns a machine token, over or not, revoked or not.
func (t machineTokens) Get(k storage.Key) (storage.MachineToken, bool, error) {
	if !validKey(k) {
		return storage.MachineToken{}, false, t.usable()
	}
	one, err := t.read(k, false)
	if err != nil || !one.found {
		return storage.MachineToken{}, false, err
	}
	return one.rec, true, nil
}

// Revoke notes when a token was revoked, once.
func (t machineTokens) Revoke(k storage.Key, now time.Time) (storage.MachineToken, bool, error) {
	if err := t.changeable(); err != nil {
		return storage.MachineToken{}, false, err
	}
	if now.IsZero() { // it would read back as "not revoked"
		return storage.MachineToken{}, false, errNoKey
	}
	m, found, err := t.Get(k)
	if err != nil || !found || !m.Revoked.IsZero() {
		return m, false, err
	}
	m.Revoked = micro(now)
	t.put(t.m[k], m)
	return m, true, nil
}

// List returns up to limit tokens with keys after the given one.
func (t machineTokens) List(after storage.Key, limit int) ([]storage.MachineToken, error) {
	list, err := listAfter(t.rows, after, limit, func(m *storage.MachineToken) storage.Key { return m.Key })
	return values(list), err
}

type invitations struct {
	*rows[storage.Key, storage.Invitation]
}

// Create stores a new invitation.
func (t invitations) Create(i storage.Invitation) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if i.ID == "" || i.Mailbox.IsZero() || !validKey(i.Key) || i.Key.Digest.IsZero() {
		return errNoKey
	}
	return t.create(i.Key, i, storage.ErrExists)
}

// ByInviter lists up to limit invitations of an account.
func (t invitations) ByInviter(account string, limit int) ([]storage.Invitation, error) {
	return t.by("inviter", account, limit, func(i *storage.Invitation) bool { return i.Inviter == account })
}

// ByMailbox lists up to limit invitations for a mailbox.
func (t invitations) ByMailbox(mailbox storage.Digest, limit int) ([]storage.Invitation, error) {
	return t.by("mailbox", digestArg(mailbox), limit, func(i *storage.Invitation) bool { return i.Mailbox == mailbox })
}

func (t invitations) by(column string, value any, limit int, want func(*storage.Invitation) bool) ([]storage.Invitation, error) {
	if limit <= 0 {
		return nil, nil
	}
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where " + column + " = $1 order by ends, digest limit $2"
	list, err := t.list(sql, []any{value, limit + t.written()}, want, func(a, b *storage.Invitation) int { return compareKeys(a.Key, b.Key) }, limit)
	return values(list), err
}

// List returns up to limit invitations with keys after the given one.
func (t invitations) List(after storage.Key, limit int) ([]storage.Invitation, error) {
	list, err := listAfter(t.rows, after, limit, func(i *storage.Invitation) storage.Key { return i.Key })
	return values(list), err
}
