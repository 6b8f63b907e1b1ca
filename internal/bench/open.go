package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// openPairs bounds how often a row about many open requests is repeated: one takes as long as many rows.
const openPairs = 2

// openKind is one kind of requests that stay open.
type openKind struct {
	// name is of the path that the backend knows, what of the table.
	name, what string
	// head is the request without Host, Origin and Cookie.
	head string
	// part of the number of connections that the options name.
	part int
}

var (
	openSockets = openKind{"ws", "WebSockets", "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 1}
	openEvents  = openKind{"events", "event streams", "GET /events HTTP/1.1\r\nAccept: */*\r\n", 1}
	openUploads = openKind{"upload", "uploads", "POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 5}
)

// openRow opens many requests through a gate and through bare Caddy, and ends those of the gate by one sign-out.
func openRow(kind openKind) func(*bench) ([]figure, error) {
	return func(b *bench) ([]figure, error) {
		many := max(b.open/kind.part, 1)
		ratio := figure{what: fmt.Sprintf("memory of %d open %s", many, kind.what), floor: "reverse_proxy"}
		each := figure{what: "the same, for each of them", unit: "KiB"}
		elapsed := figure{what: "from one sign-out to the last of their ends", unit: "s"}
		if err := raiseFiles(3*many + 1000); err != nil {
			ratio.missing, each.missing, elapsed.missing = err.Error(), err.Error(), err.Error()
		}
		for range min(b.options.pairs, openPairs) {
			if ratio.missing != "" {
				break
			}
			var grown [2]float64
			for i, gated := range []bool{false, true} {
				more, last, err := b.openOnce(kind, many, gated)
				if errors.Is(err, errNoAccounting) {
					ratio.missing, each.missing, err = err.Error(), err.Error(), nil
				}
				if err != nil {
					return nil, err
				}
				if grown[i] = more; gated {
					elapsed.values = append(elapsed.values, last.Seconds())
				}
			}
			if ratio.missing == "" {
				ratio.values = append(ratio.values, grown[1]/grown[0])
				each.values = append(each.values, grown[1]*1024/float64(many))
			}
		}
		return []figure{atMost(ratio, 1.1), each, atMost(elapsed, 5)}, nil
	}
}

// openOnce starts a Caddy, opens the requests, and returns by how many MiB they have made it grow. At the gate it then signs out,
// and returns how long the last request goes on.
func (b *bench) openOnce(kind openKind, many int, gated bool) (grown float64, last time.Duration, err error) {
	i, backend, cookie, stop, err := b.openSite(gated)
	defer stop()
	if err != nil {
		return 0, 0, err
	}
	before, accounting := i.settled()
	if accounting != nil && !errors.Is(accounting, errNoAccounting) {
		return 0, 0, i.fate(accounting)
	}
	h, err := b.hold(holding{Addr: strings.TrimPrefix(i.url, "http://"), Head: kind.head, Many: many, Cookie: cookie, Upload: kind.name == "upload"})
	if err != nil {
		return 0, 0, err
	}
	defer h.Stop()
	if err := awaitOpen(backend, many); err != nil {
		return 0, 0, i.fate(err)
	}
	after, accounting := i.settled()
	if !gated {
		return after.own - before.own, 0, accounting
	}
	began := time.Now()
	if err := signOut(i.url, cookie); err != nil {
		return 0, 0, i.fate(err)
	}
	end, err := h.end()
	if err != nil {
		return 0, 0, i.fate(err)
	}
	return after.own - before.own, max(end.Sub(began), 0), accounting
}

// openSite starts Caddy with one site before a backend. stop ends both.
func (b *bench) openSite(gated bool) (i *instance, backend, cookie string, stop func(), err error) {
	var running []*child
	stop = func() {
		for _, c := range running {
			c.Stop()
		}
	}
	full, bare, err := b.programs()
	if err != nil {
		return nil, "", "", stop, err
	}
	free, err := ports(3)
	if err != nil {
		return nil, "", "", stop, err
	}
	i = &instance{admin: "127.0.0.1:" + free[0], url: "http://127.0.0.1:" + free[1]}
	backend = "127.0.0.1:" + free[2]
	program := self("backend")
	program.env = append(program.env, "EMAIL_LINK_BENCH_ADDR="+backend)
	behind, err := b.start(program, nil)
	if err != nil {
		return nil, "", "", stop, err
	}
	running = append(running, behind)
	if err := behind.await("http://" + backend); err != nil {
		return nil, "", "", stop, err
	}
	q, database, gate := *bare, "", ""
	if gated {
		q = *full
		database = b.path("open.db")
		if cookie, err = settle(database, i.url, nil); err != nil {
			return nil, "", "", stop, err
		}
		gate = "email_link {\n\t\tbase_url " + i.url + "\n\t}"
	}
	text := gateConfig(i.admin, database)
	text.Sites = fmt.Sprintf("%s {\n\tbind 127.0.0.1\n\t%s\n\treverse_proxy %s\n}\n", i.url, gate, backend)
	config := b.path("Caddyfile")
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return nil, "", "", stop, err
	}
	q.args = []string{"run", "--config", config, "--adapter", "caddyfile"}
	if i.child, err = b.start(&q, nil); err != nil {
		return nil, "", "", stop, err
	}
	running = append(running, i.child)
	ready := i.url + "/"
	if gated {
		ready = i.url + "/email-link/health"
	}
	return i, backend, cookie, stop, i.await(ready)
}

// awaitOpen waits until the backend holds so many requests.
func awaitOpen(backend string, many int) error {
	last := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + backend + "/count") //nolint:noctx // it answers at once
		if err != nil {
			return err
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return err
		}
		if last = string(text); last == strconv.Itoa(many) {
			return nil
		}
	}
	return fmt.Errorf("%s of %d requests have got to the backend", last, many)
}

