package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
)

// Resolver asks the DNS; *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Prober goes through a dialogue with the mail server; *smtp.Mailer is one.
type Prober interface {
	Probe(ctx context.Context, from, to string) smtp.Probed
	Published() []smtp.Published
}

// Network makes the checks that ask others. The zero value uses the system's resolver and network.
type Network struct {
	// SMTP is the mail server; nil: mail leaves in another way, and neither it nor the DNS is asked.
	SMTP Prober
	// Recipient is the bare address that the mail server is asked for. Default: the sender's own.
	Recipient string
	// Resolver asks the DNS. Default: the system's.
	Resolver Resolver
	// HTTP asks base_url. Default: a client that follows no redirect.
	HTTP *http.Client
	// Now is the system's clock, which is also the default.
	Now func() time.Time
	// Timeout bounds the questions to the DNS and to base_url, each. Default: 5 seconds.
	Timeout time.Duration
}

const (
	defaultTimeout = 5 * time.Second
	// maxRequests is how many entries of base_url are asked.
	maxRequests = 10
	// maxSkew is how far clocks may be apart: a fifth of an assertion's usual lifetime.
	maxSkew = 12 * time.Second
	// certificateWarning is how long before its end a mail server's certificate is told.
	certificateWarning = 14 * 24 * time.Hour
)

// Check asks everybody at once and answers in a fixed order.
func (n Network) Check(ctx context.Context, f Facts) []Finding {
	n.defaults()
	checks := []func(context.Context, Facts) []Finding{n.mail, n.records, n.reach}
	parts := make([][]Finding, len(checks))
	var wg sync.WaitGroup
	for i, check := range checks {
		wg.Go(func() { parts[i] = check(ctx, f) })
	}
	wg.Wait()
	var list []Finding
	for _, part := range parts {
		list = append(list, part...)
	}
	return list
}

