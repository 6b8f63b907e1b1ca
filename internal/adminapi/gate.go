package adminapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/account"
	"github.com/caddy-email-link/caddy-email-link/account/embedded"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/state"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Gate does what an operator asks for, on an open state. KeyFile, Wake, Test and Doctor may be missing.
type Gate struct {
	State *state.State
	Flows *flow.Service
	// Sites are the origins that the configuration names; Site also finds those below an entry with a star.
	Sites []flow.Site
	Site  func(origin string) (flow.Site, bool)
	// KeyFile is the path of the key file, empty when the keys come from the configuration.
	KeyFile string
	// Scopes are those that machine tokens can be made for.
	Scopes []string
	// Limiter and Rates are those that hold; Wake tells the mail worker that something is due.
	Limiter *limit.Limiter
	Rates   limit.Table
	Wake    func()
	// Audiences are those of the sites; *.example.com stands for any label.
	Audiences []string
	// Test sends a test mail, Doctor makes all checks.
	Test   func(ctx context.Context, to string) (TestSent, error)
	Doctor func(ctx context.Context, to string) ([]doctor.Finding, error)
}

var _ Backend = (*Gate)(nil)

// page is how many accounts are read in one transaction.
const page = 500

// AddAccount implements Backend.
func (g *Gate) AddAccount(ctx context.Context, in AccountInput) (Account, error) {
	addr, err := address.Parse(in.Email)
	if err != nil {
		return Account{}, badRequest("the address cannot be used: %v", err)
	}
	var made account.Account
	err = g.State.Store.Update(ctx, func(tx storage.Tx) (err error) {
		made, err = g.State.Accounts.Create(tx, embedded.NewAccount{
			Address: addr, Name: in.Name, Roles: in.Roles, Language: in.Language,
		})
		return err
	})
	if errors.Is(err, embedded.ErrTaken) {
		return Account{}, conflict("%s has an account already; 'caddy email-link accounts set' changes it", addr.Display())
	}
	if err != nil {
		return Account{}, refused(err)
	}
	return g.Account(ctx, made.ID)
}

