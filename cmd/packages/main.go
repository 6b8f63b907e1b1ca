// Command packages builds what a release consists of: static binaries, Debian packages, a container image, an SBOM and checksums.
//
//	go -C cmd/packages run . -o ../../build/packages -version 0.2.0
//
// It needs no Docker engine, no dpkg and no root. Two runs over the same commit give the same bytes. It is a module of its own, so
// that users of the plugin do not resolve the libraries that write packages.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

// release is what one run builds.
type release struct {
	// root is the top of the working tree, out the directory of the results.
	root, out string
	// version is that of all results. made is the time of the commit, which all files get.
	version string
	made    time.Time
	log     io.Writer
}

// target is a system that a binary is for, in Go's words.
type target struct{ system, arch string }

// targets are the systems that releases have a binary for. Those of Linux have a package and an image as well.
var targets = []target{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"freebsd", "amd64"},
	{"freebsd", "arm64"},
}

func run(ctx context.Context, args []string, log io.Writer) error {
	flags := flag.NewFlagSet("packages", flag.ContinueOnError)
	flags.SetOutput(log)
	out := flags.String("o", "../../build/packages", "the directory of the results, which is emptied first")
	version := flags.String("version", "", "the version, such as 0.2.0 (default: 0.0.0 and the commit)")
	only := flags.String("only", "", "build for these systems alone, such as linux/amd64,linux/arm64")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: see -h", flags.Arg(0))
	}
	list, err := chosen(*only)
	if err != nil {
		return err
	}
	r, err := newRelease(ctx, *out, *version, log)
	if err != nil {
		return err
	}
	return r.build(ctx, list)
}

// chosen returns the targets that -only names, all for an empty one.
func chosen(only string) (list []target, err error) {
	if only == "" {
		return targets, nil
	}
	for _, name := range strings.Split(only, ",") {
		system, arch, _ := strings.Cut(name, "/")
		if !slices.Contains(targets, target{system, arch}) {
			return nil, fmt.Errorf("-only: there is no target %q; there are %v", name, targets)
		}
		list = append(list, target{system, arch})
	}
	return list, nil
}

func (t target) String() string { return t.system + "/" + t.arch }

// newRelease finds the working tree and the time of its commit.
func newRelease(ctx context.Context, out, version string, log io.Writer) (*release, error) {
	root, err := output(ctx, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	commit, err := output(ctx, "git", "log", "-1", "--format=%ct %h")
	if err != nil {
		return nil, err
	}
	seconds, hash, _ := strings.Cut(commit, " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the time of the commit: %w", err)
	}
	r := &release{root: root, version: version, made: time.Unix(at, 0).UTC(), log: log}
	if r.version == "" {
		r.version = "0.0.0+git" + r.made.Format("20060102") + "." + hash
	}
	if r.out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return nil, err
	}
	return r, os.MkdirAll(r.out, 0o755)
}

// build makes everything for the targets.
func (r *release) build(ctx context.Context, list []target) error {
	host := target{runtime.GOOS, runtime.GOARCH}
	built := map[target]string{}
	for _, t := range list {
		built[t] = filepath.Join(r.out, r.fileName(t, ""))
		if err := r.compile(ctx, t, built[t]); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	runnable := built[host]
	if runnable == "" {
		dir, err := os.MkdirTemp("", "packages")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		runnable = filepath.Join(dir, program)
		if err := r.compile(ctx, host, runnable); err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
	}
	if err := r.writeSBOM(built); err != nil {
		return err
	}
	documents, err := r.documents(ctx, built)
	if err != nil {
		return err
	}
	completions, err := completions(ctx, runnable)
	if err != nil {
		return err
	}
	for t, binary := range built {
		if t.system != "linux" {
			continue
		}
		if err := r.writeDeb(t, binary, slices.Concat(documents, completions)); err != nil {
			return fmt.Errorf("the package for %s: %w", t.arch, err)
		}
	}
	if err := r.writeImage(built, documents); err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	return r.writeChecksums()
}

// fileName is the name of a result for one target.
func (r *release) fileName(t target, extension string) string {
	return fmt.Sprintf("%s_%s_%s_%s%s", program, r.version, t.system, t.arch, extension)
}

// program is the name of the binary in the packages, beside Debian's own caddy.
const program = "caddy-email-link"

// compile builds a static binary. Nothing of this machine is in it.
func (r *release) compile(ctx context.Context, t target, path string) error {
	fmt.Fprintln(r.log, "building", t)
	const caddy = "github.com/caddyserver/caddy/v2."
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "nobadger,nomysql,nopgx",
		"-ldflags", "-s -w -buildid= -X "+caddy+"CustomBinaryName="+program+" -X "+caddy+"CustomVersion="+program+"-"+r.version, "-o", path, "./cmd/caddy")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOOS="+t.system, "GOARCH="+t.arch)
	cmd.Stderr = r.log
	return cmd.Run()
}

// writeChecksums lists the SHA-256 of every other result, in the form that `sha256sum --check` reads.
func (r *release) writeChecksums() error {
	entries, err := os.ReadDir(r.out) // sorted by name
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, entry := range entries {
		sum, err := hashFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sum, entry.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(list.String()), 0o644)
}

func hashFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

// output runs a command and returns what it prints, without white space around it.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
