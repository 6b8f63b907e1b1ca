package flow

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// AddressDone is what the word of a mailbox has done.
type AddressDone struct {
	// Purpose is Address, AddressConsent or TakeBack.
	Purpose string
	// Account is the account's id.
	Account string
	// Changed is set when both mailboxes have confirmed: the account has its new address, and all its sessions have ended. Without it, and unless
	// the purpose is TakeBack, the other mailbox has not confirmed yet.
	Changed bool
	// Session is the new session of a browser that was signed in to the account, the zero value where it was not; see Done.
	Session Done
}

// previewAddress is preview for the links of a change of an address. Only the account's present mailbox is shown the new address.
func (s *Service) previewAddress(tx storage.Tx, site Site, requester Requester, l *linkTarget, text string, now time.Time) (LinkPreview, error) {
	f := l.flow
	o := LinkPreview{
		Purpose: l.purpose, Cancel: l.token.Kind == storage.TokenCancel, Site: f.Site, Device: l.private.Device, Network: l.private.Network,
		Started: f.Started, End: f.Key.Ends(), ReturnTo: "/", CodeOff: true,
	}
	st, found, err := s.Accounts.AddressState(tx, f.Account)
	if err != nil || !found || !l.token.Used.IsZero() {
		return o, err
	}
	l.account = st.Account
	shown := l.addr
	if l.purpose == AddressConsent {
		if shown, err = address.Parse(st.Email); err != nil {
			return o, err
		}
		o.NewAddress = l.addr.Display()
	}
	o.Address, o.Masked = shown.Display(), shown.Masked()
	switch {
	case o.Cancel:
		o.Mute = muteFor(requester, f)
		l.valid, err = mayCancel(tx, f, now)
	case l.purpose == TakeBack:
		l.valid = f.State == storage.FlowOpen && f.Key.Alive(now) && st.TakeBack == f.Key
	default:
		l.valid, err = s.validateAddress(tx, site, l, st, now)
	}
	o.H = s.previewBinding(text, o.Cancel, f, requester)
	return o, err
}

// validateAddress reports whether a mailbox may confirm a change. Whether the new address has an account is nobody's to know but of whoever reads
// its mail.
func (s *Service) validateAddress(tx storage.Tx, site Site, l *linkTarget, st accounts.AddressState, now time.Time) (bool, error) {
	if st.Change != l.flow.Key || st.Status != accounts.Active || site.KeepAddresses || !site.SignUp.Admits(l.addr) || l.flow.Site != site.Origin {
		return false, nil
	}
	if active, err := isActive(tx, l.flow, now, false); err != nil || !active || l.purpose != Address {
		return active, err
	}
	err := s.Accounts.CheckFree(tx, l.addr.Mailbox(s.Ring), st.ID)
	if errors.Is(err, accounts.ErrTaken) {
		return false, nil
	}
	return err == nil, err
}

// ConfirmAddress does what the link of a change of an address promises: it notes that the mailbox has confirmed, or takes the account back. The word of
// the second mailbox changes the address. h is LinkPreview.H as the form sent it back.
//
// Errors: *Limited (redeem_ip), ErrDead, ErrChanged, ErrUnavailable.
func (s *Service) ConfirmAddress(ctx context.Context, site Site, requester Requester, text, h string) (done AddressDone, err error) {
	site = site.withDefaults()
	now := s.Clock.Now()
	var rec record
	err = func() error {
		parsed, err := s.read(site, text, now)
		if err != nil {
			return err
		}
		return s.update(ctx, func(tx storage.Tx) (err error) {
			rec = record{}
			done, err = s.confirmAddress(tx, site, requester, parsed, text, h, now, &rec)
			return err
		})
	}()
	s.report(ctx, stepAddress, site, requester.Client, rec, err)
	if err != nil {
		return AddressDone{}, err
	}
	s.wake()
	return done, nil
}

