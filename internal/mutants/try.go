package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// limitOf bounds the tests of one package: a removal may make them wait for ever, which is noticed as well.
const limitOf = 3 * time.Minute

// postgres is the build tag of tests that need PostgreSQL, which scripts/tools installs.
const postgres = "postgres"

// tester tries mutants.
type tester struct {
	// dir holds the overlay and the test programs.
	dir string
	// promises are the packages with tests of a promise, by its id without the dash; onPostgres those whose tests need PostgreSQL.
	promises, onPostgres map[string][]string
	// deps are the packages that the tests of a package are built from.
	deps map[string]map[string]bool
	// module is the path of this module.
	module string
}

func newTester(ctx context.Context) (t *tester, err error) {
	t = &tester{promises: map[string][]string{}, onPostgres: map[string][]string{}, deps: map[string]map[string]bool{}}
	if t.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	t.module = strings.TrimSpace(string(out))
	out, err = exec.CommandContext(ctx, "go", "list", "-tags", postgres, "-test", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name, isTest := strings.CutSuffix(words[0], ".test")
		if !isTest {
			continue
		}
		set := map[string]bool{}
		for _, dep := range words[1:] {
			set[dep] = true
		}
		t.deps[name] = set
	}
	return t, filepath.WalkDir(".", t.note)
}

var (
	testOf = regexp.MustCompile(`(?m)^func (?:Test|Fuzz)([A-Z]+\d+)_`)
	tagged = regexp.MustCompile(`(?m)^//go:build (interop|mailservers|apps)`)

	onPostgres = regexp.MustCompile(`(?m)^//go:build ` + postgres)
)

// note remembers which promises have tests in a file. Tests that need more than Go and PostgreSQL are left out, and so are nested modules,
// whose packages `go test` does not find from here.
func (t *tester) note(file string, d fs.DirEntry, err error) error {
	if err == nil && d.IsDir() && file != "." {
		if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil {
			return fs.SkipDir
		}
	}
	if err != nil || d.IsDir() || !strings.HasSuffix(file, "_test.go") {
		return err
	}
	text, err := os.ReadFile(file) //nolint:gosec // a file of this repository
	if err != nil || tagged.Match(text) {
		return err
	}
	promises := t.promises
	if onPostgres.Match(text) {
		promises = t.onPostgres
	}
	for _, m := range testOf.FindAllSubmatch(text, -1) {
		id, dir := string(m[1]), filepath.ToSlash(filepath.Dir(file))
		if !slices.Contains(promises[id], dir) {
			promises[id] = append(promises[id], dir)
		}
	}
	return nil
}

func (t *tester) close() { _ = os.RemoveAll(t.dir) }

// try applies a mutant and runs the tests that must notice it, the cheapest first.
func (t *tester) try(ctx context.Context, m mutant, quick bool) outcome {
	o := outcome{Mutant: m.digest()}
	if m.Equivalent != "" {
		o.Result, o.By = equivalent, m.Equivalent
		return o
	}
	overlay, err := t.overlay(m)
	if err != nil {
		o.Result, o.By = notApplied, err.Error()
		return o
	}
	built := ""
	for _, one := range t.runs(m, quick) {
		if one.dir != built {
			if err := t.build(ctx, overlay, one.dir, m.onPostgres()); err != nil {
				o.Result, o.By = broken, err.Error()
				return o
			}
			built = one.dir
		}
		if failed, err := t.test(ctx, one); err != nil {
			o.Result, o.By = noticed, failed+" in "+one.dir
			return o
		}
	}
	o.Result = notNoticed
	return o
}

// one is a run of one package's tests.
type one struct{ dir, pattern string }

// runs lists which tests must notice a mutant.
func (t *tester) runs(m mutant, quick bool) (list []one) {
	own, pattern := path.Dir(m.File), "^(Test|Fuzz)"+strings.ReplaceAll(m.Promise, "-", "")+"_"
	id := strings.ReplaceAll(m.Promise, "-", "")
	dirs := slices.Clone(t.promises[id])
	if m.onPostgres() {
		dirs = append(dirs, t.onPostgres[id]...)
		slices.Sort(dirs)
		dirs = slices.Compact(dirs)
	}
	if m.Test != "" {
		list = append(list, one{own, m.Test})
	}
	if m.Promise != "" && slices.Contains(dirs, own) {
		list = append(list, one{own, pattern})
	}
	list = append(list, one{own, "."})
	if quick {
		return list
	}
	if m.Also != "" {
		list = append(list, one{path.Clean(m.Also), "."})
	}
	for _, dir := range dirs {
		if dir != own && m.Promise != "" && t.deps[t.module+"/"+dir][t.module+"/"+own] {
			list = append(list, one{dir, pattern})
		}
	}
	return list
}

// overlay writes the mutated file and the list of what it replaces.
func (t *tester) overlay(m mutant) (file string, err error) {
	text, err := os.ReadFile(m.File)
	if err != nil {
		return "", err
	}
	changed, err := m.apply(string(text))
	if err != nil {
		return "", err
	}
	mutated, file := filepath.Join(t.dir, "mutated.go"), filepath.Join(t.dir, "overlay.json")
	if err := os.WriteFile(mutated, []byte(changed), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.File)
	if err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, list, 0o600)
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// program is where the test program of a package is built.
func (t *tester) program() string { return filepath.Join(t.dir, "program.test") }

// build builds the tests of a package with an overlay, and nothing for a package without tests.
func (t *tester) build(ctx context.Context, overlay, dir string, onPostgres bool) error {
	if err := os.Remove(t.program()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	args := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", t.program(), "./" + dir}
	if onPostgres {
		args = slices.Insert(args, 1, "-tags", postgres)
	}
	build := exec.CommandContext(ctx, "go", args...) //nolint:gosec // this repository's own
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, firstLines(out))
	}
	return nil
}

// test runs the tests that have been built. failed names the first test that failed.
func (t *tester) test(ctx context.Context, o one) (failed string, err error) {
	if _, err := os.Stat(t.program()); err != nil {
		return "", nil //nolint:nilerr // a package without tests
	}
	run := exec.CommandContext(ctx, t.program(), "-test.run", o.pattern, "-test.failfast", "-test.timeout", limitOf.String()) //nolint:gosec // what was just built
	run.Dir = o.dir
	out, err := run.CombinedOutput()
	if err == nil {
		return "", nil
	}
	if m := failedTest.FindSubmatch(out); m != nil {
		return string(m[1]), err
	}
	return firstLines(out), err
}

// firstLines returns the beginning of an output, in one line.
func firstLines(out []byte) string {
	out = bytes.TrimSpace(out)
	return strings.ReplaceAll(string(out[:min(len(out), 300)]), "\n", " | ")
}
