package outbox

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	labelClassified = "outbox judged"
	// noAccountInterval is how often an address without an account is told so.
	noAccountInterval = 24 * time.Hour
)

// Words for why a mail does not leave, in logs.
const (
	dropExpired            = "the flow has ended"
	dropAccountChanged     = "the account has changed"
	dropNoRecipient        = "no recipient"
	dropNotInvited         = "not invited"
	dropMuted              = "muted"
	dropMailboxLimit       = limit.MailMailbox
	dropReserveLimit       = limit.MailKnown
	dropUnknownLimit       = limit.MailUnknown
	dropNoTurn             = "its turn did not come in a quarter of its flow's time"
	dropNoAccountSentToday = "already told today"
)

// classification is what a mail turned out to be: its message, and whether it is dropped.
type classification struct {
	message Message
	// account is the account's id, empty when there is none.
	account string
	// drop is why the message does not leave; it is empty when it does.
	drop string
	// limit names the limit that keeps it back.
	limit string
}

// classify finds out what a mail of a flow is, in one Update. Whatever it decides it does so once: later attempts at the same mail count
// nothing again. A new mail is forwarded by f.
func (w *Worker) classify(ctx context.Context, d *Delivery, m storage.Mail, p Payload, f *forwarding) (classification, error) {
	if m.Purpose == Alert {
		return classification{message: Message{Purpose: Alert, To: p.To, Subject: p.Subject, Text: p.Text, ID: m.ID}}, nil
	}
	if m.Purpose == Notice {
		kind := cmp.Or(p.Notice, mailer.KindNewDevice)
		l, err := w.message(m, p, kind, accounts.Account{Name: p.Name, Language: p.Locale}, 0)
		return classification{message: l, account: p.Account}, err
	}
	now := w.Clock.Now()
	if f != nil {
		now = f.now
	}
	var j classification
	var a accounts.Account
	var epoch uint64
	var invited *Invitation
	err := w.Store.Update(ctx, func(tx storage.Tx) error {
		ahead := w.lookups(m, p, now)
		if f != nil {
			ahead.Leased, ahead.Due = []storage.Mail{m}, f.due()
		}
		if err := tx.Prefetch(ahead); err != nil {
			return err
		}
		var found bool
		var err error
		if a, found, err = lookup(tx, d, m, p); err != nil {
			return err
		}
		j = classification{account: cmp.Or(a.ID, p.Account)}
		j.message.Kind, j.drop = chooseKind(m.Purpose, p, a, found)
		if invited = p.Invitation; p.Invited {
			if invited, err = w.invitation(tx, d, m, p, found, &j); err != nil {
				return err
			}
		}
		if j.drop == "" {
			if err := w.checkLimits(tx, d, m, p, &j, found); err != nil {
				return err
			}
		}
		var expired string
		switch {
		case m.Purpose == Invite:
			expired, err = checkInvitation(tx, m, now)
		case p.Claims != nil:
			expired, epoch, err = checkStateless(tx, m, p, a.ID, now)
		case boundFromStart(m.Purpose):
			expired, err = checkBound(tx, m, now)
		default:
			expired, err = bindAccount(tx, m, a.ID, now)
		}
		if err == nil && expired != "" && j.drop == "" {
			j.drop = expired
		}
		if err == nil && f != nil {
			err = f.forward(tx, func() error { return w.route(tx, m, p, found && j.drop == "", now) })
		}
		return err
	})
	if err != nil {
		return j, err
	}
	j.message, err = w.message(m, p, j.message.Kind, a, epoch)
	j.message.Invitation = invited
	return j, err
}

// invitation returns what the mail of a sign-up says where invitations alone make accounts. A mailbox that has neither an account nor an
// invitation gets no mail; what it would get is rendered all the same.
func (w *Worker) invitation(tx storage.Tx, d *Delivery, m storage.Mail, p Payload, found bool, j *classification) (*Invitation, error) {
	if d.Invitations != nil {
		if i, err := d.Invitations.Invited(tx, m.Site, p.Mailbox); err != nil || i != nil {
			return i, err
		}
	}
	if !found {
		j.drop = dropNotInvited
	}
	return &Invitation{Site: m.Site}, nil
}

