// Package mailertest holds the suite that every mailer passes, and a real SMTP server inside the test process.
package mailertest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// Subject is one mailer under test with a view of what it delivered.
type Subject struct {
	// Mailer is fresh: nothing was sent through it.
	Mailer mailer.Mailer
	// Delivered returns the mails that arrived so far, oldest first. It need only hold what Send has said yes to.
	Delivered func(t *testing.T) []Mail
	// Idempotent says that a mail sent twice is stored once.
	Idempotent bool
}

// Run runs the suite. fresh is called once for each test and cleans up through t.
func Run(t *testing.T, fresh func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"MAIL2_RefusesInjection":  testInjection,
		"Delivers":                testDelivers,
		"SameBytesAtEveryRetry":   testRetry,
		"AwkwardTexts":            testAwkward,
		"Concurrent":              testConcurrent,
		"EndedContext":            testContext,
		"Close":                   testClose,
		"ErrorsNameNoRecipient":   testErrors,
		"HeadersOfAutomaticMails": testHeaders,
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if err := s.Mailer.Close(ctx); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test(t, s)
		})
	}
}

// Sample returns a valid message; n makes its addressee, its link and its Message-ID differ.
func Sample(n int) mailer.Message {
	link := fmt.Sprintf("https://app.example.com/email-link/link?t=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%02d", n)
	return mailer.Message{
		From:    `"Exämple, Inc." <no-reply@example.com>`,
		ReplyTo: "help@example.com",
		To:      fmt.Sprintf("someone.%d@example.org", n),
		Subject: "Sign in to app.example.com – grüße",
		Text:    "Hello,\n\nopen this link to sign in:\n\n" + link + "\n\nor type 1234 5678.\n\nGrüße\n",
		HTML:    "<p>Hello,</p>\n<p><a href=\"" + link + "\">Sign in</a> – Grüße</p>\n",
		Date:    time.Date(2026, 3, 1, 12, 30, n, 0, time.FixedZone("", 3600)),

		MessageID: fmt.Sprintf("mail-%d.abcdef@example.com", n),
		Language:  "en",
	}
}

// want is what must arrive of m.
func want(m mailer.Message) Mail {
	return Mail{
		From: "no-reply@example.com", FromName: "Exämple, Inc.", ReplyTo: m.ReplyTo, To: m.To, Subject: m.Subject,
		Text: strings.TrimRight(m.Text, "\n"), HTML: strings.TrimRight(m.HTML, "\n"), MessageID: m.MessageID,
	}
}

// seen drops what not every mailer has.
func seen(m Mail) Mail {
	m.Header, m.Raw, m.EnvelopeFrom, m.EnvelopeTo = nil, nil, "", ""
	return m
}

