package outbox

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	labelMessageID = "outbox message id"
	eventMailed    = "mailed"
	// noMailInterval is the shortest time between two lines that say that no mail leaves.
	noMailInterval = 10 * time.Minute
)

// attempt does with one leased mail what its lane is for, and writes down what came of it: it finds out whom a new mail is for, and sends any
// other. known is what the mail was found to be, nil if that is to be found out.
func (w *sending) attempt(d *Delivery, m storage.Mail, known *classification) {
	ctx, now := w.ctx, w.Clock.Now()
	p, err := OpenPayload(w.Ring, m.ID, m.Sealed)
	if err != nil {
		w.record(ctx, m, p, classification{}, result{outcome: OutcomeDead, reason: "the record does not open"})
		return
	}
	before := countsOf(m)
	switch {
	case waitsInVain(m, now):
		w.drop(ctx, m, p)
		return
	case hasExpired(m, now):
		w.record(ctx, m, p, classification{}, result{outcome: OutcomeDead, reason: before.reason("not sent before its flow ended")})
		return
	case before.unanswered >= maxUnanswered && !m.Empty:
		w.record(ctx, m, p, classification{}, result{
			outcome: OutcomeDead, reason: before.reason("handed over twice without an answer: it may have arrived"),
		})
		return
	case m.Empty:
		w.turn(now)
		w.finishEmpty(ctx, m)
		return
	case m.Lane == storage.LaneNew:
		w.attemptNew(d, m, p, before)
		return
	}
	var j classification
	if known != nil {
		j = *known
	} else if j, err = w.classify(ctx, d, m, p, nil); err != nil {
		err = fmt.Errorf("look-up: %w", err)
	}
	if err == nil {
		if err = w.deliver(ctx, d, m, j); j.drop == "" {
			w.turns.add(w.Clock.Now().Sub(now))
		} else if m.Lane == storage.LaneLine {
			w.turn(now)
		}
	}
	w.record(ctx, m, p, j, w.evaluate(ctx, m, before, j, err))
}

// attemptNew finds out whom a new mail is for and moves it to the lane that it leaves by. If that lane has a free sender and no other mail
// waits for one, the same step leases the mail there.
func (w *sending) attemptNew(d *Delivery, m storage.Mail, p Payload, before attemptCounts) {
	now := w.Clock.Now()
	f := &forwarding{now: now, until: w.leaseEnd(now), stop: w.stop}
	for _, l := range w.lanes {
		if l.of != storage.LaneNew && l.acquire(1) == 1 {
			f.lanes = append(f.lanes, l)
		}
	}
	j, err := w.classify(w.ctx, d, m, p, f)
	for i, l := range f.lanes {
		var leased []storage.Mail
		if err == nil && f.leased != nil {
			leased = f.leased[i]
		}
		w.release(l, 1-len(leased))
		known := &j
		if len(leased) == 0 || leased[0].ID != m.ID {
			known = nil
		}
		w.start(d, l, leased, f.now, known)
	}
	switch {
	case err != nil:
		w.record(w.ctx, m, p, j, w.evaluate(w.ctx, m, before, j, fmt.Errorf("look-up: %w", err)))
	case f.left:
		w.Wake()
	}
}

// hasExpired reports whether the mail is given up at a time: to the second, as its flow ends. The rest of its end is the part that is in the texts
// of its tokens.
func hasExpired(m storage.Mail, at time.Time) bool { return at.Unix() >= m.End.Unix() }

// deliver renders the message in any case, so that a decoy costs the same, and sends it unless it is dropped.
func (w *Worker) deliver(ctx context.Context, d *Delivery, m storage.Mail, j classification) (err error) {
	var sending bool
	defer func() {
		// Mailers and templates are other people's code on a goroutine of ours.
		if r := recover(); r != nil {
			if err = errPanic; sending {
				err = mailer.Unanswered(errPanic)
			}
		}
	}()
	msg, err := d.Render(j.message)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	msg.To, msg.Date, msg.MessageID = j.message.To, w.Clock.ToWall(m.Queued), w.messageID(m, msg.From)
	if j.drop != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.SendTimeout)
	defer cancel()
	sending = true
	return d.Mailer.Send(ctx, msg)
}

// errPanic is the error of a panic. What it said is not repeated: it may hold anything.
var errPanic = errors.New("panic in the mailer or in a template")