// checkInvitation returns why an invitation cannot have its mail any more.
func checkInvitation(tx storage.Tx, m storage.Mail, now time.Time) (expired string, err error) {
	f, found, err := tx.Flows().GetForUpdate(m.Flow)
	if err != nil || !found || f.State != storage.FlowOpen || !f.Key.Alive(now) {
		return dropExpired, err
	}
	global, err := tx.Epochs().Get(storage.GlobalEpoch)
	if err == nil && global != f.Epochs.Global {
		expired = dropExpired
	}
	return expired, err
}

// forwarding moves a new mail on.
type forwarding struct {
	now, until time.Time
	// stop ends when no further mail is to be leased.
	stop context.Context //nolint:containedctx // see sending
	// lanes have a sender for the mail; leased is what the step has leased of each, one mail or none.
	lanes  []*lane
	leased [][]storage.Mail
	// left is set when a mail was moved that has no sender yet.
	left bool
}

// due names what forward looks for.
func (f *forwarding) due() (list []storage.DueMails) {
	for _, l := range f.lanes {
		list = append(list, storage.DueMails{Lane: l.of, At: f.now, N: 1})
	}
	return list
}

// forward calls move, and leases what it has moved to lanes in which no other mail was waiting.
func (f *forwarding) forward(tx storage.Tx, move func() error) error {
	free := make([]bool, len(f.lanes))
	for i, l := range f.lanes {
		due, found, err := tx.Outbox().NextDue(l.of)
		if err != nil {
			return err
		}
		free[i] = !found || due.After(f.now)
	}
	if err := move(); err != nil {
		return err
	}
	f.leased, f.left = make([][]storage.Mail, len(f.lanes)), len(f.lanes) < len(storage.Lanes())-1
	for i, l := range f.lanes {
		if !free[i] || f.stop.Err() != nil {
			f.left = true
			continue
		}
		var err error
		if f.leased[i], err = tx.Outbox().Lease(l.of, f.now, f.until, 1); err != nil {
			return err
		}
	}
	return nil
}

// lookups names what the step of a classification reads.
func (w *Worker) lookups(m storage.Mail, p Payload, now time.Time) storage.Lookups {
	l := storage.Lookups{Counters: []storage.Key{w.classifiedKey(m)}}
	if !p.Mailbox.IsZero() {
		l.Mailboxes, l.Epochs = []storage.Digest{p.Mailbox}, storage.EpochKeys(p.Mailbox, "")
	}
	if !m.Flow.IsZero() {
		l.Flows = []storage.Key{m.Flow}
	}
	if addr, err := address.Parse(p.To); err == nil && !p.App {
		l.Meta = []string{accounts.ReservationName(addr.Mailbox(w.Ring))}
	}
	for _, duration := range [...]time.Duration{MuteByOwner, MuteByOthers} {
		l.Counters = append(l.Counters, mute(p.LimitKey, p.Network, p.Device, duration).keys(w.Ring, now)...)
	}
	return l
}

// classifiedKey finds the counter that says that a mail has passed its limits.
func (w *Worker) classifiedKey(m storage.Mail) storage.Key {
	return storage.Key{End: m.End.Unix(), Digest: w.Ring.MAC(labelClassified, m.ID[:])}
}

// checkLimits drops what a mailbox is not to get from unknown browsers: mails that it has muted, and more than one notice in a day that it has no
// account. A mail that has passed is not checked again at its next attempt.
func (w *Worker) checkLimits(tx storage.Tx, d *Delivery, m storage.Mail, p Payload, j *classification, found bool) error {
	classified := w.classifiedKey(m)
	if count, err := tx.Counters().Peek(classified); err != nil || count > 0 {
		return err
	}
	now := w.Clock.Now()
	if err := w.checkNetwork(tx, d, p, j, now); err != nil || j.drop != "" {
		return err
	}
	if !found && j.message.Kind == mailer.KindNoAccount {
		suppression := suppression{label: labelNoAccount, duration: noAccountInterval, parts: [][]byte{p.LimitKey[:]}}
		active, err := suppression.active(tx, w.Ring, now)
		switch {
		case err == nil && active:
			j.drop = dropNoAccountSentToday
			return nil
		case err == nil:
			err = suppression.start(tx, w.Ring, now)
		}
		if err != nil {
			return err
		}
	}
	_, _, err := tx.Counters().Spend(classified, 1, 1)
	return err
}

