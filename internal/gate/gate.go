// Package gate decides about requests: whether one needs a session, and whom it may go on for. It knows net/http alone, so that
// the decisions can be tested without Caddy and without a store.
//
// Programs differ on what a path means, and the one behind the gate decides which resource a request gets. Every decision about a
// path is therefore made for all views of it (see boundary.Views): what opens a path has to hold for each of them, what protects
// one for any.
package gate
