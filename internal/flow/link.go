package flow

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// MaxLinkTTL is the longest life of a link made by an operator, as of any other.
const MaxLinkTTL = 72 * time.Hour

// LinkInput is what an operator asks a link for.
type LinkInput struct {
	// Email is the address, in any spelling.
	Email string
	// Purpose is SignIn, Activation or Reset. Default: SignIn.
	Purpose string
	// TTL is how long the link lives. Default: the site's lifetime for the purpose. At most MaxLinkTTL.
	TTL time.Duration
	// ReturnTo is the path that it leads to, as in RequestInput. Default: the front page.
	ReturnTo string
	// Operator is who makes it, for the audit log.
	Operator storage.Operator
}

// Link is a link made by an operator.
type Link struct {
	// URL is what the person opens. It is a secret until it has been used.
	URL     string
	Purpose string
	// Address is the address for people to read.
	Address string
	// Ends is when the link stops working, by the system's clock.
	Ends time.Time
	// Flow names the flow in logs.
	Flow string
}

// Link makes a link without a mail. It is for operators: it reveals whether there is an account, no limit applies, and an
// activation works whatever the policy of signing up. The link never works by one click, and has no code.
//
// Errors: *Invalid (purpose, email, ttl), ErrNoAccount (sign_in, reset: none, or not active), ErrTaken and
// *accounts.ReservedError (activation), ErrUnavailable.
func (s *Service) Link(ctx context.Context, site Site, in LinkInput) (Link, error) {
	site = site.withDefaults()
	var (
		link Link
		rec  record
	)
	err := func() error {
		l, err := s.newOperatorLink(site, in)
		if err != nil {
			return err
		}
		return s.update(ctx, func(tx storage.Tx) (err error) {
			link = Link{}
			rec, err = s.makeLink(tx, l)
			if err == nil {
				link = Link{
					URL: site.base() + "/link?t=" + l.text, Purpose: l.flow.Purpose, Address: l.addr.Display(),
					Ends: s.Clock.ToWall(l.flow.Key.Ends()), Flow: l.flow.ID,
				}
			}
			return err
		})
	}()
	s.report(ctx, stepLink, site, netip.Addr{}, rec, err)
	if err != nil {
		return Link{}, err
	}
	return link, nil
}

// operatorLink is a link whose account has not been looked up yet.
type operatorLink struct {
	flow storage.Flow
	addr address.Address
	text string
	now  time.Time
	by   storage.Operator
}

func (s *Service) newOperatorLink(site Site, in LinkInput) (l operatorLink, err error) {
	if in.Purpose == "" {
		in.Purpose = SignIn
	}
	if in.Purpose != SignIn && in.Purpose != Activation && (in.Purpose != Reset || !s.OffersPasswords(site)) {
		return l, &Invalid{Field: "purpose", Code: "unknown"}
	}
	if in.TTL < 0 || in.TTL > MaxLinkTTL {
		return l, &Invalid{Field: "ttl", Code: "too_long"}
	}
	if l.addr, err = address.Parse(in.Email); err != nil {
		return l, &Invalid{Field: "email", Code: "syntax", Err: err}
	}
	if in.TTL == 0 {
		in.TTL = site.lifetime(in.Purpose)
	}
	l.now, l.by = s.Clock.Now(), in.Operator
	end := l.now.Add(in.TTL)
	cookie, err := token.Parse(token.Random(end))
	if err != nil {
		return l, unavailable(err)
	}
	l.flow = storage.Flow{
		Key: s.flowKey(cookie, site.Origin, 0), ID: token.NewID(), Site: site.Origin, Purpose: in.Purpose,
		Mailbox: l.addr.Mailbox(s.Ring), Bound: true, Started: l.now, State: storage.FlowOpen,
	}
	l.flow.Private, err = s.sealPrivate(l.flow.Key, private{Email: l.addr.Typed(), ReturnTo: cleanReturnTo(in.ReturnTo), Operator: true})
	if err != nil {
		return l, unavailable(err)
	}
	l.text = token.New(s.Ring, token.NewSeed(), in.Purpose, site.Origin, end)
	return l, nil
}

// orReserved refuses where a mailbox may be taken back by the account that has given it up, and returns every other error as it is.
func orReserved(err error) error {
	if reserved := (*accounts.ReservedError)(nil); errors.As(err, &reserved) {
		return refuse(reserved)
	}
	return err
}

// makeLink is the step. The account is bound at birth: no mail worker will.
func (s *Service) makeLink(tx storage.Tx, l operatorLink) (rec record, err error) {
	f := l.flow
	a, found, err := s.Accounts.ByAddressForUpdate(tx, l.addr)
	switch {
	case err != nil:
		return rec, err
	case f.Purpose == Activation && found:
		return rec, refuse(ErrTaken)
	case f.Purpose == Activation:
		if err := s.Accounts.CheckFree(tx, f.Mailbox, ""); err != nil {
			return rec, orReserved(err)
		}
	case f.Purpose != Activation && (!found || a.Status != accounts.Active):
		return rec, refuse(ErrNoAccount)
	}
	f.Account = a.ID
	if f.Epochs, err = storage.ReadEpochs(tx, f.Mailbox, f.Account, false); err != nil {
		return rec, err
	}
	t, err := s.storedToken(l.text, storage.TokenLink, f)
	if err != nil {
		return rec, err
	}
	if err := tx.Flows().Create(f); err != nil {
		return rec, err
	}
	if err := tx.Tokens().Create(t); err != nil {
		return rec, err
	}
	rec = record{purpose: f.Purpose, account: f.Account, flow: f.ID}
	return rec, rec.add(tx, storage.Event{
		Time: l.now, Name: eventRequested, Purpose: f.Purpose, Outcome: stepLink, Account: f.Account, Flow: f.ID, Site: f.Site,
		Operator: l.by,
	}, l.now.Add(storage.EventLifetime))
}
