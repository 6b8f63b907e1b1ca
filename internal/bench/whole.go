package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// buildFlags are those of `make build`.
var buildFlags = []string{"build", "-trimpath", "-tags", "nobadger,nomysql,nopgx", "-ldflags", "-w -s"}

// programs returns Caddy with us and without, built as releases are; in a short round this program is both.
func (b *bench) programs() (full, bare *program, err error) {
	if b.full != nil {
		return b.full, b.bare, nil
	}
	if !b.build {
		b.full, b.bare = self("caddy"), self("caddy")
		return b.full, b.bare, nil
	}
	for _, p := range []struct {
		into *(*program)
		pkg  string
	}{{&b.full, "cmd/caddy"}, {&b.bare, "internal/bench/bare"}} {
		out := filepath.Join(b.dir, filepath.Base(p.pkg))
		args := append(append([]string{}, buildFlags...), "-o", out, "github.com/caddy-email-link/caddy-email-link/"+p.pkg)
		cmd := exec.Command("go", args...) //nolint:gosec,noctx // of our own, and it ends
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("building %s: %w\n%s", p.pkg, err, text)
		}
		*p.into = &program{path: out}
	}
	return b.full, b.bare, nil
}

// instance is a Caddy that answers 200 at /.
type instance struct {
	*child
	admin, url string
	config     []byte
}

// up starts a Caddy, with a gate over a database or without, and says how long it took to the first 200.
func (b *bench) up(p *program, database string) (*instance, time.Duration, error) {
	free, err := ports(2)
	if err != nil {
		return nil, 0, err
	}
	i := &instance{admin: "127.0.0.1:" + free[0], url: "http://127.0.0.1:" + free[1]}
	c := gateConfig(i.admin, database)
	gate := ""
	if database != "" {
		c.Gate = benchGate
		gate = "\temail_link {\n\t\tbase_url " + i.url + "\n\t\tpublic /\n\t}\n"
	}
	c.Sites = i.url + " {\n\tbind 127.0.0.1\n" + gate + "\trespond ok\n}\n"
	if i.config, err = gatetest.Adapt(c.String()); err != nil {
		return nil, 0, err
	}
	config := b.path("caddy.json")
	if err := os.WriteFile(config, i.config, 0o600); err != nil {
		return nil, 0, err
	}
	q := *p
	q.args = []string{"run", "--config", config}
	began := time.Now()
	if i.child, err = b.start(&q, nil); err != nil {
		return nil, 0, err
	}
	err = i.await(i.url + "/")
	return i, time.Since(began), err
}

// reload loads the configuration anew.
func (i *instance) reload() (time.Duration, error) {
	began := time.Now()
	err := gatetest.Reload(i.admin, i.config)
	return time.Since(began), err
}

// goroutines counts them, once those of the connections that ask are gone.
func (i *instance) goroutines() (float64, error) {
	http.DefaultClient.CloseIdleConnections()
	// Those of the configuration before end in their own time.
	time.Sleep(300 * time.Millisecond)
	res, err := http.Get("http://" + i.admin + "/debug/pprof/goroutine?debug=1") //nolint:noctx // it answers at once
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), "total ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(line)
	if !ok || err != nil {
		return 0, fmt.Errorf("no count of goroutines in %.60q", text)
	}
	return float64(n), nil
}

