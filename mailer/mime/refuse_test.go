package mime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// TestMAIL2_OneBadCharacterRefusesAMail changes one field of a message that is right, by one character.
func TestMAIL2_OneBadCharacterRefusesAMail(t *testing.T) {
	good := mailer.Message{
		From: "Example <no-reply@example.com>", ReplyTo: "help@example.com", To: "ada@example.org", Subject: "Sign in", Text: "text\n", HTML: "<p>html</p>\n",
		MessageID: "id@example.com", Language: "en", Date: time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC),
	}
	if _, err := mime.Build(good, mime.Options{}); err != nil {
		t.Fatal(err)
	}
	header := map[string]func(m *mailer.Message, bad string){
		"from":       func(m *mailer.Message, bad string) { m.From = "Exam" + bad + "ple <no-reply@example.com>" },
		"reply_to":   func(m *mailer.Message, bad string) { m.ReplyTo = "He" + bad + "lp <help@example.com>" },
		"to":         func(m *mailer.Message, bad string) { m.To = "ada" + bad + "@example.org" },
		"subject":    func(m *mailer.Message, bad string) { m.Subject = "Sign" + bad + "in" },
		"message id": func(m *mailer.Message, bad string) { m.MessageID = "id" + bad + "@example.com" },
		"language":   func(m *mailer.Message, bad string) { m.Language = "en" + bad },
	}
	for name, change := range header {
		for _, bad := range []string{"\r", "\n", "\x00", "\x07", "\x1b", "\x7f", "\u0085", "\u2028", "\u2029", "\xff"} {
			m := good
			change(&m, bad)
			if _, err := mime.Build(m, mime.Options{}); !mailer.IsPermanent(err) {
				t.Errorf("%s with %q: %v", name, bad, err)
			}
		}
	}
	for _, bad := range strings.Split("( ) < > [ ] : ; @ \\ , \"", " ") {
		for _, name := range []string{"to", "message id"} {
			m := good
			header[name](&m, bad)
			if _, err := mime.Build(m, mime.Options{}); !mailer.IsPermanent(err) {
				t.Errorf("%s with %q: %v", name, bad, err)
			}
		}
	}
	for name, change := range map[string]func(m *mailer.Message, bad string){
		"text": func(m *mailer.Message, bad string) { m.Text = "te" + bad + "xt\n" },
		"html": func(m *mailer.Message, bad string) { m.HTML = "ht" + bad + "ml\n" },
	} {
		for _, bad := range []string{"\r", "\x00", "\xff"} {
			m := good
			change(&m, bad)
			if _, err := mime.Build(m, mime.Options{}); !mailer.IsPermanent(err) {
				t.Errorf("%s with %q: %v", name, bad, err)
			}
		}
	}
}
