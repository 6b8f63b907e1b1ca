package flow

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TakeBackLifetime is for how long the mailbox that an account had before a change of its address may take the account back.
const TakeBackLifetime = 7 * 24 * time.Hour

// IsAddressPurpose reports whether a link is one of a change of an address, for which ConfirmAddress is to be called.
func IsAddressPurpose(purpose string) bool {
	return purpose == Address || purpose == AddressConsent || purpose == TakeBack
}

// AddressChange is a change of the address that waits for its mailboxes.
type AddressChange struct {
	// Address is the new one, for people to read.
	Address string
	// New and Present are set once that mailbox has confirmed.
	New, Present bool
	// Started and End are the first and last time of the change, see Pending.
	Started, End time.Time
	// Code is set when this browser may type the code of the new mailbox, CodeOff after MaxWrongCodes wrong ones.
	Code, CodeOff bool
}

// CheckNewAddress returns the address that an account is to have, as typed, if the person may have it by themselves: by the address alone, so that the
// answer does not say who has an account. Errors: ErrSignedOut, ErrNoMail, *Invalid (email: "syntax", "same"), ErrAddressClosed.
func (s *Service) CheckNewAddress(site Site, requester Requester, email string) (typed string, err error) {
	switch {
	case requester.Session == nil:
		return "", ErrSignedOut
	case site.NoMail:
		return "", ErrNoMail
	case site.KeepAddresses:
		return "", ErrAddressClosed
	}
	addr, err := address.Parse(email)
	if err != nil {
		return "", &Invalid{Field: "email", Code: "syntax", Err: err}
	}
	if addr.Mailbox(s.Ring) == requester.Session.Session.Mailbox {
		return "", &Invalid{Field: "email", Code: "same"}
	}
	if !site.SignUp.Admits(addr) {
		return "", ErrAddressClosed
	}
	return addr.Typed(), nil
}

// BeginAddressChange begins a change of the address, in the step that proves the act NewAddress: one mail each goes to the new mailbox and to the
// present one. What it reads, writes and answers is the same for every address; the mail worker finds out whether the new one is another
// account's. It returns the value of the proof cookie, which lives until AddressChange.End and lets this browser type the code of the new
// mailbox.
//
// It refuses for the errors of CheckNewAddress, and with *Limited.
func (s *Service) BeginAddressChange(tx storage.Tx, site Site, requester Requester, email string) (cookie string, c AddressChange, err error) {
	site = site.withDefaults()
	if _, err := s.CheckNewAddress(site, requester, email); err != nil {
		return "", c, refuse(err)
	}
	addr, err := address.Parse(email)
	if err != nil {
		return "", c, err
	}
	st, found, err := s.Accounts.AddressState(tx, requester.Session.Session.Account)
	if err != nil || !found {
		return "", c, orRefuse(err, ErrSignedOut)
	}
	now := s.Clock.Now()
	v, _, _, err := s.mailCost(&site, limit.Subject{Client: requester.Client, Mailbox: addr.LimitKey(s.Ring)}, now).spend(tx, false)
	switch {
	case err != nil:
		return "", c, err
	case !v.Allowed:
		return "", c, refuse(limited(v))
	}
	cookie = token.Random(now.Add(site.lifetime(Address)))
	parsed, err := token.Parse(cookie)
	if err != nil {
		return "", c, err
	}
	f := storage.Flow{
		Key: parsed.CookieKey(s.Ring, labelAddress, site.Origin), ID: token.NewID(), Site: site.Origin, Purpose: Address, Mailbox: st.Mailbox,
		Account: st.ID, Bound: true, MailIP: v.SlotsOf(limit.MailIP), Started: now, State: storage.FlowOpen,
	}
	if f.Epochs, err = storage.ReadEpochs(tx, f.Mailbox, f.Account, false); err != nil {
		return "", c, err
	}
	if err := s.Accounts.BeginAddressChange(tx, f.Account, f.Key); err != nil {
		return "", c, err
	}
	p := private{
		Email: addr.Typed(), Device: cutDevice(requester.Device), Locale: language(requester.Locale), Network: boundary.NetworkText(requester.Client),
		Session: requester.Session.Session.ID,
	}
	if err := s.mailAddressChange(tx, site, f, p, addr, st.Account, cookie, v.Share); err != nil {
		return "", c, err
	}
	return cookie, AddressChange{Address: addr.Display(), Started: now, End: f.Key.Ends(), Code: true}, tx.Events().Append(storage.Event{
		Time: now, Name: eventRequested, Purpose: Address, Outcome: outcomeOK, Account: f.Account, Flow: f.ID, Site: f.Site, Client: p.Network,
	}, f.Key.Ends())
}

// StartedAddressChange is a change that an act has begun.
type StartedAddressChange struct {
	// Cookie is the value of the proof cookie, see BeginAddressChange; it is empty if no change was begun.
	Cookie string
	AddressChange
}

// PerformAddressChange returns what does an act of the kind NewAddress, if may reports that people do this here, and fills started. Acts of other
// kinds are done by other.
func (s *Service) PerformAddressChange(site Site, requester Requester, may func() bool, other Perform, started *StartedAddressChange) Perform {
	return func(tx storage.Tx, act Act) (err error) {
		*started = StartedAddressChange{}
		switch {
		case act.Kind != NewAddress:
			return other(tx, act)
		case !may():
			return refuse(ErrNoFlow)
		}
		started.Cookie, started.AddressChange, err = s.BeginAddressChange(tx, site, requester, act.Email)
		return err
	}
}

