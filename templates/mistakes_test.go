package templates

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestLoad_MistakesNameFileLineAndRemedy writes one file with one mistake into a directory of overrides.
func TestLoad_MistakesNameFileLineAndRemedy(t *testing.T) {
	const page = `{{define "title"}}{{end}}{{define "main"}}`
	for _, c := range []struct {
		what, name, text string
		want             []string
	}{
		{"a name nobody reads", "pages/singin.html", "", []string{
			`singin.html overrides nothing; did you mean "pages/sign-in.html"?`, "; the names are assets/icon.svg, ",
		}},
		{"a catalogue with another ending", "catalog/de.txt", "", []string{"de.txt overrides nothing; ", ", and catalog/<language>.json"}},
		{"a catalogue of no language", "catalog/Deutsch.json", "{}", []string{
			"Deutsch.json: the file name is not a language tag; name it like de.json",
		}},
		{"another encoding", "catalog/de.json", "{\n\"dead.text\": \"f\xfcr\"}", []string{"de.json:2: not UTF-8; save the file in this encoding"}},
		{"another encoding of a page", "pages/dead.html", "\n\n\xff", []string{"dead.html:3: not UTF-8"}},
		{"a file that is far too long", "assets/style.css", strings.Repeat(" ", maxFile+1), []string{"style.css: 1048577 bytes are too many"}},

		{"template syntax", "pages/dead.html", "{{define \"main\"}}\n{{if}}{{end}}", []string{"dead.html:2: missing value for if"}},
		{"a template without its end", "mails/link.txt", "\n{{define \"body\"}}", []string{"link.txt:2: unexpected EOF"}},
		{"a page without its text", "pages/dead.html", "{{define \"title\"}}{{end}}\n<h1>Gone</h1>", []string{
			`dead.html: {{define "main"}} is missing; write it around what is to stand there`,
		}},
		{"a page without its title", "pages/dead.html", "{{define \"main\"}}{{end}}", []string{`dead.html: {{define "title"}} is missing`}},
		{"a mail without its subject", "mails/link.txt", "{{define \"heading\"}}{{end}}{{define \"body\"}}{{end}}", []string{
			`link.txt: {{define "subject"}} is missing`,
		}},
		{"an unknown function", "pages/dead.html", page + "\n{{shout .Site}}{{end}}", []string{`dead.html:2: function "shout" not defined`}},
		{"HTML that means two things", "pages/dead.html", page + "\n<a href='{{if .Site}}'{{end}}>{{end}}", []string{"dead.html:2"}},
		{"an unknown field", "pages/dead.html", page + "\n\n{{.Nothing}}{{end}}", []string{
			"dead.html:3:", "can't evaluate field Nothing in type templates.pageData; there is .Language, .Site, .Host, ",
		}},
		{"an unknown field of a page", "pages/sign-out.html", page + "\n{{.Page.Mail}}{{end}}", []string{
			"sign-out.html:2:", "field Mail in type templates.PageFacts; there is .SignedIn, .Email",
		}},
		{"a field of another page", "pages/no-flow.html", page + "\n{{.Page.Email}}{{end}}", []string{
			"no-flow.html:2:", "field Email in type templates.PageFacts; there is nothing in NoFlowPage",
		}},
		{"an unknown field of a problem", "pages/sign-in.html", page + "\n{{.Page.Problem.Text}}{{end}}", []string{
			"sign-in.html:2:", "field Text in type templates.Problem; there is .Code, .Wait, .Min, .Address, .Mail, .Reserve, .Challenge, .Character, .Position, .Is, .NewPassword",
		}},
		{"an unknown field of a mail", "mails/link.txt", "{{define \"heading\"}}{{end}}{{define \"body\"}}{{end}}{{define \"subject\"}}\n{{.URL}}{{end}}", []string{
			"link.txt:2:", "field URL in type templates.Mail; there is .Kind, .SignUp, ", ", .SignInURL, ",
		}},
		{"an unknown message", "pages/dead.html", page + "\n{{t \"dead.headin\"}}{{end}}", []string{
			`dead.html:2:2: the catalogue has no message "dead.headin"; did you mean "dead.heading"?; catalog/en.json has all`,
		}},
		{"a message that is computed", "pages/sign-in.html", page + `{{t .Site}}{{end}}`, []string{
			"sign-in.html:1:44: the name of a message is written out in quotes",
		}},
		{"no message", "pages/sign-in.html", page + `{{t}}{{end}}`, []string{"sign-in.html:1:44: t needs the name of a message"}},
		{"a hole that is not filled", "pages/sign-in.html", page + `{{t "sign_in.heading"}}{{end}}`, []string{
			`sign-in.html:1:44: nothing fills {site} of "sign_in.heading" (`, `); add the pair "site" and a value`,
		}},

		{"an unknown key", "catalog/de.json", "{\n\"dead.headin\": \"x\"}", []string{
			`de.json:2: "dead.headin" is no message; did you mean "dead.heading"?; catalog/en.json has all`,
		}},
		{"a key twice", "catalog/de.json", "{\n\"dead.text\": \"x\",\n\"dead.text\": \"y\"\n}", []string{
			`de.json:3: "dead.text" stands here a second time, after line 2; remove one of the two`,
		}},
		{"a wrong placeholder", "catalog/de.json", "{\n\n\"sign_in.heading\": \"{sit}\"}", []string{
			`de.json:3: "sign_in.heading": nothing fills {sit}; there is {site}`,
		}},
		{"a placeholder too many", "catalog/de.json", "{\n\"dead.text\": \"{site}\"}", []string{
			`de.json:2: "dead.text": nothing fills {site}; this message has no words in braces`,
		}},
		{"a placeholder in capitals", "catalog/de.json", "{\n\"sign_in.heading\": \"{Site}\"}", []string{
			`de.json:2: "sign_in.heading": a brace without its pair, or around what is no name; names are like {site}`,
		}},
		{"a lone brace", "catalog/de.json", "{\n\"sign_in.heading\": \"site}\"}", []string{`de.json:2: "sign_in.heading": a brace without its pair`}},
		{"lone stars", "catalog/de.json", "{\n\"sign_in.heading\": \"**{site}\"}", []string{`de.json:2: "sign_in.heading": two stars without their pair`}},
		{"a control character", "catalog/de.json", `{"dead.text": "x\u0007"}`, []string{`de.json:1: "dead.text": a control character; remove it`}},
		{"a plural form of another language", "catalog/de.json", "{\n\"time.days\": {\n\"one\": \"x\",\n\"few\": \"y\",\n\"other\": \"z\"}}", []string{
			`de.json:2: "time.days": there is no plural form "few" in de; its forms are one, other`,
		}},
		{"a plural form that is missing", "catalog/ar.json", "{\n\"time.days\": {\"one\": \"x\", \"other\": \"z\"}}", []string{
			`ar.json:2: "time.days": the plural form "zero" is missing, which ar has for 0; its forms are zero, one, two, few, many, other`,
		}},
		{"no form for the rest", "catalog/de.json", "{\n\n\"time.days\": {\"one\": \"x\"}}", []string{
			`de.json:3: "time.days": the form "other" is missing; the forms of de are one, other`,
		}},
		{"forms where nothing is counted", "catalog/en.json", "{\n\"dead.text\": {\"one\": \"x\", \"other\": \"y\"}}", []string{
			`nothing is counted by "dead.text" here; write one text in place of the plural forms (`, "en.json:2)",
		}},
		{"a direction", "catalog/de.json", "{\n\"@direction\": \"up\"}", []string{"de.json:2: @direction is ltr or rtl"}},
		{"no name", "catalog/de.json", "{\n\"@language\": \"\"}", []string{"de.json:2: @language is the language's own name, such as Deutsch"}},
		{"an unknown fact of the catalogue", "catalog/de.json", `{"@author": "x"}`, []string{`de.json:1: "@author" is not known; there are @language and @direction`}},
		{"a comma too many", "catalog/de.json", "{\n\"dead.text\": \"x\",\n}\n", []string{"de.json:2: not a catalogue: a comma stands after the last message; remove it"}},
		{"a comma too few", "catalog/de.json", "{\n\"dead.text\": \"x\"\n\n\"dead.title\": \"y\"}", []string{
			"de.json:2: not a catalogue: a comma is missing at the end of this line",
		}},
		{"a quote too few", "catalog/de.json", "{\n\"dead.text\": x\"\n}", []string{"de.json:2: not a catalogue: invalid character 'x'"}},
		{"a comment", "catalog/de.json", "{\n\"dead.text\": \"x\",\n// words\n\"dead.title\": \"y\"}", []string{"de.json:3: not a catalogue: invalid character '/'"}},
		{"a number", "catalog/de.json", "{\n\"dead.text\": 1}", []string{"de.json:2: not a catalogue: a message is a text in quotes, or an object of plural forms"}},
		{"null", "catalog/de.json", "{\n\"dead.text\": null}", []string{"de.json:2: not a catalogue: a message is a text in quotes"}},
		{"no end", "catalog/en.json", "{\n\"dead.text\": \"x\"\n", []string{"en.json:3: not a catalogue: it ends too early; is the last brace there?"}},
		{"nothing", "catalog/en.json", "", []string{"en.json:1: not a catalogue: it ends too early"}},
		{"a list", "catalog/de.json", "[]", []string{"de.json:1: not a catalogue: a message is"}},
		{"two catalogues", "catalog/de.json", "{}\n{}", []string{"de.json:2: something stands after the catalogue's last brace; remove it"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.name, c.text)
			_, err := Load(Options{Dir: dir})
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range append(c.want, filepath.Join(dir, filepath.FromSlash(c.name))) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %s:\n%v", want, err)
				}
			}
		})
	}
}

func TestLoad_NoDirectory(t *testing.T) {
	if _, err := Load(Options{Dir: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a directory that is not there was taken")
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, filepath.Dir(file), "file", "")
	if _, err := Load(Options{Dir: file}); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file for a directory: %v", err)
	}
}

func TestLoad_TakesTheMarkOfUTF8(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "catalog/de.json", "\ufeff{\"dead.heading\": \"Aus\"}")
	if out := render(t, load(t, Options{Dir: dir}), Frame{Language: "de"}, Dead{}); !strings.Contains(out, "<h1>Aus</h1>") {
		t.Errorf("the catalogue is not used:\n%s", out)
	}
}