func send(t *testing.T, s Subject, m mailer.Message) {
	t.Helper()
	if err := s.Mailer.Send(t.Context(), m); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

func testDelivers(t *testing.T, s Subject) {
	for n := range 3 {
		send(t, s, Sample(n))
	}
	got := s.Delivered(t)
	if len(got) != 3 {
		t.Fatalf("%d mails arrived, want 3", len(got))
	}
	for n, m := range got {
		if diff := cmp.Diff(want(Sample(n)), seen(m)); diff != "" {
			t.Errorf("mail %d (-want +got):\n%s", n, diff)
		}
		link := strings.Split(Sample(n).Text, "\n")[4]
		if m.Raw != nil && !bytes.Contains(m.Raw, []byte("\r\n"+link+"\r\n")) {
			t.Errorf("mail %d: the bare URL is not whole on a line of the source:\n%s", n, m.Raw)
		}
		if m.EnvelopeTo != "" && (m.EnvelopeTo != m.To || m.EnvelopeFrom != m.From) {
			t.Errorf("mail %d: envelope %q → %q", n, m.EnvelopeFrom, m.EnvelopeTo)
		}
	}
}

func testRetry(t *testing.T, s Subject) {
	send(t, s, Sample(1))
	send(t, s, Sample(1))
	got := s.Delivered(t)
	if s.Idempotent {
		if len(got) != 1 {
			t.Fatalf("%d mails, want 1", len(got))
		}
		return
	}
	if len(got) != 2 {
		t.Fatalf("%d mails, want 2", len(got))
	}
	if diff := cmp.Diff(string(got[0].Raw), string(got[1].Raw)); diff != "" {
		t.Errorf("the retry differs:\n%s", diff)
	}
}

func testAwkward(t *testing.T, s Subject) {
	for n, text := range []string{
		".\n..\n.hidden line\n", "From here on\nFrom the start\n", "tabs\tand trailing blanks  \n\n\nend", "=3D =?utf-8?q?x?=\n",
		"emoji 🗝 and العربية\n", strings.Repeat("a very long line ", 100) + "\n", "--" + strings.Repeat("b", 60) + "--\n",
	} {
		m := Sample(n)
		m.Text, m.HTML = text, "<pre>"+text+"</pre>"
		m.Subject = strings.Repeat("Ein langer Betreff mit Umlauten äöü ", 10)
		send(t, s, m)
		got := s.Delivered(t)
		if diff := cmp.Diff(want(m), seen(got[len(got)-1])); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func testInjection(t *testing.T, s Subject) {
	for _, bad := range []string{"\r\nBcc: x@example.net", "\nBcc: x@example.net", "\rBcc: x@example.net", "\x00", "\u2028", "\x85", "\x7f", "\xff"} {
		for name, set := range map[string]func(*mailer.Message){
			"From":      func(m *mailer.Message) { m.From = "\"a" + bad + "\" <a@example.com>" },
			"From end":  func(m *mailer.Message) { m.From += bad },
			"ReplyTo":   func(m *mailer.Message) { m.ReplyTo += bad },
			"To":        func(m *mailer.Message) { m.To += bad },
			"To start":  func(m *mailer.Message) { m.To = bad + m.To },
			"Subject":   func(m *mailer.Message) { m.Subject += bad },
			"MessageID": func(m *mailer.Message) { m.MessageID += bad },
			"Language":  func(m *mailer.Message) { m.Language += bad },
		} {
			m := Sample(1)
			set(&m)
			if err := s.Mailer.Send(t.Context(), m); err == nil || !mailer.IsPermanent(err) {
				t.Errorf("%s with %q: got %v, want a permanent error", name, bad, err)
			}
		}
	}
	for _, to := range []string{"", "a@b@example.org", "a@example.org,b@example.org", "<a@example.org>", "a b@example.org", "@example.org", "a@", "a"} {
		m := Sample(1)
		m.To = to
		if err := s.Mailer.Send(t.Context(), m); err == nil || !mailer.IsPermanent(err) {
			t.Errorf("To %q: got %v, want a permanent error", to, err)
		}
	}
	for _, text := range []string{"smuggled\r.\rMAIL FROM:<x@example.net>", "nul\x00", "\xff"} {
		m := Sample(1)
		m.Text = text
		if err := s.Mailer.Send(t.Context(), m); err == nil || !mailer.IsPermanent(err) {
			t.Errorf("text %q: got %v, want a permanent error", text, err)
		}
	}
	if got := s.Delivered(t); len(got) != 0 {
		t.Errorf("%d mails arrived, want none", len(got))
	}
}

func testConcurrent(t *testing.T, s Subject) {
	const n = 20
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := s.Mailer.Send(t.Context(), Sample(i)); err != nil {
				t.Errorf("Send %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	ids := map[string]int{}
	for _, m := range s.Delivered(t) {
		ids[m.MessageID]++
	}
	for i := range n {
		if id := Sample(i).MessageID; ids[id] != 1 {
			t.Errorf("%s arrived %d times", id, ids[id])
		}
	}
}

func testContext(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Mailer.Send(ctx, Sample(1)); err == nil || mailer.IsPermanent(err) {
		t.Errorf("Send with an ended context: %v, want an error to try again after", err)
	}
	if got := s.Delivered(t); len(got) != 0 {
		t.Errorf("%d mails arrived, want none", len(got))
	}
}

func testClose(t *testing.T, s Subject) {
	send(t, s, Sample(1))
	for range 2 {
		if err := s.Mailer.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := s.Mailer.Send(t.Context(), Sample(2)); err == nil || mailer.IsPermanent(err) {
		t.Errorf("Send after Close: %v, want an error to try again after", err)
	}
	if got := s.Delivered(t); len(got) != 1 {
		t.Errorf("%d mails arrived, want 1", len(got))
	}
}

func testErrors(t *testing.T, s Subject) {
	m := Sample(1)
	m.To = "private.person@@example.org"
	if err := s.Mailer.Send(t.Context(), m); err == nil || strings.Contains(err.Error(), "private") {
		t.Errorf("the error names the recipient: %v", err)
	}
}

func testHeaders(t *testing.T, s Subject) {
	send(t, s, Sample(1))
	h := s.Delivered(t)[0].Header
	if h == nil {
		t.Skip("this mailer hands over no header")
	}
	for name, value := range map[string]string{
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Content-Language": "en",
		"Date": "Sun, 01 Mar 2026 12:30:01 +0100", "Message-ID": "<" + Sample(1).MessageID + ">",
	} {
		if got := h.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	for _, name := range []string{"X-Mailer", "User-Agent", "Received", "Sender", "Bcc", "X-Originating-IP"} {
		if got := h.Get(name); got != "" {
			t.Errorf("%s: %q, want none", name, got)
		}
	}
}
