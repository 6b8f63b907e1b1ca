package caddyfile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"

	_ "github.com/caddy-email-link/caddy-email-link/caddyfile"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

const dashes = "----------"

// TestCFG1_Goldens adapts each file of testdata: a Caddyfile, a line of dashes, and the JSON or the text of the error that
// comes out. A configuration that adapts and is refused when it is loaded has the text of that error.
func TestCFG1_Goldens(t *testing.T) {
	t.Setenv("EMAIL_LINK_TEST_SHORT", "short")
	t.Setenv("EMAIL_LINK_TEST_SECRET", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	failures := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := strings.Cut(string(text), dashes+"\n")
			if !found {
				input = string(text)
			}
			got := adapt(t, input)
			if !strings.HasPrefix(got, "{") {
				failures++
			}
			if *update {
				if err := os.WriteFile(file, []byte(input+dashes+"\n"+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if len(files) < 45 || failures*3 < len(files) {
		t.Errorf("%d files, %d of them errors; at least 45, a third of them errors", len(files), failures)
	}
}

// adapt returns the indented JSON of a Caddyfile, or the error of adapting or loading it.
func adapt(t *testing.T, input string) string {
	t.Helper()
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		t.Fatal("no Caddyfile adapter")
	}
	out, warnings, err := adapter.Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return clean(err.Error())
	}
	for _, w := range warnings {
		t.Errorf("warning: %s", w)
	}
	var cfg *caddy.Config
	if err := caddy.StrictUnmarshalJSON(out, &cfg); err != nil {
		t.Fatalf("reading the adapted JSON: %v", err)
	}
	cfg.StorageRaw = ownStorage(t)
	if err := caddy.Validate(cfg); err != nil {
		return clean(err.Error())
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, out, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String() + "\n"
}

// clean takes the way to our module out of an error: Caddy loads apps in random order, so it differs from run to run.
func clean(text string) string {
	for _, way := range []string{"provision http.handlers.email_link: ", "provision email_link: "} {
		if i := strings.LastIndex(text, way); i >= 0 {
			text = text[i+len(way):]
		}
	}
	return strings.TrimSpace(text) + "\n"
}

// TestCFG1_Formatted makes sure that `caddy fmt` would change none of our Caddyfiles.
func TestCFG1_Formatted(t *testing.T) {
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == "Caddyfile" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), dashes+"\n")
		if diff := cmp.Diff(string(caddyfile.Format([]byte(input))), input); diff != "" {
			t.Errorf("%s: caddy fmt would change it (-fmt +is):\n%s", file, diff)
		}
	}
}

// FuzzCFG1_Adapt makes sure that no Caddyfile makes the parser panic.
func FuzzCFG1_Adapt(f *testing.F) {
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), dashes+"\n")
		f.Add(input)
	}
	adapter := caddyconfig.GetAdapter("caddyfile")
	f.Fuzz(func(_ *testing.T, input string) {
		if len(input) > 8<<10 || strings.Contains(input, "import") {
			return // import reads files, which is not our parser
		}
		_, _, _ = adapter.Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	})
}
