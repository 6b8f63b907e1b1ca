package operator

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Service does what an operator asks for, on an open vault. KeyFile, Wake, Test, Doctor, Route and Log may be missing.
type Service struct {
	Vault *vault.Vault
	Flows *flow.Service
	// Sites are the origins that the configuration names; Site also finds those below an entry with a star.
	Sites []flow.Site
	Site  func(origin string) (flow.Site, bool)
	// Portal is the origin where people sign in for the sites that Led names; empty: each site has its own pages.
	Portal string
	Led    func(origin string) bool
	// KeyFile is the path of the key file, empty when the keys come from the configuration.
	KeyFile string
	// Scopes are those that machine tokens can be made for.
	Scopes []string
	// Roles are those that the configuration names.
	Roles []string
	// Limiter and Rates are those in force; Wake makes the mail worker look for mails that are due.
	Limiter *limit.Limiter
	Rates   limit.Table
	Wake    func()
	// Audiences are those of the sites; *.example.com means any label.
	Audiences []string
	// Self is what this gate says to other nodes about itself. Seal seals the database by the first configured key, and runs beside in the same
	// step; it returns false where that is so already.
	Self storage.NodeInfo
	Seal func(ctx context.Context, beside func(storage.Tx) error) (changed bool, err error)
	// Test sends a test mail, Doctor makes all checks.
	Test   func(ctx context.Context, to string) (TestSent, error)
	Doctor func(ctx context.Context, to string) ([]doctor.Finding, error)
	// Route says which gates judge a request, and how.
	Route func(RouteQuestion) (RouteAnswer, error)
	// Log gets a line for each event of an operator.
	Log *slog.Logger
}

var _ Operations = (*Service)(nil)

// errNotAvailable is what a gate says that was made without the part that is asked for.
var errNotAvailable = errors.New("this gate cannot do that")

// MaxListed is how many records one answer lists at most.
const MaxListed = 1000

// displayTime is one of the gate's own times as the system's clock has it.
func (svc *Service) displayTime(t time.Time) time.Time {
	return svc.Vault.Clock.ToWall(t).UTC().Truncate(time.Second)
}

// site finds the site a link is for.
func (svc *Service) site(origin string) (flow.Site, error) {
	var names []string
	for _, s := range svc.Sites {
		names = append(names, s.Origin)
	}
	if origin == "" && len(svc.Sites) == 1 {
		return svc.Sites[0], nil
	}
	if origin == "" && len(svc.Sites) == 0 {
		return flow.Site{}, invalid("name the site with --site")
	}
	if origin == "" {
		return flow.Site{}, invalid("there is more than one site; name it with --site: %s", strings.Join(names, ", "))
	}
	if u, err := url.Parse(origin); err == nil && u.Path == "/" {
		u.Path = ""
		origin = u.String()
	}
	if s, ok := svc.Site(origin); ok {
		return s, nil
	}
	return flow.Site{}, invalid("%s is not a site of this gate: %s", origin, strings.Join(names, ", "))
}

// signInSite finds the site where a link for a site signs in, and the path that it leads to there. With a portal that is the portal's, which
// leads on to the site; with no site named it is the portal's first page.
func (svc *Service) signInSite(origin string) (at flow.Site, returnTo string, err error) {
	if svc.Portal == "" {
		at, err = svc.site(origin)
		return at, "/", err
	}
	if at, err = svc.site(cmp.Or(origin, svc.Portal)); err != nil || !svc.Led(at.Origin) {
		return at, "/", err
	}
	origin = at.Origin
	if at, err = svc.site(svc.Portal); err != nil {
		return at, "/", err
	}
	return at, at.Prefix + "/open?app=" + url.QueryEscape(origin), nil
}

// Diagnose implements Operations.
func (svc *Service) Diagnose(ctx context.Context, to string) ([]doctor.Finding, error) {
	if svc.Doctor == nil {
		return nil, errNotAvailable
	}
	return svc.Doctor(ctx, to)
}
