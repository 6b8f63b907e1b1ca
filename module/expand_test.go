package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCFG1_PlaceholdersNameTheirCause: Caddy says of each that it is empty.
func TestCFG1_PlaceholdersNameTheirCause(t *testing.T) {
	t.Setenv("EMAIL_LINK_TEST_BLANK", "")
	t.Setenv("EMAIL_LINK_TEST_SET", "value")
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"{env.EMAIL_LINK_TEST_UNSET}": "the environment variable EMAIL_LINK_TEST_UNSET is not set where Caddy runs: set it in the environment that Caddy is started with",
		"{env.EMAIL_LINK_TEST_BLANK}": "the environment variable EMAIL_LINK_TEST_BLANK is empty: set it",
		"{file." + dir + "/none}":     "/none does not exist; write the value into it",
		"{file." + dir + "}":          "cannot be read: is a directory",
		"{file." + empty + "}":        "/empty is empty; write the value into it",
		"a {env.EMAIL_LINK_TEST_SET}": "",
		"{no.such}":                   "no.such",
	} {
		got, err := expand(text)
		if want == "" {
			if err != nil || got != "a value" {
				t.Errorf("%s: %q, %v", text, got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
