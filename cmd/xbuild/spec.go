package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// defaultFlags are xcaddy's own; build_flags replaces them there, and so it does here.
const defaultFlags = "-trimpath -tags=nobadger,nomysql,nopgx -ldflags='-w -s'"

// caddyModule is what caddy_version is a version of.
const caddyModule = "github.com/caddyserver/caddy/v2"

// devVersion stands for a module that is replaced by a directory. `go get` would ask a proxy for one that is not published.
const devVersion = "v0.0.0-00010101000000-000000000000"

// spec is the part of xcaddy's Builder that a reproducible build needs, under its JSON names.
type spec struct {
	CaddyVersion string        `json:"caddy_version"`
	Plugins      []plugin      `json:"plugins"`
	Replacements []replacement `json:"replacements,omitempty"`
	BuildFlags   string        `json:"build_flags,omitempty"`
}

// plugin is a package that the binary imports, in a module of that path or above it.
type plugin struct {
	Path    string `json:"module_path"`
	Version string `json:"version"`
}

// replacement is a replace directive. New is a module with its version, or a directory.
type replacement struct {
	Old string `json:"old"`
	New string `json:"new"`
}

var (
	semver = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	module = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*\.[a-z]+(/[A-Za-z0-9._~-]+)+$`)
)

// readSpec reads and checks a description. Directories in it are relative to it, and come out absolute: the build runs elsewhere.
func readSpec(path string) (*spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var s spec
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("%s: %w (known: caddy_version, plugins, replacements, build_flags)", path, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one JSON value", path)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := s.complete(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

func (s *spec) complete(dir string) error {
	if err := checkVersion("caddy_version", s.CaddyVersion); err != nil {
		return err
	}
	if len(s.Plugins) == 0 {
		return errors.New("plugins: none, and Caddy without any is what its own releases are")
	}
	seen := map[string]bool{}
	for _, p := range s.Plugins {
		if !module.MatchString(p.Path) {
			return fmt.Errorf("plugins: module_path %q is not a Go import path", p.Path)
		}
		if seen[p.Path] {
			return fmt.Errorf("plugins: %s twice", p.Path)
		}
		seen[p.Path] = true
		if err := checkVersion("plugins: "+p.Path, p.Version); err != nil {
			return err
		}
	}
	for i := range s.Replacements {
		r := &s.Replacements[i]
		if !module.MatchString(r.Old) {
			return fmt.Errorf("replacements: old %q is not a Go module path", r.Old)
		}
		path, version, ok := strings.Cut(r.New, "@")
		switch {
		case ok && module.MatchString(path):
			if err := checkVersion("replacements: "+r.Old, version); err != nil {
				return err
			}
		case strings.HasPrefix(r.New, ".") || filepath.IsAbs(r.New):
			if !filepath.IsAbs(r.New) {
				r.New = filepath.Join(dir, r.New)
			}
		default:
			return fmt.Errorf("replacements: new %q is neither module@version nor a directory that begins with . or /", r.New)
		}
	}
	if s.BuildFlags == "" {
		s.BuildFlags = defaultFlags
	}
	_, err := splitFlags(s.BuildFlags)
	return err
}

func checkVersion(what, version string) error {
	if !semver.MatchString(version) {
		return fmt.Errorf("%s: version %q is not of the form v1.2.3: without an exact one two builds differ", what, version)
	}
	return nil
}

// replaceOwn takes the plugin whose module lies in dir from there.
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
		if inModule(p.Path, own) {
			s.Replacements = append(s.Replacements, replacement{Old: own, New: dir})
			return nil
		}
	}
	return fmt.Errorf("-dev: no plugin belongs to the module %q in %s", own, dir)
}

// replaced returns what stands for the module of a package, if anything does.
func (s *spec) replaced(path string) (r replacement, ok bool) {
	for _, r := range s.Replacements {
		if inModule(path, r.Old) {
			return r, true
		}
	}
	return replacement{}, false
}

// local says whether the replacement is a directory.
func (r replacement) local() bool { return filepath.IsAbs(r.New) }

func inModule(pkg, mod string) bool {
	return mod != "" && (pkg == mod || strings.HasPrefix(pkg, mod+"/"))
}

// command is the xcaddy command that builds the same.
func (s *spec) command(out string) string {
	words := []string{}
	if s.BuildFlags != defaultFlags {
		words = append(words, "XCADDY_GO_BUILD_FLAGS="+quote(s.BuildFlags))
	}
	words = append(words, "xcaddy", "build", s.CaddyVersion)
	for _, p := range s.Plugins {
		if r, ok := s.replaced(p.Path); ok && r.local() {
			words = append(words, "--with", quote(p.Path+"="+r.New))
			continue
		}
		words = append(words, "--with", p.Path+"@"+p.Version)
	}
	for _, r := range s.Replacements {
		if !r.local() || !s.isPlugin(r.Old) {
			words = append(words, "--replace", quote(r.Old+"="+r.New))
		}
	}
	return strings.Join(append(words, "--output", quote(out)), " ")
}

func (s *spec) isPlugin(path string) bool {
	for _, p := range s.Plugins {
		if p.Path == path {
			return true
		}
	}
	return false
}

// quote writes a word for a POSIX shell.
func quote(word string) string {
	if !strings.ContainsAny(word, " \t\n'\"\\$&;|<>()*?[]#~`!{}") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// splitFlags splits as a shell would, as far as words and quotes go.
func splitFlags(flags string) ([]string, error) {
	var out []string
	var word strings.Builder
	inWord, in := false, rune(0)
	for _, r := range flags {
		switch {
		case in != 0 && r == in:
			in = 0
		case in == 0 && (r == '\'' || r == '"'):
			in, inWord = r, true
		case in == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if inWord {
				out = append(out, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if in != 0 {
		return nil, fmt.Errorf("build_flags: a %c that does not end", in)
	}
	if inWord {
		out = append(out, word.String())
	}
	return out, nil
}
