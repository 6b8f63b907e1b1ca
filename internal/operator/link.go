package operator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// LinkInput asks for a link that is printed instead of mailed.
type LinkInput struct {
	Email string `json:"email"`
	// For is the purpose: sign_in, activation or reset. Empty: sign_in for an address with an account, activation for
	// another that may sign up at the site.
	For string `json:"for,omitempty"`
	// TTL is how long the link works. Zero: the purpose's configured lifetime.
	TTL time.Duration `json:"ttl,omitempty"`
	// Site is the origin that the link leads to. Empty: the portal's, or the only one there is.
	Site string `json:"site,omitempty"`
}

// Link is a printed link.
type Link struct {
	URL     string `json:"url"`
	Purpose string `json:"purpose"`
	// Site is the origin where the link signs in: the portal's, for a site whose people sign in there.
	Site    string    `json:"site"`
	Expires time.Time `json:"expires"`
}

// MakeLink implements Operations.
func (svc *Service) MakeLink(ctx context.Context, in LinkInput) (Link, error) {
	site, returnTo, err := svc.signInSite(in.Site)
	if err != nil {
		return Link{}, err
	}
	if in.TTL < 0 || in.TTL > flow.MaxLinkTTL {
		return Link{}, invalid("--ttl %s: must be a positive duration of at most %dh", in.TTL, flow.MaxLinkTTL/time.Hour)
	}
	switch in.For {
	case "", flow.SignIn, flow.Activation:
	case flow.Reset:
		if !svc.Flows.OffersPasswords(site) {
			return Link{}, conflict("%s offers no passwords, so none can be reset: sign_in does not name password", site.Origin)
		}
	default:
		purposes := []string{flow.SignIn, flow.Activation, flow.Reset}
		return Link{}, invalid("--for %q: %swrite one of %s", in.For, meant(in.For, purposes), strings.Join(purposes, ", "))
	}
	if _, err := address.Parse(in.Email); err != nil {
		return Link{}, invalid("the address cannot be used: %v", err)
	}
	input := flow.LinkInput{Email: in.Email, Purpose: in.For, TTL: in.TTL, ReturnTo: returnTo, Operator: storage.Operator(CallerOf(ctx))}
	made, err := svc.Flows.Link(ctx, site, input)
	if errors.Is(err, flow.ErrNoAccount) && in.For == "" {
		if err := svc.mayActivate(ctx, site, in.Email); err != nil {
			return Link{}, err
		}
		input.Purpose = flow.Activation
		made, err = svc.Flows.Link(ctx, site, input)
	}
	var fault *flow.Invalid
	reserved := reservedConflict(err, in.Email)
	switch {
	case reserved != nil:
		return Link{}, reserved
	case errors.Is(err, flow.ErrTaken) && in.For == "":
		return Link{}, conflict("the account of %s is disabled; 'caddy email-link accounts enable' lets it in again", in.Email)
	case errors.Is(err, flow.ErrTaken):
		return Link{}, conflict("%s has an account already: print a link for sign_in", in.Email)
	case errors.Is(err, flow.ErrNoAccount):
		return Link{}, notFound("there is no active account %s", in.Email)
	case errors.As(err, &fault):
		return Link{}, invalid("the %s cannot be used: %v", fault.Field, err)
	case err != nil:
		return Link{}, err
	}
	return Link{URL: made.URL, Purpose: made.Purpose, Site: site.Origin, Expires: made.Ends}, nil
}

// mayActivate returns an error if email has no account, not even a disabled one, and could not sign up at the site by itself: it may be
// mistyped.
func (svc *Service) mayActivate(ctx context.Context, site flow.Site, email string) error {
	addr, err := address.Parse(email)
	if err != nil || site.SignUp.Admits(addr) {
		return nil //nolint:nilerr // what is no address is refused where the link is made
	}
	if _, found, err := svc.Vault.Accounts.Lookup(ctx, addr.Typed()); err != nil || found {
		return err
	}
	return notFound("there is no account %s, and nobody can sign up with that address at %s: check its spelling, or add "+
		"--for activation for a link that makes the account", email, site.Origin)
}
