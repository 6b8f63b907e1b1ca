package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// composedHosts are the hosts that composed sites answer for.
var composedHosts = []string{"a.localhost", "b.localhost", "c.localhost"}

// verdict is what the composer knows of a configuration, independently of the code that judges it.
type verdict int

const (
	validates verdict = iota
	mustRefuse
	// either is for configurations whose refusal is a matter of taste; what validates must still hold.
	either
)

// composed is a configuration put together by chance, with what has to be true of it.
type composed struct {
	sites string
	// verdict is what has to become of it, why the reason for a refusal.
	verdict verdict
	why     string
	// names are the headers that some handler sets.
	names []string
	// guarded are the backends behind a gate; handing are those of them behind a gate that hands on plain headers.
	guarded, handing map[string]bool
	// bypassed are the backends that a route past every gate reaches.
	bypassed map[string]bool
	// demands are, for each host, the path prefixes behind an inner gate that the test's account does not pass.
	demands map[string][]string
	// pages is, for each host with a gate, a path that needs a session.
	pages map[string]string
}

// composer makes configurations. The same seed makes the same ones.
type composer struct {
	*rand.Rand
	backends []string
	out      *composed
	snippets strings.Builder
	next     int
	// nested is set while a site is written inside a handle, where handle_errors is not allowed.
	nested bool
}

func compose(seed, number uint64, backends []string) *composed {
	c := &composer{Rand: rand.New(rand.NewPCG(seed, number)), backends: backends, out: &composed{
		guarded: map[string]bool{}, handing: map[string]bool{}, bypassed: map[string]bool{}, demands: map[string][]string{}, pages: map[string]string{},
	}}
	hosts := slices.Clone(composedHosts)
	c.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	hosts = hosts[:1+c.IntN(len(hosts))]
	var sites strings.Builder
	if len(hosts) > 1 && c.oneIn(3) {
		c.wildcard(&sites, hosts)
	} else {
		for _, host := range hosts {
			fmt.Fprintf(&sites, "http://%s:$PORT {\n%s}\n\n", host, c.site(host))
		}
	}
	c.out.sites = c.snippets.String() + sites.String()
	slices.Sort(c.out.names)
	c.out.names = slices.Compact(c.out.names)
	c.judge()
	return c.out
}

func (c *composer) oneIn(n int) bool { return c.IntN(n) == 0 }

func (c *composer) pick(words ...string) string { return words[c.IntN(len(words))] }

// wildcard writes one block for all hosts, with a handle for each.
func (c *composer) wildcard(sites *strings.Builder, hosts []string) {
	c.nested = true
	sites.WriteString("http://*.localhost:$PORT {\n")
	for _, host := range hosts {
		name := host[:1]
		fmt.Fprintf(sites, "@%s host %s\nhandle @%s {\n%s}\n", name, host, name, c.site(host))
	}
	sites.WriteString("handle {\nrespond 404\n}\n}\n")
}

// judge decides what has to become of the configuration as a whole.
func (c *composer) judge() {
	for backend := range c.out.bypassed {
		if c.out.handing[backend] && c.out.verdict != mustRefuse {
			c.out.verdict, c.out.why = mustRefuse, "a backend that takes plain headers is reached past its gate"
		}
	}
}

// site writes what stands in the block of one host.
func (c *composer) site(host string) string {
	switch c.IntN(8) {
	case 0:
		return c.open(host)
	case 1:
		return c.inHandle(host)
	case 2:
		return c.besideHandle(host)
	default:
		return c.gated(host)
	}
}

// gated writes a site whose gate stands first.
func (c *composer) gated(host string) string {
	handing := c.oneIn(2)
	public := c.oneIn(2)
	matcher := c.pick("", "", "/app/*", "*")
	more := ""
	if matcher == "" && !public && c.oneIn(3) {
		more = "optional\n"
	}
	gate := c.gate(matcher, handing, public, more)
	if c.oneIn(4) {
		c.next++
		fmt.Fprintf(&c.snippets, "(gate%d) {\n%s}\n\n", c.next, gate)
		gate = fmt.Sprintf("import gate%d\n", c.next)
	}
	c.out.pages[host] = "/app/page"
	var b strings.Builder
	body := c.routes(host, handing)
	if c.oneIn(5) {
		fmt.Fprintf(&b, "route {\n%s%s}\n", gate, body)
	} else {
		b.WriteString(gate + body)
	}
	if !c.nested && c.oneIn(5) {
		backend := c.backend(false) // the gate of error routes hands on no plain headers of its own
		fmt.Fprintf(&b, "handle_errors {\n%sreverse_proxy %s\n}\n", c.gate("", false, false, "optional\n"), backend)
	}
	return b.String()
}

// gate writes one email_link and notes the names that it sets.
func (c *composer) gate(matcher string, handing, public bool, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "email_link %s {\n%s", matcher, more)
	if public {
		b.WriteString(c.pick("public /open/*\n", "public /open/* /hook\n", "@free path /open/* /favicon.ico\npublic @free\n"))
	}
	if handing {
		name := c.pick("X-Staff-User", "X-App-Who", "Remote-User", "X-Person", "Acme-Id")
		c.out.names = append(c.out.names, name)
		fmt.Fprintf(&b, "headers {\n%s {http.auth.user.email}\n}\n", name)
	}
	if c.oneIn(4) {
		name := c.pick("X-App-Assertion", "X-Proof")
		c.out.names = append(c.out.names, name)
		fmt.Fprintf(&b, "identity {\nheader %s\n}\n", name)
	}
	b.WriteString("}\n")
	return b.String()
}

