package templates

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func render(t *testing.T, s *Set, f Frame, facts PageFacts) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Page(&b, f, facts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWEB2_PagesHoldNothingInline(t *testing.T) {
	s := load(t, Options{})
	// The one script is a file of ours. It is left out of what the page must not have.
	own := regexp.MustCompile(`<script src="/email-link/assets/page\.[0-9a-f]{16}\.js" defer></script>`)
	inline := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|javascript:|<iframe|<object|https?://[^"<]*\.(css|js|png|woff2?)`)
	for _, p := range PageSamples() {
		out := render(t, s, p.Frame, p.Facts)
		if n := len(own.FindAllString(out, -1)); n != 1 {
			t.Errorf("%s: our script is loaded %d times", p.Name, n)
		}
		if m := inline.FindString(own.ReplaceAllString(out, "")); m != "" {
			t.Errorf("%s: %q", p.Name, m)
		}
		for _, must := range []string{"<!doctype html>", `lang="en" dir="ltr">`, "<h1>", "<title>", "<main>", `name="viewport"`} {
			if strings.Count(out, must) != 1 {
				t.Errorf("%s: %q stands %d times", p.Name, must, strings.Count(out, must))
			}
		}
		if strings.Contains(out, "<img") && p.Frame.Logo == "" && p.Name != "home-launcher" {
			t.Errorf("%s: an image without a logo", p.Name)
		}
	}
}

func TestPages_EachInputIsLabelledAndEachIDStandsOnce(t *testing.T) {
	s := load(t, Options{})
	ids := regexp.MustCompile(`\sid="([^"]+)"`)
	refs := regexp.MustCompile(`\s(?:for|aria-describedby)="([^"]+)"`)
	inputs := regexp.MustCompile(`<input id="([^"]+)"`)
	for _, p := range PageSamples() {
		out := render(t, s, p.Frame, p.Facts)
		seen := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(out, -1) {
			if seen[m[1]] {
				t.Errorf("%s: the id %s stands twice", p.Name, m[1])
			}
			seen[m[1]] = true
		}
		for _, m := range refs.FindAllStringSubmatch(out, -1) {
			for _, id := range strings.Fields(m[1]) {
				if !seen[id] {
					t.Errorf("%s: %s is referred to and is not there", p.Name, id)
				}
			}
		}
		for _, m := range inputs.FindAllStringSubmatch(out, -1) {
			if !strings.Contains(out, `<label for="`+m[1]+`"`) {
				t.Errorf("%s: %s has no label", p.Name, m[1])
			}
		}
	}
}

func TestPages_ProblemIsToldAndTied(t *testing.T) {
	s := load(t, Options{})
	f := PageSamples()[0].Frame
	out := render(t, s, f, SignIn{Email: `"><b>x`, Problem: Problem{Code: InvalidEmail}})
	for _, must := range []string{
		`role="alert"`, `aria-invalid="true"`, `aria-describedby="problem email-hint"`, "autofocus", `value="&#34;&gt;&lt;b&gt;x"`,
		"<title>Error: ",
	} {
		if !strings.Contains(out, must) {
			t.Errorf("the page lacks %s", must)
		}
	}
	out = render(t, s, f, Resend{Code: true, Problem: Problem{Code: WrongCode}})
	if !strings.Contains(out, `aria-describedby="code-hint problem" aria-invalid="true" autofocus`) {
		t.Error("the refused code is not tied to its problem")
	}
}

func TestOverride(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var reports []string
	write(t, dir, "pages/dead.html", `{{define "title"}}x{{end}}{{define "main"}}<h1>one</h1>{{end}}`)
	write(t, dir, "pages/.dead.html.swp", "junk")
	write(t, dir, "README.md", "about")
	write(t, dir, "catalog/en.json", "{\n\"dead.heading\": \"Gone\"\n}")
	write(t, dir, "catalog/de.json", `{"home.heading": "Da sind Sie ja"}`)
	write(t, dir, "catalog/it.json", `{"@language": "Italiano", "home.heading": "Connesso"}`)
	s := load(t, Options{
		Dir: dir, Now: func() time.Time { return now },
		Report: func(err error) { reports = append(reports, err.Error()) },
	})
	page := func(language string, facts PageFacts) string { return render(t, s, Frame{Language: language}, facts) }
	if out := page("en", Dead{}); !strings.Contains(out, "<h1>one</h1>") {
		t.Errorf("the override is not used:\n%s", out)
	}
	if out := page("de", Home{}); !strings.Contains(out, "Da sind Sie ja") || !strings.Contains(out, "Hier abmelden") {
		t.Error("a catalogue that is not whole does not fall back to the embedded one")
	}
	if out := page("it", Home{}); !strings.Contains(out, "Connesso") || !strings.Contains(out, "Sign out here") {
		t.Error("a new catalogue that is not whole does not fall back to English")
	}
	if got := s.Language("it-CH"); got != "it" {
		t.Errorf("a new language is %q", got)
	}

	write(t, dir, "pages/dead.html", `{{define "title"}}x{{end}}{{define "main"}}<h1>second</h1>{{end}}`)
	if out := page("en", Dead{}); !strings.Contains(out, "<h1>one</h1>") {
		t.Error("the directory was looked at twice within a second")
	}
	now = now.Add(time.Second)
	if out := page("en", Dead{}); !strings.Contains(out, "<h1>second</h1>") {
		t.Error("a changed file was not read anew")
	}

	write(t, dir, "pages/dead.html", "{{define \"title\"}}x{{end}}\n{{define \"main\"}}{{t \"no.such\"}}{{end}}")
	for range 3 {
		now = now.Add(time.Second)
		if out := page("en", Dead{}); !strings.Contains(out, "<h1>second</h1>") {
			t.Error("a mistake replaced the last good page")
		}
	}
	if len(reports) != 1 || !strings.Contains(reports[0], "dead.html:2") || !strings.Contains(reports[0], `"no.such"`) {
		t.Errorf("reports: %q", reports)
	}
	write(t, dir, "pages/dead.html", `{{define "title"}}x{{end}}{{define "main"}}<h1>healed</h1>{{end}}`)
	now = now.Add(time.Second)
	if out := page("en", Dead{}); !strings.Contains(out, "<h1>healed</h1>") {
		t.Error("the corrected file was not read")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	if out := page("en", Dead{}); !strings.Contains(out, "<h1>healed</h1>") || len(reports) != 2 {
		t.Errorf("a directory that is gone: %q", reports)
	}
}

func TestAsset(t *testing.T) {
	s := load(t, Options{})
	content, contentType, found := s.Asset(s.StyleName())
	if !found || len(content) == 0 || !strings.HasPrefix(contentType, "text/css") {
		t.Errorf("%q %v", contentType, found)
	}
	if _, contentType, found := s.Asset(s.current.Load().iconName); !found || contentType != "image/svg+xml" {
		t.Errorf("icon: %q %v", contentType, found)
	}
	if _, _, found := s.Asset("style.css"); found {
		t.Error("the stylesheet has a name without a hash")
	}
	style := string(content)
	if regexp.MustCompile(`(margin|padding|border)-(left|right)|text-align:\s*(left|right)|@import|url\(`).MatchString(style) {
		t.Error("the stylesheet names left or right, or loads something")
	}
}

func TestSay(t *testing.T) {
	s := load(t, Options{})
	for _, code := range Codes {
		if got := s.Text("en", Problem{Code: code, Wait: time.Minute}); got == "" || strings.HasPrefix(got, "problem.") || strings.Contains(got, "{") {
			t.Errorf("%s: %q", code, got)
		}
	}
}

func TestPages_OfNoSite(t *testing.T) {
	s := load(t, Options{})
	out := render(t, s, Frame{}, Refused{Status: 421, Problem: Problem{Code: Misdirected}})
	if strings.Contains(out, "href=") || strings.Contains(out, "·") {
		t.Errorf("a page of no site leads somewhere:\n%s", out)
	}
}
