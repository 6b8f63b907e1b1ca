package outbox

import (
	"cmp"
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/account"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	labelJudged = "outbox judged"
	// noAccountEvery is how often an address without an account is told so.
	noAccountEvery = 24 * time.Hour
)

// Words for why a mail does not leave, in logs.
const (
	whyOver      = "the flow is over"
	whyChanged   = "the account has changed"
	whyNobody    = "nobody to write to"
	whyMuted     = "muted"
	whyStrangers = limit.MailStrangers
	whyToday     = "told today already"
)

// judgement is what a mail turned out to be.
type judgement struct {
	letter Letter
	// account is the account's id, empty when there is none.
	account string
	// drop says that the letter does not leave, and why.
	drop string
	// limit names the limit that keeps it back.
	limit string
}

// judge finds out what a mail of a flow is, in one Update after the look-up. Whatever it decides it does so once: later
// attempts at the same mail count nothing again.
func (w *Worker) judge(ctx context.Context, d *Delivery, m storage.Mail, p Payload) (judgement, error) {
	if m.Purpose == Notice {
		kind := cmp.Or(p.Notice, KindNewDevice)
		l, err := w.letter(m, p, kind, account.Account{Name: p.Name, Language: p.Locale}, 0)
		return judgement{letter: l, account: p.Account}, err
	}
	// Between the flow's birth and the Update below every change of the account raises the mailbox's epoch, so the answer
	// cannot be older than what the Update compares.
	a, found, err := lookup(ctx, d, m.Purpose, p)
	if err != nil {
		return judgement{}, err
	}
	kind, drop := choose(m.Purpose, p, a, found)
	j := judgement{account: a.ID}
	now := w.Clock.Now()
	var epoch uint64
	err = w.Store.Update(ctx, func(tx storage.Tx) (err error) {
		j.drop, j.limit, j.letter.Kind = drop, "", kind
		if j.drop == "" {
			if err := w.limits(tx, d, m, p, &j, found); err != nil {
				return err
			}
		}
		var over string
		if p.Claims != nil {
			over, epoch, err = compare(tx, m, p, a.ID, now)
		} else {
			over, err = bind(tx, m, a.ID, now)
		}
		if err == nil && over != "" && j.drop == "" {
			j.drop = over
		}
		return err
	})
	if err != nil {
		return j, err
	}
	j.letter, err = w.letter(m, p, kind, a, epoch)
	return j, err
}

// lookup finds out whom a mail is for. Where an app has asked, it has said whether there is a user; one who signs up is none yet.
func lookup(ctx context.Context, d *Delivery, purpose string, p Payload) (a account.Account, found bool, err error) {
	if p.App {
		return a, !p.NoAccount && purpose != Activation, nil
	}
	return d.Source.Lookup(ctx, p.To)
}

// choose says which letter a mailbox gets, and why it gets none. Where there is nobody to write to the letter is still
// chosen, so that it can be rendered and dropped.
func choose(purpose string, p Payload, a account.Account, found bool) (kind Kind, drop string) {
	if found && !p.App && a.Status != account.Active {
		drop = whyNobody
	}
	switch {
	case p.NoAccount:
		return KindNoAccount, drop
	case purpose == Activation && found:
		return KindAlreadyHere, drop
	case purpose == Activation:
		return KindActivation, drop
	case !found && p.Open:
		return KindNoAccount, drop
	case !found:
		drop = whyNobody
	}
	if purpose == Reset {
		return KindReset, drop
	}
	return KindSignIn, drop
}

