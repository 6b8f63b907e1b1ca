package module

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// modulePath is that of this plugin in the information about a build.
const modulePath = "github.com/caddy-email-link/caddy-email-link"

// nodeInfo is what this configuration says to other nodes about itself.
func (a *App) nodeInfo() storage.NodeInfo {
	info := storage.NodeInfo{Version: buildVersion(), Config: a.digest()}
	for _, master := range a.secrets.masters {
		info.Secrets = append(info.Secrets, keyring.Fingerprint(master))
	}
	return info
}

// buildVersion returns the version of this plugin, "devel" where the build does not say.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == modulePath && m.Version != "" {
			return strings.Trim(m.Version, "()")
		}
	}
	return "devel"
}

// digest returns what tells two configurations apart that nodes must have alike, part by part: `sites:1f0c33ab limits:…`. Listeners, paths of
// files, who may ask the forward-auth endpoint and the mailer may differ.
func (a *App) digest() string {
	var sites []string
	for _, h := range a.handlers {
		sites = append(sites, fingerprint(h.alike()))
	}
	slices.Sort(sites)
	portal := ""
	if a.portal != nil {
		portal = a.portal.origin.String()
	}
	signIn := struct {
		Methods, Account []string
		SignUp           *SignUp
		Links            string
		Password         Password
	}{sorted(orDefault(a.SignIn, "link", "code")), sorted(a.Account), a.SignUp, cmp.Or(a.Links, "stored"), a.Password}
	parts := []string{}
	for _, part := range []struct {
		name  string
		value any
	}{
		{"sites", []any{texts(a.origins), sites}},
		{"portal", portal},
		{"sign-in", signIn},
		{"invitations", a.Invite},
		{"limits", []any{a.Limit, a.Resend}},
		{"lifetimes", []any{a.Lifetime, a.Session}},
		{"scopes", []any{sorted(a.Scopes), sorted(a.SelfScopes)}},
	} {
		parts = append(parts, part.name+":"+fingerprint(part.value))
	}
	return strings.Join(parts, " ")
}

// alike is what nodes must have alike of a site.
func (h *Handler) alike() any {
	return struct {
		Origins         []string
		Prefix          string
		Protect, Public caddyhttp.RawMatcherSets
		Optional        bool
		Require         Require
		Audience        string
		Identity        *Identity
		Headers         []Header
		ClientHeaders   []string
		SignUp          *SignUp
		MaxAge          caddy.Duration
		Portal          string
	}{
		texts(h.origins), h.site.Prefix, h.ProtectRaw, h.PublicRaw, h.Optional, h.Require, h.Audience, h.Identity, h.Headers, h.ClientHeaders,
		h.SignUp, h.MaxAge, h.Portal,
	}
}

func texts(origins []gate.Origin) (list []string) {
	for _, o := range origins {
		list = append(list, o.String())
	}
	return sorted(list)
}

// fingerprint returns eight hexadecimal digits of a digest of a value.
func fingerprint(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "" // lists, texts and numbers always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// announce tells the other nodes what this one is. A node that cannot say so works all the same.
func (c *core) announce(ctx context.Context, self storage.NodeInfo) {
	shared, ok := c.Store.(storage.Shared)
	if !ok {
		return
	}
	if err := shared.Announce(ctx, self); err != nil {
		c.log.Warn("this node could not tell the others of its configuration", "event", "store", "error", err)
	}
}

// seal seals the database by the first of the configured master keys. It runs beside in the same step, and returns false where nothing is to
// be done.
func (c *core) seal(ctx context.Context, sec secrets, beside func(storage.Tx) error) (changed bool, err error) {
	var sealed []byte
	err = c.Store.View(ctx, func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get(storage.MetaDataKey)
		sealed = slices.Clone(value)
		return err
	})
	if err != nil {
		return false, err
	}
	masters, err := sec.load(sealed)
	if err != nil {
		return false, err
	}
	_, resealed, err := keyring.Open(masters, sealed)
	if err != nil || resealed == nil {
		return false, sec.explain(err)
	}
	return true, c.Store.Update(ctx, func(tx storage.Tx) error {
		now, _, err := tx.Meta().GetForUpdate(storage.MetaDataKey)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, sealed) {
			return errors.New("the data key was sealed anew meanwhile; try again")
		}
		if err := tx.Meta().Put(storage.MetaDataKey, resealed); err != nil {
			return err
		}
		if err := tx.Changes().Publish(storage.Change{Kind: storage.ChangeKeys}); err != nil || beside == nil {
			return err
		}
		return beside(tx)
	})
}
