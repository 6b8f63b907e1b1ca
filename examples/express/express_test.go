// Package express holds tests of the example beside it that need Go alone. It is run as a whole by internal/e2e.
package express

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWhatPeopleCopy keeps it short, and the verifier the one that is tried against the forgeries.
func TestWhatPeopleCopy(t *testing.T) {
	text := read(t, "email-link.js")
	if n := strings.Count(text, "\n"); n > 60 {
		t.Errorf("email-link.js has %d lines", n)
	}
	if n := strings.Count(text, "export "); n != 2 {
		t.Errorf("email-link.js exports %d things", n)
	}
	if read(t, "verify.mjs") != read(t, "../verify/node/verify.mjs") {
		t.Error("verify.mjs is not the one of examples/verify/node")
	}
}

// TestReadmeShowsTheApp looks for what the README's diff leads to in the app itself.
func TestReadmeShowsTheApp(t *testing.T) {
	_, diff, _ := strings.Cut(read(t, "README.md"), "```diff\n")
	diff, _, found := strings.Cut(diff, "```")
	if !found {
		t.Fatal("the README has no diff")
	}
	app := read(t, "app.js")
	for line := range strings.Lines(diff) {
		if text := line[1:]; line[0] != '-' && strings.TrimSpace(text) != "" && !strings.Contains(app, "\n"+text) {
			t.Errorf("app.js has no line %q", text)
		}
	}
	if n := strings.Count(diff, "\n"); n > 40 {
		t.Errorf("the diff has %d lines", n)
	}
}

// TestLockFileNamesNoRegistry keeps addresses of registries out of what others install by.
func TestLockFileNamesNoRegistry(t *testing.T) {
	for _, name := range []string{"package-lock.json", "../verify/node/package-lock.json", "../../scripts/node/package-lock.json"} {
		if text := read(t, name); strings.Contains(text, `"resolved"`) {
			t.Errorf("%s says where packages come from", name)
		}
	}
	for line := range bytes.Lines([]byte(read(t, "package.json"))) {
		if bytes.ContainsAny(line, "^~*") {
			t.Errorf("no exact version: %s", line)
		}
	}
}
