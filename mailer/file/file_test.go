package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/mailer/file"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

func delivered(t *testing.T, dir string) []mailertest.Mail {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	var out []mailertest.Mail
	for _, name := range names { // Glob sorts
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mailertest.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, raw)
		}
		out = append(out, m)
	}
	return out
}

func TestSuite(t *testing.T) {
	mailertest.Run(t, func(t *testing.T) mailertest.Subject {
		dir := filepath.Join(t.TempDir(), "new", "mails")
		m, err := file.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		return mailertest.Subject{
			Mailer: m, Idempotent: true,
			Delivered: func(t *testing.T) []mailertest.Mail { return delivered(t, dir) },
		}
	})
}

func TestREST1_ModesOfMails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mails")
	m, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if err := m.Send(t.Context(), mailertest.Sample(n)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Fatalf("%d files, %v; want .eml and .txt of two mails and nothing else", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
		if !strings.HasPrefix(e.Name(), "20260301T1130") {
			t.Errorf("%s does not begin with the mail's time in UTC", e.Name())
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(entries[0].Name(), ".eml")+".txt"))
	if err != nil || !strings.Contains(string(text), "To: someone.0@example.org\n") || !strings.Contains(string(text), "\nhttps://app.example.com/email-link/link?t=") {
		t.Errorf("the .txt lacks the recipient or the link: %v\n%s", err, text)
	}
}

func TestUnwritableDirectoryIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := file.New(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), mailertest.Sample(1)); err == nil {
		t.Error("a mail was written below a file")
	}
	if _, err := file.New(""); err == nil {
		t.Error("New without a directory: no error")
	}
}