// Accounts implements Backend.
func (g *Gate) Accounts(ctx context.Context, each func(Account) error) error {
	for after := ""; ; {
		var list []embedded.Entry
		err := g.State.Store.View(ctx, func(tx storage.Tx) (err error) {
			list, err = g.State.Accounts.List(tx, after, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := each(shown(e)); err != nil {
				return err
			}
			after = e.ID
		}
		if len(list) < page {
			return nil
		}
	}
}

func shown(e embedded.Entry) Account {
	return Account{ID: e.ID, Email: e.Email, Name: e.Name, Roles: e.Roles, Language: e.Language, Status: string(e.Status), Created: e.Created}
}

// Account implements Backend.
func (g *Gate) Account(ctx context.Context, who string) (Account, error) {
	var list []embedded.Entry
	id, err := g.find(ctx, who)
	if err == nil {
		err = g.State.Store.View(ctx, func(tx storage.Tx) (err error) {
			// The list starts after the id before this one: ids are texts, and shortening one gives a text before it.
			list, err = g.State.Accounts.List(tx, id[:len(id)-1], page)
			return err
		})
	}
	for _, e := range list {
		if e.ID == id {
			return shown(e), nil
		}
	}
	if err == nil {
		err = notFound("there is no account %s", who)
	}
	return Account{}, err
}

// find returns the id of an account that is named by its id or its address.
func (g *Gate) find(ctx context.Context, who string) (id string, err error) {
	var a account.Account
	var found bool
	if addr, bad := address.Parse(who); bad == nil {
		a, found, err = g.State.Accounts.Lookup(ctx, addr.Typed())
	} else {
		err = g.State.Store.View(ctx, func(tx storage.Tx) (err error) {
			a, found, err = g.State.Accounts.Get(tx, who)
			return err
		})
	}
	if err == nil && !found {
		err = notFound("there is no account %s", who)
	}
	return a.ID, err
}

// ChangeAccount implements Backend.
func (g *Gate) ChangeAccount(ctx context.Context, who string, change AccountChange) (Account, error) {
	status := map[string]storage.Status{"active": storage.StatusActive, "disabled": storage.StatusDisabled}
	if change.Status != nil && status[*change.Status] == 0 {
		return Account{}, badRequest("the status is one of active, disabled")
	}
	err := g.change(ctx, who, func(tx storage.Tx, id string) error {
		if change.Name != nil {
			if err := g.State.Accounts.SetName(tx, id, *change.Name); err != nil {
				return err
			}
		}
		if change.Roles != nil {
			if err := g.State.Accounts.SetRoles(tx, id, *change.Roles); err != nil {
				return err
			}
		}
		if change.Language != nil {
			if err := g.State.Accounts.SetLanguage(tx, id, *change.Language); err != nil {
				return err
			}
		}
		if change.Status != nil {
			return g.State.Accounts.SetStatus(tx, id, status[*change.Status])
		}
		return nil
	})
	if err != nil {
		return Account{}, err
	}
	return g.Account(ctx, who)
}

// DeleteAccount implements Backend.
func (g *Gate) DeleteAccount(ctx context.Context, who string) error {
	return g.change(ctx, who, g.State.Accounts.Delete)
}

// change applies f in one step and tells the sessions of the account, which end or are read anew.
func (g *Gate) change(ctx context.Context, who string, f func(tx storage.Tx, id string) error) error {
	id, err := g.find(ctx, who)
	if err != nil {
		return err
	}
	err = g.State.Store.Update(ctx, func(tx storage.Tx) error { return f(tx, id) })
	if err == nil || errors.Is(err, storage.ErrUnknown) {
		g.State.Sessions.Changed(id)
	}
	return refused(err)
}

// EndSessions implements Backend.
func (g *Gate) EndSessions(ctx context.Context, who string) error {
	id, err := g.find(ctx, who)
	if err != nil {
		return err
	}
	return g.State.Sessions.EndEverywhere(ctx, id)
}

// MakeLink implements Backend.
func (g *Gate) MakeLink(ctx context.Context, in LinkInput) (Link, error) {
	site, err := g.site(in.Site)
	if err != nil {
		return Link{}, err
	}
	if in.TTL < 0 || in.TTL > flow.MaxLinkTTL {
		return Link{}, badRequest("--ttl %s is not above zero and at most %dh", in.TTL, flow.MaxLinkTTL/time.Hour)
	}
	switch in.For {
	case "", flow.SignIn, flow.Activation:
	case flow.Reset:
		if !g.Flows.OffersPasswords(site) {
			return Link{}, conflict("%s offers no passwords, so there is none to reset: sign_in does not name password", site.Origin)
		}
	default:
		return Link{}, badRequest("--for %q is none of %s, %s, %s", in.For, flow.SignIn, flow.Activation, flow.Reset)
	}
	made, err := g.Flows.Link(ctx, site, flow.LinkInput{Email: in.Email, Purpose: in.For, TTL: in.TTL})
	if errors.Is(err, flow.ErrNoAccount) && in.For == "" {
		made, err = g.Flows.Link(ctx, site, flow.LinkInput{Email: in.Email, Purpose: flow.Activation, TTL: in.TTL})
	}
	var invalid *flow.Invalid
	switch {
	case errors.Is(err, flow.ErrTaken) && in.For == "":
		return Link{}, conflict("the account of %s is disabled; 'caddy email-link accounts enable' lets it in again", in.Email)
	case errors.Is(err, flow.ErrTaken):
		return Link{}, conflict("%s has an account already: print a link for sign_in", in.Email)
	case errors.Is(err, flow.ErrNoAccount):
		return Link{}, notFound("there is no active account %s", in.Email)
	case errors.As(err, &invalid):
		return Link{}, badRequest("the %s cannot be used: %v", invalid.Field, err)
	case err != nil:
		return Link{}, err
	}
	return Link{URL: made.URL, Purpose: made.Purpose, Site: site.Origin, Expires: made.Ends}, nil
}

// site finds the site a link is for.
func (g *Gate) site(origin string) (flow.Site, error) {
	var names []string
	for _, s := range g.Sites {
		names = append(names, s.Origin)
	}
	if origin == "" && len(g.Sites) == 1 {
		return g.Sites[0], nil
	}
	if origin == "" && len(g.Sites) == 0 {
		return flow.Site{}, badRequest("name the site with --site")
	}
	if origin == "" {
		return flow.Site{}, badRequest("there is more than one site; name it with --site: %s", strings.Join(names, ", "))
	}
	if u, err := url.Parse(origin); err == nil && u.Path == "/" {
		u.Path = ""
		origin = u.String()
	}
	if s, ok := g.Site(origin); ok {
		return s, nil
	}
	return flow.Site{}, badRequest("%s is none of this gate's sites: %s", origin, strings.Join(names, ", "))
}

// AudienceKey implements Backend.
func (g *Gate) AudienceKey(_ context.Context, audience string, sign bool) (AudienceKey, error) {
	if audience == "" || strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return AudienceKey{}, badRequest("name the audience: the site's host, unless the configuration names another")
	}
	if strings.Contains(audience, "://") {
		return AudienceKey{}, badRequest("an audience is a host, such as app.example.com, not an origin")
	}
	k := AudienceKey{Audience: audience, Use: "key", Warning: g.stranger(audience)}
	key := g.State.Ring.AudienceKey(audience)
	if sign {
		k.Use, key = "sign_key", g.State.Ring.SignKey(audience)
	}
	k.Key = base64.RawURLEncoding.EncodeToString(key)
	return k, nil
}

// stranger says that a name is no site's audience: a key for it opens nothing yet. Where no site is known there is nothing to say.
func (g *Gate) stranger(audience string) string {
	var near []string
	for _, known := range g.Audiences {
		if known == audience || oneLabel(known, audience) {
			return ""
		}
		if hostOf(known) == hostOf(audience) {
			near = append(near, known)
		}
	}
	switch {
	case len(g.Audiences) == 0:
		return ""
	case len(near) == 0:
		return fmt.Sprintf("no site has the audience %s; there are %s", audience, strings.Join(g.Audiences, ", "))
	}
	return fmt.Sprintf("no site has the audience %s; did you mean %s?", audience, strings.Join(near, " or "))
}

// oneLabel says whether a pattern such as *.example.com stands for a name.
func oneLabel(pattern, name string) bool {
	rest, ok := strings.CutPrefix(pattern, "*")
	label, fits := strings.CutSuffix(name, rest)
	return ok && fits && label != "" && !strings.Contains(label, ".")
}

// hostOf returns a host without its port.
func hostOf(name string) string {
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return strings.Trim(name, "[]")
}

// BackupInfo implements Backend.
func (g *Gate) BackupInfo(ctx context.Context) (info BackupInfo, err error) {
	err = g.State.Store.View(ctx, func(tx storage.Tx) error {
		sealed, _, err := tx.Meta().Get(storage.MetaDataKey)
		if err == nil {
			// The ring still names the key that opened it: a reload may have sealed the data key with another one since.
			info.Fingerprint, err = keyring.SealedBy(sealed)
		}
		return err
	})
	return info, err
}

// MasterKeys implements Backend.
func (g *Gate) MasterKeys(context.Context) (string, error) {
	if g.KeyFile == "" {
		return "", conflict("the master keys come from the option `secret`, not from a key file: keep what that option names")
	}
	text, err := os.ReadFile(g.KeyFile)
	if err != nil {
		return "", fmt.Errorf("reading the key file: %w", err)
	}
	return string(text), nil
}

// Backup implements Backend.
func (g *Gate) Backup(ctx context.Context, w io.Writer) error {
	b, ok := g.State.Store.(storage.Backuper)
	if !ok {
		return conflict("this storage makes no copies of itself: use its own tools")
	}
	return b.Backup(ctx, w)
}

// refused turns refusals of the accounts into ones with a status.
func refused(err error) error {
	var invalid *embedded.InvalidError
	switch {
	case errors.As(err, &invalid):
		return badRequest("%v", invalid)
	case errors.Is(err, embedded.ErrNotFound):
		return notFound("there is no such account any more")
	}
	return err
}