func (s *Service) confirmAddress(tx storage.Tx, site Site, requester Requester, parsed parsedToken, text, h string, now time.Time, rec *record,
) (done AddressDone, err error) {
	l, found, err := s.find(tx, site, parsed, now)
	if err != nil {
		return done, err
	}
	if !found {
		return done, s.refuseGuess(tx, &site, requester, now)
	}
	*rec = record{purpose: l.purpose, account: l.flow.Account, flow: l.flow.ID}
	o, err := s.preview(tx, site, requester, &l, text, now)
	switch {
	case err != nil:
		return done, err
	case !l.valid:
		return done, orRefuse(s.recordReplay(tx, site, requester, l, now, rec), ErrDead)
	case !IsAddressPurpose(l.purpose), o.Cancel, subtle.ConstantTimeCompare([]byte(o.H), []byte(h)) != 1:
		return done, refuse(ErrChanged)
	}
	w := mailboxWord{
		site: site, requester: requester, now: now, flow: l.flow, addr: l.addr, half: accounts.OldMailbox, method: methodLink,
		by: l.token.Key.Digest, consume: func(tx storage.Tx) error { return s.consumeToken(tx, l, now) },
	}
	switch l.purpose {
	case TakeBack:
		return s.restoreAddress(tx, w, rec)
	case Address:
		w.half = accounts.NewMailbox
	}
	return s.confirmMailbox(tx, w, rec)
}

// SubmitAddressCode confirms a change by the code of the mail to the new mailbox, in the browser that asked for it. As in SubmitProof an attempt is
// counted before the code is compared.
//
// Errors: *Invalid (code: "syntax" is not counted, "wrong", "off"), ErrNoFlow, ErrSignedOut, ErrDead (the address has an account by now), *Limited
// (redeem_ip), ErrUnavailable.
func (s *Service) SubmitAddressCode(ctx context.Context, site Site, requester Requester, cookie, code string) (done AddressDone, err error) {
	site = site.withDefaults()
	now := s.Clock.Now()
	var rec record
	err = func() error {
		digits, ok := token.NormalizeCode(code)
		if !ok {
			return &Invalid{Field: "code", Code: "syntax"}
		}
		digest := token.CodeDigest(s.Ring, cookie, digits)
		return s.update(ctx, func(tx storage.Tx) (err error) {
			rec = record{purpose: Address}
			done, err = s.submitAddressCode(tx, site, requester, cookie, digest, now, &rec)
			return err
		})
	}()
	s.report(ctx, stepAddress, site, requester.Client, rec, err)
	if err != nil {
		return AddressDone{}, err
	}
	s.wake()
	return done, nil
}

func (s *Service) submitAddressCode(tx storage.Tx, site Site, requester Requester, cookie string, digest storage.Digest, now time.Time, rec *record,
) (done AddressDone, err error) {
	charges := site.Limits.LimitsFor(limit.RedeemIP, limit.Subject{Client: requester.Client})
	if err := s.checkLimits(tx, now, charges); err != nil {
		return done, err
	}
	c, err := s.findAddressChange(tx, site, requester, cookie, now, false)
	switch {
	case err != nil:
		return done, err
	case site.KeepAddresses, !c.shown.Code, c.shown.New:
		return done, refuse(ErrNoFlow)
	}
	rec.account, rec.flow = c.flow.Account, c.flow.ID
	attempt := func(tx storage.Tx) (storage.Flow, storage.CodeResult, error) {
		return tx.Flows().AttemptCode(c.flow.Key, now, digest, MaxWrongCodes)
	}
	if c.shown.CodeOff || !slices.Contains(c.flow.Codes, digest) || !site.SignUp.Admits(c.addr) {
		f, result, err := attempt(tx)
		switch {
		case err != nil:
			return done, err
		case result == storage.CodeWrong:
			return done, orRefuse(s.spendLimits(tx, now, charges), wrongCode(f.WrongCodes))
		case result == storage.CodeOff:
			return done, refuse(codeOff())
		default:
			return done, refuse(ErrNoFlow)
		}
	}
	return s.confirmMailbox(tx, mailboxWord{
		site: site, requester: requester, now: now, flow: c.flow, addr: c.addr, half: accounts.NewMailbox, method: methodCode, by: digest,
		consume: func(tx storage.Tx) error {
			if _, result, err := attempt(tx); err != nil || result != storage.CodeRight {
				return orConflict(err)
			}
			return nil
		},
	}, rec)
}

