// Package adminapi offers the operations of package operator over HTTP: an endpoint below Caddy's admin API, and a client for it.
//
// A client that reaches Caddy's admin endpoint owns the gate: that is Caddy's own rule, and the threat model says so.
package adminapi

import (
	"errors"
)

// Prefix is where the endpoint lives below Caddy's admin address.
const Prefix = "/email_link/"

// ErrNotRunning is returned if this Caddy has no gate configured.
var ErrNotRunning = errors.New("the running Caddy has no email_link configured")
