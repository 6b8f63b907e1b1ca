package web

import (
	"cmp"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/timezone"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// Mail returns a message as its template needs it.
func Mail(s *Site, l outbox.Message) templates.Mail {
	m := templates.Mail{
		Kind: l.Kind,
		Site: s.Name, Host: s.Host(), Origin: s.Origin, Prefix: s.Prefix, Contact: s.Contact,
		SignUp: l.Purpose == outbox.Activation, Reset: l.Purpose == outbox.Reset, Link: l.Link, Cancel: l.Cancel, Code: l.Code,
		Asked: l.RequestedAt, Device: l.Device, Network: l.Network, Ends: l.Ends,
		App: l.App, Act: l.Act.Kind, Token: newToken(l.Act.Token),
		Address: cmp.Or(l.Address, displayed(l.Act.Email)),
	}
	if zone, ok := timezone.Load(l.Timezone); ok {
		m.Asked, m.Ends = m.Asked.In(zone), m.Ends.In(zone)
	}
	if m.Site == "" {
		m.Site = m.Host
	}
	if i := l.Invitation; i != nil {
		m.Inviter, m.Roles, m.InvitedTo = i.Inviter, strings.Join(i.Roles, ", "), s.invitedTo(i.Site)
	}
	if i := l.Act.Invitation; i != nil {
		m.Roles, m.InvitedTo = strings.Join(i.Roles, ", "), s.invitedTo(i.Site)
	}
	return m
}

// displayed returns an address for people to read: homographs in punycode.
func displayed(email string) string {
	addr, err := address.Parse(email)
	if err != nil {
		return ""
	}
	return addr.Display()
}
