package templates

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

var update = flag.Bool("update", false, "write the golden files anew")

func load(t testing.TB, opts Options) *Set {
	t.Helper()
	opts.Location = time.UTC
	s, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run go test ./templates -update and read the difference", file)
	}
}

func TestMails_Golden(t *testing.T) {
	s := load(t, Options{})
	for _, tag := range s.Languages() {
		for _, m := range MailSamples() {
			r, err := s.Mail(m.Mail, tag)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(tag, m.Name+".txt"), "Subject: "+r.Subject+"\nContent-Language: "+r.Language+"\n\n"+r.Text)
			golden(t, filepath.Join(tag, m.Name+".html"), r.HTML)
		}
	}
}

func TestMails_TextIsForPeople(t *testing.T) {
	s := load(t, Options{})
	for _, tag := range s.Languages() {
		for _, m := range MailSamples() {
			r, err := s.Mail(m.Mail, tag)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(r.Text) {
				line = strings.TrimSuffix(line, "\n")
				if columns(line) > textWidth && !strings.HasPrefix(line, "https://") {
					t.Errorf("%s/%s: %d columns: %s", tag, m.Name, columns(line), line)
				}
				if strings.Contains(line, "https://") && strings.ContainsRune(line, ' ') {
					t.Errorf("%s/%s: an address does not stand on a line of its own: %s", tag, m.Name, line)
				}
			}
			if strings.Contains(r.Text, "\n\n\n") || strings.Contains(r.Text, "**") || strings.Contains(r.Text, "&#") {
				t.Errorf("%s/%s: the text is not tidy:\n%s", tag, m.Name, r.Text)
			}
			if !strings.Contains(r.Subject, m.Mail.Site) {
				t.Errorf("%s/%s: the subject %q does not name the site", tag, m.Name, r.Subject)
			}
		}
	}
}

func TestMails_SayWhatTheyMust(t *testing.T) {
	s := load(t, Options{})
	for _, m := range MailSamples() {
		r, err := s.Mail(m.Mail, "en")
		if err != nil {
			t.Fatal(err)
		}
		facts := []string{m.Mail.Host, m.Mail.Network, "14:03 UTC"}
		if m.Mail.Link != "" || m.Mail.Code != "" {
			facts = append(facts, "until ")
		}
		if m.Mail.Link != "" {
			facts = append(facts, m.Mail.Link)
		}
		if m.Mail.Code != "" {
			facts = append(facts, "1234 5678", "Enter the code only at", "in the window where you requested it", "Nobody will ever ask you for it")
		}
		if m.Mail.Cancel != "" {
			facts = append(facts, m.Mail.Cancel)
		}
		for _, fact := range facts {
			if !strings.Contains(strings.Join(strings.Fields(r.Text), " "), fact) {
				t.Errorf("%s: the text lacks %q", m.Name, fact)
			}
			if !strings.Contains(r.HTML, fact) {
				t.Errorf("%s: the HTML lacks %q", m.Name, fact)
			}
		}
		switch {
		case m.Mail.Link != "":
			if !strings.Contains(r.Text, "\n"+m.Mail.Link+"\n") || !strings.Contains(r.HTML, "\n<a href=\""+m.Mail.Link) {
				t.Errorf("%s: the bare address does not stand on a line of its own", m.Name)
			}
		case strings.Contains(r.Text+r.HTML, "/link?t="), m.Mail.Code == "" && strings.Contains(r.Text+r.HTML, "1234"):
			t.Errorf("%s: a mail without a link carries one, or a notice a code", m.Name)
		}
	}
}

