package boundary

import "net/netip"

// Network returns the network of a client's address: /24 of IPv4, /64 of IPv6. IPv4 inside IPv6 is IPv4. It is
// invalid for an invalid address.
func Network(addr netip.Addr) netip.Prefix { return network(addr, 24, 64) }

// Wide returns the second tier of an IPv6 address, its /48; of IPv4 it is Network.
func Wide(addr netip.Addr) netip.Prefix { return network(addr, 24, 48) }

func network(addr netip.Addr, bits4, bits6 int) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := bits6
	if addr.Is4() {
		bits = bits4
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// NetworkText names Network in logs and mails: "203.0.113.0/24". It is empty for an invalid address.
func NetworkText(addr netip.Addr) string {
	prefix := Network(addr)
	if !prefix.IsValid() {
		return ""
	}
	return prefix.String()
}
