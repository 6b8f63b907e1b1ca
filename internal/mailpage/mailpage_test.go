package mailpage

import (
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/file"
)

func TestMailPageAnswersToItsOwnNamesOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"1.txt": "Subject: first\n\nopen http://localhost/link?t=1 <b>", "2.txt": "Subject: second\n\nnothing",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page := Page{Dir: dir, Hosts: []string{"localhost:8081", "127.0.0.1:8081"}}
	for target, want := range map[string]int{
		"http://localhost:8081/": 200, "http://127.0.0.1:8081/": 200, "http://attacker.example/": 421, "http://localhost:8082/": 421, "http://localhost:8081/x": 404,
	} {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, http.NoBody))
		body := w.Body.String()
		if w.Code != want || (want == 200) != strings.Contains(body, `<a href="http://localhost/link?t=1">`) || strings.Contains(body, "<b>\n") {
			t.Errorf("%s: %d\n%s", target, w.Code, body)
		}
		if want == 200 && strings.Index(body, "Subject: second") > strings.Index(body, "Subject: first") {
			t.Errorf("not the newest first:\n%s", body)
		}
	}
}

// TestMailPageShowsWhatPeopleSee writes mails as the mailer does, and reads the HTML part of the newest ones in frames without rights.
func TestMailPageShowsWhatPeopleSee(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{"<p>the oldest</p>", "<p>the second</p>", `<p class="x">Grüße<script>alert(1)</script></p>`, "<p>" + strings.Repeat("long ", 400) + "</p>"} {
		err := m.Send(context.Background(), mailer.Message{
			From: "no-reply@example.com", To: "you@example.com", Subject: "Hello", Text: "the text\n", HTML: part,
			MessageID: strings.Repeat("m", i+1) + "@example.com", Date: time.Date(2026, 11, 29, 12, i, 0, 0, time.UTC),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	Page{Dir: dir, Hosts: []string{"localhost:8081"}}.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost:8081/", http.NoBody))
	body := w.Body.String()
	if n := strings.Count(body, ` sandbox="allow-top-navigation-by-user-activation"></iframe>`); n != rendered || strings.Count(body, "<iframe") != n {
		t.Errorf("%d frames, want those of the newest mails:\n%s", n, body)
	}
	for _, want := range []string{`<base target="_top"><p class="x">Grüße<script>`, strings.Repeat("long ", 400)} {
		if !strings.Contains(html.UnescapeString(body), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, "<script") || strings.Contains(body, "the oldest") || strings.Count(body, "the text") != 4 ||
		!strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v\n%s", w.Header(), body)
	}
}
