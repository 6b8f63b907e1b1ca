package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// configuration is what the commands know of Caddy's configuration; it is read once.
type configuration struct {
	read bool
	// text is in Caddy's native form, nil if there is no configuration.
	text []byte
	err  error
}

// load reads the configuration as `caddy reload` would find it, without the lines that Caddy logs on the way: --config, else
// ./Caddyfile, else that of the packages, else none.
func (r *root) load() ([]byte, error) {
	if c := &r.configuration; !c.read {
		c.read = true
		c.text, c.err = r.adapt(r.configFile())
	}
	return r.configuration.text, r.configuration.err
}

// The configuration of the service that the packages install, and its data directory, which the unit names to the service alone.
const (
	packagedConfig = "/etc/caddy-email-link/Caddyfile"
	packagedData   = "/var/lib/caddy-email-link"
)

// configFile names the configuration.
func (r *root) configFile() string {
	if r.config != "" {
		return r.config
	}
	if _, err := os.Stat("Caddyfile"); !errors.Is(err, fs.ErrNotExist) && caddyconfig.GetAdapter("caddyfile") != nil {
		return "Caddyfile"
	}
	if caddy.CustomBinaryName == packaged {
		if os.Getenv("XDG_DATA_HOME") == "" {
			_ = os.Setenv("XDG_DATA_HOME", packagedData) // never fails for this name and value
		}
		return packagedConfig
	}
	return ""
}

// adminAddress finds the admin endpoint.
func (r *root) adminAddress() (string, error) {
	if r.address != "" {
		return r.address, nil
	}
	text, err := r.load()
	if err != nil {
		return "", fmt.Errorf("%w\nto ask the running Caddy all the same, name its admin address: --address %s", err, caddy.DefaultAdminListen)
	}
	if len(text) == 0 {
		return caddy.DefaultAdminListen, nil
	}
	return caddycmd.DetermineAdminAPIAddress("", text, r.configFile(), r.adapter)
}

// adapt turns a file into Caddy's native form. Warnings of the adapter go to standard error.
func (r *root) adapt(file string) ([]byte, error) {
	if file == "" {
		if r.adapter != "" {
			return nil, errors.New("--adapter needs a file: name it with --config")
		}
		return nil, nil
	}
	text, err := readConfig(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	name := r.adapter
	if name == "" && looksLikeCaddyfile(file) {
		name = "caddyfile"
	}
	if name == "" {
		if len(text) > 0 && !json.Valid(text) {
			return nil, fmt.Errorf("%s is not JSON; if it is a Caddyfile, add --adapter caddyfile", file)
		}
		return text, nil
	}
	adapter := caddyconfig.GetAdapter(name)
	if adapter == nil {
		return nil, fmt.Errorf("this Caddy has no configuration adapter %q", name)
	}
	adapted, warnings, err := adapter.Adapt(text, map[string]any{"filename": file})
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") { // a matter of taste that `caddy reload` reports
			fmt.Fprintln(os.Stderr, "caddy email-link: warning: "+w.String())
		}
	}
	return adapted, nil
}

func readConfig(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file) //nolint:gosec // the operator names it
}

// looksLikeCaddyfile is Caddy's own rule.
func looksLikeCaddyfile(file string) bool {
	base := strings.ToLower(filepath.Base(file))
	return filepath.Ext(base) != ".json" && (strings.HasPrefix(base, "caddyfile") || strings.HasSuffix(base, ".caddyfile"))
}
