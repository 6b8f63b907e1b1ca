package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// traced is how many requests of each kind are looked at one after the other, tracedTogether how many at once.
const (
	traced         = 50
	tracedTogether = 64
)

// durable is what the process that is traced has made ready.
type durable struct {
	Addr string
	// Tokens and Cookies are of links that can be followed.
	Tokens, Cookies []string
}

// durableRole serves the pages over HTTP on a database of its own, and nothing else writes to it. It ends with its standard input:
// whoever ends strace ends strace alone.
func durableRole() error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	g, err := newGateAt(os.Getenv("EMAIL_LINK_BENCH_DATABASE"), nil)
	if err != nil {
		return err
	}
	links, err := g.prepare(traced)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at the start
	if err != nil {
		return err
	}
	out := durable{Addr: l.Addr().String()}
	for _, p := range links {
		out.Tokens, out.Cookies = append(out.Tokens, p.token), append(out.Cookies, p.cookie)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := g.seq.Add(1)
		g.pages.Serve(w, r, web.Visit{Site: g.site, Client: client(n), Cookies: boundary.ExtractCookies(r.Header, true)})
	})}
	return server.Serve(l)
}

// syncRow looks at the system calls of a process that answers: whether the answer to each step is written after the commit of
// that step has been synced. One request at a time, so that every commit between the two is its own; and many at once, which
// share them.
func syncRow(b *bench) ([]figure, error) {
	asks := figure{what: fmt.Sprintf("asks, of %d: synced before the answer", traced), floor: "strace"}
	follows := figure{what: fmt.Sprintf("links followed, of %d: the same", traced), floor: "strace"}
	together := figure{what: fmt.Sprintf("asks, of %d at once: the same", tracedTogether), floor: "strace"}
	each := figure{what: "syncs for an ask, one at a time", floor: "strace"}
	shared := figure{what: fmt.Sprintf("syncs for an ask, %d at once", tracedTogether), floor: "strace"}
	missing := func(reason string) ([]figure, error) {
		list := []figure{asks, follows, together, each, shared}
		for i := range list {
			list[i].missing = reason
		}
		return list, nil
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		return missing("strace is not installed: apt install strace")
	}
	trace := b.path("strace")
	ready, c, err := b.traced(strace, trace)
	if c != nil {
		defer c.stop()
	}
	if err != nil {
		if text, _ := os.ReadFile(trace); len(text) == 0 {
			return missing("strace may trace nothing here")
		}
		return nil, err
	}
	if err := ready.ask(); err != nil {
		return nil, c.fate(err)
	}
	c.end()
	calls, err := readTrace(trace)
	if err != nil {
		return nil, err
	}
	first, rest := calls.between("POST /email-link/sign-up"), calls.between("GET /email-link/link")
	if len(first) != traced+tracedTogether || len(rest) != traced {
		return nil, fmt.Errorf("the trace shows %d asks and %d links", len(first), len(rest))
	}
	one, many := first[:traced], first[traced:]
	asks.values, follows.values = []float64{calls.durable(one)}, []float64{calls.durable(rest)}
	together.values = []float64{calls.durable(many)}
	each.values = []float64{calls.syncs(one) / traced}
	shared.values = []float64{calls.syncs(many) / tracedTogether}
	return []figure{atLeast(asks, traced), atLeast(follows, traced), atLeast(together, tracedTogether), each, shared}, nil
}

// tracee is strace with the process that it traces.
type tracee struct {
	*child
	in io.Closer
}

// end ends both.
func (c *tracee) end() {
	_ = c.in.Close()
	select {
	case <-c.Ended:
	case <-time.After(15 * time.Second):
	}
}

// stop does so in any case.
func (c *tracee) stop() {
	c.end()
	c.child.Stop()
}

// traced starts the process under strace.
func (b *bench) traced(strace, trace string) (ready durable, c *tracee, err error) {
	c = &tracee{}
	p := self("durable")
	args := []string{"-f", "-qq", "-s", "32", "-e", "trace=read,write,pwrite64,fdatasync,fsync", "-o", trace, p.path}
	p = &program{path: strace, args: args, env: append(p.env, "EMAIL_LINK_BENCH_DATABASE="+b.path("durable.db"))}
	read := make(chan error, 1)
	c.child, err = b.start(p, func(cmd *exec.Cmd) {
		r, err := cmd.StdoutPipe()
		if err == nil {
			c.in, err = cmd.StdinPipe()
		}
		if err != nil {
			read <- err
			return
		}
		go func() { read <- json.NewDecoder(r).Decode(&ready) }()
	})
	if err != nil {
		return ready, nil, err
	}
	if err := <-read; err != nil {
		return ready, c, c.fate(err)
	}
	return ready, c, nil
}

