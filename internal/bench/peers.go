package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// peerCallers is how many follow links at once where the databases are compared.
const peerCallers = 64

// peersRow compares following links with the bare writes of it in other databases (see the command in the directory peers),
// each turn beside one of theirs.
func peersRow(b *bench) (figures []figure, err error) {
	g, err := newGateAt(b.path("peers.db"), nil)
	if err != nil {
		return nil, err
	}
	defer os.Remove(g.path) //nolint:errcheck // temporary
	defer g.close()         //nolint:errcheck // read no more
	for _, engine := range []string{"sqlite", "postgres"} {
		name := map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"}[engine]
		f := figure{what: fmt.Sprintf("%d callers, this disk", peerCallers), floor: "bare writes in " + name}
		bare := figure{what: "the bare writes in " + name, unit: "/s"}
		p, err := b.peer(engine)
		if err != nil {
			var missing *missingError
			if !errors.As(err, &missing) {
				return figures, err
			}
			f.missing, bare.missing = missing.reason, missing.reason
			figures = append(figures, f, bare)
			continue
		}
		err = func() error {
			defer p.Stop()
			for range b.pairs {
				theirs, err := p.turn()
				if err != nil {
					return p.fate(err)
				}
				ours, err := redeeming(b, g, peerCallers)
				if err != nil {
					return err
				}
				f.values, bare.values = append(f.values, ours/theirs), append(bare.values, theirs)
			}
			return nil
		}()
		if err != nil {
			return figures, err
		}
		if engine == "sqlite" { // PostgreSQL is what an engine of its own will be compared with
			f = atLeast(f, 1.2)
		}
		figures = append(figures, f, bare)
	}
	return figures, nil
}

// missingError says why there is nothing to compare with.
type missingError struct{ reason string }

func (e *missingError) Error() string { return e.reason }

// peer is another database at work.
type peer struct {
	*child
	in  io.Writer
	out *bufio.Reader
}

// peer builds and starts the command, which is a module of its own.
func (b *bench) peer(engine string) (*peer, error) {
	if !b.build {
		return nil, &missingError{"not in a short round: it builds SQLite"}
	}
	programs, err := postgresPrograms()
	if engine == "postgres" && err != nil {
		return nil, err
	}
	dir := b.path(engine)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(b.dir, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as a user of its own below it
		return nil, err
	}
	path := b.path("peers")
	build := exec.Command("go", "build", "-o", path, ".") //nolint:noctx // it ends
	build.Dir, build.Env = filepath.Join("internal", "bench", "peers"), append(os.Environ(), "CGO_ENABLED=1")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building internal/bench/peers (SQLite needs a C compiler): %w\n%s", err, text)
	}
	p := &peer{}
	p.child, err = b.start(&program{path: path, args: []string{
		"-engine", engine, "-dir", dir, "-programs", programs, "-callers", strconv.Itoa(peerCallers), "-for", b.step.String(),
	}}, func(c *exec.Cmd) {
		in, _ := c.StdinPipe()
		out, _ := c.StdoutPipe()
		p.in, p.out = in, bufio.NewReader(out)
	})
	if err != nil {
		return nil, err
	}
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		defer p.Stop()
		return nil, p.fate(fmt.Errorf("%s did not start: %w", engine, err))
	}
	return p, nil
}

// turn has links followed for as long as a turn lasts.
func (p *peer) turn() (perSecond float64, err error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return 0, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

// postgresPrograms finds initdb and postgres: Debian keeps them out of the path, in a directory for each version.
func postgresPrograms() (dir string, err error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", &missingError{"PostgreSQL is not installed: apt install postgresql"}
	}
	return filepath.Dir(slices.Max(found)), nil
}
