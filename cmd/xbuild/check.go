package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"runtime/debug"
)

// buildInfo returns what a binary prints about itself (`caddy build-info`). A binary for another system is read instead of run.
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

// check returns an error that names each module of a binary whose version or replacement differs from the description.
func (s *spec) check(info *debug.BuildInfo) error {
	var errs []error
	if err := s.checkModule(info, caddyModule, s.CaddyVersion); err != nil {
		errs = append(errs, err)
	}
	for _, p := range s.Plugins {
		if err := s.checkModule(info, p.PackagePath, p.Version); err != nil {
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
	case !want && dep.Version != version:
		return fmt.Errorf("%s is %s, not %s: another module of the build requires that version", pkg, dep.Version, version)
	case !want:
		return nil
	case dep.Replace == nil:
		return fmt.Errorf("%s is not replaced by %s", pkg, r.New)
	}
	got := dep.Replace.Path
	if !local(r) {
		got += "@" + dep.Replace.Version
	}
	if got != r.New.String() {
		return fmt.Errorf("%s is replaced by %s, not by %s", pkg, got, r.New)
	}
	return nil
}