// mailboxWord is the word of one mailbox.
type mailboxWord struct {
	site      Site
	requester Requester
	now       time.Time
	flow      storage.Flow
	// addr is the new address, or that which comes back.
	addr address.Address
	half accounts.Half
	// method is what proved the mailbox, by the digest of the token or code, and consume uses it up.
	method  string
	by      storage.Digest
	consume func(tx storage.Tx) error
}

func (w mailboxWord) authentication(a accounts.Account) authentication {
	return authentication{site: w.site, requester: w.requester, now: w.now, account: a, method: w.method}
}

// confirmMailbox notes that a mailbox has confirmed, and changes the address if it is the second.
func (s *Service) confirmMailbox(tx storage.Tx, w mailboxWord, rec *record) (done AddressDone, err error) {
	st, found, err := s.Accounts.AddressState(tx, w.flow.Account)
	if err != nil || !found {
		return done, orConflict(err)
	}
	done = AddressDone{Purpose: rec.purpose, Account: st.ID}
	if w.half == accounts.NewMailbox && st.Present || w.half == accounts.OldMailbox && st.New {
		done.Changed = true
		return done, s.changeAddress(tx, w, st, rec, &done)
	}
	if w.half == accounts.NewMailbox {
		if err := s.Accounts.CheckFree(tx, w.addr.Mailbox(s.Ring), st.ID); errors.Is(err, accounts.ErrTaken) {
			return done, refuse(ErrDead) // as the link of the same mail is
		} else if err != nil {
			return done, err
		}
	}
	both, err := s.Accounts.ConfirmAddressChange(tx, st.ID, w.flow.Key, w.half)
	if errors.Is(err, accounts.ErrNotFound) || err == nil && both {
		return done, errConflict // the account has changed since it was read
	}
	if err != nil {
		return done, err
	}
	if f, found, err := tx.Flows().GetForUpdate(w.flow.Key); err != nil || !found || f.State != storage.FlowOpen {
		return done, orConflict(err)
	}
	if err := w.consume(tx); err != nil {
		return done, err
	}
	return done, s.recordEvents(tx, rec, w.authentication(st.Account), eventConfirmed)
}

// changeAddress is the step of the second mailbox: everything of the account ends, and only a browser that is signed in to it and brings this word
// goes on, with a new session.
func (s *Service) changeAddress(tx storage.Tx, w mailboxWord, st accounts.AddressState, rec *record, done *AddressDone) error {
	if err := s.Limiter.Refund(tx, w.flow.MailIP); err != nil {
		return err
	}
	var signedIn bool
	if r := w.requester; r.Session != nil && r.Session.Session.Account == st.ID {
		var err error
		if signedIn, err = s.Sessions.Alive(tx, r.Session); err != nil {
			return err
		}
	}
	back, err := token.Parse(token.Random(w.now.Add(TakeBackLifetime)))
	if err != nil {
		return err
	}
	key := back.CookieKey(s.Ring, labelTakeBack, w.site.Origin)
	undone, err := s.Accounts.ChangeAddress(tx, st.ID, w.flow.Key, w.half, w.addr, key)
	switch {
	case errors.Is(err, accounts.ErrTaken):
		return refuse(ErrDead)
	case errors.Is(err, accounts.ErrNotFound):
		return errConflict
	case err != nil:
		return err
	}
	if err := s.endFlow(tx, w); err != nil {
		return err
	}
	a := st.Account
	a.Email = w.addr.Typed()
	e := w.authentication(a)
	e.mailbox = w.addr.Mailbox(s.Ring)
	if signedIn {
		e.ephemeral = w.site.isEphemeral(w.requester.Session.Session)
		if err := s.openSession(tx, &done.Session, e); err != nil {
			return err
		}
	}
	if err := s.enqueueNotice(tx, e, mailer.KindAddressChanged, w.flow.ID); err != nil {
		return err
	}
	if undone {
		err = s.offerTakeBack(tx, w, st, key)
	} else {
		old := e
		old.account, old.newAddress = st.Account, w.addr.Display()
		err = s.enqueueNotice(tx, old, mailer.KindAddressChanged, w.flow.ID)
	}
	if err != nil {
		return err
	}
	rec.purpose = Address
	return s.recordEvents(tx, rec, e, eventConfirmed, eventChanged)
}

