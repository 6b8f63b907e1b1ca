package session

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// ErrNotActive says that no session is opened for an account that is not active.
var ErrNotActive = errors.New("session: the account is not active")

// OpenInput is what a new session needs beside its account.
type OpenInput struct {
	// Site is the origin the session belongs to.
	Site string
	// Mailbox is the digest of the account's canonical address.
	Mailbox storage.Digest
	// Methods are the amr values: link, code, pwd.
	Methods []string
	// Device is a name from a closed list, such as "Firefox on Linux".
	Device string
	// Client is the address that the session is opened from, of which only the network is kept; the zero value is not known.
	Client netip.Addr
	// Idle and Absolute are the lifetimes; zero means those of [Manager.SetLifetimes].
	Idle, Absolute time.Duration
	// Parent is the portal's session of the same account, nil when there is none. The new one has its proof (AuthTime and methods) and its
	// absolute end, whatever Methods and Absolute say: a hand-over proves nothing anew.
	Parent *storage.Session
	// Replaces is the session that the same browser had at this site, zero when it had none. It ends in the same step. The sessions of which
	// it was the parent go on with the new one where the account is the same, and end with it where it is another.
	Replaces storage.Key
}

// Open opens a session in the caller's transaction, under the epochs that hold in it, and returns the value of its cookie,
// which is new at each call. Hand it out only after the commit.
func (m *Manager) Open(tx storage.Tx, a accounts.Account, in OpenInput) (cookie string, s storage.Session, err error) {
	if a.Status != accounts.Active {
		return "", storage.Session{}, ErrNotActive
	}
	if lt := m.lifetimes.Load(); lt != nil {
		if in.Idle <= 0 {
			in.Idle = lt.Idle
		}
		if in.Absolute <= 0 {
			in.Absolute = lt.Absolute
		}
	}
	now := m.clock.Now()
	if in.Parent != nil {
		in.Absolute = in.Parent.Key.Ends().Sub(now)
	}
	if a.ID == "" || in.Site == "" || in.Mailbox.IsZero() || in.Idle <= 0 || in.Absolute <= 0 {
		return "", storage.Session{}, errors.New("session: a session needs an account, a site, a mailbox and both lifetimes")
	}
	epochs, err := storage.ReadEpochs(tx, in.Mailbox, a.ID, true)
	if err != nil {
		return "", storage.Session{}, err
	}
	cookie = token.Random(now.Add(in.Absolute))
	p, err := token.Parse(cookie)
	if err != nil {
		return "", storage.Session{}, fmt.Errorf("session: a cookie of our own: %w", err)
	}
	s = storage.Session{
		Key:      p.CookieKey(m.ring, label, in.Site),
		Account:  a.ID,
		Mailbox:  in.Mailbox,
		Epochs:   epochs,
		Site:     in.Site,
		Methods:  in.Methods,
		AuthTime: now,
		Created:  now,
		Seen:     now,
		IdleEnd:  now.Add(in.Idle),
		Device:   in.Device,
		Network:  networkOf(in.Client),
	}
	if s.ID, err = nextID(tx, a.ID, in.Replaces); err != nil {
		return "", storage.Session{}, err
	}
	if in.Parent != nil {
		s.Parent, s.Methods, s.AuthTime = in.Parent.Key, in.Parent.Methods, in.Parent.AuthTime
	}
	if err := create(tx, s, in.Replaces); err != nil {
		return "", storage.Session{}, err
	}
	return cookie, s, nil
}

// nextID returns the sid of a new session: that of the one whose place it takes where the account is the same. So what was said about a browser's
// session, such as that it is to end, holds for the session that it has now.
func nextID(tx storage.Tx, account string, replaces storage.Key) (string, error) {
	if replaces.IsZero() {
		return token.NewID(), nil
	}
	old, found, err := tx.Sessions().Get(replaces)
	if err == nil && found && old.Account == account {
		return old.ID, nil
	}
	return token.NewID(), err
}

// create stores a session in the place of another one, if there is one.
func create(tx storage.Tx, s storage.Session, replaces storage.Key) error {
	if replaces.IsZero() {
		return tx.Sessions().Create(s)
	}
	replaced, err := tx.Sessions().Reauthenticate(replaces, s)
	if err != nil {
		return err
	}
	if replaced {
		return tx.Changes().Publish(storage.Change{Kind: storage.ChangeSession, Account: s.Account, Key: replaces})
	}
	if _, err := deleteSession(tx, replaces); err != nil {
		return err
	}
	return tx.Sessions().Create(s)
}
