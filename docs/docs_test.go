// Package docs holds no code: it tests what the documents say of the code.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

const root = ".."

// files returns the paths below the repository's root whose names end in suffix, without what is built or installed.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "build" || name == "node_modules") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, suffix) {
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	promise  = regexp.MustCompile(`(?m)^- \*\*([A-Z]+-\d+)\*\*`)
	function = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)([A-Z]+)(\d+)_\w+)`)
	named    = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`")
	anyTest  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// TestPromisesHaveTests fails when a promise of the threat model has no test, or a test names a promise that is not there.
func TestPromisesHaveTests(t *testing.T) {
	tested := map[string]string{}
	for _, path := range files(t, "_test.go") {
		for _, m := range function.FindAllStringSubmatch(read(t, path), -1) {
			tested[m[2]+"-"+m[3]] = m[1]
		}
	}
	model := map[string]bool{}
	for _, m := range promise.FindAllStringSubmatch(read(t, "threat-model.md"), -1) {
		if model[m[1]] {
			t.Errorf("%s is promised twice", m[1])
		}
		model[m[1]] = true
		if tested[m[1]] == "" {
			t.Errorf("%s has no test whose name begins with it", m[1])
		}
	}
	for id, name := range tested {
		if !model[id] {
			t.Errorf("%s tests %s, which the threat model does not promise", name, id)
		}
	}
}

// TestNamedTestsExist fails when a document names a test that is not there.
func TestNamedTestsExist(t *testing.T) {
	var all []string
	for _, path := range files(t, "_test.go") {
		for _, m := range anyTest.FindAllStringSubmatch(read(t, path), -1) {
			all = append(all, m[1])
		}
	}
	for _, path := range files(t, ".md") {
		for _, m := range named.FindAllStringSubmatch(read(t, path), -1) {
			if !slices.ContainsFunc(all, func(name string) bool { return name == m[1] || strings.HasPrefix(name, m[1]+"_") }) {
				t.Errorf("%s names %s, which is not there", path, m[1])
			}
		}
	}
}

// TestLinksLeadSomewhere fails when a document links to a file that is not there.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, path := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}

// TestPicturesAreThereAndSmall fails when a document shows a picture that is not there, or one that takes long to load.
func TestPicturesAreThereAndSmall(t *testing.T) {
	source := regexp.MustCompile(`(?:src|srcset)="([^"]+)"`)
	shown := 0
	for _, path := range files(t, ".md") {
		for _, m := range source.FindAllStringSubmatch(read(t, path), -1) {
			shown++
			info, err := os.Stat(filepath.Join(filepath.Dir(path), m[1]))
			switch {
			case err != nil:
				t.Errorf("%s shows %s, which is not there", path, m[1])
			case info.Size() > 150<<10:
				t.Errorf("%s has %d KiB, 150 at most", m[1], info.Size()>>10)
			}
		}
	}
	if shown < 6 {
		t.Errorf("%d pictures, want sign-in, check-your-mail and the mail in both themes", shown)
	}
}

// TestHDR1_ReferenceListsKnownHeaders fails when the reference and the code differ about which headers are known, who believes
// them, or when they pass.
func TestHDR1_ReferenceListsKnownHeaders(t *testing.T) {
	passes := map[boundary.KnownKind]string{
		boundary.IdentityHeader: "never", boundary.ProxyHeader: "from `trusted_proxies`", boundary.MethodHeader: "unless a matcher names a method",
	}
	var want []string
	for _, k := range boundary.KnownHeaders() {
		want = append(want, k.Name+" | "+k.By+" | "+passes[k.Kind])
	}
	_, section, _ := strings.Cut(read(t, "reference.md"), "### Headers that are removed")
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 3 || !strings.HasPrefix(strings.TrimSpace(cells[0]), "`") {
			continue
		}
		for name := range strings.FieldsSeq(strings.ReplaceAll(cells[0], "`", "")) {
			got = append(got, name+" | "+cells[1]+" | "+strings.TrimSpace(cells[2]))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-code +reference):\n%s", diff)
	}
}

// TestReferenceNamesEachCode fails when a program may meet a code of a problem that the reference does not have.
func TestReferenceNamesEachCode(t *testing.T) {
	reference := read(t, "reference.md")
	for _, code := range templates.Codes {
		short, password := strings.CutPrefix(string(code), "password")
		if !strings.Contains(reference, "`"+string(code)+"`") && !(password && strings.Contains(reference, "`"+short+"`")) {
			t.Errorf("reference.md does not name %s", code)
		}
	}
}
