package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// build does in a directory of its own what xcaddy does: a main package with one import for each plugin, the versions pinned,
// Caddy's first, so that no plugin raises it unseen.
func (s *spec) build(ctx context.Context, out string, log io.Writer) error {
	dir, err := os.MkdirTemp("", "xbuild-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left in the temporary directory harms nobody
	if err := os.WriteFile(filepath.Join(dir, "main.go"), s.main(), 0o600); err != nil {
		return err
	}
	flags, err := splitFlags(s.BuildFlags)
	if err != nil {
		return err
	}
	edit, get := []string{"mod", "edit"}, []string{"get", caddyModule + "@" + s.CaddyVersion}
	for _, r := range s.Replacements {
		edit = append(edit, "-replace", r.Old+"="+r.New)
	}
	for _, p := range s.Plugins {
		if r, ok := s.replaced(p.Path); ok && r.local() {
			edit = append(edit, "-require", r.Old+"@"+devVersion)
			continue
		}
		get = append(get, p.Path+"@"+p.Version)
	}
	steps := [][]string{{"mod", "init", "caddy"}}
	if len(edit) > 2 {
		steps = append(steps, edit)
	}
	steps = append(steps, get, append(append([]string{"build", "-mod=mod", "-o", out}, flags...), "."))
	for _, args := range steps {
		_, _ = fmt.Fprintln(log, "go", strings.Join(args, " ")) // progress only
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
		// Without cgo the result does not depend on the C library here; without a workspace not on the modules around.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go %s: %w", args[0], err)
		}
	}
	return nil
}

func (s *spec) main() []byte {
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n\tcaddycmd \"" + caddyModule + "/cmd\"\n\n\t_ \"" + caddyModule + "/modules/standard\"\n")
	for _, p := range s.Plugins {
		b.WriteString("\t_ \"" + p.Path + "\"\n")
	}
	b.WriteString(")\n\nfunc main() { caddycmd.Main() }\n")
	return []byte(b.String())
}

// buildInfo asks the binary itself, as an operator would; one for another system is read instead.
func buildInfo(ctx context.Context, path string) (*debug.BuildInfo, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	target := map[string]string{}
	for _, setting := range info.Settings {
		target[setting.Key] = setting.Value
	}
	if target["GOOS"] != runtime.GOOS || target["GOARCH"] != runtime.GOARCH {
		return info, nil
	}
	out, err := exec.CommandContext(ctx, path, "build-info").Output()
	if err != nil {
		return nil, fmt.Errorf("%s build-info: %w", path, err)
	}
	return debug.ParseBuildInfo(string(out))
}

// check compares what went into a binary with what should have.
func (s *spec) check(info *debug.BuildInfo) error {
	var errs []error
	if err := s.checkModule(info, caddyModule, s.CaddyVersion); err != nil {
		errs = append(errs, err)
	}
	for _, p := range s.Plugins {
		if err := s.checkModule(info, p.Path, p.Version); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *spec) checkModule(info *debug.BuildInfo, pkg, version string) error {
	var dep *debug.Module
	for _, d := range info.Deps {
		if inModule(pkg, d.Path) && (dep == nil || len(d.Path) > len(dep.Path)) {
			dep = d
		}
	}
	if dep == nil {
		return fmt.Errorf("%s is not in it", pkg)
	}
	r, want := s.replaced(pkg)
	switch {
	case !want && dep.Replace != nil:
		return fmt.Errorf("%s is replaced by %s", pkg, dep.Replace.Path)
	case !want:
		if dep.Version != version {
			return fmt.Errorf("%s is %s, not %s: something in the build asks for that", pkg, dep.Version, version)
		}
		return nil
	case dep.Replace == nil:
		return fmt.Errorf("%s is not replaced by %s", pkg, r.New)
	}
	got := dep.Replace.Path
	if !r.local() {
		got += "@" + dep.Replace.Version
	}
	if got != r.New {
		return fmt.Errorf("%s is replaced by %s, not by %s", pkg, got, r.New)
	}
	return nil
}
