package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// small returns a release into an empty directory, for which nothing has to be built.
func small(t *testing.T) *release {
	t.Helper()
	return &release{root: filepath.Join("..", ".."), out: t.TempDir(), version: "1.2.3", made: time.Unix(1_700_000_000, 0).UTC(), log: io.Discard}
}

// self is a binary with modules in it: this test's own.
func self(t *testing.T) map[target]string {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return map[target]string{{"linux", "amd64"}: binary}
}

// pack makes everything that needs no compiler, around a program of one line.
func (r *release) pack(t *testing.T) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), program)
	if err := writeFile(binary, []byte("#!/bin/true\n")); err != nil {
		t.Fatal(err)
	}
	built := map[target]string{{"linux", "amd64"}: binary, {"linux", "arm64"}: binary, {"darwin", "arm64"}: binary}
	documents := []file{{path: documentation + "copyright", content: []byte("ours"), mode: 0o644}}
	for _, err := range []error{
		r.writeSBOM(self(t)), r.writeDeb(target{"linux", "amd64"}, binary, documents), r.writeImage(built, documents), r.writeChecksums(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPackagesAreTheSameEachTime(t *testing.T) {
	first, second := small(t), small(t)
	first.pack(t)
	second.pack(t)
	want, err := os.ReadFile(filepath.Join(first.out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(second.out, "SHA256SUMS")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the second time (%v):\n%s\nthe first:\n%s", err, got, want)
	}
	for _, name := range []string{"caddy-email-link_1.2.3.cdx.json", "caddy-email-link_1.2.3_amd64.deb", "caddy-email-link_1.2.3_oci.tar"} {
		if !strings.Contains(string(want), "  "+name+"\n") {
			t.Errorf("SHA256SUMS has no %s:\n%s", name, want)
		}
	}
}

func TestSBOMNamesEachModuleOnce(t *testing.T) {
	r := small(t)
	if err := r.writeSBOM(self(t)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.out, "caddy-email-link_1.2.3.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		SpecVersion string
		Components  []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range bom.Components {
		names = append(names, c.Name)
		if c.Version == "" || c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%+v", c)
		}
	}
	if bom.SpecVersion == "" || !slices.Contains(names, "github.com/goreleaser/nfpm/v2") || !slices.IsSorted(names) {
		t.Errorf("version %q, modules %q", bom.SpecVersion, names)
	}
}

// TestImageRunsAsAnOrdinaryUser reads the image again: one layer, no user root, and what the program needs.
func TestImageRunsAsAnOrdinaryUser(t *testing.T) {
	r := small(t)
	r.pack(t)
	dir := t.TempDir()
	unpack(t, filepath.Join(r.out, "caddy-email-link_1.2.3_oci.tar"), dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.OS+"/"+m.Platform.Architecture)
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || config.Architecture != m.Platform.Architecture || config.Config.Entrypoint[0] != "/usr/bin/caddy-email-link" {
			t.Errorf("%+v", config)
		}
		owners := owners(t, image)
		for path, owner := range map[string]int{"data/": imageUser, "config/": imageUser, "usr/bin/caddy-email-link": 0, "etc/ssl/certs/ca-certificates.crt": 0, "etc/caddy-email-link/Caddyfile": 0} {
			if got, ok := owners[path]; !ok || got != owner {
				t.Errorf("%s belongs to %d (%v), want %d", path, got, ok, owner)
			}
		}
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %q", platforms)
	}
}

// owners returns the owner of each file of an image.
func owners(t *testing.T, image v1.Image) map[string]int {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	text, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	list := map[string]int{}
	for r := tar.NewReader(text); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list[header.Name] = header.Uid
	}
}

// unpack writes an archive of plain files and folders below dir.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name)) //nolint:gosec // our own archive
		if header.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFile(path, content); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, os.FileMode(header.Mode)); err != nil { //nolint:gosec // our own archive
			t.Fatal(err)
		}
	}
}

func TestTargetsAreChosenByName(t *testing.T) {
	if list, err := chosen("linux/arm64,darwin/amd64"); err != nil || !slices.Equal(list, []target{{"linux", "arm64"}, {"darwin", "amd64"}}) {
		t.Errorf("%v, %v", list, err)
	}
	err := run(context.Background(), []string{"-only", "windows/amd64", "-o", t.TempDir()}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), `no target "windows/amd64"; there are [linux/amd64 `) {
		t.Error(err)
	}
}

// TestLicencesAreWhole finds the licence of each module that this program is made of.
func TestLicencesAreWhole(t *testing.T) {
	r := small(t)
	list, err := modules(self(t))
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.copyright(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if !strings.Contains(string(text), "\n  "+m.path+" "+m.version+"\n") {
			t.Errorf("%s is missing", m.path)
		}
	}
	if _, err := licence(t.TempDir()); err == nil {
		t.Error("an empty module has a licence")
	}
}
