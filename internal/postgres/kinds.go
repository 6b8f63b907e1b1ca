package postgres

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// metaValue is a row of the table meta.
type metaValue []byte

// epochValue is a row of the table epochs: its version is all there is.
type epochValue struct{}

// kinds are the tables of one schema.
type kinds struct {
	accounts      kind[string, storage.Account]
	epochs        kind[storage.EpochKey, epochValue]
	flows         kind[storage.Key, storage.Flow]
	tokens        kind[storage.Key, storage.Token]
	sessions      kind[storage.Key, storage.Session]
	machineTokens kind[storage.Key, storage.MachineToken]
	invitations   kind[storage.Key, storage.Invitation]
	mails         kind[storage.MailID, storage.Mail]
	meta          kind[string, metaValue]
}

var keyColumns = []string{"ends", "digest"}

func newKinds(schema string) *kinds {
	k := &kinds{
		accounts: accountKind(schema), epochs: epochKind(schema), flows: flowKind(schema), tokens: tokenKind(schema),
		sessions: sessionKind(schema), machineTokens: machineTokenKind(schema), invitations: invitationKind(schema), mails: mailKind(schema), meta: metaKind(schema),
	}
	k.accounts.prepare(schema)
	k.epochs.prepare(schema)
	k.flows.prepare(schema)
	k.tokens.prepare(schema)
	k.sessions.prepare(schema)
	k.machineTokens.prepare(schema)
	k.invitations.prepare(schema)
	k.mails.prepare(schema)
	k.meta.prepare(schema)
	return k
}

func accountKind(schema string) kind[string, storage.Account] {
	return kind[string, storage.Account]{
		table: schema + ".accounts", key: []string{"id"},
		fields:  []string{"mailbox", "status", "roles", "private", "password", "created"},
		keyArgs: func(id string) []any { return []any{id} },
		args: func(a *storage.Account) []any {
			return []any{digestArg(a.Mailbox), int16(a.Status), textsArg(a.Roles), a.Private, a.Password, timeArg(a.Created)}
		},
		scan: func(r pgx.Rows) (id string, a storage.Account, ver int64, err error) {
			err = r.Scan(&a.ID, digestTo{&a.Mailbox}, smallTo[storage.Status]{&a.Status}, &a.Roles, &a.Private, &a.Password,
				timeTo{&a.Created}, &ver)
			a.Roles, a.Version = texts(a.Roles), uint64(ver) //nolint:gosec // from 1
			return a.ID, a, ver, err
		},
		compare: strings.Compare,
	}
}

func epochKind(schema string) kind[storage.EpochKey, epochValue] {
	return kind[storage.EpochKey, epochValue]{
		table: schema + ".epochs", key: []string{"key"},
		keyArgs: func(k storage.EpochKey) []any { return []any{[]byte(k)} },
		args:    func(*epochValue) []any { return nil },
		scan: func(r pgx.Rows) (k storage.EpochKey, v epochValue, ver int64, err error) {
			var key []byte
			err = r.Scan(&key, &ver)
			return storage.EpochKey(key), v, ver, err
		},
		compare: cmp.Compare[storage.EpochKey],
		lock:    func(k storage.EpochKey) string { return "epoch " + string(k) },
		list:    func(keys []storage.EpochKey) any { return epochKeys(keys) }, listType: "bytea",
	}
}

func flowKind(schema string) kind[storage.Key, storage.Flow] {
	return kind[storage.Key, storage.Flow]{
		table: schema + ".flows", key: keyColumns,
		fields: []string{
			"id", "site", "purpose", "mailbox", "epoch_global", "epoch_mailbox", "epoch_account", "account", "bound", "ip_ends", "ip_digests",
			"started", "resends_left", "next_resend", "codes", "wrong_codes", "state", "ended_by", "session_ends", "session_digest", "private",
		},
		keyArgs: keyArgs,
		args: func(f *storage.Flow) []any {
			ends, digests := keysArgs(f.MailIP)
			return []any{
				f.ID, f.Site, f.Purpose, digestArg(f.Mailbox), f.Epochs.Global, f.Epochs.Mailbox, f.Epochs.Account, f.Account, f.Bound, ends, digests,
				timeArg(f.Started), f.ResendsLeft, timeArg(f.NextResend), digestsArg(f.Codes), f.WrongCodes, int16(f.State),
				optionalDigest(f.EndedBy), endArg(f.Session), refArg(f.Session), f.Private,
			}
		},
		scan: func(r pgx.Rows) (k storage.Key, f storage.Flow, ver int64, err error) {
			var ends []time.Time
			var digests, codes [][]byte
			err = r.Scan(endTo{&f.Key}, digestTo{&f.Key.Digest}, &f.ID, &f.Site, &f.Purpose, digestTo{&f.Mailbox}, &f.Epochs.Global,
				&f.Epochs.Mailbox, &f.Epochs.Account, &f.Account, &f.Bound, &ends, &digests, timeTo{&f.Started}, &f.ResendsLeft,
				timeTo{&f.NextResend}, &codes, &f.WrongCodes, smallTo[storage.FlowState]{&f.State}, digestTo{&f.EndedBy}, endTo{&f.Session},
				digestTo{&f.Session.Digest}, &f.Private, &ver)
			if err != nil {
				return k, f, 0, err
			}
			slots, err := digestsTo(digests)
			if err != nil {
				return k, f, 0, err
			}
			for i := range min(len(slots), len(ends)) {
				f.MailIP = append(f.MailIP, storage.Key{End: ends[i].Unix(), Digest: slots[i]})
			}
			f.Codes, err = digestsTo(codes)
			return f.Key, f, ver, err
		},
		compare: compareKeys,
	}
}