// signOut signs a session out.
func signOut(site, cookie string) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, site+"/email-link/sign-out", strings.NewReader(url.Values{}.Encode()))
	if err != nil {
		return err
	}
	r.Header = http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}, "Origin": {site}, "Sec-Fetch-Site": {"same-origin"},
		"Cookie": {boundary.CookieName("", false) + "=" + cookie},
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("signing out: %s", res.Status)
	}
	return nil
}

// holding is what a holder opens.
type holding struct {
	Addr, Head, Cookie string
	Many               int
	// Upload sends a chunk a second on each connection.
	Upload bool
}

// holdReport is what a holder says at the end.
type holdReport struct {
	// Last is when the last request ended, in nanoseconds since 1970.
	Last int64
	Err  string
}

// holder is the process that holds requests open.
type holder struct {
	*child
	// report is what the process says on standard output. It is a file of ours: what the process says last is there when it has ended.
	report *os.File
}

// hold opens requests, without waiting for them to be open.
func (b *bench) hold(what holding) (*holder, error) {
	h := &holder{}
	report, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	var in *json.Encoder
	h.report = report
	h.child, err = b.start(self("hold"), func(c *exec.Cmd) {
		stdin, _ := c.StdinPipe()
		in, c.Stdout = json.NewEncoder(stdin), w
	})
	_ = w.Close()
	if err != nil {
		_ = report.Close()
		return nil, err
	}
	if err := in.Encode(what); err != nil {
		return nil, h.fate(err)
	}
	return h, nil
}

// end waits until all have ended, and returns when the last one has.
func (h *holder) end() (time.Time, error) {
	said := make(chan holdReport, 1)
	go func() {
		defer h.report.Close()
		var last holdReport
		if err := json.NewDecoder(h.report).Decode(&last); err != nil {
			last.Err = err.Error()
		}
		said <- last
	}()
	select {
	case last := <-said:
		if last.Err != "" {
			return time.Time{}, h.fate(errors.New(last.Err))
		}
		return time.Unix(0, last.Last), nil
	case <-time.After(time.Minute):
		return time.Time{}, errors.New("a minute after the sign-out requests are still open")
	}
}

// holdRole opens what it is told on standard input, and says on standard output when all has ended.
func holdRole() error {
	var h holding
	if err := json.NewDecoder(os.Stdin).Decode(&h); err != nil {
		return err
	}
	text := h.Head + "Host: " + h.Addr + "\r\nOrigin: http://" + h.Addr + "\r\n"
	if h.Cookie != "" {
		text += "Cookie: " + boundary.CookieName("", false) + "=" + h.Cookie + "\r\n"
	}
	text += "\r\n"
	var wg sync.WaitGroup
	var last atomic.Int64
	var failed atomic.Pointer[string]
	dialing := make(chan struct{}, 64)
	for range h.Many {
		wg.Go(func() {
			if err := h.one(text, dialing); err != nil {
				reason := err.Error()
				failed.CompareAndSwap(nil, &reason)
			}
			for now := time.Now().UnixNano(); ; {
				if old := last.Load(); now <= old || last.CompareAndSwap(old, now) {
					return
				}
			}
		})
	}
	wg.Wait()
	out := holdReport{Last: last.Load()}
	if reason := failed.Load(); reason != nil {
		out.Err = *reason
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// one holds one request open until the other side ends it.
func (h *holding) one(text string, dialing chan struct{}) error {
	dialing <- struct{}{}
	conn, err := net.Dial("tcp", h.Addr) //nolint:noctx // on loopback
	if err == nil {
		defer conn.Close()
		_, err = io.WriteString(conn, text)
	}
	if err != nil {
		<-dialing
		return err
	}
	in := bufio.NewReaderSize(conn, 512)
	if h.Upload {
		<-dialing
		go func() {
			for ; err == nil; time.Sleep(time.Second) {
				_, err = io.WriteString(conn, "10\r\n0123456789abcdef\r\n")
			}
		}()
		_, _ = in.ReadByte() // an answer, or the end
		return nil
	}
	line, err := in.ReadString('\n')
	<-dialing
	if err != nil || !strings.Contains(line, " 101 ") && !strings.Contains(line, " 200 ") {
		return fmt.Errorf("%q, %w", line, err)
	}
	_, _ = io.Copy(io.Discard, in)
	return nil
}

// openBackend holds requests open, and counts them.
type openBackend struct{ count atomic.Int64 }

// serve reports whether the request was one of those.
func (o *openBackend) serve(w http.ResponseWriter, r *http.Request) bool {
	control := http.NewResponseController(w)
	switch r.URL.Path {
	case "/count":
		_, _ = io.WriteString(w, strconv.FormatInt(o.count.Load(), 10))
		return true
	case "/ws", "/events", "/upload":
	default:
		return false
	}
	switch r.URL.Path {
	case "/ws":
		conn, in, err := control.Hijack()
		if err != nil {
			return true
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		o.count.Add(1)
		_, _ = io.Copy(io.Discard, in)
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = control.Flush()
		o.count.Add(1)
		<-r.Context().Done()
	case "/upload":
		if _, err := r.Body.Read(make([]byte, 1)); err != nil {
			return true
		}
		o.count.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	}
	o.count.Add(-1)
	return true
}
