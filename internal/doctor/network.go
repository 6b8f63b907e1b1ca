package doctor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

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
	// AnswerNonce returns what this gate answers to a nonce at /health; nil: any gate's answer is taken for its own.
	AnswerNonce func(nonce string) string
	// HTTP asks base_url. Default: a client that follows no redirect.
	HTTP *http.Client
	// Now is the system's clock, which is also the default.
	Now func() time.Time
	// Timeout bounds the questions to the DNS and to base_url, each. Default: 5 seconds.
	Timeout time.Duration
}

const (
	defaultTimeout = 5 * time.Second
	// maxSkew is how far clocks may be apart: a fifth of an assertion's usual lifetime.
	maxSkew = 12 * time.Second
	// certificateWarning is how long before its end a mail server's certificate is told.
	certificateWarning = 14 * 24 * time.Hour
)

// Check runs all checks at once and returns their findings in a fixed order.
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
