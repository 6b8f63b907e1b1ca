package selfservice

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// permissions are the words by which an operator permits acts that need a proof. flow.SendInvitation has none: the rules that let roles invite
// permit it.
var permissions = map[string]Act{
	flow.Export:     Export,
	flow.Delete:     Delete,
	flow.NewAddress: Address,
	flow.MakeToken:  Tokens,
}

// ProvenActs lists the words of the acts that need a proof.
func ProvenActs() []Act { return slices.Collect(maps.Values(permissions)) }

// Performed is what an act that was proven has done.
type Performed struct {
	Act flow.Act
	// Overview is what an export hands out.
	Overview Overview
	// Token is a new machine token, and Text its text, which is kept nowhere.
	Token machinetoken.Token
	Text  string

	input machinetoken.Input
}

// Perform returns what does an act on the account of a session, in the step that proves it, and fills p with what came of it. An act that may
// reports to be withheld is refused with flow.ErrNoFlow.
func (s *Service) Perform(l *session.Live, may func(Act) bool, c Client, p *Performed) flow.Perform {
	return func(tx storage.Tx, act flow.Act) (err error) {
		if word, ok := permissions[act.Kind]; ok && !may(word) {
			return flow.Refuse(flow.ErrNoFlow)
		}
		*p = Performed{Act: act}
		switch act.Kind {
		case flow.Export:
			p.Overview, err = s.overview(tx, l, nil, maxExported)
			return err
		case flow.MakeToken:
			t := act.Token
			p.input = machinetoken.Input{Account: l.Account.ID, Site: t.Site, Scopes: t.Scopes, TTL: t.TTL, Name: t.Name, Network: c.Network}
			p.Text, p.Token, err = s.Machines.CreateIn(tx, p.input)
			return err
		case flow.Delete, flow.SendInvitation: // which package flow does itself
			return nil
		default:
			return fmt.Errorf("selfservice: no act is of the kind %q", act.Kind)
		}
	}
}

// Report logs what an act has done, once its step has been committed.
func (s *Service) Report(ctx context.Context, p Performed) {
	if p.Act.Kind == flow.MakeToken {
		s.Machines.ReportCreated(ctx, p.Token, p.input)
	}
}

// LastOf returns those of roles that the account has and that no other active account has.
func (s *Service) LastOf(ctx context.Context, l *session.Live, roles []string) (last []string, err error) {
	err = s.Store.View(ctx, func(tx storage.Tx) error {
		last = nil
		for _, role := range l.Account.Roles {
			if !slices.Contains(roles, role) {
				continue
			}
			other, err := s.Accounts.HasOther(tx, l.Account.ID, role)
			if err != nil {
				return err
			}
			if !other {
				last = append(last, role)
			}
		}
		return nil
	})
	return last, err
}
