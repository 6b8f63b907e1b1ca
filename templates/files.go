package templates

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFile is the largest file that is read from an override directory, in bytes.
const maxFile = 1 << 20

// ignored reports whether a name is an editor's or a file manager's own.
func ignored(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "#") || strings.HasSuffix(base, "~") ||
		strings.HasSuffix(base, ".swp") || strings.HasSuffix(base, ".bak") || strings.HasSuffix(base, ".md")
}

// overrides lists the files of dir by slash-separated name, and refuses names that override nothing.
func overrides(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	if fi, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("templates: the directory cannot be read: %w", err)
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("templates: %s is not a directory", dir)
	}
	var names []string
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && ignored(name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		if !known(name) {
			return fmt.Errorf("templates: %s overrides nothing%s; the names are %s, and catalog/<language>.json",
				filepath.Join(dir, name), hint(name, embeddedNames()), strings.Join(embeddedNames(), ", "))
		}
		names = append(names, name)
		return nil
	})
	return names, err
}

// known reports whether a file of this name is read.
func known(name string) bool {
	if path.Dir(name) == "catalog" && path.Ext(name) == ".json" {
		return true
	}
	return slices.Contains(embeddedNames(), name)
}

// embeddedNames lists the embedded files.
func embeddedNames() []string {
	var names []string
	_ = fs.WalkDir(embedded, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	return names
}

// stampOf describes the files of dir by name, size and time of change.
func stampOf(dir string) (string, error) {
	names, err := overrides(dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range names {
		fi, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s %d %d\n", name, fi.Size(), fi.ModTime().UnixNano())
	}
	return b.String(), nil
}

// source is the text of one file and where it came from, for error messages.
type source struct {
	name, text string
}

// validPrefix is the length in bytes of what precedes the first byte that is not UTF-8.
func validPrefix(s string) int {
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd") {
			return i
		}
	}
	return len(s)
}

// sources holds every file that is compiled: the embedded ones, with those of the directory in their place.
type sources struct {
	files map[string]source
	// extra are catalogues of the directory, laid over the embedded ones.
	extra map[string]source
}

// readSources reads all files.
func readSources(dir string) (sources, error) {
	s := sources{files: map[string]source{}, extra: map[string]source{}}
	for _, name := range embeddedNames() {
		text, err := readEmbedded(name)
		if err != nil {
			return s, err
		}
		s.files[name] = source{name: name, text: string(text)}
	}
	names, err := overrides(dir)
	if err != nil {
		return s, err
	}
	for _, name := range names {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if fi, err := os.Stat(full); err == nil && fi.Size() > maxFile {
			return s, fmt.Errorf("%s: %d bytes are too many for a template; %d are read at most", full, fi.Size(), maxFile)
		}
		text, err := os.ReadFile(full)
		if err != nil {
			return s, err
		}
		src := source{name: full, text: strings.TrimPrefix(string(text), "\ufeff")} // some editors mark UTF-8 so
		if !utf8.ValidString(src.text) {
			return s, fmt.Errorf("%s:%d: not UTF-8; save the file in this encoding", full, src.line(int64(validPrefix(src.text))))
		}
		if path.Dir(name) == "catalog" {
			s.extra[name] = src
			continue
		}
		s.files[name] = src
	}
	return s, nil
}
