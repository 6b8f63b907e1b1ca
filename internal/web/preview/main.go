// Command preview writes every page and every mail, in every state and language, into one directory with an index to click
// through.
//
//	go run ./internal/web/preview -o build/preview [-templates dir]
package main

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

func main() {
	out := flag.String("o", "build/preview", "directory to write to")
	dir := flag.String("templates", "", "directory of files that override the embedded ones")
	flag.Parse()
	if err := run(*out, *dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(filepath.Join(*out, "index.html"))
}

// run renders everything into out.
func run(out, dir string) error {
	set, err := templates.Load(templates.Options{Dir: dir, Location: time.UTC})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var index strings.Builder
	index.WriteString("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">" +
		"<meta name=\"color-scheme\" content=\"light dark\"><title>Pages and mails</title>" +
		"<body style=\"font:1rem/1.6 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem\"><h1>Pages and mails</h1>\n")
	for _, tag := range set.Languages() {
		fmt.Fprintf(&index, "<h2>Pages (%s)</h2><ul>\n", tag)
		for _, s := range templates.PageSamples() {
			if err := page(set, out, tag, s); err != nil {
				return err
			}
			fmt.Fprintf(&index, "<li><a href=\"%s/%s.html\">%s</a> (%d)\n", tag, s.Name, s.Name, s.Status)
		}
		fmt.Fprintf(&index, "</ul><h2>Mails (%s)</h2><ul>\n", tag)
		for _, s := range templates.MailSamples() {
			subject, err := mail(set, out, tag, s)
			if err != nil {
				return err
			}
			fmt.Fprintf(&index, "<li>%s: %s, <a href=\"%s/mail-%s.html\">HTML</a>, <a href=\"%s/mail-%s.txt\">text</a>\n",
				s.Name, html.EscapeString(subject), tag, s.Name, tag, s.Name)
		}
		index.WriteString("</ul>\n")
	}
	return os.WriteFile(filepath.Join(out, "index.html"), []byte(index.String()), 0o644)
}

// loaded finds the names of assets that a page loads.
var loaded = regexp.MustCompile(`href="/\./assets/([^"]+)"`)

// page writes one page, and what it loads beside it.
func page(set *templates.Set, out, tag string, s templates.PageSample) error {
	s.Frame.Language, s.Frame.Prefix = tag, "/."
	var b bytes.Buffer
	if err := set.Page(&b, s.Frame, s.Facts); err != nil {
		return err
	}
	for _, m := range loaded.FindAllStringSubmatch(b.String(), -1) {
		content, _, found := set.Asset(m[1])
		if !found {
			return fmt.Errorf("%s: the asset %s is unknown", s.Name, m[1])
		}
		if err := write(out, filepath.Join("assets", m[1]), content); err != nil {
			return err
		}
	}
	text := strings.ReplaceAll(b.String(), `href="/./assets/`, `href="../assets/`)
	return write(out, filepath.Join(tag, s.Name+".html"), []byte(text))
}

// mail writes one mail and returns its subject.
func mail(set *templates.Set, out, tag string, s templates.MailSample) (string, error) {
	m, err := set.Mail(s.Mail, tag)
	if err != nil {
		return "", err
	}
	if err := write(out, filepath.Join(tag, "mail-"+s.Name+".html"), []byte(m.HTML)); err != nil {
		return "", err
	}
	return m.Subject, write(out, filepath.Join(tag, "mail-"+s.Name+".txt"), []byte("Subject: "+m.Subject+"\n\n"+m.Text))
}

func write(out, name string, content []byte) error {
	name = filepath.Join(out, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o644)
}
