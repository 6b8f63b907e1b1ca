package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Names of steps, for logs and metrics.
const (
	stepRequest  = "request"
	stepResend   = "resend"
	stepConfirm  = "confirm"
	stepCode     = "code"
	stepCancel   = "cancel"
	stepLink     = "link"
	stepPassword = "password"
	stepChange   = "change"
	stepStart    = "start"
	stepDone     = "done"
	stepEnter    = "enter"
	stepProof    = "proof"
	stepUndo     = "undo"
	stepAddress  = "address"
	stepInvite   = "invite"
)

// Outcomes of steps, for logs and metrics.
const (
	outcomeOK          = "ok"
	outcomeLimited     = "limited"
	outcomeInvalid     = "invalid"
	outcomeDead        = "dead"
	outcomeClosed      = "closed"
	outcomeChanged     = "changed"
	outcomeBusy        = "busy"
	outcomeUnavailable = "unavailable"
	// outcomeRefused is that of the event of a wrong password, outcomeWrongCode that of the line about a wrong code.
	outcomeRefused   = "refused"
	outcomeWrongCode = "wrong_code"
)

// refusal marks the answer of a step that refuses and whose writes are committed all the same: what it counted, its event.
type refusal struct{ reason error }

// Error implements error.
func (r *refusal) Error() string { return r.reason.Error() }

// Unwrap returns the reason.
func (r *refusal) Unwrap() error { return r.reason }

// refuse returns the error with which a step refuses and keeps what it has written; every other error rolls the step back. update
// and view return the reason without the mark.
func refuse(reason error) error { return &refusal{reason} }

// Refuse returns the error with which a [Perform] refuses an act that was proven: the proof is used up, and what the step has written stays. The
// step's caller gets the reason.
func Refuse(reason error) error { return refuse(reason) }

// orRefuse returns err, or refuses for the reason if err is nil.
func orRefuse(err, reason error) error {
	if err != nil {
		return err
	}
	return refuse(reason)
}

// isRefusal reports whether err was returned by refuse. A refusal that is wrapped in, or joined with, another error is a failure.
func isRefusal(err error) bool {
	_, ok := err.(*refusal) //nolint:errorlint // only the step's own answer counts
	return ok
}

// split returns the reason of a refusal, or any other error as a failure.
func split(err error) (refused, failure error) {
	if isRefusal(err) {
		return errors.Unwrap(err), nil
	}
	return nil, err
}

// update runs one step, and runs it again after errConflict. A step that refuses is committed as one that succeeds, and update then returns
// the reason. Every other error, and a commit that fails or whose outcome is unknown, is an ErrUnavailable.
//
// The store never sees a refusal: an error of the function that it runs rolls back what the function wrote.
func (s *Service) update(ctx context.Context, fn func(tx storage.Tx) error) error {
	for range maxConflicts {
		var refused error
		err := s.Store.Update(ctx, func(tx storage.Tx) (err error) {
			refused, err = split(fn(tx))
			return err
		})
		switch {
		case err == nil:
			return refused
		case errors.Is(err, errConflict):
			continue
		default:
			return unavailable(err)
		}
	}
	return unavailable(errConflict)
}