func tokenKind(schema string) kind[storage.Key, storage.Token] {
	return kind[storage.Key, storage.Token]{
		table: schema + ".tokens", key: keyColumns, fields: []string{"kind", "flow_ends", "flow_digest", "used", "replayed"},
		keyArgs: keyArgs,
		args: func(t *storage.Token) []any {
			return []any{int16(t.Kind), endArg(t.Flow), refArg(t.Flow), timeArg(t.Used), t.Replayed}
		},
		scan: func(r pgx.Rows) (k storage.Key, t storage.Token, ver int64, err error) {
			err = r.Scan(endTo{&t.Key}, digestTo{&t.Key.Digest}, smallTo[storage.TokenKind]{&t.Kind}, endTo{&t.Flow}, digestTo{&t.Flow.Digest},
				timeTo{&t.Used}, &t.Replayed, &ver)
			return t.Key, t, ver, err
		},
		compare: compareKeys,
	}
}

func sessionKind(schema string) kind[storage.Key, storage.Session] {
	return kind[storage.Key, storage.Session]{
		table: schema + ".sessions", key: keyColumns,
		fields: []string{
			"id", "account", "mailbox", "epoch_global", "epoch_mailbox", "epoch_account", "site", "methods", "auth_time", "created", "seen",
			"idle_ends", "parent_ends", "parent_digest", "device", "network",
		},
		keyArgs: keyArgs,
		args: func(s *storage.Session) []any {
			return []any{
				s.ID, s.Account, digestArg(s.Mailbox), s.Epochs.Global, s.Epochs.Mailbox, s.Epochs.Account, s.Site, textsArg(s.Methods),
				timeArg(s.AuthTime), timeArg(s.Created), timeArg(s.Seen), timeArg(s.IdleEnd), endArg(s.Parent), refArg(s.Parent), s.Device, s.Network,
			}
		},
		scan: func(r pgx.Rows) (k storage.Key, s storage.Session, ver int64, err error) {
			err = r.Scan(endTo{&s.Key}, digestTo{&s.Key.Digest}, &s.ID, &s.Account, digestTo{&s.Mailbox}, &s.Epochs.Global, &s.Epochs.Mailbox,
				&s.Epochs.Account, &s.Site, &s.Methods, timeTo{&s.AuthTime}, timeTo{&s.Created}, timeTo{&s.Seen}, timeTo{&s.IdleEnd},
				endTo{&s.Parent}, digestTo{&s.Parent.Digest}, &s.Device, &s.Network, &ver)
			s.Methods = texts(s.Methods)
			return s.Key, s, ver, err
		},
		compare: compareKeys,
	}
}

func machineTokenKind(schema string) kind[storage.Key, storage.MachineToken] {
	return kind[storage.Key, storage.MachineToken]{
		table: schema + ".machine_tokens", key: keyColumns,
		fields: []string{
			"id", "account", "mailbox", "epoch_global", "epoch_mailbox", "epoch_account", "site", "scopes", "created", "revoked", "private",
		},
		keyArgs: keyArgs,
		args: func(t *storage.MachineToken) []any {
			return []any{
				t.ID, t.Account, digestArg(t.Mailbox), t.Epochs.Global, t.Epochs.Mailbox, t.Epochs.Account, t.Site, textsArg(t.Scopes),
				timeArg(t.Created), timeArg(t.Revoked), t.Private,
			}
		},
		scan: func(r pgx.Rows) (k storage.Key, t storage.MachineToken, ver int64, err error) {
			err = r.Scan(endTo{&t.Key}, digestTo{&t.Key.Digest}, &t.ID, &t.Account, digestTo{&t.Mailbox}, &t.Epochs.Global, &t.Epochs.Mailbox,
				&t.Epochs.Account, &t.Site, &t.Scopes, timeTo{&t.Created}, timeTo{&t.Revoked}, &t.Private, &ver)
			t.Scopes = texts(t.Scopes)
			return t.Key, t, ver, err
		},
		compare: compareKeys,
	}
}