// checkNetwork decides what depends on the network that asked: a mute does not hold in a network of the account's sessions, and a mail
// above the mailbox's limit leaves for such a network only.
func (w *Worker) checkNetwork(tx storage.Tx, d *Delivery, p Payload, j *classification, now time.Time) error {
	if p.Known {
		return nil
	}
	isMuted, err := muted(tx, w.Ring, p.LimitKey, p.Network, p.Device, now)
	if err != nil || !isMuted && !p.Reserve {
		return err
	}
	var own bool
	if network, err := netip.ParsePrefix(p.Network); err == nil {
		if own, err = d.Sessions.OpenedFrom(tx, j.account, network.Addr()); err != nil {
			return err
		}
	}
	switch {
	case own && p.Reserve:
		v, err := w.Limiter.Spend(tx, now, d.Limits.OwnNetworks(limit.Subject{Mailbox: p.LimitKey})...)
		if err == nil && !v.Allowed {
			j.drop, j.limit = dropReserveLimit, limit.MailKnown
		}
		return err
	case own:
	case p.Reserve:
		j.drop = dropMailboxLimit
	default:
		j.drop = dropMuted
	}
	return nil
}

// checkStateless returns why a stateless flow cannot have mail any more, and which epoch the account has. It binds nothing: the links say
// whom they are for. A mail that is not the first of its flow follows a step that has stored the flow.
func checkStateless(tx storage.Tx, m storage.Mail, p Payload, id string, now time.Time) (expired string, epoch uint64, err error) {
	e, err := storage.ReadEpochs(tx, p.Mailbox, id, true)
	if err != nil {
		return "", 0, err
	}
	f, found, err := tx.Flows().GetForUpdate(m.Flow)
	switch {
	case err != nil:
		return "", 0, err
	case found && f.State != storage.FlowOpen, !found && p.Claims.Mail > 0, !m.Flow.Alive(now):
		return dropExpired, e.Account, nil
	case e.Global != p.Claims.Global || e.Mailbox != p.Claims.Mailbox:
		return dropAccountChanged, e.Account, nil
	}
	return "", e.Account, nil
}

// boundFromStart reports whether a flow of a purpose is bound to its account by the step that makes it: whom its mails go to changes nothing
// about it.
func boundFromStart(purpose string) bool {
	return purpose == Address || purpose == AddressConsent || purpose == TakeBack
}

// checkBound returns why a flow that has been bound from the start cannot have mail any more. A take-back ends by the global epoch alone.
func checkBound(tx storage.Tx, m storage.Mail, now time.Time) (expired string, err error) {
	f, found, err := tx.Flows().Get(m.Flow)
	if err != nil || !found {
		return dropExpired, err
	}
	e, err := storage.ReadEpochs(tx, f.Mailbox, f.Account, true)
	if err != nil {
		return "", err
	}
	if m.Purpose == TakeBack {
		e.Mailbox, e.Account = f.Epochs.Mailbox, f.Epochs.Account
	}
	if f, found, err = tx.Flows().GetForUpdate(m.Flow); err != nil || !found || f.State != storage.FlowOpen || !f.Key.Alive(now) {
		return dropExpired, err
	}
	if e != f.Epochs {
		return dropAccountChanged, nil
	}
	return "", nil
}

// bindAccount notes the account with its flow, and returns why the flow cannot have mail any more.
func bindAccount(tx storage.Tx, m storage.Mail, id string, now time.Time) (expired string, err error) {
	f, found, err := tx.Flows().Get(m.Flow)
	if err != nil || !found {
		return dropExpired, err
	}
	e, err := storage.ReadEpochs(tx, f.Mailbox, id, true)
	if err != nil {
		return "", err
	}
	if f, found, err = tx.Flows().GetForUpdate(m.Flow); err != nil || !found || f.State != storage.FlowOpen || !f.Key.Alive(now) {
		return dropExpired, err
	}
	if e.Global != f.Epochs.Global || e.Mailbox != f.Epochs.Mailbox || f.Bound && (f.Account != id || f.Epochs.Account != e.Account) {
		return dropAccountChanged, nil
	}
	if f.Bound {
		return "", nil
	}
	bound, err := tx.Flows().Bind(m.Flow, id, e.Account)
	if err == nil && !bound {
		return dropExpired, nil
	}
	return "", err
}
