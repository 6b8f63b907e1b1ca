//go:build postgres

package postgres_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
)

// The next build knows one change more. With ALONE in its environment it lets no older build write beside it.
const (
	thisBuild = "func thisBuild(schema string) build { return build{migrations(schema), schemaWrites} }\n"
	nextBuild = `func thisBuild(schema string) build {
	list, writes := migrations(schema), schemaWrites
	n := list[len(list)-1].number + 1
	if os.Getenv("ALONE") != "" {
		writes = n
	}
	return build{append(list, migration{n, "next", "alter table " + schema + ".sessions add column colour text not null default 'red';\n"}), writes}
}
`
)

// buildNode builds the program internal/pgtest/node, of the build after this one where next is set.
func buildNode(t *testing.T, next bool) (program string) {
	t.Helper()
	dir := t.TempDir()
	program = filepath.Join(dir, "node")
	args := []string{"build", "-tags", "postgres", "-o", program}
	if next {
		file, err := filepath.Abs("schema.go")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file) //nolint:gosec // of this package
		if err != nil || !strings.Contains(string(text), thisBuild) {
			t.Fatalf("schema.go has no line %q, %v", thisBuild, err)
		}
		changed, overlay := filepath.Join(dir, "schema.go"), filepath.Join(dir, "overlay.json")
		list, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range map[string]string{
			changed: strings.NewReplacer(thisBuild, nextBuild, "\t\"io/fs\"\n", "\t\"io/fs\"\n\t\"os\"\n").Replace(string(text)),
			overlay: string(list),
		} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, "-overlay", overlay)
	}
	out, err := exec.CommandContext(t.Context(), "go", append(args, "github.com/caddy-email-link/caddy-email-link/internal/pgtest/node")...).CombinedOutput() //nolint:gosec // of this repository
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// process is one that works on a schema.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// startNode starts a program on a schema, and returns the first line that it prints.
func startNode(t *testing.T, program, schema string, env ...string) (p *process, said string) {
	t.Helper()
	p = &process{t: t, cmd: exec.CommandContext(t.Context(), program, server.DSN(), schema)} //nolint:gosec // just built
	p.cmd.Env = append(os.Environ(), env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	return p, p.line()
}

func (p *process) line() string {
	p.lines.Scan()
	return p.lines.Text()
}

// says sends a line and checks what comes back.
func (p *process) says(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
	if want, got := strings.TrimSuffix(line, "?")+" true <nil>", p.line(); got != want {
		p.t.Errorf("%q was answered with %q, want %q", line, got, want)
	}
}

// stop ends a process, none of whose steps has failed.
func (p *process) stop() {
	p.t.Helper()
	_ = p.in.Close() // it may have ended
	last := p.line()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%v: %s", err, last)
	}
}

// TestSTO4_TwoBuildsAtWork runs this build and the next one as processes on one schema. The next one changes the schema while this one is at
// work, both go on, and this one starts again beside it, until the next one lets none that is older write.
func TestSTO4_TwoBuildsAtWork(t *testing.T) {
	this, next := buildNode(t, false), buildNode(t, true)
	for _, alone := range []string{"", "ALONE=yes"} {
		schema := pgtest.Schema()
		old, said := startNode(t, this, schema)
		if said != "at work" {
			t.Fatal(said)
		}
		newer, said := startNode(t, next, schema, alone)
		if said != "at work" {
			t.Fatal(said)
		}
		if n := server.Value(t, "select max(number)::text from "+schema+".migrations"); n != fmt.Sprint(postgres.Newest()+1) {
			t.Errorf("the schema has change %s", n)
		}
		newer.says("of the newer")
		old.says("of the newer?")
		old.says("of the old")
		newer.says("of the old?")
		old.stop()
		old, said = startNode(t, this, schema)
		if alone == "" {
			if said != "at work" {
				t.Fatal(said)
			}
			old.says("of the newer?")
			old.stop()
		} else {
			want := fmt.Sprintf("is written by a build that knows its change %d, and this one knows %d: use the newer build", postgres.Newest()+1, postgres.Newest())
			if !strings.Contains(said, want) || old.cmd.Wait() == nil {
				t.Errorf("%q, want %q", said, want)
			}
		}
		newer.says("last")
		newer.stop()
	}
}
