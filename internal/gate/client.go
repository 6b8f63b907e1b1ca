package gate

import (
	"net/netip"
	"strings"
)

// ParseClient reads an address as Caddy and proxies write it: alone or with a port, in brackets or without, with a zone. The zone is
// dropped, and IPv4 inside IPv6 is IPv4. What cannot be read is the zero address.
func ParseClient(text string) netip.Addr {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}
		}
		addr = with.Addr()
	}
	return addr.WithZone("").Unmap()
}

// RightMost returns the last address in the values of a header such as X-Forwarded-For: what the nearest proxy has seen. Everything
// to the left of it is what the client, or a program on the way, has said, so the entry counts whatever it is: a private address
// is a client of one's own network, and one that cannot be read (`unknown`, RFC 7239 section 6.2) is the zero address, never the next
// one to the left.
func RightMost(values []string) netip.Addr {
	if len(values) == 0 {
		return netip.Addr{}
	}
	last := values[len(values)-1]
	return ParseClient(last[strings.LastIndexByte(last, ',')+1:])
}
