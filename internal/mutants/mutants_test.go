package main

import (
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// atLeast is how many mutants the list keeps.
const atLeast = 150

var promised = regexp.MustCompile(`(?m)^- \*\*([A-Z]+-\d+)\*\*`)

// TestEachMutantApplies keeps the list from rotting: whoever changes a line that a mutant changes changes the mutant as well.
func TestEachMutantApplies(t *testing.T) {
	list, err := readList("list")
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(filepath.Join(root, "docs", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	promises := map[string]bool{"": true}
	for _, m := range promised.FindAllSubmatch(model, -1) {
		promises[string(m[1])] = true
	}
	seen, real := map[string]bool{}, 0
	for _, m := range list {
		if seen[m.ID] {
			t.Errorf("%s is there twice", m.ID)
		}
		seen[m.ID] = true
		if !promises[m.Promise] {
			t.Errorf("%s names %s, which the threat model does not promise", m.ID, m.Promise)
		}
		if m.What == "" || strings.HasSuffix(m.File, "_test.go") {
			t.Errorf("%s does not say what it takes away, or changes a test", m.ID)
		}
		if m.Also != "" {
			if _, err := os.Stat(filepath.Join(root, m.Also)); err != nil {
				t.Errorf("%s: %v", m.ID, err)
			}
		}
		text, err := os.ReadFile(filepath.Join(root, m.File))
		if err != nil {
			t.Errorf("%s: %v", m.ID, err)
			continue
		}
		changed, err := m.apply(string(text))
		if err != nil {
			t.Error(err)
			continue
		}
		if changed == string(text) {
			t.Errorf("%s changes nothing", m.ID)
		}
		if _, err := parser.ParseFile(token.NewFileSet(), m.File, changed, parser.SkipObjectResolution); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		}
		if m.Equivalent == "" {
			real++
		}
	}
	if real < atLeast {
		t.Errorf("%d mutants, want %d or more", real, atLeast)
	}
}

// TestEachPackageHasItsFile: a list file is named after the one package that its mutants change, and their ids begin with that name.
func TestEachPackageHasItsFile(t *testing.T) {
	files, err := filepath.Glob("list/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := parse(string(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		for _, m := range list {
			if path.Base(path.Dir(m.File)) != name || !strings.HasPrefix(m.ID, name+"-") {
				t.Errorf("%s: %s changes %s", file, m.ID, m.File)
			}
		}
	}
}

func TestApplyWantsTheTextOnce(t *testing.T) {
	text := "func f() {\n\tif a {\n\t\treturn\n\t}\n\tb()\n\tb()\n}\n"
	for name, c := range map[string]struct {
		old, want string
	}{
		"once":  {"if a {\nreturn\n}\n", "func f() {\nc()\n\tb()\n\tb()\n}\n"},
		"twice": {"b()\n", ""},
		"never": {"d()\n", ""},
		"empty": {"", ""},
	} {
		m := mutant{ID: name, Removed: c.old, New: "c()\n"}
		got, err := m.apply(text)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestParseReadsWhatItSays(t *testing.T) {
	list, err := parse("# a\nfile: x.go\npromise: TOK-1\nwhat: nothing\n---\nold\n+++\n===\n\n# b\nequivalent: why: because\n---\no\n+++\nn\n===\n")
	want := []mutant{
		{ID: "a", File: "x.go", Promise: "TOK-1", What: "nothing", Removed: "old\n"},
		{ID: "b", Equivalent: "why: because", Removed: "o\n", New: "n\n"},
	}
	if err != nil || len(list) != 2 || list[0] != want[0] || list[1] != want[1] {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bad := range []string{"file: x\n", "# a\ncolour: red\n", "# a\n---\nold\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
