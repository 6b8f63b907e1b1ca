package outbox

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
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

// classify finds out what a mail of a flow is, in one Update after the look-up. Whatever it decides it does so once: later
// attempts at the same mail count nothing again.
func (w *Worker) classify(ctx context.Context, d *Delivery, m storage.Mail, p Payload) (classification, error) {
	if m.Purpose == Alert {
		return classification{message: Message{Purpose: Alert, To: p.To, Subject: p.Subject, Text: p.Text, ID: m.ID}}, nil
	}
	if m.Purpose == Notice {
		kind := cmp.Or(p.Notice, mailer.KindNewDevice)
		l, err := w.message(m, p, kind, accounts.Account{Name: p.Name, Language: p.Locale}, 0)
		return classification{message: l, account: p.Account}, err
	}
	// Between the flow's birth and the Update below every change of the account raises the mailbox's epoch, so the answer
	// cannot be older than what the Update compares.
	a, found, err := lookup(ctx, d, m.Purpose, p)
	if err != nil {
		return classification{}, err
	}
	kind, drop := chooseKind(m.Purpose, p, a, found)
	j := classification{account: a.ID}
	now := w.Clock.Now()
	var epoch uint64
	err = w.Store.Update(ctx, func(tx storage.Tx) (err error) {
		j.drop, j.limit, j.message.Kind = drop, "", kind
		if err := tx.Prefetch(w.lookups(m, p, a.ID, now)); err != nil {
			return err
		}
		if j.drop == "" {
			if err := w.checkLimits(tx, d, m, p, &j, found); err != nil {
				return err
			}
		}
		var expired string
		if p.Claims != nil {
			expired, epoch, err = checkStateless(tx, m, p, a.ID, now)
		} else {
			expired, err = bindAccount(tx, m, a.ID, now)
		}
		if err == nil && expired != "" && j.drop == "" {
			j.drop = expired
		}
		if err == nil && m.Lane == storage.LaneNew {
			err = w.route(tx, m, p, found && j.drop == "", now)
		}
		return err
	})
	if err != nil {
		return j, err
	}
	j.message, err = w.message(m, p, kind, a, epoch)
	return j, err
}

// lookup finds out whom a mail is for. Where an app has started the flow, the app has said whether there is a user.
func lookup(ctx context.Context, d *Delivery, purpose string, p Payload) (a accounts.Account, found bool, err error) {
	if p.App {
		return a, !p.NoAccount && purpose != Activation, nil
	}
	return d.Accounts.Lookup(ctx, p.To)
}

// chooseKind returns the kind of message that a mailbox gets, and why it is dropped. Where there is no recipient the kind is still
// chosen, so that it can be rendered and dropped.
func chooseKind(purpose string, p Payload, a accounts.Account, found bool) (kind mailer.Kind, drop string) {
	if found && !p.App && a.Status != accounts.Active {
		drop = dropNoRecipient
	}
	switch {
	case p.NoAccount:
		return mailer.KindNoAccount, drop
	case purpose == Activation && found:
		return mailer.KindAccountExists, drop
	case purpose == Activation:
		return mailer.KindLink, drop
	case !found && p.SignUpOpen:
		return mailer.KindNoAccount, drop
	case !found:
		drop = dropNoRecipient
	}
	if purpose == Reset {
		return mailer.KindReset, drop
	}
	return mailer.KindLink, drop
}

// lookups names what the step of a classification reads.
func (w *Worker) lookups(m storage.Mail, p Payload, account string, now time.Time) storage.Lookups {
	l := storage.Lookups{Counters: []storage.Key{w.classifiedKey(m)}, Epochs: []storage.EpochKey{storage.AccountEpoch(account)}}
	if !m.Flow.IsZero() {
		l.Flows = []storage.Key{m.Flow}
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
