//go:build packages

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// TestMain makes a Debian below a folder, and runs the tests in a network of their own, so that the ports of the package's
// Caddyfile are free.
func TestMain(m *testing.M) {
	if os.Getenv(rootVariable) != "" {
		os.Exit(m.Run())
	}
	if err := outside(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// rootVariable names the Debian to the tests.
const rootVariable = "PACKAGES_ROOT"

// outside has the network of the machine, for Debian's packages.
func outside() (err error) {
	for _, name := range []string{"mmdebstrap", "unshare", "ip", "setpriv"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is missing: apt-get install mmdebstrap util-linux iproute2", name)
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("root is needed, to install a package in a Debian of its own")
	}
	scratch, err := os.MkdirTemp("", "packages")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	dir := filepath.Join(scratch, "root")
	// systemd checks the unit, and Debian's own caddy shares the machine.
	if out, err := exec.Command("mmdebstrap", "--quiet", "--variant=minbase", "--include=adduser,systemd,caddy", "bookworm", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, out)
	}
	cmd := exec.Command("unshare", append([]string{"--net", "--", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, os.Args...)...)
	cmd.Env = append(os.Environ(), rootVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// results finds what `make packages` has built.
func results(t *testing.T, pattern string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("..", "..", "build", "packages", pattern))
	if err != nil || len(list) != 1 {
		t.Fatalf("build/packages has %q for %s (%v): run the tests by make packages", list, pattern, err)
	}
	return list[0]
}

// root is a Debian of its own below a folder, with nothing running in it.
type root struct {
	t   *testing.T
	dir string
}

// command prepares a command inside.
func (r *root) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "chroot", append([]string{r.dir, name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// run runs a command inside and returns all that it prints.
func (r *root) run(name string, args ...string) string {
	r.t.Helper()
	out, err := r.command(r.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (r *root) install(deb string) string {
	r.t.Helper()
	content, err := os.ReadFile(deb)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("/tmp/package.deb", string(content))
	return r.run("dpkg", "--install", "/tmp/package.deb")
}

func (r *root) write(path, content string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, path), []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *root) read(path string) string {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, path))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(content)
}

func (r *root) exists(path string) bool {
	_, err := os.Stat(filepath.Join(r.dir, path))
	return err == nil
}

// start runs what the unit starts, as its user and with its environment. stop ends it as systemd would.
func (r *root) start() (stop func()) {
	r.t.Helper()
	unit := r.read("/usr/lib/systemd/system/caddy-email-link.service")
	execStart := regexp.MustCompile(`(?m)^ExecStart=(.+)$`).FindStringSubmatch(unit)
	environment := regexp.MustCompile(`(?m)^Environment=(.+)$`).FindStringSubmatch(unit)
	if execStart == nil || environment == nil {
		r.t.Fatalf("the unit starts nothing:\n%s", unit)
	}
	r.run("install", "-d", "-o", "caddy-email-link", "-g", "caddy-email-link", "/run/caddy-email-link") // its RuntimeDirectory
	args := slices.Concat([]string{"--reuid=caddy-email-link", "--regid=caddy-email-link", "--clear-groups", "--no-new-privs", "env"},
		strings.Fields(environment[1]), strings.Fields(execStart[1]))
	cmd := r.command(context.Background(), "setpriv", args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	awaitHealth(r.t, ended, &log)
	return func() {
		r.t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			r.t.Fatal(err)
		}
		if err := <-ended; err != nil {
			r.t.Fatalf("stopped: %v\n%s", err, log.String())
		}
	}
}

// awaitHealth waits until the gate answers, for a minute at most.
func awaitHealth(t *testing.T, ended <-chan error, log fmt.Stringer) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		if resp, err := http.Get(origin + "/email-link/health"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("ended: %v\n%s", err, log)
		case <-deadline:
			t.Fatal("no answer within a minute")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const origin = "http://localhost:8080"

// signUp makes an account by the code of the mail, as a program without pages does.
func (r *root) signUp(email string) {
	r.t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	post := func(path, body string) (int, string) {
		r.t.Helper()
		req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, origin+"/email-link"+path, strings.NewReader(body))
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Origin", origin)
		resp, err := client.Do(req)
		if err != nil {
			r.t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, text := post("/sign-up", `{"email":"`+email+`"}`); status != http.StatusAccepted && status != http.StatusOK {
		r.t.Fatalf("sign-up: %d %s", status, text)
	}
	code := r.code(email)
	if status, text := post("/code", `{"code":"`+code+`"}`); status != http.StatusOK {
		r.t.Fatalf("code %s: %d %s", code, status, text)
	}
	resp, err := client.Get(origin + "/")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "You are signed in as "+email) {
		r.t.Fatalf("the site says %q, %v", text, err)
	}
}

var eightDigits = regexp.MustCompile(`\b\d{4}[ \x{a0}]?\d{4}\b`)

// code waits for the mail to an address and returns its code.
func (r *root) code(email string) string {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		mails, err := filepath.Glob(filepath.Join(r.dir, "/var/lib/caddy-email-link/mails/*.txt"))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, name := range mails {
			text, err := os.ReadFile(name)
			if err != nil {
				r.t.Fatal(err)
			}
			if code := eightDigits.FindString(string(text)); strings.Contains(string(text), email) && code != "" {
				return code
			}
		}
	}
	r.t.Fatalf("no mail with a code for %s", email)
	return ""
}

// again packs the binary of the package once more under another version.
func again(t *testing.T, version string) string {
	t.Helper()
	r := &release{root: filepath.Join("..", ".."), out: t.TempDir(), version: version, made: time.Unix(1_800_000_000, 0).UTC(), log: io.Discard}
	if err := r.writeDeb(target{"linux", runtime.GOARCH}, results(t, "caddy-email-link_*_linux_"+runtime.GOARCH), nil); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(r.out, "*.deb"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%q, %v", list, err)
	}
	return list[0]
}

// TestDebianPackage lives through what an administrator does with it: install, start, sign up, upgrade, remove, purge.
func TestDebianPackage(t *testing.T) {
	r := &root{t, os.Getenv(rootVariable)}
	r.install(results(t, "*_"+runtime.GOARCH+".deb"))
	if out := r.run("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/caddy-email-link.service"); strings.Contains(out, "caddy-email-link") {
		t.Errorf("the unit: %s", out)
	}
	r.run("caddy-email-link", "validate", "--config", "/etc/caddy-email-link/Caddyfile")
	r.run("caddy-email-link", "fmt", "--diff", "/etc/caddy-email-link/Caddyfile")

	stop := r.start()
	r.signUp("ann@example.com")
	if out := r.run("caddy-email-link", "accounts", "list"); !strings.Contains(out, "ann@example.com") {
		t.Errorf("the running gate has the accounts:\n%s", out)
	}
	if out := r.run("caddy-email-link", "email-link", "accounts", "show", "ann@example.com"); !strings.Contains(out, "ann@example.com") {
		t.Errorf("the long form says:\n%s", out)
	}
	stop()
	r.refusesOthers()

	const mine = "# a line of the administrator\n"
	r.write("/etc/caddy-email-link/Caddyfile", r.read("/etc/caddy-email-link/Caddyfile")+mine)
	r.install(again(t, "99.0.0"))
	if version := r.run("dpkg-query", "--show", "--showformat", "${Version}", "caddy-email-link"); version != "99.0.0" {
		t.Errorf("the upgrade left %s", version)
	}
	if !strings.Contains(r.read("/etc/caddy-email-link/Caddyfile"), mine) {
		t.Error("the upgrade has overwritten the Caddyfile")
	}
	if out := r.run("caddy-email-link", "accounts", "list"); !strings.Contains(out, "ann@example.com") {
		t.Errorf("after the upgrade, with the gate stopped:\n%s", out)
	}
	stop = r.start()
	r.signUp("bob@example.com")
	stop()

	r.run("dpkg", "--remove", "caddy-email-link")
	if r.exists("/usr/bin/caddy-email-link") || !r.exists("/etc/caddy-email-link/Caddyfile") || !r.exists(database) {
		t.Error("a removal takes the program, and neither configuration nor database")
	}
	out := r.run("dpkg", "--purge", "caddy-email-link")
	if r.exists("/etc/caddy-email-link") || !r.exists(database) {
		t.Error("a purge takes the configuration, and never the database")
	}
	if keys, err := filepath.Glob(filepath.Join(r.dir, "/var/lib/caddy-email-link/caddy/email_link/keys*")); err != nil || len(keys) == 0 {
		t.Errorf("the key is gone: %q, %v", keys, err)
	}
	if !strings.Contains(out, "/var/lib/caddy-email-link") {
		t.Errorf("a purge says where the database is:\n%s", out)
	}

	r.install(results(t, "*_"+runtime.GOARCH+".deb"))
	stop = r.start()
	defer stop()
	if out := r.run("caddy-email-link", "accounts", "list"); !strings.Contains(out, "ann@example.com") || !strings.Contains(out, "bob@example.com") {
		t.Errorf("installed again:\n%s", out)
	}
}

const database = "/var/lib/caddy-email-link/caddy/email_link/email_link.db"

// refusesOthers looks at who may read the database and its key.
func (r *root) refusesOthers() {
	r.t.Helper()
	cmd := r.command(r.t.Context(), "setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", "ls", "/var/lib/caddy-email-link")
	if out, err := cmd.CombinedOutput(); err == nil {
		r.t.Errorf("another user sees %s", out)
	}
}

// TestBashCompletion asks the completion of the package for the commands of an operator.
func TestBashCompletion(t *testing.T) {
	binary := results(t, "caddy-email-link_*_linux_"+runtime.GOARCH)
	out, err := exec.Command(binary, "__complete", "acc").Output()
	if err != nil || !strings.HasPrefix(string(out), "accounts\t") {
		t.Errorf("%v: %s", err, out)
	}
	text, err := exec.Command(binary, "completion", "bash").Output()
	if err != nil || !strings.Contains(string(text), "complete -o default -F __start_caddy-email-link caddy-email-link") {
		t.Errorf("%v: the completion is for another program", err)
	}
}

// TestImageRuns unpacks the image and runs it as its user, with its root as the only file system it sees.
func TestImageRuns(t *testing.T) {
	oci, dir := t.TempDir(), t.TempDir()
	unpack(t, results(t, "*_oci.tar"), oci)
	index, err := layout.ImageIndexFromPath(oci)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		if m.Platform.Architecture != runtime.GOARCH {
			continue
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		layers, err := image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		text, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(text)
		if err != nil {
			t.Fatal(err)
		}
		archive := filepath.Join(t.TempDir(), "layer.tar")
		if err := os.WriteFile(archive, content, 0o600); err != nil {
			t.Fatal(err)
		}
		unpack(t, archive, dir)
		for _, own := range []string{"data", "config"} {
			if err := os.Chown(filepath.Join(dir, own), imageUser, imageUser); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		// As a container engine writes it.
		if err := writeFile(filepath.Join(dir, "etc", "hosts"), []byte("127.0.0.1 localhost\n::1 localhost\n")); err != nil {
			t.Fatal(err)
		}
		inside := func(args ...string) *exec.Cmd {
			cmd := exec.Command(config.Config.Entrypoint[0], args...)
			cmd.Env, cmd.Dir = config.Config.Env, config.Config.WorkingDir
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
			return cmd
		}
		server := inside(config.Config.Cmd...)
		var log bytes.Buffer
		server.Stdout, server.Stderr = &log, &log
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- server.Wait() }()
		awaitHealth(t, ended, &log)
		if out, err := inside("accounts", "add", "ann@example.com", "--json").CombinedOutput(); err != nil || !json.Valid(out) {
			t.Errorf("accounts add: %v\n%s", err, out)
		}
		if out, err := inside("link", "ann@example.com").CombinedOutput(); err != nil || !strings.Contains(string(out), origin+"/email-link/link?t=") {
			t.Errorf("link: %v\n%s", err, out)
		}
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("%v\n%s", err, log.String())
		}
	}
}

// TestBuildsAreEqual builds linux/amd64 from a clone elsewhere, without what this build has left in a cache.
func TestBuildsAreEqual(t *testing.T) {
	clone := filepath.Join(t.TempDir(), "another", "place")
	if out, err := exec.Command("git", "clone", "--quiet", filepath.Join("..", ".."), clone).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first := results(t, "caddy-email-link_*_linux_amd64")
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(first), program+"_"), "_linux_amd64")
	r := &release{root: clone, out: t.TempDir(), version: version, log: os.Stderr}
	t.Setenv("GOCACHE", t.TempDir())
	second := filepath.Join(r.out, program)
	if err := r.compile(t.Context(), target{"linux", "amd64"}, second); err != nil {
		t.Fatal(err)
	}
	a, errA := hashFile(first)
	b, errB := hashFile(second)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("%x and %x (%v, %v)", a, b, errA, errB)
	}
}
