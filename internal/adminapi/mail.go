package adminapi

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// listMax is how many records one answer lists at most.
const listMax = 1000

// The states of a queued mail.
const (
	MailWaiting = "waiting"
	MailSending = "sending"
	MailDead    = "dead"
)

// Mail is one queued mail or dead letter. Whole addresses are never in it: the queue is where everybody's who asked stand.
type Mail struct {
	ID    string `json:"id"`
	State string `json:"state"`
	// To is the masked address, empty in a dead letter, which keeps none.
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

// Retried says what a retry has made due at once.
type Retried struct {
	IDs []string `json:"ids"`
}

// Mails implements Backend.
func (g *Gate) Mails(ctx context.Context) ([]Mail, error) {
	var waiting, dead []storage.Mail
	err := g.State.Store.View(ctx, func(tx storage.Tx) (err error) {
		if waiting, err = tx.Outbox().List(false, listMax); err != nil {
			return err
		}
		dead, err = tx.Outbox().List(true, listMax)
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
		list = append(list, g.shownMail(m))
	}
	return list, nil
}

func (g *Gate) shownMail(m storage.Mail) Mail {
	out := Mail{
		ID: m.ID.String(), State: MailWaiting, Purpose: m.Purpose, Site: m.Site, Queued: g.shownTime(m.Queued),
		Ends: g.shownTime(m.End), Attempts: m.Attempts,
	}
	var underWay bool
	out.Reason, underWay = outbox.Progress(m)
	switch {
	case m.Dead:
		out.State = MailDead
		return out
	case underWay:
		out.State = MailSending
	}
	due := g.shownTime(m.Due)
	out.Due = &due
	if p, err := outbox.OpenPayload(g.State.Ring, m.ID, m.Sealed); err == nil {
		if to, err := address.Parse(p.To); err == nil {
			out.To = to.Masked()
		}
	}
	return out
}

// shownTime is one of the gate's own times as the system's clock has it.
func (g *Gate) shownTime(t time.Time) time.Time {
	return g.State.Clock.ShownAs(t).UTC().Truncate(time.Second)
}

// RetryMail implements Backend.
func (g *Gate) RetryMail(ctx context.Context, id string) (Retried, error) {
	var done Retried
	err := g.State.Store.Update(ctx, func(tx storage.Tx) error {
		done = Retried{IDs: []string{}}
		waiting, err := tx.Outbox().List(false, listMax)
		if err != nil {
			return err
		}
		found := false
		for _, m := range waiting {
			if id != "" && m.ID.String() != id {
				continue
			}
			found = true
			if _, underWay := outbox.Progress(m); underWay {
				continue // a second copy would leave
			}
			requeued, err := tx.Outbox().Requeue(m.ID, g.State.Clock.Now())
			if err != nil {
				return err
			}
			if requeued {
				done.IDs = append(done.IDs, m.ID.String())
			}
		}
		if id == "" || len(done.IDs) > 0 {
			return nil
		}
		return noRetry(tx, id, found)
	})
	if err != nil {
		return Retried{}, err
	}
	if g.Wake != nil {
		g.Wake()
	}
	return done, nil
}

// noRetry says why a mail cannot be sent again.
func noRetry(tx storage.Tx, id string, sending bool) error {
	if sending {
		return conflict("mail %s is being sent right now; if its process died, it is tried again within two minutes", id)
	}
	dead, err := tx.Outbox().List(true, listMax)
	if err != nil {
		return err
	}
	for _, m := range dead {
		if m.ID.String() == id {
			return conflict("mail %s is dead, and a dead letter keeps neither its address nor its link: "+
				"ask the person to ask again, or print a link with 'caddy email-link link <email>'", id)
		}
	}
	return notFound("there is no mail %s; 'caddy email-link mail list' shows those there are", id)
}

// errNotHere is what a gate says that was made without the part that is asked for.
var errNotHere = errors.New("this gate cannot do that")

// SendTest implements Backend.
func (g *Gate) SendTest(ctx context.Context, in TestMail) (TestSent, error) {
	if g.Test == nil {
		return TestSent{}, errNotHere
	}
	return g.Test(ctx, in.To)
}
