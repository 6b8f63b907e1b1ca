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