// backend picks a backend and notes that a gate leads to it.
func (c *composer) backend(handing bool) string {
	backend := c.pick(c.backends...)
	c.out.guarded[backend] = true
	if handing {
		c.out.handing[backend] = true
	}
	return backend
}

// routes writes what stands behind a gate.
func (c *composer) routes(host string, handing bool) string {
	var b strings.Builder
	for _, prefix := range []string{"/admin/", "/Staff/"} {
		switch c.IntN(5) {
		case 0, 1:
			b.WriteString(c.inner(host, prefix, handing))
		case 2:
			fmt.Fprintf(&b, "handle %s* {\nreverse_proxy %s\n}\n", prefix, c.backend(handing))
		}
	}
	if c.oneIn(4) {
		fmt.Fprintf(&b, "handle_path /strip/* {\nreverse_proxy %s\n}\n", c.backend(handing))
	}
	if c.oneIn(4) {
		b.WriteString("handle /static/* {\nrespond \"static\" 200\n}\n")
	}
	if c.oneIn(5) {
		c.next++
		fmt.Fprintf(&c.snippets, "&(app%d) {\nreverse_proxy %s\n}\n\n", c.next, c.backend(handing))
		fmt.Fprintf(&b, "handle /named/* {\ninvoke app%d\n}\n", c.next)
	}
	fmt.Fprintf(&b, "handle {\nreverse_proxy %s\n}\n", c.backend(handing))
	return b.String()
}

// inner writes a part of a site with an email_link of its own that asks for more than the test's account has.
func (c *composer) inner(host, prefix string, outerHanding bool) string {
	c.out.demands[host] = append(c.out.demands[host], prefix)
	handing := c.oneIn(3)
	gate := c.gate("", handing, false, c.pick("require role admin\n", "require email *@example.org\n", "max_age 1ms\n", "require role admin\nrequire email *@example.com\n"))
	body := gate + "reverse_proxy " + c.backend(handing || outerHanding) + "\n"
	name := "@m" + strings.ToLower(strings.Trim(prefix, "/")) + host[:1]
	switch c.IntN(6) {
	case 0:
		return fmt.Sprintf("%s path_regexp ^%s\nhandle %s {\n%s}\n", name, prefix, name, body)
	case 1:
		return fmt.Sprintf("%s expression `{http.request.uri.path}.startsWith(\"%s\")`\nhandle %s {\n%s}\n", name, prefix, name, body)
	case 2:
		return fmt.Sprintf("handle %s* {\nroute {\n%s}\n}\n", prefix, body)
	case 3:
		return fmt.Sprintf("%s {\nmethod GET POST\npath %s*\n}\nhandle %s {\n%s}\n", name, prefix, name, body)
	default:
		return fmt.Sprintf("handle %s* {\n%s}\n", prefix, body)
	}
}

// inHandle writes a gate inside a handle: its pages are there only where its path is below the handle's.
func (c *composer) inHandle(host string) string {
	handing := c.oneIn(2)
	more := "path /app/email-link\n"
	if c.oneIn(3) {
		more = ""
		c.refuse("the gate's own pages lie outside its handle")
	}
	c.out.pages[host] = "/app/page"
	body := fmt.Sprintf("handle /app/* {\n%sreverse_proxy %s\n}\n", c.gate("", handing, false, more), c.backend(handing))
	switch c.IntN(4) {
	case 0:
		return body
	case 1:
		return body + "handle {\nrespond \"free\" 200\n}\n"
	case 2:
		return body + fmt.Sprintf("handle {\nemail_link off\nreverse_proxy %s\n}\n", c.pick(c.backends...))
	default:
		return body + fmt.Sprintf("handle {\nreverse_proxy %s\n}\n", c.past())
	}
}

// besideHandle writes a route past the gate, as people write it for their own network or for an API.
func (c *composer) besideHandle(host string) string {
	handing := c.oneIn(2)
	matcher := c.pick("@lan remote_ip 192.0.2.0/24", "@lan path /rest/*", "@lan not path /app/* /email-link/*", "@lan not path /app/*")
	if strings.HasSuffix(matcher, "not path /app/*") && c.out.verdict == validates {
		c.out.verdict, c.out.why = either, "an earlier handle takes the gate's own pages"
	}
	gate := c.gate("", handing, false, "")
	gated := fmt.Sprintf("handle {\n%sreverse_proxy %s\n}\n", gate, c.backend(handing))
	c.out.pages[host] = "/app/page"
	if c.oneIn(3) {
		return fmt.Sprintf("%s\nhandle @lan {\nemail_link off\nreverse_proxy %s\n}\n%s", matcher, c.pick(c.backends...), gated)
	}
	return fmt.Sprintf("%s\nhandle @lan {\nreverse_proxy %s\n}\n%s", matcher, c.past(), gated)
}

// open writes a site without a gate.
func (c *composer) open(string) string {
	if c.oneIn(3) {
		return fmt.Sprintf("email_link off\nreverse_proxy %s\n", c.pick(c.backends...))
	}
	return fmt.Sprintf("reverse_proxy %s\n", c.past())
}

// past picks a backend and notes that a route past every gate leads to it.
func (c *composer) past() string {
	backend := c.pick(c.backends...)
	c.out.bypassed[backend] = true
	return backend
}

func (c *composer) refuse(why string) {
	if c.out.verdict != mustRefuse {
		c.out.verdict, c.out.why = mustRefuse, why
	}
}