// endFlow uses the link or code of a word up, and ends its flow.
func (s *Service) endFlow(tx storage.Tx, w mailboxWord) error {
	f, found, err := tx.Flows().GetForUpdate(w.flow.Key)
	if err != nil || !found || f.State != storage.FlowOpen {
		return orConflict(err)
	}
	if err := w.consume(tx); err != nil {
		return err
	}
	if ok, err := tx.Flows().Finish(w.flow.Key, storage.FlowRedeemed, w.by, storage.Key{}); err != nil || !ok {
		return orConflict(err)
	}
	return nil
}

// offerTakeBack mails the link that undoes a change to the mailbox which the account had before it.
func (s *Service) offerTakeBack(tx storage.Tx, w mailboxWord, st accounts.AddressState, key storage.Key) error {
	addr, err := address.Parse(st.Email)
	if err != nil {
		return err
	}
	f := storage.Flow{
		Key: key, ID: token.NewID(), Site: w.site.Origin, Purpose: TakeBack, Mailbox: st.Mailbox, Account: st.ID, Bound: true, Started: w.now,
		State: storage.FlowOpen,
	}
	p := private{
		Email: addr.Typed(), Locale: st.Language, Device: cutDevice(w.requester.Device), Network: boundary.NetworkText(w.requester.Client),
	}
	if f.Private, err = s.sealPrivate(key, p); err != nil {
		return err
	}
	if f.Epochs, err = storage.ReadEpochs(tx, f.Mailbox, f.Account, false); err != nil {
		return err
	}
	if err := tx.Flows().Create(f); err != nil {
		return err
	}
	d, err := s.newDraft(mailInput{site: w.site, flow: f, private: p, addr: addr, known: true, now: w.now, newAddress: w.addr.Display(), timezone: st.Timezone})
	if err != nil {
		return err
	}
	d.queueUp(true, limit.Share{})
	return d.write(tx)
}

// restoreAddress gives the account back to the mailbox that it had. It opens no session: what came before may be known to anybody.
func (s *Service) restoreAddress(tx storage.Tx, w mailboxWord, rec *record) (done AddressDone, err error) {
	st, found, err := s.Accounts.AddressState(tx, w.flow.Account)
	if err != nil || !found || st.TakeBack != w.flow.Key {
		return done, orConflict(err)
	}
	if err := s.Accounts.RestoreAddress(tx, st.ID, w.addr); err != nil {
		if errors.Is(err, accounts.ErrTaken) {
			err = refuse(ErrDead)
		}
		return done, err
	}
	if err := s.endFlow(tx, w); err != nil {
		return done, err
	}
	a := st.Account
	a.Email = w.addr.Typed()
	e := w.authentication(a)
	e.newAddress = w.addr.Display()
	if err := s.enqueueNotice(tx, e, mailer.KindAddressRestored, w.flow.ID); err != nil {
		return done, err
	}
	if st.Mailbox != w.flow.Mailbox {
		other := e
		other.account, other.newAddress = st.Account, ""
		if err := s.enqueueNotice(tx, other, mailer.KindAddressRestored, w.flow.ID); err != nil {
			return done, err
		}
	}
	done = AddressDone{Purpose: TakeBack, Account: st.ID, Changed: true}
	return done, s.recordEvents(tx, rec, e, eventConfirmed, eventChanged)
}
