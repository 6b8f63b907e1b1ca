package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/caddyserver/xcaddy"
	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestShippedFileFollowsGoMod(t *testing.T) {
	s, err := readSpec(filepath.Join(root, "xcaddy.json"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(mod)
	caddy := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(caddyModule) + ` (\S+)$`).FindSubmatch(mod)
	if own == nil || caddy == nil {
		t.Fatal("go.mod names no module or no Caddy")
	}
	if s.Plugins[0].PackagePath != string(own[1]) {
		t.Errorf("module_path is %s, go.mod says %s", s.Plugins[0].PackagePath, own[1])
	}
	if s.CaddyVersion != string(caddy[1]) {
		t.Errorf("caddy_version is %s, go.mod requires %s", s.CaddyVersion, caddy[1])
	}
	if want := "-trimpath -tags=nobadger,nomysql,nopgx -ldflags='-w -s'"; s.BuildFlags != want {
		t.Errorf("build_flags are %s, not those that xcaddy takes by default: %s", s.BuildFlags, want)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ json, want string }{
		"unknown field":     {`{"caddy_version":"v2.11.9","plugin":[]}`, "unknown field"},
		"two values":        {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a.example/b","version":"v1.0.0"}]} {}`, "more than one"},
		"no Caddy version":  {`{"plugins":[{"module_path":"a.example/b","version":"v1.0.0"}]}`, "caddy_version"},
		"latest":            {`{"caddy_version":"latest","plugins":[{"module_path":"a.example/b","version":"v1.0.0"}]}`, "v1.2.3"},
		"half a version":    {`{"caddy_version":"v2.11","plugins":[{"module_path":"a.example/b","version":"v1.0.0"}]}`, "v1.2.3"},
		"no plugin":         {`{"caddy_version":"v2.11.9"}`, "plugins: none"},
		"plugin version":    {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a.example/b"}]}`, "a.example/b"},
		"plugin path":       {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a b\"; x","version":"v1.0.0"}]}`, "import path"},
		"plugin twice":      {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a.example/b","version":"v1.0.0"},{"module_path":"a.example/b","version":"v1.0.0"}]}`, "twice"},
		"replacement":       {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a.example/b","version":"v1.0.0"}],"replacements":[{"old":"a.example/b","new":"b"}]}`, "neither"},
		"replaced by main":  {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a.example/b","version":"v1.0.0"}],"replacements":[{"old":"a.example/b","new":"c.example/d@main"}]}`, "v1.2.3"},
		"a quote left open": {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a.example/b","version":"v1.0.0"}],"build_flags":"-tags='a"}`, "build_flags: "},
	} {
		path := filepath.Join(t.TempDir(), "xcaddy.json")
		if err := os.WriteFile(path, []byte(c.json), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSpec(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want the file and %q", name, err, c.want)
		}
	}
}

func TestCommand(t *testing.T) {
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "xcaddy.json")
	const common = `XCADDY_GO_BUILD_FLAGS='-trimpath -tags=nobadger,nomysql,nopgx -ldflags='\''-w -s'\''' xcaddy build v2.11.9 ` +
		"--with github.com/caddy-email-link/caddy-email-link@v0.1.0 "
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, common + "--output caddy\n"},
		{[]string{"-dev", "-o", "my caddy"}, common + "--replace github.com/caddy-email-link/caddy-email-link=" + abs + " --output 'my caddy'\n"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), append([]string{"-n", "-f", file}, c.args...), &out, &out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
	s := spec{xcaddy.Builder{CaddyVersion: "v2.0.0", Plugins: []xcaddy.Dependency{{PackagePath: "a.example/b", Version: "v1.0.0"}}}}
	got, err := s.command("caddy")
	if want := "xcaddy build v2.0.0 --with a.example/b@v1.0.0 --output caddy"; got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	s.Cgo = true
	if got, err := s.command("caddy"); err == nil {
		t.Errorf("%q for a description whose cgo it leaves out", got)
	}
}

func TestCheckFindsEveryDifference(t *testing.T) {
	s := spec{xcaddy.Builder{
		CaddyVersion: "v2.11.9",
		Plugins: []xcaddy.Dependency{
			{PackagePath: "a.example/b/caddy", Version: "v1.0.0"},
			{PackagePath: "c.example/d", Version: "v1.0.0"},
		},
		Replacements: []xcaddy.Replace{xcaddy.NewReplace("c.example/d", "/src/d")},
	}}
	good := func() *debug.BuildInfo {
		return &debug.BuildInfo{Deps: []*debug.Module{
			{Path: caddyModule, Version: "v2.11.9"},
			{Path: "a.example/b", Version: "v1.0.0"},
			{Path: "c.example/d", Version: "v1.0.0", Replace: &debug.Module{Path: "/src/d"}},
		}}
	}
	if err := s.check(good()); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*debug.BuildInfo){
		"another Caddy":       func(i *debug.BuildInfo) { i.Deps[0].Version = "v2.11.10" },
		"a replaced Caddy":    func(i *debug.BuildInfo) { i.Deps[0].Replace = &debug.Module{Path: "/src/caddy"} },
		"another plugin":      func(i *debug.BuildInfo) { i.Deps[1].Version = "v1.0.1" },
		"no plugin":           func(i *debug.BuildInfo) { i.Deps[1].Path = "a.example/bb" },
		"not replaced":        func(i *debug.BuildInfo) { i.Deps[2].Replace = nil },
		"replaced by another": func(i *debug.BuildInfo) { i.Deps[2].Replace.Path = "/src/e" },
	} {
		info := good()
		change(info)
		if err := s.check(info); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
