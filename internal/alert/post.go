package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"
)

// postTimeout bounds one post, from the look-up of its host to the first line of the answer.
const postTimeout = 10 * time.Second

// Post is where alerts are posted to. Neither its address nor the value of its header is in an error or in a log: both may be secrets.
type Post struct {
	// URL is the address, Header and Value one header of the request, empty for none.
	URL, Header, Value string
	// Insecure permits plain http beyond this machine.
	Insecure bool
	// JSON posts alerts for programs, else they are text.
	JSON bool
}

// reserved are the headers that belong to the request itself.
var reserved = map[string]bool{"Host": true, "Connection": true, "Content-Length": true, "Content-Type": true, "Transfer-Encoding": true, "Trailer": true, "Upgrade": true}

// Check returns an error if nothing can be posted there.
func (p Post) Check() error {
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the address is no URL that begins with https://")
	case !validPort(u):
		return errors.New("the port of the address is no number from 1 to 65535")
	case u.User != nil:
		return errors.New("the address holds a user or a password: write them as a header, 'post <url> Authorization {env.X}'")
	case u.Scheme == "http" && !p.Insecure && !isLoopback(u.Hostname()):
		return errors.New("plain http sends alerts, and the header, to whoever listens on the way: write https, or 'post insecure <url>' where that is meant")
	case p.Header == "":
		return nil
	case !httpguts.ValidHeaderFieldName(p.Header):
		return fmt.Errorf("%q is no name of a header", p.Header)
	case reserved[http.CanonicalHeaderKey(p.Header)]:
		return fmt.Errorf("the header %s belongs to the request itself: name another one", p.Header)
	case p.Value == "" || !httpguts.ValidHeaderFieldValue(p.Value):
		return fmt.Errorf("the value of the header %s is empty, or holds characters that no header may have", p.Header)
	}
	return nil
}

// validPort reports whether the port of an address is none, or one that can be connected to.
func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// isLoopback reports whether a host is this machine, whatever a name server says.
func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Host returns the host that is posted to, for logs.
func (p Post) Host() string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Poster posts alerts. It follows no redirect, reads no body and keeps no connection.
type Poster struct {
	// client goes anywhere, by a proxy if the environment names one; local goes to this machine only, whatever a name server says and whatever
	// proxy there is.
	client, local *http.Client
}

// NewPoster returns a Poster.
func NewPoster() *Poster {
	dialer := &net.Dialer{Timeout: postTimeout}
	own := &net.Dialer{Timeout: postTimeout, Control: onlyThisMachine}
	return &Poster{client: newClient(dialer, http.ProxyFromEnvironment), local: newClient(own, nil)}
}

func newClient(dialer *net.Dialer, proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{
		Timeout:       postTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: proxy, DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10, ForceAttemptHTTP2: true,
		},
	}
}

// onlyThisMachine refuses connections to other machines: a name below localhost may be known to a name server all the same.
func onlyThisMachine(_, address string, _ syscall.RawConn) error {
	if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().Unmap().IsLoopback() {
		return errors.New("the name leads to another machine, and plain http goes to this one only")
	}
	return nil
}

// clientFor returns the client that may post to an address.
func (p *Poster) clientFor(to Post) *http.Client {
	if u, err := url.Parse(to.URL); err != nil || u.Scheme != "http" || to.Insecure {
		return p.client
	}
	return p.local
}

// Send posts one alert.
func (p *Poster) Send(ctx context.Context, to Post, site string, a Alert) error {
	body, kind := []byte(a.Text(site)), "text/plain; charset=utf-8"
	if to.JSON {
		var err error
		if body, err = a.JSON(site); err != nil {
			return err
		}
		kind = "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address cannot be used")
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("User-Agent", "caddy-email-link")
	if to.Header != "" {
		r.Header.Set(to.Header, to.Value)
	}
	res, err := p.clientFor(to).Do(r)
	if err != nil {
		return withoutAddress(err)
	}
	_ = res.Body.Close() // which ends the connection: nothing of the body is read
	switch {
	case res.StatusCode/100 == 3:
		return fmt.Errorf("it redirects (%d), and no redirect is followed: write the address that it leads to", res.StatusCode)
	case res.StatusCode/100 != 2:
		return fmt.Errorf("it answers %d", res.StatusCode)
	}
	return nil
}

// withoutAddress returns an error of a client in words that hold nothing of the address but its host, and nothing that the other side says.
func withoutAddress(err error) error {
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		if outer.Timeout() {
			return errors.New("it does not answer in time")
		}
		err = outer.Err
	}
	if dial := (*net.OpError)(nil); errors.As(err, &dial) {
		return dial
	}
	return errors.New("the connection failed, or what came back is no answer of HTTP")
}