// mailAddressChange stores the flow of a change and queues its two mails. That to the new mailbox waits as those of strangers do.
func (s *Service) mailAddressChange(tx storage.Tx, site Site, f storage.Flow, p private, addr address.Address, a accounts.Account, cookie string, share limit.Share,
) (err error) {
	present, err := address.Parse(a.Email)
	if err != nil {
		return err
	}
	if f.Private, err = s.sealPrivate(f.Key, p); err != nil {
		return err
	}
	toNew, err := s.newDraft(mailInput{site: site, flow: f, private: p, addr: addr, cookie: cookie, now: f.Started, timezone: a.Timezone})
	if err != nil {
		return err
	}
	f.Codes = []storage.Digest{toNew.code}
	if err := tx.Flows().Create(f); err != nil {
		return err
	}
	consent := f
	consent.Purpose = AddressConsent
	toOld, err := s.newDraft(mailInput{
		site: site, flow: consent, private: p, addr: present, cookie: cookie, known: true, now: f.Started, newAddress: addr.Display(), timezone: a.Timezone,
	})
	if err != nil {
		return err
	}
	toNew.queueUp(false, share)
	toOld.queueUp(true, limit.Share{})
	if err := toNew.write(tx); err != nil {
		return err
	}
	return toOld.write(tx)
}

// PendingAddressChange returns the change that the account of this browser waits for. Errors: ErrNoFlow, ErrSignedOut, ErrUnavailable.
func (s *Service) PendingAddressChange(ctx context.Context, site Site, requester Requester, cookie string) (c AddressChange, err error) {
	if site.KeepAddresses {
		return AddressChange{}, ErrNoFlow
	}
	err = s.view(ctx, func(tx storage.Tx) error {
		found, err := s.findAddressChange(tx, site, requester, cookie, s.Clock.Now(), false)
		c = found.shown
		return err
	})
	if err != nil {
		return AddressChange{}, err
	}
	return c, nil
}

// pendingAddress is a change that was found.
type pendingAddress struct {
	flow    storage.Flow
	private private
	addr    address.Address
	shown   AddressChange
}

// findAddressChange returns the open change of the account of this browser. It refuses a browser without one.
func (s *Service) findAddressChange(tx storage.Tx, site Site, requester Requester, cookie string, now time.Time, forUpdate bool) (c pendingAddress, err error) {
	if requester.Session == nil {
		return c, refuse(ErrSignedOut)
	}
	alive, err := s.Sessions.Alive(tx, requester.Session)
	if err != nil || !alive {
		return c, orRefuse(err, ErrSignedOut)
	}
	st, found, err := s.Accounts.AddressState(tx, requester.Session.Session.Account)
	if err != nil || !found || st.Change.IsZero() {
		return c, orRefuse(err, ErrNoFlow)
	}
	get := tx.Flows().Get
	if forUpdate {
		get = tx.Flows().GetForUpdate
	}
	if c.flow, found, err = get(st.Change); err != nil || !found || c.flow.Purpose != Address {
		return c, orRefuse(err, ErrNoFlow)
	}
	if open, err := isActive(tx, c.flow, now, forUpdate); err != nil || !open {
		return c, orRefuse(err, ErrNoFlow)
	}
	if c.private, c.addr, err = s.openPrivate(c.flow); err != nil {
		return c, err
	}
	parsed, parseErr := token.Parse(cookie)
	c.shown = AddressChange{
		Address: c.addr.Display(), New: st.New, Present: st.Present, Started: c.flow.Started, End: c.flow.Key.Ends(),
		Code: parseErr == nil && parsed.CookieKey(s.Ring, labelAddress, site.Origin) == c.flow.Key && c.private.Session == requester.Session.Session.ID,
	}
	c.shown.CodeOff = c.flow.WrongCodes >= MaxWrongCodes
	return c, nil
}

// StopAddressChange ends the change that the account of this browser waits for. Errors: ErrNoFlow, ErrSignedOut, ErrUnavailable.
func (s *Service) StopAddressChange(ctx context.Context, site Site, requester Requester) error {
	var rec record
	err := s.update(ctx, func(tx storage.Tx) error {
		rec = record{purpose: Address}
		now := s.Clock.Now()
		c, err := s.findAddressChange(tx, site, requester, "", now, true)
		if err != nil {
			return err
		}
		if ok, err := tx.Flows().Finish(c.flow.Key, storage.FlowCancelled, storage.Digest{}, storage.Key{}); err != nil || !ok {
			return orConflict(err)
		}
		rec.account, rec.flow = c.flow.Account, c.flow.ID
		return rec.add(tx, storage.Event{
			Time: now, Name: eventChanged, Purpose: purposeStopped, Outcome: outcomeOK, Account: rec.account, Flow: rec.flow, Site: site.Origin,
			Client: boundary.NetworkText(requester.Client),
		}, now.Add(storage.EventLifetime))
	})
	s.report(ctx, stepAddress, site, requester.Client, rec, err)
	return err
}

// purposeStopped is the purpose of the event of a change that the account's owner has stopped.
const purposeStopped = "address_stopped"

// NoticeAddress tells both mailboxes, or the one that an account keeps, that an operator has set its address. a is the account as it was.
func (s *Service) NoticeAddress(tx storage.Tx, site Site, a accounts.Account, addr address.Address) error {
	e := authentication{site: site.withDefaults(), now: s.Clock.Now(), account: a, newAddress: addr.Display()}
	if old, err := address.Parse(a.Email); err != nil || old.Mailbox(s.Ring) != addr.Mailbox(s.Ring) {
		if err := s.enqueueNotice(tx, e, mailer.KindAddressChanged, ""); err != nil {
			return err
		}
	}
	e.account.Email, e.newAddress = addr.Typed(), ""
	return s.enqueueNotice(tx, e, mailer.KindAddressChanged, "")
}