// settled collects garbage in the process, by its heap profile, and returns its memory.
func (i *instance) settled() (memory, error) {
	for range 2 {
		res, err := http.Get("http://" + i.admin + "/debug/pprof/heap?gc=1") //nolint:noctx // it answers at once
		if err != nil {
			return memory{}, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	return memoryOf(i.Process.Pid)
}

// wholeRow compares the program and its process with bare Caddy.
func wholeRow(b *bench) ([]figure, error) {
	full, bare, err := b.programs()
	if err != nil {
		return nil, err
	}
	size := figure{what: "binary, more", floor: "bare Caddy", unit: "MB", missing: "built in a full round only"}
	if b.build {
		var sizes [2]float64
		for i, p := range []*program{full, bare} {
			info, err := os.Stat(p.path)
			if err != nil {
				return nil, err
			}
			sizes[i] = float64(info.Size()) / 1e6
		}
		size.missing, size.values = "", []float64{sizes[0] - sizes[1]}
	}
	figures := []figure{atMost(size, 6.6)}

	own := figure{what: "idle memory of its own, more", floor: "bare Caddy", unit: "MiB"}
	resident := figure{what: "idle memory with the program's pages, more", floor: "bare Caddy", unit: "MiB"}
	start := figure{what: "start to the first 200, more", floor: "bare Caddy", unit: "ms"}
	for range b.options.pairs {
		var m [2]memory
		var t [2]float64
		for i, p := range []*program{bare, full} {
			c, elapsed, err := b.up(p, map[int]string{1: b.path("idle.db")}[i])
			if err != nil {
				return figures, err
			}
			m[i], err = c.settled()
			if errors.Is(err, errNoAccounting) {
				own.missing, resident.missing, err = err.Error(), err.Error(), nil
			}
			t[i] = elapsed.Seconds() * 1000
			if c.Stop(); err != nil {
				return figures, err
			}
		}
		own.values = append(own.values, m[1].own-m[0].own)
		resident.values = append(resident.values, m[1].resident-m[0].resident)
		start.values = append(start.values, t[1]-t[0])
	}
	return append(figures, atMost(own, 8), resident, start), nil
}

// reloadRow loads the same configuration many times.
func reloadRow(b *bench) ([]figure, error) {
	full, bare, err := b.programs()
	if err != nil {
		return nil, err
	}
	with, _, err := b.up(full, b.path("reload.db"))
	if err != nil {
		return nil, err
	}
	defer with.Stop()
	without, _, err := b.up(bare, "")
	if err != nil {
		return nil, err
	}
	defer without.Stop()
	both := []*instance{without, with}
	var before, after [2]float64
	var used, usedAfter [2]memory
	look := func(goroutines *[2]float64, used *[2]memory) (err error) {
		for i, c := range both {
			if used[i], err = c.settled(); err != nil && !errors.Is(err, errNoAccounting) {
				return err
			}
			if goroutines[i], err = c.goroutines(); err != nil {
				return err
			}
		}
		return nil
	}
	// The first reload is not like the others: what both configurations share has been made by it.
	for _, c := range both {
		if _, err := c.reload(); err != nil {
			return nil, c.fate(err)
		}
	}
	if err := look(&before, &used); err != nil {
		return nil, err
	}
	var elapsed [2][]float64
	for range b.reloads {
		for i, c := range both {
			d, err := c.reload()
			if err != nil {
				return nil, c.fate(err)
			}
			elapsed[i] = append(elapsed[i], d.Seconds()*1000)
		}
	}
	if err := look(&after, &usedAfter); err != nil {
		return nil, err
	}
	many := fmt.Sprintf("after %d reloads", b.reloads)
	time := figure{what: "a reload, more", floor: "bare Caddy", unit: "ms"}
	for i := range elapsed[0] {
		time.values = append(time.values, elapsed[1][i]-elapsed[0][i])
	}
	return []figure{
		{what: "a reload of bare Caddy", unit: "ms", values: elapsed[0]},
		atMost(time, 5),
		atMost(figure{what: "goroutines " + many + ", more", floor: "after the first", values: []float64{after[1] - before[1]}}, 0),
		{what: "the same of bare Caddy", floor: "after the first", values: []float64{after[0] - before[0]}},
		{what: "memory " + many + ", more", floor: "after the first", unit: "MiB", values: []float64{usedAfter[1].own - used[1].own}},
		{what: "the same of bare Caddy", floor: "after the first", unit: "MiB", values: []float64{usedAfter[0].own - used[0].own}},
	}, nil
}

// coldRow starts on a large database and on an empty one.
func coldRow(b *bench) ([]figure, error) {
	full, _, err := b.programs()
	if err != nil {
		return nil, err
	}
	empty := b.path("empty.db")
	var figures []figure
	for _, size := range b.sizes[1:] {
		large := b.path("large.db")
		c, err := newCrowd(large, size)
		if err != nil {
			return figures, err
		}
		if err := c.close(); err != nil {
			return figures, err
		}
		f := figure{what: fmt.Sprintf("start to the first 200 with %d accounts", size), floor: "an empty database"}
		base := figure{what: "the same with an empty one", unit: "ms"}
		for range max(b.options.pairs, 2) {
			var elapsed [2]float64
			for i, database := range []string{empty, large} {
				one, d, err := b.up(full, database)
				if err != nil {
					return figures, err
				}
				one.Stop()
				elapsed[i] = d.Seconds() * 1000
			}
			f.values, base.values = append(f.values, elapsed[1]/elapsed[0]), append(base.values, elapsed[0])
		}
		// The first start on the empty one made it.
		f.values, base.values = f.values[1:], base.values[1:]
		figures = append(figures, atMost(f, 1.2), base)
		if err := os.Remove(large); err != nil {
			return figures, err
		}
	}
	return figures, nil
}