func invitationKind(schema string) kind[storage.Key, storage.Invitation] {
	return kind[storage.Key, storage.Invitation]{
		table: schema + ".invitations", key: keyColumns, fields: []string{"id", "inviter", "mailbox"}, keyArgs: keyArgs,
		args: func(i *storage.Invitation) []any { return []any{i.ID, i.Inviter, digestArg(i.Mailbox)} },
		scan: func(r pgx.Rows) (k storage.Key, i storage.Invitation, ver int64, err error) {
			err = r.Scan(endTo{&i.Key}, digestTo{&i.Key.Digest}, &i.ID, &i.Inviter, digestTo{&i.Mailbox}, &ver)
			return i.Key, i, ver, err
		},
		compare: compareKeys,
	}
}

// goneAt returns when a sweep removes a mail, or what is sealed in a dead letter.
func goneAt(m *storage.Mail) time.Time {
	end := time.Unix(max(0, min(m.End.Unix(), maxEnd)), 0)
	if m.Dead && len(m.Sealed) == 0 {
		return end.Add(storage.DeadLetterRetention)
	}
	return end
}

func mailKind(schema string) kind[storage.MailID, storage.Mail] {
	return kind[storage.MailID, storage.Mail]{
		table: schema + ".mails", key: []string{"id"},
		fields: []string{
			"due", "ends", "gone", "queued", "attempts", "flow_ends", "flow_digest", "purpose", "site", "sealed", "dead", "reason",
			"lane", "position", "empty",
		},
		keyArgs: func(id storage.MailID) []any { return []any{bytes.Clone(id[:])} },
		args: func(m *storage.Mail) []any {
			return []any{
				m.Due, timeArg(m.End), goneAt(m), timeArg(m.Queued), m.Attempts, endArg(m.Flow), refArg(m.Flow), m.Purpose, m.Site, m.Sealed, m.Dead,
				m.Reason, int16(m.Lane), int64(m.Position), m.Empty, //nolint:gosec // below 2^63: see Enqueue and Move
			}
		},
		scan: func(r pgx.Rows) (id storage.MailID, m storage.Mail, ver int64, err error) {
			var raw []byte
			var gone time.Time
			var position int64
			err = r.Scan(&raw, timeTo{&m.Due}, timeTo{&m.End}, timeTo{&gone}, timeTo{&m.Queued}, &m.Attempts, endTo{&m.Flow},
				digestTo{&m.Flow.Digest}, &m.Purpose, &m.Site, &m.Sealed, &m.Dead, &m.Reason, smallTo[storage.Lane]{&m.Lane}, &position, &m.Empty, &ver)
			copy(m.ID[:], raw)
			m.Position = uint64(position) //nolint:gosec // written from one
			return m.ID, m, ver, err
		},
		compare: func(a, b storage.MailID) int { return bytes.Compare(a[:], b[:]) },
		// What else can change of a mail that is not dead is when it is due.
		proof: "attempts = $1 and reason = $2 and lane = $3 and position = $4 and not dead", nproof: 4,
		proofArgs: func(m *storage.Mail) []any {
			return []any{m.Attempts, m.Reason, int16(m.Lane), int64(m.Position)} //nolint:gosec // below 2^63: see Enqueue and Move
		},
	}
}

func metaKind(schema string) kind[string, metaValue] {
	return kind[string, metaValue]{
		table: schema + ".meta", key: []string{"name"}, fields: []string{"value"},
		keyArgs: func(name string) []any { return []any{name} },
		args:    func(v *metaValue) []any { return []any{append([]byte{}, *v...)} },
		scan: func(r pgx.Rows) (name string, v metaValue, ver int64, err error) {
			err = r.Scan(&name, (*[]byte)(&v), &ver)
			return name, v, ver, err
		},
		compare: strings.Compare,
		lock:    func(name string) string { return "meta " + name },
		list:    func(names []string) any { return names }, listType: "text",
	}
}

// epochKeys returns the parameter of the keys of epochs.
func epochKeys(keys []storage.EpochKey) [][]byte {
	list := make([][]byte, len(keys))
	for i, k := range keys {
		list[i] = []byte(k)
	}
	return list
}

// mailboxLock names a mailbox that no account has.
func mailboxLock(d storage.Digest) string { return "mailbox " + hex.EncodeToString(d[:]) }
