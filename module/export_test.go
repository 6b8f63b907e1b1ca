package module

import "github.com/caddy-email-link/caddy-email-link/internal/doctor"

// Warnings returns what the survey of the routes has found.
func (a *App) Warnings() []doctor.Finding { return a.configuration.warnings }
