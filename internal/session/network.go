package session

import (
	"net/netip"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// networkOf returns the network that a session notes: a /24 under IPv4, a /48 under IPv6, which is what one household or office has;
// empty if the address is not known.
func networkOf(client netip.Addr) string {
	if prefix := boundary.Wide(client); prefix.IsValid() {
		return prefix.String()
	}
	return ""
}

// OpenedFrom reports whether a live session of the account was opened from the network of an address. Sessions of before networks
// were noted count for none.
func (m *Manager) OpenedFrom(tx storage.Tx, accountID string, client netip.Addr) (bool, error) {
	network := networkOf(client)
	if accountID == "" || network == "" {
		return false, nil
	}
	all, err := tx.Sessions().ByAccount(accountID, listMax)
	if err != nil {
		return false, err
	}
	now := m.clock.Now()
	for _, s := range all {
		if s.Network != network {
			continue
		}
		if v, err := m.validate(tx, s, now); err != nil || v.ok {
			return v.ok, err
		}
	}
	return false, nil
}