// result is what came of an attempt.
type result struct {
	outcome, reason string
	// due is when to try again, for OutcomeRetry.
	due time.Time
	// operatorFault is set when no mail leaves until the operator acts.
	operatorFault bool
}

// evaluate decides what an attempt's error means.
func (w *Worker) evaluate(ctx context.Context, m storage.Mail, before attemptCounts, j classification, err error) result {
	switch {
	case err == nil && j.drop != "":
		return result{outcome: OutcomeDropped, reason: j.drop}
	case err == nil:
		return result{outcome: OutcomeSent}
	}
	words := describe(err, j.message.To, j.message.Link, j.message.Cancel, j.message.Code)
	if mailer.IsUnanswered(err) {
		before.unanswered++
	} else {
		before.answered++
	}
	now := w.Clock.Now()
	r := result{operatorFault: mailer.IsOperatorFault(err)}
	due := now.Add(pause(tries(m)))
	if ctx.Err() != nil {
		due = now // told to stop: the next Run goes on at once
	}
	switch {
	case mailer.IsPermanent(err), before.unanswered >= maxUnanswered:
		r.outcome, r.reason = OutcomeDead, before.reason(words)
	case hasExpired(m, due):
		r.outcome, r.reason = OutcomeDead, before.reason("not sent before its flow ended: "+words)
	default:
		r.outcome, r.reason, r.due = OutcomeRetry, before.reason(words), due
	}
	return r
}

// record writes the result down in one Update and reports it. If that fails the lease ends by itself, and the attempt counts as
// one without an answer.
func (w *Worker) record(ctx context.Context, m storage.Mail, p Payload, j classification, r result) {
	ctx = context.WithoutCancel(ctx)
	e := storage.Event{
		Time: w.Clock.Now(), Name: eventMailed, Purpose: m.Purpose, Outcome: r.outcome, Account: j.account, Flow: p.FlowID,
		Site: m.Site, Client: p.Network,
	}
	mine := false
	err := w.Store.Update(ctx, func(tx storage.Tx) (err error) {
		if err := tx.Prefetch(storage.Lookups{Leased: []storage.Mail{m}}); err != nil {
			return err
		}
		switch r.outcome {
		case OutcomeRetry:
			mine, err = tx.Outbox().Retry(m.ID, m.Attempts, r.due, r.reason)
			return err
		case OutcomeDead:
			mine, err = tx.Outbox().DeadLetter(m.ID, m.Attempts, r.reason)
		default:
			mine, err = tx.Outbox().Finish(m.ID, m.Attempts)
		}
		if err != nil || !mine || p.Claims != nil { // a stateless flow leaves nothing behind
			return err
		}
		return tx.Events().Append(e, m.End)
	})
	if err != nil {
		w.logFailure(ctx, "settle", err)
		return
	}
	w.report(ctx, m, j, e, r)
}

// report counts and logs one attempt. It contains no address and no word of the message.
func (w *Worker) report(ctx context.Context, m storage.Mail, j classification, e storage.Event, r result) {
	if w.Observer != nil {
		w.Observer.Mailed(m.Purpose, r.outcome)
		if j.limit != "" {
			w.Observer.Denied(j.limit)
		}
	}
	if w.Log == nil {
		return
	}
	level := slog.LevelInfo
	switch {
	case r.outcome == OutcomeRetry && !r.operatorFault: // which is logged once, by logStopped
		level = slog.LevelWarn
	case r.outcome == OutcomeDead:
		level = slog.LevelError
	}
	_, text := readReason(r.reason)
	w.Log.LogAttrs(ctx, level, e.Name,
		slog.String("event", e.Name), slog.String("purpose", e.Purpose), slog.String("outcome", e.Outcome),
		slog.String("account", e.Account), slog.String("flow", e.Flow), slog.String("site", e.Site),
		slog.String("client", e.Client), slog.String("mail", m.ID.String()), slog.Int("attempt", tries(m)),
		slog.String("reason", text))
	switch {
	case r.operatorFault:
		w.logStopped(ctx, r.reason)
	case r.outcome == OutcomeSent:
		w.logResumed(ctx)
	}
}

