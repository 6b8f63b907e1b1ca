package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// composedSpellings are the ways in which a request can name what lies below a prefix. %s is the prefix without its slashes.
var composedSpellings = []string{
	"/%s/x", "//%s/x", "//x/%s/x", "/x/../%s/x", "/x/..%%2f%s/x", "/;/%s/x", "/%s;a/x", "/x/..;/%s/x", "/%%2e/%s/x", "/x/%%252e%%252e/%s/x",
	"/\\%s/x", "/.\\%s/x", "/%s%%2fx", "/%s//x", "//%s;a//x", "/x//..//%s/x",
}

// spellingsBelow returns the requests that may reach a prefix, in either case and with an escaped first letter.
func spellingsBelow(prefix string) []string {
	word := strings.Trim(prefix, "/")
	var all []string
	for _, s := range composedSpellings {
		all = append(all, fmt.Sprintf(s, word), fmt.Sprintf(s, strings.ToUpper(word)), fmt.Sprintf(s, strings.ToLower(word)))
	}
	first := fmt.Sprintf("%02x", word[0])
	return append(all, "/%"+first+word[1:]+"/x", "/%25"+first+word[1:]+"/x")
}

// readings returns every path that some backend may read in a request line: it applies what programs do to paths in every order.
func readings(target string) map[string]bool {
	raw, _, _ := strings.Cut(target, "?")
	found := map[string]bool{raw: true}
	for todo := []string{raw}; len(todo) > 0; todo = todo[1:] {
		for _, next := range []string{
			decoded(todo[0]), withoutHost(todo[0]), regexp.MustCompile(`;[^/]*`).ReplaceAllString(todo[0], ""), strings.ReplaceAll(todo[0], `\`, "/"),
			regexp.MustCompile(`/{2,}`).ReplaceAllString(todo[0], "/"), cleaned(todo[0]), strings.ToLower(todo[0]),
		} {
			if !found[next] && len(found) < 400 {
				found[next] = true
				todo = append(todo, next)
			}
		}
	}
	return found
}

func decoded(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// withoutHost reads a target that begins with two slashes as URL parsers do: what follows them is a host.
func withoutHost(s string) string {
	rest, ok := strings.CutPrefix(s, "//")
	if !ok {
		return s
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

func cleaned(s string) string {
	c := path.Clean("/" + strings.TrimPrefix(s, "/"))
	if strings.HasSuffix(s, "/") && c != "/" {
		c += "/"
	}
	return c
}

// reaches reports whether some reading of a target lies below a prefix.
func reaches(target, prefix string) bool {
	for reading := range readings(target) {
		if strings.HasPrefix(reading, prefix) || strings.HasPrefix(strings.ToLower(reading), strings.ToLower(prefix)) {
			return true
		}
	}
	return false
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// composedWorld is one Caddy that composed configurations are loaded into, with an ordinary account signed in at each host.
type composedWorld struct {
	*world
	setup    setup
	backends map[string]*backend
	cookies  map[string]string
}

func newComposedWorld(t *testing.T) *composedWorld {
	t.Helper()
	w := &composedWorld{setup: setup{global: "sign_up open"}, backends: map[string]*backend{}, cookies: map[string]string{}}
	for _, host := range composedHosts {
		w.setup.baseURL += " http://" + host + ":$PORT"
	}
	w.setup.sites = ":$PORT {\nemail_link\nreverse_proxy $BACKEND\n}\n"
	w.world = start(t, w.setup)
	for range 4 {
		b := newBackend(t)
		w.backends[b.addr] = b
	}
	for _, host := range composedHosts {
		w.host = host
		c := w.client()
		w.signUp(c, host[:1]+"@example.com")
		if c.session() == nil {
			t.Fatalf("no session at %s", host)
		}
		w.cookies[host] = c.cookie()
	}
	return w
}

// TestCONF3_ComposedConfigurations puts configurations together by chance, from a fixed seed, and looks at each with knowledge of
// its own: what has to be refused is, at the line of an email_link and with what to write; behind what validates no client's copy
// of a name that a handler sets arrives, no spelling of a path reaches an inner demand that it does not meet, and each page that
// people are sent to is there. CONFIGURATIONS and SEED make it longer.
func TestCONF3_ComposedConfigurations(t *testing.T) {
	w := newComposedWorld(t)
	addrs := make([]string, 0, len(w.backends))
	for addr := range w.backends {
		addrs = append(addrs, addr)
	}
	few := uint64(320)
	if testing.Short() {
		few = 120
	}
	seed, count, loaded := number(t, "SEED", 11), number(t, "CONFIGURATIONS", few), 0
	for i := range count {
		c := compose(seed, i, addrs)
		s := w.setup
		s.sites = c.sites
		err := w.tryLoad(s)
		report := func(format string, args ...any) {
			t.Helper()
			t.Errorf("configuration %d of seed %d: %s\n%s", i, seed, fmt.Sprintf(format, args...), numbered(w.caddyfile(s)))
		}
		switch {
		case err != nil && c.verdict == validates:
			report("refused: %v", err)
		case err == nil && c.verdict == mustRefuse:
			report("validates, although %s", c.why)
		case err != nil:
			if problem := unhelpful(err, w.caddyfile(s)); problem != "" {
				report("%s: %v", problem, err)
			}
		default:
			loaded++
			w.idle()
			w.probe(c, report)
		}
		if t.Failed() && count <= 1000 {
			break
		}
	}
	if loaded*3 < int(count) {
		t.Errorf("only %d of %d configurations validated", loaded, count)
	}
}

func numbered(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		fmt.Fprintf(&b, "%3d %s\n", i+1, line)
	}
	return b.String()
}

var positionIn = regexp.MustCompile(`Caddyfile:(\d+)`)

// unhelpful returns what a refusal lacks, the position of an email_link or what to write, and nothing where it lacks neither.
func unhelpful(err error, text string) string {
	lines := strings.Split(text, "\n")
	found := false
	for _, m := range positionIn.FindAllStringSubmatch(err.Error(), -1) {
		n, _ := strconv.Atoi(m[1])
		found = found || n > 0 && n <= len(lines) && strings.Contains(lines[n-1], "email_link")
	}
	switch {
	case !found:
		return "the refusal names no line of an email_link"
	case !strings.Contains(err.Error(), "write") && !strings.Contains(err.Error(), "put"):
		return "the refusal does not say what to write"
	}
	return ""
}

// probe sends requests to a loaded configuration.
func (w *composedWorld) probe(c *composed, report func(string, ...any)) {
	for _, host := range composedHosts {
		targets := []string{"/", "/open/x", "/app/page", "/rest/x", "/strip/a", "/named/a", "/static/a", "/app/x%2Fy", "/app/a;b"}
		for _, prefix := range c.demands[host] {
			targets = append(targets, spellingsBelow(prefix)...)
		}
		for _, target := range targets {
			w.send(c, host, target, "", report)
			w.send(c, host, target, w.cookies[host], report)
		}
		if page := c.pages[host]; page != "" {
			w.follow(host, page, report)
		}
	}
}

// send makes one request that forges every name, and looks at what arrives.
func (w *composedWorld) send(c *composed, host, target, cookie string, report func(string, ...any)) {
	var lines strings.Builder
	for _, name := range append([]string{"Email-Link-Assertion", "Remote-User"}, c.names...) {
		fmt.Fprintf(&lines, "%s: forged\n%s: forged\n", name, strings.ToLower(name))
	}
	if cookie != "" {
		lines.WriteString("Cookie: " + cookie + "\n")
	}
	w.host = host
	res, _ := w.raw("GET " + target + " HTTP/1.1\nHost: $HOST\n" + lines.String() + "Connection: close\n\n")
	for addr, b := range w.backends {
		for _, r := range b.taken() {
			// The assertion cannot be forged, so a route past a gate that hands on nothing else is told and not refused.
			open := c.bypassed[addr] && !c.handing[addr]
			for name, values := range r.header {
				if c.guarded[addr] && !open && strings.Contains(strings.Join(values, ","), "forged") {
					report("%s %s: %s arrived with %s: %q", host, target, addr, name, values)
				}
			}
			if c.guarded[addr] && !open && strings.Contains(r.header.Get("Cookie"), "email_link") {
				report("%s %s: a cookie of the gate arrived", host, target)
			}
			for _, prefix := range c.demands[host] {
				if reaches(target, prefix) {
					report("%s %s (%d): a request that may be read as %s arrived at %s as %s", host, target, res.StatusCode, prefix, addr, r.uri)
				}
			}
		}
	}
}

// follow opens a page that needs a session, and the page that it leads to.
func (w *composedWorld) follow(host, page string, report func(string, ...any)) {
	w.host = host
	c := w.client()
	status, header, _ := c.visit(page)
	if status == http.StatusOK || status == http.StatusNotFound {
		return // the gate of this host does not stop this request
	}
	target := header.Get("Location")
	if status != http.StatusSeeOther || target == "" {
		report("%s%s: %d, Location %q", host, page, status, target)
		return
	}
	if status, _, body := c.visit(target); status != http.StatusOK || !strings.Contains(body, `name="email"`) {
		report("%s%s leads to %s, which answers %d and is no page of the gate", host, page, target, status)
	}
}
