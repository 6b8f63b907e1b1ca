package operator

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// The states of a queued mail.
const (
	MailWaiting = "waiting"
	MailSending = "sending"
	MailDead    = "dead"
)

// Mail is one queued mail or dead letter. It never holds a whole address, since the queue has those of all requesters.
type Mail struct {
	ID    string `json:"id"`
	State string `json:"state"`
	// To is the masked address. It is empty in a dead letter whose link has expired: none is kept.
	To      string    `json:"to,omitempty"`
	Purpose string    `json:"purpose"`
	Site    string    `json:"site"`
	Queued  time.Time `json:"queued"`
	// Due is when it is tried next, nil in a dead letter. Ends is when it is given up.
	Due      *time.Time `json:"due,omitempty"`
	Ends     time.Time  `json:"ends"`
	Attempts int        `json:"attempts"`
	// Reason is the last failure.
	Reason string `json:"reason,omitempty"`
}

// TestMail asks for a test mail.
type TestMail struct {
	To string `json:"to"`
}

// TestSent says what became of a test mail that was taken.
type TestSent struct {
	To string `json:"to"`
	// Via is who took it: the server's host:port, or a folder.
	Via string `json:"via"`
	// From is the sender it names.
	From string `json:"from"`
}

// Retried is what a retry has made due at once, and which mails stay as they are.
type Retried struct {
	IDs []string `json:"ids"`
	// Refused are those that cannot be sent again. Of a retry of all mails, those that wait are not among them.
	Refused []RefusedRetry `json:"refused,omitempty"`
}

// RefusedRetry is a mail that cannot be sent again, and why.
type RefusedRetry struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Mails implements Operations.
func (svc *Service) Mails(ctx context.Context) ([]Mail, error) {
	var waiting, dead []storage.Mail
	err := svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
		if waiting, err = tx.Outbox().List(false, MaxListed); err != nil {
			return err
		}
		dead, err = tx.Outbox().List(true, MaxListed)
		return err
	})
	if err != nil {
		return nil, err
	}
	byAge := func(a, b storage.Mail) int {
		return cmp.Or(a.Queued.Compare(b.Queued), slices.Compare(a.ID[:], b.ID[:]))
	}
	slices.SortFunc(waiting, byAge)
	slices.SortFunc(dead, byAge)
	list := make([]Mail, 0, len(waiting)+len(dead))
	for _, m := range append(waiting, dead...) {
		list = append(list, svc.toMail(m))
	}
	return list, nil
}

func (svc *Service) toMail(m storage.Mail) Mail {
	out := Mail{
		ID: m.ID.String(), State: MailWaiting, Purpose: m.Purpose, Site: m.Site, Queued: svc.displayTime(m.Queued),
		Ends: svc.displayTime(m.End), Attempts: m.Attempts,
	}
	var underWay bool
	out.Reason, underWay = outbox.Progress(m)
	switch {
	case m.Dead:
		out.State = MailDead
	case underWay:
		out.State = MailSending
	}
	if !m.Dead {
		due := svc.displayTime(m.Due)
		out.Due = &due
	}
	if p, err := outbox.OpenPayload(svc.Vault.Ring, m.ID, m.Sealed); err == nil {
		if to, err := address.Parse(p.To); err == nil {
			out.To = to.Masked()
		}
	}
	return out
}

// RetryMail implements Operations.
func (svc *Service) RetryMail(ctx context.Context, id string) (Retried, error) {
	var done Retried
	e := svc.event(ctx, eventChanged, "mail", "retried")
	err := svc.Vault.Store.Update(ctx, func(tx storage.Tx) error {
		done = Retried{IDs: []string{}}
		for _, dead := range [...]bool{false, true} {
			mails, err := tx.Outbox().List(dead, MaxListed)
			if err != nil {
				return err
			}
			for _, m := range mails {
				if id != "" && m.ID.String() != id {
					continue
				}
				requeued, refusal, err := outbox.Requeue(tx, svc.Vault.Ring, m, svc.Vault.Clock.Now())
				switch {
				case err != nil:
					return err
				case requeued:
					done.IDs = append(done.IDs, m.ID.String())
				case dead && id != "":
					return conflict("mail %s cannot be sent again: %s; ask the person to request a new one, or print a link with "+
						"'caddy email-link link <email>'", id, refusal)
				case dead:
					done.Refused = append(done.Refused, RefusedRetry{m.ID.String(), refusal})
				case id != "":
					return conflict("mail %s stays as it is: %s", id, refusal)
				}
			}
		}
		switch {
		case len(done.IDs) > 0:
			return audit(tx, e)
		case id != "":
			return notFound("there is no mail %s; 'caddy email-link mail list' lists those there are", id)
		}
		return nil
	})
	if err != nil {
		return Retried{}, err
	}
	if len(done.IDs) > 0 {
		svc.report(ctx, e)
	}
	if svc.Wake != nil {
		svc.Wake()
	}
	return done, nil
}

// SendTest implements Operations.
func (svc *Service) SendTest(ctx context.Context, in TestMail) (TestSent, error) {
	if svc.Test == nil {
		return TestSent{}, errNotAvailable
	}
	return svc.Test(ctx, in.To)
}
