// Package gate is the request path between a client and a backend as plain net/http and log/slog: what concerns each request and needs
// no Caddy to be tested.
package gate
