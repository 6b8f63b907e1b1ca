package main

import (
	"embed"
	"errors"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the format
	"github.com/goreleaser/nfpm/v2/files"
)

// packaged holds what is in a package beside the program and its documents, and dpkg's scripts.
//
//go:embed files
var packaged embed.FS

// installed is where the files of the folder beside this one go.
var installed = []struct {
	name, path string
	conffile   bool
}{
	{name: "Caddyfile", path: "/etc/caddy-email-link/Caddyfile", conffile: true},
	{name: "caddy-email-link.service", path: "/usr/lib/systemd/system/caddy-email-link.service"},
}

// installedFiles reads them.
func installedFiles() (list []file, err error) {
	for _, one := range installed {
		content, err := packaged.ReadFile("files/" + one.name)
		if err != nil {
			return nil, err
		}
		list = append(list, file{path: one.path, content: content, mode: 0o644, conffile: one.conffile})
	}
	return list, nil
}

// writeDeb writes the package of one architecture.
func (r *release) writeDeb(t target, binary string, more []file) (err error) {
	scratch, err := os.MkdirTemp("", "packages")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	list, err := installedFiles()
	if err != nil {
		return err
	}
	contents := files.Contents{{Source: binary, Destination: "/usr/bin/" + program, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: r.made}}}
	for _, f := range append(list, more...) {
		// nfpm reads what it packs from files.
		source := filepath.Join(scratch, filepath.FromSlash(f.path))
		if err := writeFile(source, f.content); err != nil {
			return err
		}
		content := &files.Content{Source: source, Destination: f.path, FileInfo: &files.ContentFileInfo{Mode: os.FileMode(f.mode), MTime: r.made}} //nolint:gosec // a mode of our own
		if f.conffile {
			content.Type = files.TypeConfigNoReplace
		}
		contents = append(contents, content)
	}
	scripts := map[string]string{}
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		content, err := packaged.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		scripts[name] = filepath.Join(scratch, name)
		if err := writeFile(scripts[name], content); err != nil {
			return err
		}
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: program, Arch: t.arch, Platform: "linux", Version: r.version, Section: "web", Priority: "optional",
		Maintainer: "The authors of caddy-email-link <caddy-email-link@users.noreply.github.com>", License: "Apache-2.0",
		Homepage: "https://github.com/caddy-email-link/caddy-email-link", MTime: r.made, DisableGlobbing: true,
		Description: "Caddy with sign-in by email links before any web app\n" +
			"A web server and reverse proxy that lets people in by links and codes in mails,\n" +
			"and tells the app behind it who is there in one signed and encrypted header.",
		Overridables: nfpm.Overridables{
			Depends: []string{"adduser"}, Recommends: []string{"ca-certificates"}, Contents: contents,
			Scripts: nfpm.Scripts{PostInstall: scripts["postinst"], PreRemove: scripts["prerm"], PostRemove: scripts["postrm"]},
			Deb:     nfpm.Deb{Compression: "xz"},
		},
	})
	packager, err := nfpm.Get("deb")
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(r.out, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return packager.Package(info, out)
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
