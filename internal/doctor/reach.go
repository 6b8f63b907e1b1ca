package doctor

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// maxRequests is how many addresses are asked for their health.
const maxRequests = 100

// target is an address that the doctor asks for its health.
type target struct{ origin, path string }

// targets returns the address of each host of base_url, each once. Of an entry with a star they are those hosts that the sites name; an entry
// that no site serves is asked at the path of the first one.
func (f Facts) targets() (list []target) {
	add := func(origin, path string) {
		if !slices.ContainsFunc(list, func(t target) bool { return t.origin == origin }) {
			list = append(list, target{origin, path})
		}
	}
	var rest []target
	for _, s := range f.Sites {
		for _, o := range s.Origins {
			switch {
			case s.Nested:
			case !o.Wildcard && (len(s.Hosts) == 0 || slices.ContainsFunc(s.Hosts, func(host string) bool { return Covered([]Origin{o}, host) })):
				add(o.Text, s.Path)
			case !o.Wildcard:
				rest = append(rest, target{o.Text, s.Path})
			default:
				for _, host := range s.Hosts {
					if !strings.ContainsAny(host, "*{") && Covered([]Origin{o}, host) {
						add(strings.Replace(o.Text, "*"+o.Host, strings.ToLower(host), 1), s.Path)
					}
				}
			}
		}
	}
	for _, t := range rest {
		add(t.origin, t.path)
	}
	return list
}

// reach asks each host of base_url for its health, with a nonce that no other gate can answer, and compares the time of its answer with this
// machine's.
func (n *Network) reach(ctx context.Context, f Facts) []Finding {
	reached, clock := report{check: "reachable"}, report{check: "clock"}
	list := f.targets()
	if more := len(list) - maxRequests; more > 0 {
		reached.add(Skip, fmt.Sprintf("%d more entries of base_url are not asked", more), "")
		list = list[:maxRequests]
	}
	answers := make([]struct{ reached, clock report }, len(list))
	var wg sync.WaitGroup
	for i, t := range list {
		a := &answers[i]
		a.reached.check, a.clock.check = reached.check, clock.check
		wg.Go(func() { n.getHealth(ctx, t, &a.reached, &a.clock) })
	}
	wg.Wait()
	for i := range answers {
		reached.merge(answers[i].reached)
		clock.merge(answers[i].clock)
	}
	if len(clock.list) == 0 {
		clock.add(Skip, "no base_url answered over https, so there is no clock to compare with", "check that the system's clock is synchronized, as with 'timedatectl'")
	}
	return append(reached.list, clock.list...)
}

func (n *Network) getHealth(ctx context.Context, t target, reached, clock *report) {
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	nonce := rand.Text()
	address := t.origin + t.path + "/health"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?nonce="+nonce, nil)
	if err != nil {
		reached.add(Skip, t.origin+" cannot be asked", "")
		return
	}
	begin := n.Now()
	resp, err := n.HTTP.Do(req)
	if err != nil {
		reached.add(Warn, t.origin+" does not answer from here: "+networkError(err), "this is fine if this machine cannot reach its own public address or Caddy is not running; "+
			"otherwise check the DNS record, the firewall and the certificate")
		return
	}
	end := n.Now()
	_ = resp.Body.Close()
	gate := resp.Header.Get(boundary.HealthHeader) != ""
	switch {
	case gate && n.AnswerNonce != nil && resp.Header.Get(boundary.AnswerHeader) != n.AnswerNonce(nonce):
		reached.add(Fail, t.origin+" is answered by another gate, with another database than this one",
			"whoever has that name can have links mailed that lead there: mend its DNS record or the proxy before it, or remove it from base_url")
	case gate && resp.StatusCode == http.StatusServiceUnavailable:
		reached.add(Fail, t.origin+" answers, and says that its database cannot be read or written, or that Caddy is stopping",
			"look at Caddy's log, logger email_link, and at the free space and the mode of the database's directory")
	case !gate || resp.StatusCode != http.StatusOK:
		reached.add(Fail, fmt.Sprintf("%s answers %d, but it is not the gate that answers", address, resp.StatusCode),
			"another server answers there, or a proxy before Caddy changes Host: check the DNS record and the routes before email_link, and pass Host on in the proxy ('header_up Host {host}' in Caddy)")
	default:
		reached.add(OK, t.origin+" answers", "")
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || strings.HasPrefix(t.origin, "http:") {
		return
	}
	// Date is in whole seconds, cut off.
	switch {
	case date.Before(begin.Add(-maxSkew - time.Second)):
		clock.add(Fail, fmt.Sprintf("this machine's clock is %s ahead of %s", begin.Sub(date).Round(time.Second), t.origin), skewFix)
	case date.After(end.Add(maxSkew)):
		clock.add(Fail, fmt.Sprintf("this machine's clock is %s behind %s", date.Sub(end).Round(time.Second), t.origin), skewFix)
	default:
		clock.add(OK, "agrees with the answer of "+t.origin+", which is evidence if another machine gave it", "")
	}
}