func (n *Network) defaults() {
	if n.Resolver == nil {
		n.Resolver = net.DefaultResolver
	}
	if n.HTTP == nil {
		n.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if n.Now == nil {
		n.Now = clock.New(nil).Wall
	}
	if n.Timeout <= 0 {
		n.Timeout = defaultTimeout
	}
}

// mail goes through the dialogue with the mail server, up to the recipient.
func (n *Network) mail(ctx context.Context, f Facts) []Finding {
	r := report{check: "smtp"}
	switch {
	case f.NoMail:
		r.add(Skip, "this gate sends no mail (mailer none)", "")
		return r.list
	case n.SMTP == nil && f.MailFolder != "":
		return nil // said already
	case n.SMTP == nil:
		r.add(Skip, "this mailer is not SMTP", "try it with 'caddy email-link mail test <address>'")
		return r.list
	}
	to := n.Recipient
	if to == "" {
		to = f.From
	}
	p := n.SMTP.Probe(ctx, f.From, to)
	switch {
	case p.Err == nil:
	case p.Greylisted:
		r.add(Warn, p.Addr+" greylists: "+words(p.Err), p.Fix)
		return r.list
	case p.Step == smtp.StepRcpt && n.Recipient == "":
		r.add(Warn, p.Addr+" refuses a mail to the sender's own address: "+words(p.Err), orElse(p.Fix,
			"try a mailbox that exists: 'caddy email-link doctor --to you@example.org'; if that is refused too, nobody gets mail"))
		return r.list
	default:
		r.add(Fail, p.Addr+": "+words(p.Err), p.Fix)
		return r.list
	}
	text := p.Addr + " would accept a mail"
	if p.TLS != "" {
		text += ", over " + p.TLS + " (" + p.Mode + ")"
	}
	if p.SignedIn {
		text += ", signed in"
	}
	if left := p.CertificateEnds.Sub(n.Now()); !p.CertificateEnds.IsZero() && left < certificateWarning {
		r.add(Warn, text+", but its certificate ends on "+p.CertificateEnds.UTC().Format(time.DateOnly), "tell the administrator of the mail server")
	}
	if p.TLS == "" && !loopback(p.Addr) {
		r.add(Warn, text+", but without TLS: anyone on the way can read each link", "write `tls starttls`")
	}
	return r.orOK(text)
}

// loopback reports whether host:port is on this machine.
func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// words are those of an error without the name of the package, which the finding has.
func words(err error) string { return strings.TrimPrefix(err.Error(), "smtp: ") }

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// reach asks each base_url for its health, and compares the time of its answer with this machine's.
func (n *Network) reach(ctx context.Context, f Facts) []Finding {
	type answer struct{ reached, clock report }
	var answers []*answer
	var wg sync.WaitGroup
	for _, s := range f.Sites {
		for _, o := range s.Origins {
			if o.Wildcard || s.Nested || len(answers) == maxRequests {
				continue
			}
			a := new(answer)
			answers = append(answers, a)
			wg.Go(func() { n.getHealth(ctx, o, s.Path, &a.reached, &a.clock) })
		}
	}
	wg.Wait()
	reached, clock := report{check: "reachable"}, report{check: "clock"}
	for _, a := range answers {
		reached.merge(a.reached)
		clock.merge(a.clock)
	}
	if len(clock.list) == 0 {
		clock.add(Skip, "no base_url answered over https, so there is no clock to compare with", "check that the system's clock is synchronized, as with 'timedatectl'")
	}
	return append(reached.list, clock.list...)
}

func (n *Network) getHealth(ctx context.Context, o Origin, path string, reached, clock *report) {
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.Text+path+"/health", nil)
	if err != nil {
		reached.add(Skip, o.Text+" cannot be asked", "")
		return
	}
	begin := n.Now()
	resp, err := n.HTTP.Do(req)
	if err != nil {
		reached.add(Warn, o.Text+" does not answer from here: "+networkError(err), "this is fine if this machine cannot reach its own public address or Caddy is not running; "+
			"otherwise check the DNS record, the firewall and the certificate")
		return
	}
	end := n.Now()
	_ = resp.Body.Close()
	gate := resp.Header.Get(boundary.HealthHeader) != ""
	if gate && resp.StatusCode == http.StatusServiceUnavailable {
		reached.add(Fail, o.Text+" answers, and says that its database cannot be read or written, or that Caddy is stopping",
			"look at Caddy's log, logger email_link, and at the free space and the mode of the database's directory")
	} else if !gate || resp.StatusCode != http.StatusOK {
		reached.add(Fail, fmt.Sprintf("%s answers %d, but it is not the gate that answers", o.Text+path+"/health", resp.StatusCode),
			"another server answers there, or a proxy before Caddy changes Host: check the DNS record and the routes before email_link, and pass Host on in the proxy ('header_up Host {host}' in Caddy)")
	} else {
		reached.add(OK, o.Text+" answers", "")
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || o.plain() {
		return
	}
	// Date is in whole seconds, cut off.
	switch {
	case date.Before(begin.Add(-maxSkew - time.Second)):
		clock.add(Fail, fmt.Sprintf("this machine's clock is %s ahead of %s", begin.Sub(date).Round(time.Second), o.Text), skewFix)
	case date.After(end.Add(maxSkew)):
		clock.add(Fail, fmt.Sprintf("this machine's clock is %s behind %s", date.Sub(end).Round(time.Second), o.Text), skewFix)
	default:
		clock.add(OK, "agrees with the answer of "+o.Text+", which is evidence if another machine gave it", "")
	}
}

const skewFix = "synchronize the clock, as with 'timedatectl set-ntp true': apps refuse assertions from another time"

// networkError leaves the address out of an error of net/http: the finding has it.
func networkError(err error) string {
	var outer interface{ Timeout() bool }
	if errors.As(err, &outer) && outer.Timeout() {
		return "no answer in time"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}
