// Package docker holds the test of the example beside it.
package docker

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCaddyfileAdapts(t *testing.T) {
	t.Setenv("SITE", "app.example.com")
	t.Setenv("MAIL_FROM", "no-reply@example.com")
	t.Setenv("SMTP_SERVER", "mail.example.com:587")
	t.Setenv("SMTP_USER", "mailer")
	t.Setenv("SMTP_PASSWORD", "not to be seen")
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(read(t, "Caddyfile")), map[string]any{"filename": "Caddyfile"})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", err, warnings)
	}
	if bytes.Contains(config, []byte("not to be seen")) || !bytes.Contains(config, []byte("{env.SMTP_PASSWORD}")) {
		t.Error("the password stands in the configuration, which Caddy saves")
	}
}

// TestVersions ties the image to what xcaddy.json builds.
func TestVersions(t *testing.T) {
	var spec struct {
		Caddy   string `json:"caddy_version"`
		Plugins []struct {
			Path    string `json:"module_path"`
			Version string `json:"version"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal([]byte(read(t, "../../xcaddy.json")), &spec); err != nil {
		t.Fatal(err)
	}
	dockerfile := read(t, "Dockerfile")
	for _, want := range []string{
		"FROM caddy:" + strings.TrimPrefix(spec.Caddy, "v") + "-builder ",
		"FROM caddy:" + strings.TrimPrefix(spec.Caddy, "v") + "\n",
		"xcaddy build " + spec.Caddy + " --with " + spec.Plugins[0].Path + "@" + spec.Plugins[0].Version + " \\\n",
		"\t--with " + spec.Plugins[0].Path + "/storage/postgres@" + spec.Plugins[0].Version + "\n",
	} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("the Dockerfile lacks %q", want)
		}
	}
	if n := strings.Count(read(t, "compose.yaml"), "\n"); n > 12 {
		t.Errorf("compose.yaml has %d lines; the README promises twelve", n)
	}
}
