package module

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Verify says who may ask whether a request may pass: other proxies, such as nginx with auth_request (forward-auth). They get
// the assertion in the answer.
type Verify struct {
	// From lists networks and addresses, such as `10.0.0.0/28` or `10.0.0.2`. They are compared with the address of the
	// connection, never with a header. Default: none, and the endpoint is always 404.
	From []string `json:"from,omitempty"`
}

// Check returns an error unless the peers are networks or addresses, as far as that is known without the environment.
func (v *Verify) Check() error {
	if v == nil {
		return nil
	}
	if len(v.From) == 0 {
		return errors.New("verify from: an address is missing")
	}
	for _, peer := range v.From {
		if strings.Contains(peer, "{") {
			continue // a placeholder, resolved and checked when the configuration is loaded
		}
		if _, err := parsePeer(peer); err != nil {
			return fmt.Errorf("verify from: %w", err)
		}
	}
	return nil
}

// parsePeer reads a network or a single address. A v4-in-v6 one is v4.
func parsePeer(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither a network nor an address; write one like 10.0.0.0/28 or 10.0.0.2", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits set behind its length; write %s for the network, or %s for the one address", s, p.Masked(), p.Addr())
	}
	if p.Addr().Is4In6() { // so it has 96 bits or more: a shorter one would have bits set behind its length
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

// readVerify resolves who may ask.
func (h *Handler) readVerify() error {
	if h.Verify == nil {
		return nil
	}
	for _, s := range h.Verify.From {
		text, err := expand(s)
		if err != nil {
			return fmt.Errorf("verify from: %w", err)
		}
		p, err := parsePeer(text)
		if err != nil {
			return fmt.Errorf("verify from: %w", err)
		}
		h.site.Peers = append(h.site.Peers, p)
	}
	return nil
}
