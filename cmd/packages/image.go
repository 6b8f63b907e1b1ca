package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageUser is the id of the user and the group that the image runs as.
const imageUser = 65532

// writeImage writes an image for the architectures of Linux as one archive in the form of OCI, which `docker load`, podman and skopeo read.
func (r *release) writeImage(built map[target]string, documents []file) (err error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	some := false
	for _, t := range targets {
		if built[t] == "" || t.system != "linux" {
			continue
		}
		image, err := r.image(t, built[t], documents)
		if err != nil {
			return err
		}
		some = true
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{
				Platform:    &v1.Platform{OS: "linux", Architecture: t.arch},
				Annotations: map[string]string{"org.opencontainers.image.ref.name": r.tag()},
			},
		})
	}
	if !some {
		return nil
	}
	dir, err := os.MkdirTemp("", "packages")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(r.out, program+"_"+r.version+"_oci.tar"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return r.archive(out, dir)
}

// tag is the version as a tag, which has no +.
func (r *release) tag() string { return strings.ReplaceAll(r.version, "+", "-") }

// image returns the image of one architecture: the program, its Caddyfile, the roots that it trusts and nothing else.
func (r *release) image(t target, binary string, documents []file) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	conf, err := packaged.ReadFile("files/image.Caddyfile")
	if err != nil {
		return nil, err
	}
	list := append([]file{
		{path: "/usr/bin/caddy-email-link", content: program, mode: 0o755},
		{path: "/etc/caddy-email-link/Caddyfile", content: conf, mode: 0o644},
		{path: "/etc/ssl/certs/ca-certificates.crt", content: roots(), mode: 0o644},
		{path: "/etc/passwd", content: []byte("caddy-email-link:x:65532:65532::/data:/sbin/nologin\n"), mode: 0o644},
		{path: "/etc/group", content: []byte("caddy-email-link:x:65532:\n"), mode: 0o644},
	}, documents...)
	text, err := r.layer(list, []string{"/data", "/config"})
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "cmd/packages", Created: v1.Time{Time: r.made}}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", t.arch, v1.Time{Time: r.made}
	config.Config = v1.Config{
		User: "65532:65532", Env: []string{"PATH=/usr/bin", "XDG_DATA_HOME=/data", "XDG_CONFIG_HOME=/config"},
		Entrypoint: []string{"/usr/bin/caddy-email-link"}, Cmd: []string{"run", "--config", "/etc/caddy-email-link/Caddyfile"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}}, Volumes: map[string]struct{}{"/data": {}, "/config": {}}, WorkingDir: "/data",
		Labels: map[string]string{
			"org.opencontainers.image.source": "https://github.com/caddy-email-link/caddy-email-link", "org.opencontainers.image.version": r.version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, config)
}

// layer returns files and their folders as an uncompressed archive. own are folders of the user of the image.
func (r *release) layer(list []file, own []string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{"/": true}
	folder := func(path string, id int) error {
		if made[path] {
			return nil
		}
		made[path] = true
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path[1:] + "/", Mode: 0o755, ModTime: r.made, Uid: id, Gid: id, Format: tar.FormatPAX})
	}
	for _, path := range own {
		if err := folder(path, imageUser); err != nil {
			return nil, err
		}
	}
	for _, f := range list {
		for i, c := range f.path {
			if c != '/' || i == 0 {
				continue
			}
			if err := folder(f.path[:i], 0); err != nil {
				return nil, err
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: f.path[1:], Mode: f.mode, Size: int64(len(f.content)), ModTime: r.made, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// roots returns the certificate authorities of Mozilla's list, which the image has no package for.
func roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // a file cannot say it
		}
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // into memory
	}
	return b.Bytes()
}

// archive writes a folder as an archive, sorted by name.
func (r *release) archive(out io.Writer, dir string) error {
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	w := tar.NewWriter(out)
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: r.made, Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	return w.Close()
}
