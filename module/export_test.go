package module

import (
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// Warnings returns what the survey of the routes has found.
func (a *App) Warnings() []doctor.Finding { return a.configuration.warnings }

// Answers reports whether a handler answers for a Host.
func (a *App) Answers(host string) bool {
	for _, h := range a.handlers {
		if _, known := gate.Resolve(h.site.Origins, host); known {
			return true
		}
	}
	return false
}

// OpenSuffixes are the patterns of public that begin with a star, of all handlers.
func (a *App) OpenSuffixes() (list []string) {
	for _, p := range a.configuration.positions {
		list = append(list, p.handler.openSuffixes...)
	}
	return list
}

// PathAt returns the path of the gate's pages at an origin, and whether its people sign in at a portal, as mails and operators have it.
func (a *App) PathAt(origin string) (path string, led bool) {
	site, ok := a.gate.Site(origin)
	if !ok {
		return "", false
	}
	return site.Prefix, site.Led
}

// Launcher returns the origins that the portal shows.
func (a *App) Launcher() (list []string) {
	for _, s := range a.portal.web.Sites {
		list = append(list, s.Origin)
	}
	return list
}

// FormActions returns the origins to which the portal's pages may send forms.
func (a *App) FormActions() []string { return a.portal.handler.site.Template.FormActions }

// Digest is what tells this configuration apart from those of other nodes.
func (a *App) Digest() string { return a.digest() }

// KeepsAddresses reports whether no change of an address is begun or finished at the first site.
func (a *App) KeepsAddresses() bool { return a.handlers[0].site.Template.KeepAddresses }
