package mime_test

import (
	"bytes"
	stdmime "mime"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// senderNames are names that senders have. An empty name is written as the bare address.
var senderNames = []string{
	"",
	"Example",
	"Bücher & Café Gemeinschaft Köln e. V.",
	"Відділ продажу — Shop",
	"株式会社サンプル カスタマーサポートセンター",
	"فريق الدعم الفني للموقع",
	"Support (Billing)",
	"Example, Inc.",
	`The "Best" Shop \ Co`,
	"=?utf-8?q?Not_an_encoded_word?= of Example",
	"The Exceedingly Verbose Society for the Preservation of Long Names in Mail Headers of the World",
	strings.Repeat("🗝", 30),
	"a@example.org via Example",
	strings.Repeat(`"`, 40),
}

// named is a message from a sender, written as a mailbox.
func named(from string) mailer.Message {
	return mailer.Message{
		From: from, ReplyTo: from, To: "someone@example.org", Subject: "Sign in", Text: "x", HTML: "x", MessageID: "x@example.com",
		Date: time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC),
	}
}

// mailbox writes a name as an operator does.
func mailbox(name string) string {
	const address = "no-reply.and.a.very.long.local.part@mail.example.com"
	if name == "" {
		return address
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + address + `>`
}

// checkField checks that a header field begins on its first line and is folded in time.
func checkField(t *testing.T, raw []byte, field string) {
	t.Helper()
	_, rest, _ := strings.Cut(string(raw), "\r\n"+field+": ")
	for n, line := range strings.Split(rest, "\r\n") {
		if n == 0 {
			line = field + ": " + line
		} else if !strings.HasPrefix(line, " ") {
			return
		}
		if strings.TrimSpace(line) == field+":" || len(line) > 76 {
			t.Errorf("a line of %s: %q", field, line)
		}
	}
}

// TestNamesBeginOnTheirFirstLine reads each name with the standard library's parser, which shares no code with the writer.
func TestNamesBeginOnTheirFirstLine(t *testing.T) {
	for _, name := range senderNames {
		raw, err := mime.Build(named(mailbox(name)), mime.Options{})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"From", "Reply-To"} {
			checkField(t, raw, field)
			list, err := parsed.Header.AddressList(field)
			if err != nil || len(list) != 1 || list[0].Name != name {
				t.Errorf("%s: %q is read as %v, %v", field, name, list, err)
			}
		}
	}
}

// subjects are texts of subjects.
var subjects = append([]string{
	"Sign in", "grüße", "a =?utf-8?q?x?= b", strings.Repeat("Ein langer Betreff mit Umlauten äöü ", 10),
	strings.Repeat("x", 66), strings.Repeat("x", 67), "Your sign-in link for app.example.com – grüße aus Köln",
}, senderNames[1:]...)

func TestSubjectBeginsOnItsFirstLine(t *testing.T) {
	for _, text := range subjects {
		m := named("no-reply@example.com")
		m.Subject = text
		raw, err := mime.Build(m, mime.Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkField(t, raw, "Subject")
		parsed, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := new(stdmime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject")); err != nil || got != text {
			t.Errorf("%q is read as %q, %v", text, got, err)
		}
	}
}