func TestMails_NothingRemoteAndNothingActive(t *testing.T) {
	s := load(t, Options{})
	href := regexp.MustCompile(`href="([^"]*)"`)
	for _, m := range MailSamples() {
		r, err := s.Mail(m.Mail, "en")
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<img", "<script", "src=", "@import", "url(", "<link", "<form", "background=\"", " on"} {
			if bad == " on" {
				if regexp.MustCompile(`\son[a-z]+=`).MatchString(r.HTML) {
					t.Errorf("%s: an event handler", m.Name)
				}
				continue
			}
			if strings.Contains(r.HTML, bad) {
				t.Errorf("%s: %q", m.Name, bad)
			}
		}
		for _, h := range href.FindAllStringSubmatch(r.HTML, -1) {
			if !strings.HasPrefix(h[1], m.Mail.Origin+"/") {
				t.Errorf("%s: a link leads to %s", m.Name, h[1])
			}
		}
		for _, must := range []string{`name="color-scheme"`, "prefers-color-scheme: dark", `role="presentation"`, `lang="en"`, `dir="ltr"`} {
			if !strings.Contains(r.HTML, must) {
				t.Errorf("%s: no %q", m.Name, must)
			}
		}
	}
}

func TestMAIL2_NothingIsInterpreted(t *testing.T) {
	s := load(t, Options{})
	const evil = "{env.HOME} {{.Code}} {file./etc/passwd} {site} <b>&\"'\r\nBcc: x@example.com"
	m := MailSamples()[0].Mail
	m.Site, m.Contact = evil, evil
	r, err := s.Mail(m, "en")
	if err != nil {
		t.Fatal(err)
	}
	const literal = "{env.HOME} {{.Code}} {file./etc/passwd} {site}"
	if !strings.Contains(r.Subject, literal) || !strings.Contains(r.Text, "{file./etc/passwd}") ||
		!strings.Contains(r.HTML, literal+" &lt;b&gt;&amp;") {
		t.Errorf("a value did not come out literally:\n%s\n%s", r.Subject, r.Text)
	}
	if strings.ContainsAny(r.Subject, "\r\n") {
		t.Errorf("the subject %q has more than one line", r.Subject)
	}
	if strings.Contains(r.HTML, "<b>") {
		t.Error("a value became markup")
	}
}

func TestMail_SameFactsSameBytes(t *testing.T) {
	s := load(t, Options{})
	m := MailSamples()[0].Mail
	first, err := s.Mail(m, "en")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Mail(m, "en-GB,en;q=0.8")
	if err != nil || first != again {
		t.Errorf("the same mail twice differs (%v)", err)
	}
	if _, err := s.Mail(Mail{Kind: "none"}, "en"); err == nil {
		t.Error("a mail of no kind was rendered")
	}
}

// TestMails_HideNothing: text that only filters and assistive technology see looks like a trick to both.
func TestMails_HideNothing(t *testing.T) {
	hidden := regexp.MustCompile(`(?i)display:\s*none|visibility:\s*hidden|max-height:\s*0|font-size:\s*0|opacity:\s*0|\shidden\b`)
	s := load(t, Options{})
	for _, tag := range s.Languages() {
		for _, m := range MailSamples() {
			r, err := s.Mail(m.Mail, tag)
			if err != nil {
				t.Fatal(err)
			}
			if found := hidden.FindString(r.HTML); found != "" {
				t.Errorf("%s, %s: %q", tag, m.Name, found)
			}
		}
	}
}

// TestMails_KeepLongLinksWhole writes each mail with the longest link that there is, that of a stateless flow: it is whole on a line of the
// source of both parts, whatever the server takes.
func TestMails_KeepLongLinksWhole(t *testing.T) {
	const longest = 900 // flow.MaxURL
	s := load(t, Options{})
	long := sampleLink + strings.Repeat("x", longest-len(sampleLink))
	for _, tag := range s.Languages() {
		for _, m := range MailSamples() {
			if m.Mail.Link == "" {
				continue
			}
			m.Mail.Link = long
			if m.Mail.Cancel != "" {
				m.Mail.Cancel = long[:longest-1] + "y"
			}
			r, err := s.Mail(m.Mail, tag)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := mime.Build(mailer.Message{
				From: "no-reply@example.com", To: "jo@example.com", Subject: r.Subject, Text: r.Text, HTML: r.HTML, Date: sampleTime,
				MessageID: "x@example.com",
			}, mime.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(raw), long); n != 4 || strings.Contains(string(raw), "quoted-printable") {
				t.Errorf("%s, %s: the link is %d times in the source, want 4:\n%s", tag, m.Name, n, raw)
			}
		}
	}
}
