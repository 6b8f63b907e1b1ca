package bolt

import "github.com/caddy-email-link/caddy-email-link/storage"

// Each pair writes and reads one kind of record; the key is not part of the value. See codec.go for the format.

func encodeAccount(a storage.Account) []byte {
	w := newWriter(128 + len(a.Private) + len(a.Password))
	w.digest(a.Mailbox)
	w.byte(byte(a.Status))
	w.texts(a.Roles)
	w.bytes(a.Private)
	w.bytes(a.Password)
	w.time(a.Created)
	w.num(a.Version)
	return w.b
}

func decodeAccount(id string, b []byte) (storage.Account, error) {
	r := newReader(b)
	a := storage.Account{
		ID:       id,
		Mailbox:  r.digest(),
		Status:   storage.Status(r.byte()),
		Roles:    r.texts(),
		Private:  r.bytes(),
		Password: r.bytes(),
		Created:  r.time(),
		Version:  r.num(),
	}
	return a, r.done("an account")
}

func encodeFlow(f storage.Flow) []byte {
	w := newWriter(320 + len(f.Private) + 32*len(f.Codes))
	w.text(f.ID)
	w.text(f.Site)
	w.text(f.Purpose)
	w.digest(f.Mailbox)
	w.epochs(f.Epochs)
	w.text(f.Account)
	w.flag(f.Bound)
	w.keys(f.MailIP)
	w.time(f.Started)
	w.int(f.ResendsLeft)
	w.time(f.NextResend)
	w.digests(f.Codes)
	w.int(f.WrongCodes)
	w.byte(byte(f.State))
	w.digest(f.EndedBy)
	w.key(f.Session)
	w.bytes(f.Private)
	return w.b
}

func decodeFlow(k storage.Key, b []byte) (storage.Flow, error) {
	r := newReader(b)
	f := storage.Flow{
		Key:         k,
		ID:          r.text(),
		Site:        r.text(),
		Purpose:     r.text(),
		Mailbox:     r.digest(),
		Epochs:      r.epochs(),
		Account:     r.text(),
		Bound:       r.flag(),
		MailIP:      r.keys(),
		Started:     r.time(),
		ResendsLeft: r.int(),
		NextResend:  r.time(),
		Codes:       r.digests(),
		WrongCodes:  r.int(),
		State:       storage.FlowState(r.byte()),
		EndedBy:     r.digest(),
		Session:     r.key(),
		Private:     r.bytes(),
	}
	return f, r.done("a flow")
}

func encodeToken(t storage.Token) []byte {
	w := newWriter(64)
	w.byte(byte(t.Kind))
	w.key(t.Flow)
	w.time(t.Used)
	w.flag(t.Replayed)
	return w.b
}

func decodeToken(k storage.Key, b []byte) (storage.Token, error) {
	r := newReader(b)
	t := storage.Token{
		Key:      k,
		Kind:     storage.TokenKind(r.byte()),
		Flow:     r.key(),
		Used:     r.time(),
		Replayed: r.flag(),
	}
	return t, r.done("a token")
}

// sessionVersion is the first byte of a session: since version 2 it has its network.
const sessionVersion = 2

func encodeSession(s storage.Session) []byte {
	w := newWriter(256)
	w.b[0] = sessionVersion
	w.text(s.ID)
	w.text(s.Account)
	w.digest(s.Mailbox)
	w.epochs(s.Epochs)
	w.text(s.Site)
	w.texts(s.Methods)
	w.time(s.AuthTime)
	w.time(s.Created)
	w.time(s.Seen)
	w.time(s.IdleEnd)
	w.key(s.Parent)
	w.text(s.Device)
	w.text(s.Network)
	return w.b
}

func decodeSession(k storage.Key, b []byte) (storage.Session, error) {
	r, version := newVersionReader(b, sessionVersion)
	s := storage.Session{
		Key:      k,
		ID:       r.text(),
		Account:  r.text(),
		Mailbox:  r.digest(),
		Epochs:   r.epochs(),
		Site:     r.text(),
		Methods:  r.texts(),
		AuthTime: r.time(),
		Created:  r.time(),
		Seen:     r.time(),
		IdleEnd:  r.time(),
		Parent:   r.key(),
		Device:   r.text(),
	}
	if version >= 2 {
		s.Network = r.text()
	}
	return s, r.done("a session")
}

