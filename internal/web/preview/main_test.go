package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

func TestRun_WritesEachPageAndMail(t *testing.T) {
	out := t.TempDir()
	if err := run(out, ""); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(out, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tag := range []string{"ar", "de", "en", "es", "fr"} {
		for _, p := range templates.PageSamples() {
			names = append(names, tag+"/"+p.Name+".html")
		}
		for _, m := range templates.MailSamples() {
			names = append(names, tag+"/mail-"+m.Name+".html", tag+"/mail-"+m.Name+".txt")
		}
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			t.Errorf("%s stands for two samples", name)
		}
		seen[name] = true
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(index), `"`+name+`"`) {
			t.Errorf("the index does not lead to %s", name)
		}
	}
	for _, must := range []string{
		"<h3>Check your email</h3>", "<h3>Errors</h3>", `<option>320<option selected>390`, `<option>light<option>dark`,
		`<a href="#ar" lang="ar" dir="rtl">العربية</a>`, `<h2 id="de">Deutsch`, "<p lang=\"fr\" dir=\"ltr\">Votre lien de connexion à Example</p>",
	} {
		if !strings.Contains(string(index), must) {
			t.Errorf("the index lacks %s", must)
		}
	}
	if assets, err := os.ReadDir(filepath.Join(out, "assets")); err != nil || len(assets) != 2 {
		t.Errorf("assets: %v, %v", assets, err)
	}
	if err := run(out, filepath.Join(out, "none")); err == nil {
		t.Error("a directory that is not there was taken")
	}
}
