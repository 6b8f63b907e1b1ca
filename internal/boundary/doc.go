// Package boundary holds the pure rules of the border between clients, the gate and a backend: which header names are ours or
// stand for trust, what a path may mean to its next reader, where a person may be sent after signing in, what kind of
// request a request is. It does no I/O and knows nothing of Caddy.
package boundary