func encodeMachineToken(t storage.MachineToken) []byte {
	w := newWriter(192 + len(t.Private))
	w.text(t.ID)
	w.text(t.Account)
	w.digest(t.Mailbox)
	w.epochs(t.Epochs)
	w.text(t.Site)
	w.texts(t.Scopes)
	w.time(t.Created)
	w.time(t.Revoked)
	w.bytes(t.Private)
	return w.b
}

func decodeMachineToken(k storage.Key, b []byte) (storage.MachineToken, error) {
	r := newReader(b)
	t := storage.MachineToken{
		Key:     k,
		ID:      r.text(),
		Account: r.text(),
		Mailbox: r.digest(),
		Epochs:  r.epochs(),
		Site:    r.text(),
		Scopes:  r.texts(),
		Created: r.time(),
		Revoked: r.time(),
		Private: r.bytes(),
	}
	return t, r.done("a machine token")
}

func encodeInvitation(i storage.Invitation) []byte {
	w := newWriter(96)
	w.text(i.ID)
	w.text(i.Inviter)
	w.digest(i.Mailbox)
	return w.b
}

func decodeInvitation(k storage.Key, b []byte) (storage.Invitation, error) {
	r := newReader(b)
	i := storage.Invitation{Key: k, ID: r.text(), Inviter: r.text(), Mailbox: r.digest()}
	return i, r.done("an invitation")
}

func encodeMail(m storage.Mail) []byte {
	w := newWriter(168 + len(m.Sealed))
	w.b[0] = mailVersion
	w.time(m.Due)
	w.time(m.End)
	w.time(m.Queued)
	w.int(m.Attempts)
	w.key(m.Flow)
	w.text(m.Purpose)
	w.text(m.Site)
	w.bytes(m.Sealed)
	w.flag(m.Dead)
	w.text(m.Reason)
	w.byte(byte(m.Lane))
	w.num(m.Position)
	w.flag(m.Empty)
	return w.b
}

// mailVersion is the first byte of a mail: since version 2 it has its lane. Older ones are in the direct one.
const mailVersion = 2

func decodeMail(id storage.MailID, b []byte) (storage.Mail, error) {
	r, version := newVersionReader(b, mailVersion)
	m := storage.Mail{
		ID:       id,
		Due:      r.time(),
		End:      r.time(),
		Queued:   r.time(),
		Attempts: r.int(),
		Flow:     r.key(),
		Purpose:  r.text(),
		Site:     r.text(),
		Sealed:   r.bytes(),
		Dead:     r.flag(),
		Reason:   r.text(),
	}
	if version == mailVersion {
		m.Lane, m.Position, m.Empty = storage.Lane(r.byte()), r.num(), r.flag()
		r.bad = r.bad || m.Lane > storage.LaneLine
	}
	return m, r.done("a mail")
}

// operatorVersion is the first byte of an event that names its operator.
const operatorVersion = 2

func encodeEvent(e storage.Event) []byte {
	w := newWriter(160)
	w.time(e.Time)
	w.text(e.Name)
	w.text(e.Purpose)
	w.text(e.Outcome)
	w.text(e.Account)
	w.text(e.Flow)
	w.text(e.Site)
	w.text(e.Client)
	if e.Operator != (storage.Operator{}) {
		w.b[0] = operatorVersion
		w.text(e.Operator.Command)
		w.text(e.Operator.User)
		w.text(e.Operator.Host)
	}
	return w.b
}

func decodeEvent(b []byte) (storage.Event, error) {
	r, version := newVersionReader(b, operatorVersion)
	e := storage.Event{
		Time:    r.time(),
		Name:    r.text(),
		Purpose: r.text(),
		Outcome: r.text(),
		Account: r.text(),
		Flow:    r.text(),
		Site:    r.text(),
		Client:  r.text(),
	}
	if version == operatorVersion {
		e.Operator = storage.Operator{Command: r.text(), User: r.text(), Host: r.text()}
		r.bad = r.bad || e.Operator == storage.Operator{}
	}
	return e, r.done("an event")
}
