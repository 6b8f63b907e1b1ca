package mailpage

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
