package mime_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

func TestBuildSource(t *testing.T) {
	m := mailer.Message{
		From: "Example <no-reply@bücher.example>", To: "someone@example.org", Subject: "Sign in to app.example.com",
		Text: "Open\nhttps://app.example.com/email-link/link?t=AB\n", HTML: "<a href=\"https://app.example.com/email-link/link?t=AB\">Sign in</a>",
		Date: time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC), MessageID: "x@example.com",
	}
	raw, err := mime.Build(m, mime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := strings.Split(strings.SplitN(string(raw), "boundary=", 2)[1], "\r\n")[0]
	want := strings.ReplaceAll(`Date: Sun, 01 Mar 2026 12:30:00 +0000
From: "Example" <no-reply@xn--bcher-kva.example>
To: <someone@example.org>
Subject: Sign in to app.example.com
Message-ID: <x@example.com>
Auto-Submitted: auto-generated
X-Auto-Response-Suppress: All
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary=BOUNDARY

--BOUNDARY
Content-Transfer-Encoding: 7bit
Content-Type: text/plain; charset=UTF-8

Open
https://app.example.com/email-link/link?t=AB

--BOUNDARY
Content-Transfer-Encoding: 7bit
Content-Type: text/html; charset=UTF-8

<a href="https://app.example.com/email-link/link?t=AB">Sign in</a>

--BOUNDARY--
`, "BOUNDARY", b)
	if diff := cmp.Diff(strings.ReplaceAll(want, "\n", "\r\n"), string(raw)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMailbox(t *testing.T) {
	for in, want := range map[string]string{
		"no-reply@example.com":                  "no-reply@example.com",
		`"Example, Inc." <a@example.com>`:       "a@example.com",
		"Bücher <post@bücher.example>":          "post@xn--bcher-kva.example",
		"":                                      "",
		"example.com":                           "",
		"a@example.com, b@example.com":          "",
		`"odd local"@example.com`:               "",
		"bücher@example.com":                    "",
		"a@exa_mple.com":                        "",
		"Support (Billing) <a@example.com>":     "",
		"a@example.com (Support)":               "",
		`"Support (Billing)" <a@example.com>`:   "a@example.com",
		`"A \" (B)" <a@example.com>`:            "a@example.com",
		"Name <name@example.com>":               "name@example.com",
		`"Name, Inc." <name@example.com>`:       "name@example.com",
		"Group: a@example.com;":                 "",
		"a@[192.0.2.1]":                         "",
		"a@example.com\r\nBcc: b@example.com":   "",
		"=?utf-8?q?=0d=0aBcc:?= <a@example.com": "",
	} {
		a, err := mime.Mailbox(in)
		if err != nil {
			if want != "" {
				t.Errorf("%q: %v", in, err)
			}
			continue
		}
		if a.Address != want {
			t.Errorf("%q: %q, want %q", in, a.Address, want)
		}
	}
}

// TestMailbox_TheNameInBracketsIsKept: what the refusal of a comment tells to write.
func TestMailbox_TheNameInBracketsIsKept(t *testing.T) {
	a, err := mime.Mailbox(`"Name (Team)" <name@example.com>`)
	if err != nil || a.Name != "Name (Team)" {
		t.Errorf("%+v %v", a, err)
	}
}

func FuzzMAIL2_Build(f *testing.F) {
	f.Add("Example <no-reply@example.com>", "a@example.org", "Sign in", "text\n", "<p>html</p>\n", "id@example.com", "en", false)
	f.Add("a@b.example", "a@ü.example", "äöü =?utf-8?q?=0d=0aBcc:x?=", ".\n..\r\n", strings.Repeat("x", 2000), "i@d", "", true)
	f.Add("a@b.example", "c@d.example", "bell\x07", "text\n", "html\n", "id@example.com", "", false)
	f.Add("a@b.example", "c@d.example", "lone CR", "a\rb\n", "html\n", "id@example.com", "", false)
	f.Add("\"\r\nBcc: x\" <a@b.example>", "a@b\x00", "a\rb", "\r", "\n\n", "@", "\n", true)
	f.Fuzz(func(t *testing.T, from, to, subject, text, html, id, lang string, seven bool) {
		m := mailer.Message{
			From: from, To: to, Subject: subject, Text: text, HTML: html, MessageID: id, Language: lang,
			Date: time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC),
		}
		raw, err := mime.Build(m, mime.Options{SevenBit: seven})
		if err != nil {
			if !mailer.IsPermanent(err) {
				t.Fatalf("not permanent: %v", err)
			}
			return
		}
		again, err := mime.Build(m, mime.Options{SevenBit: seven})
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatal("two builds differ")
		}
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("line of %d bytes: %q", len(line), line)
			}
		}
		got, err := mailertest.Parse(raw)
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		norm := func(s string) string { return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n") }
		if got.Text != norm(text) || got.HTML != norm(html) {
			t.Fatalf("text %q → %q, html %q → %q", text, got.Text, html, got.HTML)
		}
		for name := range got.Header {
			switch name {
			case "From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Language",
				"Auto-Submitted", "X-Auto-Response-Suppress":
			default:
				t.Fatalf("unexpected header %q", name)
			}
			if len(got.Header[name]) != 1 {
				t.Fatalf("%d headers %q", len(got.Header[name]), name)
			}
		}
	})
}

// TestBuild_PartsStayAsTheyAre: only what the next hop cannot carry is encoded, since some readers show the source of a link.
func TestBuild_PartsStayAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		name, line string
		seven      bool
		want       string
	}{
		{"ASCII", "Sign in", false, "7bit"},
		{"ASCII to a server without 8BITMIME", "Sign in", true, "7bit"},
		{"umlauts", "Grüße", false, "8bit"},
		{"umlauts to a server without 8BITMIME", "Grüße", true, "quoted-printable"},
		{"the longest line", strings.Repeat("x", 998), false, "7bit"},
		{"a line too long", strings.Repeat("x", 999), false, "quoted-printable"},
	} {
		m := named("no-reply@example.com")
		m.Text, m.HTML = c.line, c.line
		raw, err := mime.Build(m, mime.Options{SevenBit: c.seven})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(raw), "\r\nContent-Transfer-Encoding: "+c.want+"\r\n"); n != 2 {
			t.Errorf("%s: %d of 2 parts are %s:\n%s", c.name, n, c.want, raw)
		}
		if got, err := mailertest.Parse(raw); err != nil || got.Text != c.line || got.HTML != c.line {
			t.Errorf("%s: read as %q, %q, %v", c.name, got.Text, got.HTML, err)
		}
	}
}
