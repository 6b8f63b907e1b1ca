package gate

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Origin is one entry of base_url: scheme, host and port that a site answers for.
type Origin struct {
	// text is the entry in its canonical form; for a wildcard it still holds the star.
	text   string
	scheme string
	// host is lower-case and an A-label; for a wildcard it is the part behind the star, with its dot.
	host     string
	port     string
	wildcard bool
	// below reports that the origin has taken the place of a wildcard.
	below bool
}

// String returns the entry in its canonical form, such as `https://app.example.com` or `https://*.example.com`.
func (o Origin) String() string { return o.text }

// Wildcard reports whether the entry covers one label, as `https://*.example.com` does.
func (o Origin) Wildcard() bool { return o.wildcard }

// Host returns the host without its port; for a wildcard it is the part behind the star, with its dot.
func (o Origin) Host() string { return o.host }

// Scheme returns http or https.
func (o Origin) Scheme() string { return o.scheme }

// Port returns the port, that of the scheme where the entry names none.
func (o Origin) Port() string { return cmp.Or(o.port, defaultPort(o.scheme)) }

// Below returns the origin of one label below a wildcard.
func (o Origin) Below(label string) Origin {
	host := label + o.host
	text, _ := o.match(host, o.port)
	return Origin{text: text, scheme: o.scheme, host: host, port: o.port, below: true}
}

// HostOf returns the host of an origin, with its port when that is not the scheme's own.
func HostOf(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	return host
}

// ParseOrigin reads one entry of base_url. It is a scheme and a host with an optional port and nothing else; plain http is
// for this machine only: localhost, 127.0.0.1, [::1] and names below localhost. `https://*.example.com` covers one label.
func ParseOrigin(s string) (Origin, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Opaque != "" || u.Hostname() == "" {
		return Origin{}, fmt.Errorf("%q is not an origin; write one like https://app.example.com", s)
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return Origin{}, fmt.Errorf("%q: the scheme is https, or http for this machine only", s)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#") || (u.Path != "" && u.Path != "/") {
		return Origin{}, fmt.Errorf("%q: an origin has no path, query or user; write %s://%s", s, u.Scheme, u.Host)
	}
	o := Origin{scheme: u.Scheme, port: u.Port()}
	name := u.Hostname()
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		o.wildcard, name = true, rest
	}
	if strings.ContainsAny(name, "*") {
		return Origin{}, fmt.Errorf("%q: a star stands for one whole label at the front, as in https://*.example.com", s)
	}
	host, err := canonicalHost(name)
	if err != nil {
		return Origin{}, fmt.Errorf("%q: %w", s, err)
	}
	if o.scheme == "http" && !isLocal(host) {
		return Origin{}, fmt.Errorf("%q: plain http is for localhost, 127.0.0.1, [::1] and *.localhost only; write https://%s", s, u.Host)
	}
	if err := o.checkPort(u.Host); err != nil {
		return Origin{}, fmt.Errorf("%q: %w", s, err)
	}
	star := ""
	if o.wildcard {
		if _, err := netip.ParseAddr(host); err == nil || (!strings.Contains(host, ".") && host != "localhost") {
			return Origin{}, fmt.Errorf("%q: a star stands before a domain, as in https://*.example.com", s)
		}
		star, o.host = "*.", "."+host
	} else {
		o.host = host
	}
	o.text = o.scheme + "://" + star + bracket(host)
	if o.port != "" {
		o.text += ":" + o.port
	}
	return o, nil
}

func (o *Origin) checkPort(hostport string) error {
	if o.port == "" {
		if strings.HasSuffix(hostport, ":") {
			return errors.New("the port is missing behind the colon")
		}
		return nil
	}
	n, err := strconv.ParseUint(o.port, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", o.port)
	}
	o.port = strconv.FormatUint(n, 10)
	if o.port == defaultPort(o.scheme) {
		o.port = ""
	}
	return nil
}

// canonicalHost returns a host as browsers send it: lower-case, A-labels, no brackets.
func canonicalHost(name string) (string, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.String(), nil
	}
	host, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || host == "" || len(host) > 253 {
		return "", fmt.Errorf("%q is not a host name", name)
	}
	return strings.ToLower(host), nil
}

func isLocal(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1" || strings.HasSuffix(host, ".localhost")
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// match returns the concrete origin if a request's Host is this one's.
func (o Origin) match(host, port string) (string, bool) {
	if port == defaultPort(o.scheme) {
		port = ""
	}
	if port != o.port {
		return "", false
	}
	if !o.wildcard {
		return o.text, host == o.host
	}
	label, ok := strings.CutSuffix(host, o.host)
	if !ok || label == "" || strings.Contains(label, ".") {
		return "", false
	}
	text := o.scheme + "://" + host
	if o.port != "" {
		text += ":" + o.port
	}
	return text, true
}

// splitHost reads a Host header. ok is false for anything but a host name or an address with an optional port.
func splitHost(s string) (host, port string, ok bool) {
	if s == "" || len(s) > 260 {
		return "", "", false
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		h, p, err := net.SplitHostPort(s)
		if err != nil || p == "" {
			return "", "", false
		}
		host, port = h, p
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == ':', c == '_':
		case 'A' <= c && c <= 'Z':
		default:
			return "", "", false
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), port, host != ""
}

// Resolve returns the concrete origin of a request's Host in a closed list, the first entry that matches.
func Resolve(list []Origin, hostHeader string) (origin string, ok bool) {
	host, port, ok := splitHost(hostHeader)
	if !ok {
		return "", false
	}
	for _, o := range list {
		if text, ok := o.match(host, port); ok {
			return text, true
		}
	}
	return "", false
}
