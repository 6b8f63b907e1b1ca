// Package mailpage shows the mails that the mailer `file` has written, for trials on one machine: the quickstart and `caddy email-link serve`.
package mailpage

import (
	"encoding/base64"
	"html/template"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Page shows the newest mails of a folder. A reader can sign in as anybody: serve it on this machine alone.
type Page struct {
	// Dir is the folder of the mailer.
	Dir string
	// Hosts are the names that it answers to. Another site could read it by pointing its own name here.
	Hosts []string
}

type shown struct {
	Head string
	Body []piece
	// HTML is the part that people see, empty where the mail has none or is not one of the newest.
	HTML string
}

// rendered is how many mails show their HTML part: each is a document of its own, and the page is read anew every five seconds.
const rendered = 3

// piece is some text, and the address that follows it.
type piece struct {
	Text, Link string
}

var address = regexp.MustCompile(`https?://\S+`)

// pieces cuts a text at its addresses.
func pieces(text string) []piece {
	var list []piece
	for at := address.FindStringIndex(text); at != nil; at = address.FindStringIndex(text) {
		list = append(list, piece{text[:at[0]], text[at[0]:at[1]]})
		text = text[at[1]:]
	}
	return append(list, piece{Text: text})
}

// ServeHTTP implements http.Handler.
func (p Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(p.Hosts, r.Host) {
		http.Error(w, "open http://"+p.Hosts[0], http.StatusMisdirectedRequest)
		return
	}
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	names, err := filepath.Glob(filepath.Join(p.Dir, "*.txt"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	slices.Reverse(names) // they sort by time: newest first
	var mails []shown
	for _, name := range names[:min(len(names), 50)] {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // removed since
		}
		head, body, _ := strings.Cut(string(text), "\n\n")
		mail := shown{Head: head, Body: pieces(body)}
		if len(mails) < rendered {
			mail.HTML = htmlPart(strings.TrimSuffix(name, ".txt") + ".eml")
		}
		mails = append(mails, mail)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	_ = mailsPage.Execute(w, mails) // the reader is gone
}

// maxMail bounds what is read of a mail, in bytes.
const maxMail = 1 << 20

// htmlPart returns the HTML part of a mail in a file, empty where it has none that can be read. Its links open in the window, not in the
// frame: the gate is not to be framed.
func htmlPart(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	message, err := mail.ReadMessage(io.LimitReader(f, maxMail))
	if err != nil {
		return ""
	}
	kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return ""
	}
	for parts := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := parts.NextPart() // decodes quoted-printable
		if err != nil {
			return ""
		}
		if kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type")); err != nil || kind != "text/html" {
			continue
		}
		var content io.Reader = part
		if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
			content = base64.NewDecoder(base64.StdEncoding, part)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return ""
		}
		return `<base target="_top">` + string(text)
	}
}

var mailsPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<title>Mails</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
body { max-width: 54rem; margin: 2rem auto; padding: 0 1rem }
article { border-top: 1px solid; padding: .5rem 0 }
iframe { display: block; width: 100%; height: 34rem; border: 1px solid; border-radius: .5rem; background: Canvas }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
</style>
<h1>Mails</h1>
<p>The newest first; this page looks again every five seconds.</p>
{{range .}}<article>
{{- with .HTML}}<iframe srcdoc="{{.}}" title="The mail as people see it" sandbox="allow-top-navigation-by-user-activation"></iframe>{{end}}
<pre><b>{{.Head}}</b>

{{range .Body}}{{.Text}}{{with .Link}}<a href="{{.}}">{{.}}</a>{{end}}{{end}}</pre></article>
{{else}}<p>None yet. Sign up first.</p>
{{end}}</html>
`))
