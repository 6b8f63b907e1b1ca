package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// file is one file of a package or an image.
type file struct {
	path    string
	content []byte
	mode    int64
	// conffile marks a file that the administrator changes, and that no upgrade overwrites.
	conffile bool
}

// module is one Go module of a binary.
type module struct{ path, version, sum string }

// modules returns the modules that the binaries of all targets hold, sorted, without our own.
func modules(built map[target]string) (list []module, err error) {
	for _, binary := range built {
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return nil, err
		}
		for _, dep := range info.Deps {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			if m := (module{dep.Path, dep.Version, dep.Sum}); !slices.Contains(list, m) {
				list = append(list, m)
			}
		}
	}
	slices.SortFunc(list, func(a, b module) int { return strings.Compare(a.path+" "+a.version, b.path+" "+b.version) })
	return list, nil
}

// writeSBOM writes which modules are in the binaries, as CycloneDX 1.6.
func (r *release) writeSBOM(built map[target]string) error {
	list, err := modules(built)
	if err != nil {
		return err
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: r.made.Format("2006-01-02T15:04:05Z"),
		Component: &cdx.Component{Type: cdx.ComponentTypeApplication, Name: program, Version: r.version, BOMRef: program},
	}
	components := make([]cdx.Component, 0, len(list))
	for _, m := range list {
		url := "pkg:golang/" + m.path + "@" + m.version
		components = append(components, cdx.Component{
			Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version, BOMRef: url, PackageURL: url,
			Properties: &[]cdx.Property{{Name: "go:sum", Value: m.sum}},
		})
	}
	bom.Components = &components
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, program+"_"+r.version+".cdx.json"), b.Bytes(), 0o644)
}

const documentation = "/usr/share/doc/" + program + "/"

// documents returns the copyright file that Debian asks for, with the licences of every module, and the changelog.
func (r *release) documents(ctx context.Context, built map[target]string) ([]file, error) {
	list, err := modules(built)
	if err != nil {
		return nil, err
	}
	copyright, err := r.copyright(ctx, list)
	if err != nil {
		return nil, err
	}
	changelog, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression) // without a name and a time
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(changelog); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return []file{
		{path: documentation + "copyright", content: copyright, mode: 0o644},
		{path: documentation + "changelog.gz", content: b.Bytes(), mode: 0o644},
	}, nil
}

// copyright lists the licences of the binary: ours, then each text once with the modules that come under it.
func (r *release) copyright(ctx context.Context, list []module) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is Caddy with the email_link module: https://github.com/caddy-email-link/caddy-email-link\n\n", program)
	b.WriteString("Copyright: the authors of caddy-email-link\nLicense: Apache-2.0, see /usr/share/common-licenses/Apache-2.0\n\n" +
		"The program is linked statically with the Go modules below, each under the licence above which it is listed.\n")
	dirs, err := r.moduleDirs(ctx, list)
	if err != nil {
		return nil, err
	}
	texts := map[string][]string{}
	var order []string
	for _, m := range list {
		text, err := licence(dirs[module{path: m.path, version: m.version}])
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", m.path, m.version, err)
		}
		if texts[text] == nil {
			order = append(order, text)
		}
		texts[text] = append(texts[text], m.path+" "+m.version)
	}
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n\n  %s\n\n%s\n", strings.Repeat("-", 78), strings.Join(texts[text], "\n  "), strings.TrimSpace(text))
	}
	return []byte(b.String()), nil
}

// licence returns the texts of the licences in a module's folder, as its authors wrote them.
func licence(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		isLicence := strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "COPYING") || strings.HasPrefix(name, "NOTICE")
		if entry.IsDir() || !isLicence || strings.HasSuffix(name, ".GO") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", err
		}
		texts = append(texts, string(text))
	}
	if len(texts) == 0 {
		return "", errors.New("no file with a licence: a package must not hold it")
	}
	return strings.Join(texts, "\n"), nil
}

// moduleDirs finds modules in the module cache, from which the binaries were built.
func (r *release) moduleDirs(ctx context.Context, list []module) (map[module]string, error) {
	args := []string{"mod", "download", "-json"}
	for _, m := range list {
		args = append(args, m.path+"@"+m.version)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download: %w\n%s", err, out)
	}
	dirs := map[module]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var found struct{ Path, Version, Dir string }
		err := dec.Decode(&found)
		if errors.Is(err, io.EOF) {
			return dirs, nil
		}
		if err != nil {
			return nil, err
		}
		dirs[module{path: found.Path, version: found.Version}] = found.Dir
	}
}

// completions returns what shells read to complete a command line, as the program itself writes it.
func completions(ctx context.Context, program string) (list []file, err error) {
	for shell, path := range map[string]string{
		"bash": "/usr/share/bash-completion/completions/caddy-email-link",
		"fish": "/usr/share/fish/vendor_completions.d/caddy-email-link.fish",
		"zsh":  "/usr/share/zsh/vendor-completions/_caddy-email-link",
	} {
		cmd := exec.CommandContext(ctx, program, "completion", shell)
		cmd.Stderr = io.Discard
		text, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("the completion of %s: %w", shell, err)
		}
		list = append(list, file{path: path, content: text, mode: 0o644})
	}
	slices.SortFunc(list, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return list, nil
}