// ask sends the requests: asks, then links, one after the other on one connection, then asks at once.
func (d durable) ask() error {
	alone := &http.Transport{MaxConnsPerHost: 1, ResponseHeaderTimeout: time.Minute}
	defer alone.CloseIdleConnections()
	for n := range traced {
		if err := d.signUp(alone, n); err != nil {
			return err
		}
	}
	for n, token := range d.Tokens {
		r, err := d.request(http.MethodGet, "/email-link/link?t="+url.QueryEscape(token), "")
		if err != nil {
			return err
		}
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Cookie", boundary.CookieName(boundary.FlowCookie, true)+"="+d.Cookies[n])
		if err := leads(alone, r, boundary.CookieName(boundary.SessionCookie, true)); err != nil {
			return fmt.Errorf("following a link: %w", err)
		}
	}
	t := &http.Transport{ResponseHeaderTimeout: time.Minute}
	defer t.CloseIdleConnections()
	errs := make([]error, tracedTogether)
	var wg sync.WaitGroup
	for n := range tracedTogether {
		wg.Go(func() { errs[n] = d.signUp(t, traced+n) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (d durable) signUp(t http.RoundTripper, n int) error {
	r, err := d.request(http.MethodPost, "/email-link/sign-up", url.Values{"email": {fmt.Sprintf("synced%d@example.com", n)}}.Encode())
	if err != nil {
		return err
	}
	if err := leads(t, r, boundary.CookieName(boundary.FlowCookie, true)); err != nil {
		return fmt.Errorf("asking for a link: %w", err)
	}
	return nil
}

func (d durable) request(method, path, form string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+d.Addr+path, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate",
		"Accept": "text/html", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	} {
		r.Header.Set(name, value)
	}
	return r, nil
}

// leads wants a redirect that sets a cookie.
func leads(t http.RoundTripper, r *http.Request, cookie string) error {
	res, err := t.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == cookie && c.Value != "" && res.StatusCode == http.StatusSeeOther {
			return nil
		}
	}
	return fmt.Errorf("%s without the cookie %s", res.Status, cookie)
}

// call is one system call, with the lines of the trace at which it began and ended.
type call struct {
	name, args string
	from, to   int
}

type trace []call

// readTrace reads what strace -f has written. Lines of one process that was interrupted by another come in two parts.
func readTrace(path string) (trace, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list trace
	open := map[string]int{}
	lines := bufio.NewScanner(f)
	for n := 0; lines.Scan(); n++ {
		pid, text, _ := strings.Cut(lines.Text(), " ")
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "<... ") {
			i, known := open[pid]
			if known {
				// What was read is told only now.
				_, rest, _ := strings.Cut(text, "resumed>")
				list[i].to, list[i].args = n, list[i].args+rest
				delete(open, pid)
			}
			continue
		}
		name, args, ok := strings.Cut(text, "(")
		if !ok {
			continue
		}
		c := call{name: name, args: args, from: n, to: n}
		if before, found := strings.CutSuffix(args, " <unfinished ...>"); found {
			c.args, c.to = before, int(^uint(0)>>1)
			open[pid] = len(list)
		}
		list = append(list, c)
	}
	return list, lines.Err()
}

// span is a request: from the end of the read that brought it to the beginning of the write of its answer.
type span struct{ from, to int }

// between finds the requests that begin so, and their answers on the same descriptor.
func (t trace) between(begin string) (list []span) {
	waiting := map[string]int{} // by descriptor, the line of the end of the read
	for _, c := range t {
		fd, rest, _ := strings.Cut(c.args, ",")
		switch {
		case c.name == "read" && strings.Contains(rest, begin[1:]): // net/http may have read the first byte before
			waiting[fd] = c.to
		case c.name == "write" && strings.Contains(rest, `"HTTP/1.1 303`):
			if from, ok := waiting[fd]; ok {
				list = append(list, span{from, c.from})
				delete(waiting, fd)
			}
		}
	}
	return list
}

// durable counts the spans in which a meta page was written, which is what makes a commit, and then synced.
func (t trace) durable(spans []span) (n float64) {
	for _, s := range spans {
		if t.synced(s) {
			n++
		}
	}
	return n
}

func (t trace) synced(s span) bool {
	written := -1
	for _, c := range t {
		if c.from <= s.from || c.to >= s.to {
			continue
		}
		switch {
		case c.name == "pwrite64" && isMeta(c.args) && written < 0:
			written = c.to
		case c.name == "fdatasync" && written >= 0 && c.from > written:
			return true
		}
	}
	return false
}

// isMeta reports whether a write goes to one of the first two pages.
func isMeta(args string) bool {
	args, _, _ = strings.Cut(args, ") ")
	at, err := strconv.Atoi(strings.TrimSpace(args[strings.LastIndexByte(args, ',')+1:]))
	return err == nil && (at == 0 || at == os.Getpagesize())
}

// syncs counts the syncs from the first of the spans to the last.
func (t trace) syncs(spans []span) (n float64) {
	from, to := spans[0].from, spans[len(spans)-1].to
	for _, c := range t {
		if (c.name == "fdatasync" || c.name == "fsync") && c.from > from && c.to < to {
			n++
		}
	}
	return n
}
