package operator

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// AudienceKey is one of the two keys of an audience.
type AudienceKey struct {
	Audience string `json:"audience"`
	// Use is "key" (A256KW, opens assertions) or "sign_key" (HS256, signs what the app says).
	Use string `json:"use"`
	// Key is base64url without padding.
	Key string `json:"key"`
	// Warning says that the name is probably not the one that was meant.
	Warning string `json:"warning,omitempty"`
}

// SigningKey is one of the keys that sign assertions.
type SigningKey struct {
	ID string `json:"id"`
	// InUse says that it signs now. Another one is still listed, or listed already, for verifiers to know it.
	InUse bool `json:"in_use"`
}

// Rotated says what a rotation has begun.
type Rotated struct {
	ID string `json:"id"`
	// UsedFrom is when the new key signs first.
	UsedFrom time.Time `json:"used_from"`
}

// AudienceKey implements Operations.
func (svc *Service) AudienceKey(ctx context.Context, audience string, sign bool) (AudienceKey, error) {
	if audience == "" || strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return AudienceKey{}, invalid("name the audience: the site's host, unless the configuration names another")
	}
	if strings.Contains(audience, "://") {
		return AudienceKey{}, invalid("an audience is a host, such as app.example.com, not an origin")
	}
	k := AudienceKey{Audience: audience, Use: "key", Warning: svc.audienceWarning(audience)}
	key := svc.Vault.Ring.AudienceKey(audience)
	if sign {
		k.Use, key = "sign_key", svc.Vault.Ring.SignKey(audience)
	}
	svc.exported(ctx, "audience_key", k.Use)
	k.Key = base64.RawURLEncoding.EncodeToString(key)
	return k, nil
}

// audienceWarning names the audiences that there are if none of them has this name: a key for another one opens nothing. It returns
// the empty text if no site is known.
func (svc *Service) audienceWarning(audience string) string {
	var near []string
	for _, known := range svc.Audiences {
		if known == audience || matchesPattern(known, audience) {
			return ""
		}
		if hostOf(known) == hostOf(audience) {
			near = append(near, known)
		}
	}
	switch {
	case len(svc.Audiences) == 0:
		return ""
	case len(near) == 0:
		return fmt.Sprintf("no site has the audience %s; there are %s", audience, strings.Join(svc.Audiences, ", "))
	}
	return fmt.Sprintf("no site has the audience %s; did you mean %s?", audience, strings.Join(near, " or "))
}

// matchesPattern reports whether a pattern such as *.example.com covers a name.
func matchesPattern(pattern, name string) bool {
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

// SigningKeys implements Operations.
func (svc *Service) SigningKeys(context.Context) ([]SigningKey, error) {
	now := svc.Vault.Clock.Now()
	current := svc.Vault.Signing.Current(now).ID
	list := []SigningKey{}
	for _, k := range svc.Vault.Signing.Listed(now) {
		list = append(list, SigningKey{ID: k.ID, InUse: k.ID == current})
	}
	return list, nil
}

// RotateKey implements Operations.
func (svc *Service) RotateKey(ctx context.Context) (Rotated, error) {
	e := svc.event(ctx, eventChanged, "signing_key", "rotated")
	id, err := svc.Vault.RotateSigningKey(ctx, func(tx storage.Tx) error { return audit(tx, e) })
	if errors.Is(err, keyring.ErrRotating) {
		return Rotated{}, conflict("%s", strings.TrimPrefix(err.Error(), "keyring: "))
	}
	if err != nil {
		return Rotated{}, err
	}
	svc.report(ctx, e)
	return Rotated{ID: id, UsedFrom: svc.displayTime(svc.Vault.Clock.Now().Add(keyring.SigningLead))}, nil
}
