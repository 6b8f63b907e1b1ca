package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// roleVar names the role of a process in its environment.
const roleVar = "EMAIL_LINK_BENCH_ROLE"

// secretVar holds the master key of the benchmark's databases.
const secretVar = "EMAIL_LINK_BENCH_SECRET"

// master is that key. It protects nothing.
const master = "the benchmark's key protects nothing at all"

// roles are what this program can be, beside the one who measures.
var roles = map[string]func() error{
	"caddy":     func() error { caddycmd.Main(); return nil },
	"backend":   backendRole,
	"load":      loadRole,
	"hold":      holdRole,
	"passwords": passwordsRole,
	"durable":   durableRole,
}

// bench is what the rows work with.
type bench struct {
	options
	loader *loader
	// site is the Caddy of the rows about requests, made by the first of them.
	site *sites
	// full and bare are the programs that stand for Caddy with and without us.
	full, bare *program
	seq        int

	mu       sync.Mutex
	children []*child // guarded by mu
	ends     []func() // guarded by mu
}

// atEnd has something done once all processes have ended, also when the round is interrupted. It may have been done before.
func (b *bench) atEnd(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = append(b.ends, fn)
}

// close ends all processes of the round.
func (b *bench) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.children) - 1; i >= 0; i-- {
		b.children[i].Stop()
	}
	for _, fn := range b.ends {
		fn()
	}
}

// path returns a new name in the directory of this round.
func (b *bench) path(name string) string {
	b.seq++
	return filepath.Join(b.dir, fmt.Sprintf("%02d-%s", b.seq, name))
}

// child is a process of ours.
type child struct {
	*gatetest.Child
	log string
}

// errNoAccounting says that this system does not tell what a process takes.
var errNoAccounting = errors.New("not available here")

// memory of a process, in MiB.
type memory struct {
	// own is what belongs to the process alone; resident counts pages of files too, above all the program's own, which the
	// system can share and drop. peak is the largest resident has been.
	own, resident, peak float64
}

// program is what a process is made from.
type program struct {
	path string
	args []string
	env  []string
}

// self is this program in a role.
func self(role string, args ...string) *program {
	path, err := os.Executable()
	if err != nil {
		path = os.Args[0]
	}
	return &program{path: path, args: args, env: []string{roleVar + "=" + role}}
}

// start starts a process that ends with us at the latest. Its homes are in the directory of this round.
func (b *bench) start(p *program, prepare func(*exec.Cmd)) (*child, error) {
	cmd := exec.Command(p.path, p.args...) //nolint:gosec,noctx // of our own; ended by close
	cmd.Env = append(append(os.Environ(), gatetest.Homes(filepath.Join(b.dir, "home"))...), secretVar+"="+master)
	cmd.Env = append(cmd.Env, p.env...)
	c := &child{log: b.path("log")}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log // not through us: we measure
	if prepare != nil {
		prepare(cmd)
	}
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	if c.Child, err = gatetest.Start(cmd); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.children = append(b.children, c)
	return c, nil
}

// fate adds to an error what the process has said last.
func (c *child) fate(err error) error {
	text, _ := os.ReadFile(c.log)
	if len(text) > 2000 {
		text = text[len(text)-2000:]
	}
	return fmt.Errorf("%w\n%s", err, text)
}

// await asks an address until it answers 200.
func (c *child) await(url string) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	err := c.Await(500*time.Microsecond, func() error {
		res, err := client.Get(url) //nolint:noctx // it has a timeout
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
	if err != nil {
		return c.fate(err)
	}
	return nil
}

// gateConfig is a Caddyfile with a gate over a database, without one where that is empty.
func gateConfig(admin, database string) gatetest.Config {
	c := gatetest.Config{Admin: admin, Options: "persist_config off\n\tlog {\n\t\tlevel ERROR\n\t}"}
	if database != "" {
		c.Storage, c.Secret, c.Mailer = "bbolt "+database, "{env."+secretVar+"}", "none"
	}
	return c
}

// ports returns free ports on loopback.
func ports(n int) ([]string, error) {
	var list []string
	for range n {
		port, err := freeport.Next()
		if err != nil {
			return nil, err
		}
		list = append(list, port)
	}
	return list, nil
}

// loader is the process that sends.
type loader struct {
	*child
	in  *json.Encoder
	out *json.Decoder
}

// run has a job done. An answer that is not the right one is an error.
func (b *bench) run(j job) (outcome, error) {
	if b.loader == nil {
		l := &loader{}
		var err error
		l.child, err = b.start(self("load"), func(c *exec.Cmd) {
			in, _ := c.StdinPipe()
			out, _ := c.StdoutPipe()
			l.in, l.out = json.NewEncoder(in), json.NewDecoder(out)
		})
		if err != nil {
			return outcome{}, err
		}
		b.loader = l
	}
	if err := b.loader.in.Encode(j); err != nil {
		return outcome{}, b.loader.fate(err)
	}
	var o outcome
	if err := b.loader.out.Decode(&o); err != nil {
		return o, b.loader.fate(err)
	}
	switch {
	case o.Err != "":
		return o, errors.New(o.Err)
	case o.Wrong > 0:
		return o, fmt.Errorf("%d requests were not answered as they should be: %s", o.Wrong, o.First)
	case o.Done == 0:
		return o, errors.New("no request was answered in time")
	}
	return o, nil
}

// backendRole answers everything with 1 KiB, /assertion with what it was told of who asks, and does not end what openBackend serves.
func backendRole() error {
	body := []byte(strings.Repeat("0123456789abcde\n", 64))
	var open openBackend
	l, err := net.Listen("tcp", os.Getenv("EMAIL_LINK_BENCH_ADDR")) //nolint:noctx // at the start
	if err != nil {
		return err
	}
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/assertion" {
			_, _ = io.WriteString(w, r.Header.Get("Email-Link-Assertion"))
			return
		}
		if open.serve(w, r) {
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	})}
	return server.Serve(l)
}
