package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refusesMove checks that a move is refused with some words.
func (p *place) refusesMove(from, to string, words ...string) {
	p.t.Helper()
	_, errs, code := p.run("migrate", "--from", from, "--to", to)
	for _, word := range words {
		if code != 1 || !strings.Contains(errs, word) {
			p.t.Errorf("from %s to %s: exit %d, %q is not in %s", from, to, code, word, errs)
		}
	}
}

// TestMOVE2_RefusalsNameTheRemedy obeys each of them where that can be seen.
func TestMOVE2_RefusalsNameTheRemedy(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "storage bbolt gate.db")
	file, other, third := filepath.Join(p.dir, "gate.db"), filepath.Join(p.dir, "other.db"), filepath.Join(p.dir, "third.db")
	p.edit("storage bbolt gate.db", "storage bbolt "+file)
	p.refusesMove(file, other, "--from: there is no database at "+file)
	if _, err := os.Stat(file); err == nil {
		t.Error("the source was made")
	}
	p.refusesMove(file, "", "--from and --to are both needed")
	p.must("accounts", "add", "anna@example.com", "--create")
	p.refusesMove(file, "bbolt "+file, "name the same database")
	p.refusesMove(file, "sqlite x", "--to:", "sqlite", "bbolt")

	p.edit("bbolt "+file, "bbolt "+other)
	p.edit("storage bbolt", "secret {env.OTHER_SECRET}\n\t\tstorage bbolt")
	p.must("accounts", "add", "eve@example.com", "--create")
	p.refusesMove(file, third, "the source:", "name the configuration with its key with --config")
	p.edit("secret {env.OTHER_SECRET}\n\t\tstorage bbolt", "storage bbolt")
	p.refusesMove(file, other, "it is not empty: it has accounts already", "move "+other+" away")
	if _, err := os.Stat(third); err == nil {
		t.Error("a target was made")
	}
	if err := os.Rename(other, third); err != nil {
		t.Fatal(err)
	}
	if out := p.must("migrate", "--from", file, "--to", other, "--json"); !strings.Contains(out, `"kind": "accounts"`) || !strings.Contains(out, `"records": 1`) {
		t.Errorf("it printed %s", out)
	}
	if out := p.must("accounts", "list"); !strings.Contains(out, "anna@example.com") {
		t.Errorf("the accounts are %s", out)
	}
}
