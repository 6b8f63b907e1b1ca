package bolt

import (
	"bytes"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type invitations struct{ *tx }

// Prefixes of the index of invitations.
func invitedBy(account string) []byte { return append(append([]byte{'a'}, account...), 0) }

func invitedAt(mailbox storage.Digest) []byte { return append([]byte{'m'}, mailbox[:]...) }

// invitationEntries returns the entries of an invitation in the index. key is that of the invitation.
func invitationEntries(i storage.Invitation, key []byte) [][]byte {
	return [][]byte{append(invitedBy(i.Inviter), key...), append(invitedAt(i.Mailbox), key...)}
}

// Create stores a new invitation.
func (t invitations) Create(i storage.Invitation) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	if i.ID == "" || i.Mailbox.IsZero() || strings.Contains(i.Inviter, "\x00") {
		return errNoKey
	}
	if err := t.create(bInvitations, i.Key, encodeInvitation(i)); err != nil {
		return err
	}
	key, _ := keyOf(i.Key)
	for _, entry := range invitationEntries(i, key) {
		if err := t.put(bInvitationIndex, entry, []byte{}); err != nil {
			return err
		}
	}
	return nil
}

// ByInviter lists up to limit invitations of an account.
func (t invitations) ByInviter(account string, limit int) ([]storage.Invitation, error) {
	return t.indexed(invitedBy(account), limit)
}

// ByMailbox lists up to limit invitations for a mailbox.
func (t invitations) ByMailbox(mailbox storage.Digest, limit int) ([]storage.Invitation, error) {
	return t.indexed(invitedAt(mailbox), limit)
}

func (t invitations) indexed(prefix []byte, limit int) (list []storage.Invitation, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = t.scan(bInvitationIndex, prefix, func(k, _ []byte) (bool, error) {
		if !bytes.HasPrefix(k, prefix) {
			return false, nil
		}
		key, err := parseKey(k[len(prefix):])
		if err != nil {
			return false, err
		}
		v, err := t.get(bInvitations, k[len(prefix):])
		if err != nil || v == nil {
			return err == nil, err
		}
		i, err := decodeInvitation(key, v)
		if err != nil {
			return false, err
		}
		list = append(list, i)
		return len(list) < limit, nil
	})
	return list, err
}

// List returns up to limit invitations with keys after the given one.
func (t invitations) List(after storage.Key, limit int) (list []storage.Invitation, err error) {
	if limit <= 0 {
		return nil, nil
	}
	from, ok := keyOf(after)
	if !ok {
		if after.End > 0 {
			return nil, nil // after every key
		}
		from = nil
	}
	err = t.scan(bInvitations, from, func(k, v []byte) (bool, error) {
		if bytes.Equal(k, from) {
			return true, nil
		}
		key, err := parseKey(k)
		if err != nil {
			return false, err
		}
		i, err := decodeInvitation(key, v)
		if err != nil {
			return false, err
		}
		list = append(list, i)
		return len(list) < limit, nil
	})
	return list, err
}