// limits judges what strangers may cause: mails to a mailbox that has muted them, and mails to people who have no account. A
// mail that has passed is not counted again at its next attempt. The counters are touched in one order by every mail, the one
// that all share last.
func (w *Worker) limits(tx storage.Tx, d *Delivery, m storage.Mail, p Payload, j *judgement, found bool) error {
	judged := storage.Key{End: m.End.Unix(), Digest: w.Ring.MAC(labelJudged, m.ID[:])}
	if count, err := tx.Counters().Peek(judged); err != nil || count > 0 {
		return err
	}
	now := w.Clock.Now()
	if !p.Known {
		if quiet, err := muted(tx, w.Ring, p.LimitKey, p.Network, now); err != nil || quiet {
			j.drop = whyMuted
			return err
		}
	}
	if !found {
		if err := w.strangers(tx, d, p, j, now); err != nil || j.drop != "" {
			return err
		}
	}
	_, _, err := tx.Counters().Spend(judged, 1, 1)
	return err
}

// strangers judges a mail to somebody without an account.
func (w *Worker) strangers(tx storage.Tx, d *Delivery, p Payload, j *judgement, now time.Time) error {
	told := hold{label: labelNoAccount, life: noAccountEvery, parts: [][]byte{p.LimitKey[:]}}
	once := j.letter.Kind == KindNoAccount
	if once {
		if active, err := told.active(tx, w.Ring, now); err != nil || active {
			j.drop = whyToday
			return err
		}
	}
	table := limit.Table{MailStrangers: d.Strangers}
	v, err := w.Limiter.TakeAll(tx, now, table.Asks(limit.MailStrangers, limit.Subject{})...)
	if err != nil {
		return err
	}
	if !v.OK {
		j.drop, j.limit = whyStrangers, limit.MailStrangers
		return nil
	}
	if once {
		return told.start(tx, w.Ring, now)
	}
	return nil
}

// compare says why a stateless flow cannot have mail any more, and which epoch the account has. It binds nothing: the links say
// whom they are for. A mail that is not the first of its flow follows a step that has stored the flow.
func compare(tx storage.Tx, m storage.Mail, p Payload, id string, now time.Time) (over string, epoch uint64, err error) {
	global, err := tx.Epochs().Get(storage.GlobalEpoch)
	if err != nil {
		return "", 0, err
	}
	mailbox, err := tx.Epochs().GetForUpdate(storage.MailboxEpoch(p.Mailbox))
	if err != nil {
		return "", 0, err
	}
	if epoch, err = tx.Epochs().GetForUpdate(storage.AccountEpoch(id)); err != nil {
		return "", 0, err
	}
	if id == "" {
		epoch = 0
	}
	f, found, err := tx.Flows().GetForUpdate(m.Flow)
	switch {
	case err != nil:
		return "", 0, err
	case found && f.State != storage.FlowOpen, !found && p.Claims.Mail > 0, !m.Flow.Alive(now):
		return whyOver, epoch, nil
	case global != p.Claims.Global || mailbox != p.Claims.Mailbox:
		return whyChanged, epoch, nil
	}
	return "", epoch, nil
}

// bind notes the account with its flow, and says why the flow cannot have mail any more.
func bind(tx storage.Tx, m storage.Mail, id string, now time.Time) (over string, err error) {
	global, err := tx.Epochs().Get(storage.GlobalEpoch)
	if err != nil {
		return "", err
	}
	f, found, err := tx.Flows().Get(m.Flow)
	if err != nil || !found {
		return whyOver, err
	}
	mailbox, err := tx.Epochs().GetForUpdate(storage.MailboxEpoch(f.Mailbox))
	if err != nil {
		return "", err
	}
	epoch, err := tx.Epochs().GetForUpdate(storage.AccountEpoch(id))
	if err != nil {
		return "", err
	}
	if id == "" {
		epoch = 0
	}
	if f, found, err = tx.Flows().GetForUpdate(m.Flow); err != nil || !found || f.State != storage.FlowOpen || !f.Key.Alive(now) {
		return whyOver, err
	}
	if global != f.Epochs.Global || mailbox != f.Epochs.Mailbox || f.Bound && (f.Account != id || f.Epochs.Account != epoch) {
		return whyChanged, nil
	}
	if f.Bound {
		return "", nil
	}
	bound, err := tx.Flows().Bind(m.Flow, id, epoch)
	if err == nil && !bound {
		return whyOver, nil
	}
	return "", err
}
