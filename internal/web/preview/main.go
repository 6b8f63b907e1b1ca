// Command preview writes every page and every mail, in every state and language, into one directory with an index to click
// through.
//
//	go run ./internal/web/preview -o build/preview [-templates dir]
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"html"
	"html/template"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

//go:embed index.html
var indexText string

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

// language is one section of the index.
type language struct {
	Tag, Name, Dir string
	Pages          []group
	Mails          []mailEntry
}

// group is one page with its states.
type group struct {
	Name   string
	States []state
}

type state struct {
	Name, File, Title string
	Status            int
}

type mailEntry struct{ Name, Subject, HTML, Text string }

// run renders everything into out.
func run(out, dir string) error {
	set, err := templates.Load(templates.Options{Dir: dir, Location: time.UTC})
	if err != nil {
		return err
	}
	index, err := template.New("index").Parse(indexText)
	if err != nil {
		return err
	}
	var languages []language
	tags := slices.DeleteFunc(set.Languages(), func(tag string) bool { return tag == templates.DefaultLanguage })
	for _, tag := range append([]string{templates.DefaultLanguage}, tags...) {
		l := language{Tag: tag}
		l.Name, l.Dir = set.Describe(tag)
		for _, s := range templates.PageSamples() {
			if err := l.addPage(set, out, s); err != nil {
				return err
			}
		}
		for _, s := range templates.MailSamples() {
			if err := l.addMail(set, out, s); err != nil {
				return err
			}
		}
		languages = append(languages, l)
	}
	var b bytes.Buffer
	if err := index.Execute(&b, languages); err != nil {
		return err
	}
	return write(out, "index.html", b.Bytes())
}

var (
	// loaded finds the names of assets that a page loads.
	loaded = regexp.MustCompile(`href="/\./assets/([^"]+)"`)
	title  = regexp.MustCompile(`<title>(.*?)</title>`)
)

// groupNames are the pages by the names of their facts.
var groupNames = map[string]string{
	"SignIn": "Sign in", "SignUp": "Sign up", "Reset": "Ask for a new password", "Password": "Change the password", "Resend": "Check your email",
	"NoFlowPage": "No sign-in in progress", "Confirm": "An opened link", "ConfirmCancel": "An opened cancel link", "ConfirmNone": "No link is open",
	"Cancelled": "After a cancel", "Dead": "A link that does not work", "Incomplete": "A link that is not complete", "Home": "Your account",
	"Account": "Account settings", "Prove": "A code for an act on the account", "Delete": "Delete the account", "Deleted": "A deleted account",
	"ConfirmUndo": "An opened link that keeps a deleted account", "TokenForm": "A machine token of one's own", "TokenMade": "A new machine token",
	"InvitationForm": "Invite someone",
	"ConfirmAddress": "An opened link of a change of address", "AddressDone": "After a change of address",
	"SignOut": "Sign out", "Refused": "Errors",
}

// addPage writes one page, and what it loads beside it.
func (l *language) addPage(set *templates.Set, out string, s templates.PageSample) error {
	s.Frame.Language, s.Frame.Prefix = l.Tag, "/."
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
	name, found := groupNames[reflect.TypeOf(s.Facts).Name()]
	if !found {
		return fmt.Errorf("%s: groupNames has no words for pages of %T", s.Name, s.Facts)
	}
	if n := len(l.Pages); n == 0 || l.Pages[n-1].Name != name {
		l.Pages = append(l.Pages, group{Name: name})
	}
	shown := strings.TrimSuffix(first(title, text), " · "+s.Frame.Site)
	g := &l.Pages[len(l.Pages)-1]
	g.States = append(g.States, state{Name: s.Name, File: l.Tag + "/" + s.Name + ".html", Title: shown, Status: s.Status})
	return write(out, filepath.Join(l.Tag, s.Name+".html"), []byte(text))
}

// addMail writes both parts of one mail.
func (l *language) addMail(set *templates.Set, out string, s templates.MailSample) error {
	m, err := set.Mail(s.Mail, l.Tag)
	if err != nil {
		return err
	}
	file := "mail-" + s.Name
	l.Mails = append(l.Mails, mailEntry{
		Name: s.Name, Subject: m.Subject,
		HTML: l.Tag + "/" + file + ".html", Text: l.Tag + "/" + file + ".txt",
	})
	if err := write(out, filepath.Join(l.Tag, file+".html"), []byte(m.HTML)); err != nil {
		return err
	}
	// The mark tells browsers that open the file by its path that it is UTF-8.
	return write(out, filepath.Join(l.Tag, file+".txt"), []byte("\ufeffSubject: "+m.Subject+"\n\n"+m.Text))
}

// first returns what p finds first, as plain text.
func first(p *regexp.Regexp, text string) string {
	m := p.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return html.UnescapeString(strings.TrimSpace(m[1]))
}

func write(out, name string, content []byte) error {
	name = filepath.Join(out, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o644)
}
