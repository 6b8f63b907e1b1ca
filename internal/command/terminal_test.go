package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTerminal_OnlyATerminalGetsTotalsAndColours: what reads a list from a pipe or a file reads rows and nothing else.
func TestTerminal_OnlyATerminalGetsTotalsAndColours(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	env := map[string]string{"TERM": "xterm"}
	get := func(name string) string { return env[name] }
	const text = "ID  NAME\n1   a\n2   b\n"
	if got := newOutput(file, get).decorate(text, 2); got != text {
		t.Errorf("a file: %q", got)
	}
	if got := newOutput(new(strings.Builder), get).decorate(text, 2); got != text {
		t.Errorf("a pipe: %q", got)
	}
	if got, want := newOutput(null, get).decorate(text, 2), "\x1b[1mID  NAME\x1b[0m\n1   a\n2   b\n2 in all\n"; got != want {
		t.Errorf("a terminal: %q", got)
	}
	for name, value := range map[string]string{"NO_COLOR": "1", "TERM": "dumb"} {
		env = map[string]string{"TERM": "xterm"}
		env[name] = value
		if got, want := newOutput(null, get).decorate(text, 2), text+"2 in all\n"; got != want {
			t.Errorf("%s=%s: %q", name, value, got)
		}
	}
}
