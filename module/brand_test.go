package module

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// TestCFG1_ImagesAreReadByWhatTheyAre gives images of every kind, under names that say something else, and files that are none.
func TestCFG1_ImagesAreReadByWhatTheyAre(t *testing.T) {
	const svg = `<svg xmlns="http://www.w3.org/2000/svg"/>`
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content  []byte
		favicon  bool
		want     string // the media type
		complain string
	}{
		"svg":               {content: []byte(svg), want: "image/svg+xml"},
		"svg of a program":  {content: []byte("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE svg>\n<!-- made -->\n" + svg), want: "image/svg+xml"},
		"png":               {content: []byte("\x89PNG\r\n\x1a\nrest"), want: "image/png"},
		"jpeg":              {content: []byte("\xff\xd8\xff\xe0rest"), want: "image/jpeg"},
		"webp":              {content: []byte("RIFF\x00\x00\x00\x00WEBPVP8 "), want: "image/webp"},
		"ico":               {content: []byte("\x00\x00\x01\x00rest"), favicon: true, want: "image/vnd.microsoft.icon"},
		"ico as a logo":     {content: []byte("\x00\x00\x01\x00rest"), complain: "SVG, PNG, WebP or JPEG"},
		"wave":              {content: []byte("RIFF\x00\x00\x00\x00WAVEfmt "), complain: "is no image"},
		"gif":               {content: []byte("GIF89a"), complain: "save it as SVG, PNG, WebP or JPEG"},
		"page with a image": {content: []byte("<html><svg/></html>"), complain: "is no image"},
		"svg elsewhere":     {content: []byte("<svg/>"), complain: "is no image"},
		"text":              {content: []byte("hello " + svg), complain: "is no image"},
		"5 MB":              {content: bytes.Repeat([]byte("\x89PNG\r\n\x1a\n"), 5<<20/8), complain: "has 5120 KiB, and each page loads it: 256 KiB is the most; save it smaller"},
		"empty":             {content: []byte{}, complain: "is empty"},
		"missing":           {complain: "there is no file"},
		"folder":            {complain: "is not a file"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".gif")
		if name == "folder" {
			path = filepath.Join(dir, "folder")
		}
		if c.content != nil {
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a, image := &App{Logo: Logo{File: path}}, func(b web.Brand) web.File { return b.Logo }
		if c.favicon {
			a, image = &App{Favicon: path}, func(b web.Brand) web.File { return b.Favicon }
		}
		err := a.readBrand()
		switch {
		case c.complain != "" && (err == nil || !strings.Contains(err.Error(), c.complain) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v, want %q and the path", name, err, c.complain)
		case c.want != "" && (err != nil || image(a.policy.brand).Type != c.want || !bytes.Equal(image(a.policy.brand).Content, c.content)):
			t.Errorf("%s: %s, %v, want %s", name, image(a.policy.brand).Type, err, c.want)
		}
	}
}

// TestCFG1_BrandInJSON reads what no Caddyfile has checked before.
func TestCFG1_BrandInJSON(t *testing.T) {
	t.Setenv("EMAIL_LINK_TEST_ACCENT", "#eeeeee")
	for _, c := range []struct {
		app  *App
		want string
	}{
		{&App{Accent: "#777777"}, "contrast of 4.4:1"},
		{&App{Accent: "{env.EMAIL_LINK_TEST_ACCENT}"}, "contrast of 1.1:1"},
		{&App{Logo: Logo{Dark: "dark.svg"}}, "the file for the light theme is missing"},
		{&App{Logo: Logo{Wordmark: true}}, "the file for the light theme is missing"},
	} {
		if err := c.app.readBrand(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.app.Logo, err, c.want)
		}
	}
	for _, zone := range []string{"", "Local", "local", "CEST", "GMT+25", "../UTC", "/etc/localtime", "europe", "Europe/Berlin "} {
		if _, err := CheckTimezone(zone); err == nil || !strings.Contains(err.Error(), "Europe/Berlin, America/Lima or UTC") {
			t.Errorf("%q: %v, want an error with a zone to write", zone, err)
		}
	}
	a := &App{Timezone: "Asia/Kolkata"}
	if err := a.readTimezone(); err != nil || a.policy.location.String() != "Asia/Kolkata" {
		t.Errorf("%v, %v", a.policy.location, err)
	}
	a = &App{}
	if err := a.readTimezone(); err != nil || a.policy.location.String() != "UTC" {
		t.Errorf("without the option: %v, %v; want UTC, whatever the zone of the machine", a.policy.location, err)
	}
}
