package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/caddyserver/xcaddy"
	"github.com/google/shlex"
)

// caddyModule is the module that caddy_version belongs to.
const caddyModule = "github.com/caddyserver/caddy/v2"

// spec is what a file describes. Its versions are exact and its directories absolute.
type spec struct{ xcaddy.Builder }

var (
	semver = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	module = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*\.[a-z]+(/[A-Za-z0-9._~-]+)+$`)
)

// readSpec reads and validates a description. A directory in it is relative to the file and becomes absolute, because xcaddy builds in
// a temporary directory.
func readSpec(path string) (*spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var s spec
	if err := dec.Decode(&s.Builder); err != nil {
		return nil, fmt.Errorf("%s: %w (the fields are those of xcaddy.Builder)", path, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one JSON value", path)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := s.validate(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

func (s *spec) validate(dir string) error {
	if err := checkVersion("caddy_version", s.CaddyVersion); err != nil {
		return err
	}
	if len(s.Plugins) == 0 {
		return errors.New("plugins: none; without a plugin, use a release of Caddy")
	}
	seen := map[string]bool{}
	for _, p := range s.Plugins {
		if !module.MatchString(p.PackagePath) {
			return fmt.Errorf("plugins: module_path %q is not a Go import path", p.PackagePath)
		}
		if seen[p.PackagePath] {
			return fmt.Errorf("plugins: %s twice", p.PackagePath)
		}
		seen[p.PackagePath] = true
		if err := checkVersion("plugins: "+p.PackagePath, p.Version); err != nil {
			return err
		}
	}
	for i := range s.Replacements {
		r := &s.Replacements[i]
		if !module.MatchString(r.Old.String()) {
			return fmt.Errorf("replacements: old %q is not a Go module path", r.Old)
		}
		path, version, ok := strings.Cut(r.New.String(), "@")
		switch {
		case ok && module.MatchString(path):
			if err := checkVersion("replacements: "+r.Old.String(), version); err != nil {
				return err
			}
		case local(*r):
		case strings.HasPrefix(r.New.String(), "."):
			r.New = xcaddy.ReplacementPath(filepath.Join(dir, r.New.String()))
		default:
			return fmt.Errorf("replacements: new %q is neither module@version nor a directory that begins with . or /", r.New)
		}
	}
	// xcaddy only logs this error and builds without the flags.
	if _, err := shlex.Split(s.BuildFlags); err != nil {
		return fmt.Errorf("build_flags: %w", err)
	}
	return nil
}

func checkVersion(what, version string) error {
	if !semver.MatchString(version) {
		return fmt.Errorf("%s: version %q is not of the form v1.2.3: without an exact one two builds differ", what, version)
	}
	return nil
}

// replaceOwn replaces the plugin whose module is in dir by that directory. The plugin keeps its version: without one, `go get` would ask
// for the latest, and a module that is not published has none.
func (s *spec) replaceOwn(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return fmt.Errorf("-dev: %w", err)
	}
	own := ""
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			own = strings.TrimSpace(name)
			break
		}
	}
	for _, p := range s.Plugins {
		if inModule(p.PackagePath, own) {
			s.Replacements = append(s.Replacements, xcaddy.NewReplace(own, dir))
			return nil
		}
	}
	return fmt.Errorf("-dev: no plugin belongs to the module %q in %s", own, dir)
}

// replaced returns the replacement of the module of a package, if there is one.
func (s *spec) replaced(pkg string) (r xcaddy.Replace, ok bool) {
	for _, r := range s.Replacements {
		if inModule(pkg, r.Old.String()) {
			return r, true
		}
	}
	return xcaddy.Replace{}, false
}

// local reports whether a replacement is a directory.
func local(r xcaddy.Replace) bool { return filepath.IsAbs(r.New.String()) }

func inModule(pkg, mod string) bool {
	return mod != "" && (pkg == mod || strings.HasPrefix(pkg, mod+"/"))
}

// command returns the xcaddy command that builds the same.
func (s *spec) command(out string) (string, error) {
	written := xcaddy.Builder{CaddyVersion: s.CaddyVersion, Plugins: s.Plugins, Replacements: s.Replacements, BuildFlags: s.BuildFlags}
	if !reflect.DeepEqual(s.Builder, written) {
		return "", errors.New("-n writes caddy_version, plugins, replacements and build_flags: leave the other fields out, or build without -n")
	}
	var words []string
	if s.BuildFlags != "" {
		words = append(words, "XCADDY_GO_BUILD_FLAGS="+quote(s.BuildFlags))
	}
	words = append(words, "xcaddy", "build", s.CaddyVersion)
	for _, p := range s.Plugins {
		words = append(words, "--with", p.String())
	}
	for _, r := range s.Replacements {
		words = append(words, "--replace", quote(r.Old.String()+"="+r.New.String()))
	}
	return strings.Join(append(words, "--output", quote(out)), " "), nil
}

// quote writes a word for a POSIX shell.
func quote(word string) string {
	if !strings.ContainsAny(word, " \t\n'\"\\$&;|<>()*?[]#~`!{}") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