// logStopped logs that the operator has to act: once, however many mails fail, until one leaves again. A server that refuses the sender to
// some recipients alone stops and resumes all the time, which is why the next line comes after noMailInterval at the earliest.
func (w *Worker) logStopped(ctx context.Context, reason string) {
	now, last := w.Clock.Now().Unix(), w.stoppedLogged.Load()
	if w.stopped.Load() || last != 0 && now-last < int64(noMailInterval/time.Second) || !w.stopped.CompareAndSwap(false, true) {
		return
	}
	w.stoppedLogged.Store(now)
	_, text := readReason(reason)
	w.Log.LogAttrs(ctx, slog.LevelError, "no mail leaves until this is fixed; 'caddy email-link doctor' says how",
		slog.String("event", eventMailed), slog.String("outcome", "stopped"), slog.String("reason", text))
}

// logResumed logs that mail leaves again.
func (w *Worker) logResumed(ctx context.Context) {
	if w.stopped.Load() && w.stopped.CompareAndSwap(true, false) {
		w.Log.LogAttrs(ctx, slog.LevelInfo, "mail leaves again", slog.String("event", eventMailed), slog.String("outcome", "resumed"))
	}
}

// message returns what a mail says. Link, cancel link and code derive from the record, so they are the same at each attempt. The
// epoch is the account's, which the links of a stateless flow carry.
func (w *Worker) message(m storage.Mail, p Payload, kind mailer.Kind, a accounts.Account, epoch uint64) (l Message, err error) {
	l = Message{
		Kind: kind, Purpose: m.Purpose, Site: m.Site, Base: p.Base, To: p.To, Name: a.Name, Locale: p.Locale,
		RequestedAt: unix(p.RequestedAt), Device: p.Device, Network: p.Network, Ends: unix(p.Ends), ID: m.ID, App: p.App, Act: p.Act,
		Address: p.Address, Timezone: cmp.Or(a.Timezone, p.Timezone),
	}
	if a.Email != "" {
		l.To = a.Email
	}
	if a.Language != "" {
		l.Locale = a.Language
	}
	if m.Purpose == Notice {
		switch {
		case p.Ends == 0:
		case kind == mailer.KindAccountDeleted:
			l.Link = p.Base + "/link?t=" + token.New(w.Ring, p.Seed, UndoDeletion, m.Site, m.End)
		default:
			l.Cancel = p.Base + "/cancel?t=" + token.NewCancel(w.Ring, p.Seed, NewDevice, m.Site, m.End)
		}
		return l, nil
	}
	link, cancel, err := w.links(m, p, a.ID, epoch)
	if err != nil {
		return l, err
	}
	if m.Purpose != TakeBack && m.Purpose != Invite { // there is nothing to cancel: the change has happened, no browser has asked
		l.Cancel = p.Base + "/cancel?t=" + cancel
	}
	noLink, noCode := p.NoLink, p.NoCode || kind == mailer.KindReset
	switch kind {
	case mailer.KindLink, mailer.KindReset, mailer.KindProof, mailer.KindAddressNew, mailer.KindAddressConsent, mailer.KindAddressChanged,
		mailer.KindInvite:
	case mailer.KindAccountExists:
		if m.Purpose == Address || w.Clock.ToWall(w.Clock.Now()).Unix() >= p.SignInEnds {
			return l, nil
		}
		l.Ends, noLink = unix(p.SignInEnds), p.NoSignInLink
	default:
		return l, nil
	}
	if !noLink {
		l.Link = p.Base + "/link?t=" + link
	}
	if !noCode {
		l.Code = token.Code(w.Ring, p.Seed, m.Purpose, m.Site)
	}
	return l, nil
}

// links returns the texts of the mail's tokens.
func (w *Worker) links(m storage.Mail, p Payload, account string, epoch uint64) (link, cancel string, err error) {
	if p.Claims == nil {
		return token.New(w.Ring, p.Seed, m.Purpose, m.Site, m.End), token.NewCancel(w.Ring, p.Seed, m.Purpose, m.Site, m.End), nil
	}
	c := *p.Claims
	c.Site, c.Account, c.AccountEpoch = m.Site, account, epoch
	if link, err = c.Link(w.Ring, p.Seed, false); err != nil {
		return "", "", err
	}
	cancel, err = c.Link(w.Ring, p.Seed, true)
	return link, cancel, err
}

// messageID returns the same Message-ID for each attempt, on the From domain. It does not identify the record.
func (w *Worker) messageID(m storage.Mail, from string) string {
	d := w.Ring.MAC(labelMessageID, m.ID[:])
	domain := strings.TrimRight(from[strings.LastIndexByte(from, '@')+1:], "> \t")
	return hex.EncodeToString(d[:16]) + "@" + domain
}