// view runs one read, and returns the reason if it refuses.
func (s *Service) view(ctx context.Context, fn func(tx storage.Tx) error) error {
	var refused error
	err := s.Store.View(ctx, func(tx storage.Tx) (err error) {
		refused, err = split(fn(tx))
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	return refused
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// outcome returns the word for what a step answered.
func outcome(err error) string {
	var (
		limited *Limited
		invalid *Invalid
	)
	switch {
	case err == nil:
		return outcomeOK
	case errors.As(err, &limited):
		return outcomeLimited
	case errors.As(err, &invalid), errors.Is(err, ErrNoFlow), errors.Is(err, ErrNoAccount), errors.Is(err, ErrTaken),
		errors.Is(err, accounts.ErrTaken), errors.Is(err, ErrSignedOut):
		return outcomeInvalid
	case errors.Is(err, ErrDead), errors.Is(err, ErrReplayed):
		return outcomeDead
	case errors.Is(err, ErrClosed), errors.Is(err, ErrAddressClosed), errors.Is(err, ErrNoMail), errors.Is(err, ErrDisabled):
		return outcomeClosed
	case errors.Is(err, ErrChanged):
		return outcomeChanged
	case !errors.Is(err, ErrUnavailable) && (errors.Is(err, password.ErrBusy) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)):
		return outcomeBusy // the client no longer waited for the permit, or too many clients did
	default:
		return outcomeUnavailable
	}
}

// Names of events, in the audit log and in the log.
const (
	eventRequested = "requested"
	eventResent    = "resent"
	eventConfirmed = "confirmed"
	eventSignedIn  = "signed_in"
	eventChanged   = "changed"
	eventCancelled = "cancelled"
	eventReplayed  = "replayed"
	eventDenied    = "denied"
	eventDone      = "done"
	eventExported  = "exported"
	eventInvited   = "invited"
)

// Of an event that a password was changed: its purpose, and its outcome if a mail had proven the mailbox. If the old password had to be
// given, the outcome is outcomeChanged.
const (
	purposePassword = "password"
	outcomeReset    = "reset"
)

// record is what a step has to tell after its commit.
type record struct {
	// purpose is known once a flow has been found.
	purpose, account, flow string
	// events happened, in this order.
	events []storage.Event
	// dropped names a limit that kept a mail back without a word to the browser.
	dropped string
	// share is what became of the mail's share of what all share.
	share shareNotice
}

// shareNotice is a share, and the network of which the operator is to be told that it has spent its own.
type shareNotice struct {
	limit.Share
	network string
}

// noticeShare finds out, in the step that has spent a share, what the operator is to be told of it.
func (s *Service) noticeShare(tx storage.Tx, now time.Time, requester Requester, share limit.Share) (n shareNotice, err error) {
	n.Share = share
	n.network, err = s.Limiter.NoticeSpent(tx, now, requester.Client, share)
	return n, err
}

// add writes an event to the audit log and keeps it for the log.
func (r *record) add(tx storage.Tx, e storage.Event, end time.Time) error {
	r.events = append(r.events, e)
	return tx.Events().Append(e, end)
}

// report counts and logs one step after its commit. It changes nothing.
func (s *Service) report(ctx context.Context, step string, site Site, client netip.Addr, r record, err error) {
	if s.Observer != nil {
		s.Observer.Flow(r.purpose, step, outcome(err))
	}
	var limited *Limited
	var invalid *Invalid
	switch {
	case errors.As(err, &limited):
		s.denied(ctx, limited.Name, r, site, client)
	case r.dropped != "":
		s.denied(ctx, r.dropped, r, site, client)
	case errors.As(err, &invalid) && invalid.Field == "code" && invalid.Code != "syntax":
		s.log(ctx, slog.LevelInfo, storage.Event{
			Name: eventDenied, Purpose: r.purpose, Outcome: outcomeWrongCode, Flow: r.flow, Site: site.Origin, Client: s.LogClient(client),
		})
	}
	if errors.Is(err, ErrUnavailable) {
		s.log(ctx, slog.LevelError, storage.Event{
			Name: step, Purpose: r.purpose, Outcome: outcomeUnavailable, Account: r.account, Flow: r.flow, Site: site.Origin,
			Client: boundary.NetworkText(client),
		}, slog.Any("error", err))
		return
	}
	r.share.Log(ctx, s.Log, r.share.network)
	for _, e := range r.events {
		if e.Name == eventDenied {
			e.Client = s.LogClient(client)
		}
		s.log(ctx, slog.LevelInfo, e)
	}
}

// LogClient returns how the log names the client of a denial or a failure.
func (s *Service) LogClient(client netip.Addr) string {
	if s.FullClients && client.IsValid() {
		return client.Unmap().WithZone("").String()
	}
	return boundary.NetworkText(client)
}

// requested counts a request of a browser that is not known for the mailbox.
func (s *Service) requested(subject limit.Subject, addr address.Address) {
	if s.Observer != nil && !subject.Known {
		s.Observer.Requested(subject.Client, subject.Mailbox, addr.Masked())
	}
}

func (s *Service) denied(ctx context.Context, name string, r record, site Site, client netip.Addr) {
	if s.Observer != nil {
		s.Observer.Denied(name)
	}
	s.log(ctx, slog.LevelInfo, storage.Event{
		Name: eventDenied, Purpose: r.purpose, Outcome: outcomeLimited, Account: r.account, Flow: r.flow, Site: site.Origin,
		Client: s.LogClient(client),
	}, slog.String("limit", name))
}

func (s *Service) log(ctx context.Context, level slog.Level, e storage.Event, more ...slog.Attr) {
	if s.Log == nil {
		return
	}
	if e.Operator != (storage.Operator{}) {
		more = append(more, slog.String("command", e.Operator.Command), slog.String("user", e.Operator.User), slog.String("host", e.Operator.Host))
	}
	attrs := append([]slog.Attr{
		slog.String("event", e.Name), slog.String("purpose", e.Purpose), slog.String("outcome", e.Outcome),
		slog.String("account", e.Account), slog.String("flow", e.Flow), slog.String("site", e.Site),
		slog.String("client", e.Client),
	}, more...)
	s.Log.LogAttrs(ctx, level, e.Name, attrs...)
}

// wake notifies the worker, after the commit, that there is mail.
func (s *Service) wake() {
	if s.Wake != nil {
		s.Wake()
	}
}
