package boundary

import (
	"net/netip"
	"testing"
)

func TestRL2_Networks(t *testing.T) {
	for _, c := range []struct{ addr, network, wide string }{
		{"203.0.113.77", "203.0.113.0/24", "203.0.113.0/24"},
		{"::ffff:203.0.113.77", "203.0.113.0/24", "203.0.113.0/24"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"2001:db8::1", "2001:db8::/64", "2001:db8::/48"},
		{"fe80::1%eth0", "fe80::/64", "fe80::/48"},
		{"::1", "::/64", "::/48"},
	} {
		addr := netip.MustParseAddr(c.addr)
		if got := Network(addr).String(); got != c.network {
			t.Errorf("Network(%s) = %s, want %s", addr, got, c.network)
		}
		if got := Wide(addr).String(); got != c.wide {
			t.Errorf("Wide(%s) = %s, want %s", addr, got, c.wide)
		}
		if got := NetworkText(addr); got != c.network {
			t.Errorf("NetworkText(%s) = %s, want %s", addr, got, c.network)
		}
	}
	if Network(netip.Addr{}).IsValid() || Wide(netip.Addr{}).IsValid() || NetworkText(netip.Addr{}) != "" {
		t.Error("an invalid address has a network")
	}
}
