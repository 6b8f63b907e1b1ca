package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

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
	if s.Plugins[0].Path != string(own[1]) {
		t.Errorf("module_path is %s, go.mod says %s", s.Plugins[0].Path, own[1])
	}
	if s.CaddyVersion != string(caddy[1]) {
		t.Errorf("caddy_version is %s, go.mod requires %s", s.CaddyVersion, caddy[1])
	}
	if s.BuildFlags != defaultFlags {
		t.Errorf("build_flags are not xcaddy's own: %s", s.BuildFlags)
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
		"a quote left open": {`{"caddy_version":"v2.11.9","plugins":[{"module_path":"a.example/b","version":"v1.0.0"}],"build_flags":"-tags='a"}`, "does not end"},
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
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "xcaddy build v2.11.9 --with github.com/caddy-email-link/caddy-email-link@v0.1.0 --output caddy\n"},
		{[]string{"-dev", "-o", "my caddy"}, "xcaddy build v2.11.9 --with github.com/caddy-email-link/caddy-email-link=" + abs + " --output 'my caddy'\n"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), append([]string{"-n", "-f", file}, c.args...), &out, &out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
	s := spec{
		CaddyVersion: "v2.0.0", Plugins: []plugin{{"a.example/b", "v1.0.0"}}, BuildFlags: "-tags 'a b'",
		Replacements: []replacement{{"c.example/d", "e.example/f@v1.0.0"}},
	}
	want := `XCADDY_GO_BUILD_FLAGS='-tags '\''a b'\''' xcaddy build v2.0.0 --with a.example/b@v1.0.0 --replace c.example/d=e.example/f@v1.0.0 --output caddy`
	if diff := cmp.Diff(want, s.command("caddy")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSplitFlags(t *testing.T) {
	got, err := splitFlags(`  -trimpath -tags=a,b -ldflags='-w -s'  -x "" "a'b" `)
	if diff := cmp.Diff([]string{"-trimpath", "-tags=a,b", "-ldflags=-w -s", "-x", "", "a'b"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestCheckFindsEveryDifference(t *testing.T) {
	s := spec{
		CaddyVersion: "v2.11.9",
		Plugins:      []plugin{{"a.example/b/caddy", "v1.0.0"}, {"c.example/d", "v1.0.0"}},
		Replacements: []replacement{{"c.example/d", "/src/d"}},
	}
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
