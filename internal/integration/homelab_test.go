package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// homelab is the example of that name: its apps, by host and by the port that each listens on there, with the header by which it learns who
// is there.
var homelab = []struct{ host, name, header, port string }{
	{"photos.home", "Photos", "", "9081"},
	{"music.home", "Music", "Remote-User", "9082"},
	{"files.home", "Files", "", "9083"},
	{"feeds.garden", "Feeds", "Remote-User", "9084"},
	{"calendar.garden", "Calendar", "X-Remote-User", "9085"},
	{"pumps.garden", "Pumps", "", "9086"},
}

// startHomelab starts the example as it is written, with ports of the test's own, and with the people of its file.
func startHomelab(t *testing.T) *process {
	t.Helper()
	p := newProcess(t, setup{})
	dir, err := filepath.Abs("../../examples/homelab")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, change := range [][2]string{
		{"localhost:9000", p.admin},
		{":9080", ":" + p.port},
		{"build/homelab/email_link.db", p.db + "\n\t\tsecret {env.EMAIL_LINK_TEST_SECRET}"},
		{"file build/homelab/mails", "smtp " + p.mails.Addr + " {\n\t\t\ttls none\n\t\t}"},
		{"import apps.Caddyfile", ""},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("the example has no %q", change[0])
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	for _, app := range homelab {
		text = strings.ReplaceAll(text, "localhost:"+app.port, p.backend.addr)
	}
	p.write(text)
	cmd := gatetest.Command(t.Context(), p.dir, "email-link", "accounts", "import", filepath.Join(dir, "people.csv"), "--create", "--config", filepath.Join(p.dir, "Caddyfile"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "added 3, 0 there already, 0 bad") {
		t.Fatalf("importing the people: %v\n%s", err, out)
	}
	p.start()
	return p
}

// TestPORT9_TheHomelabExample walks through the example: one mail, six apps on two domains, each with the header that it reads and without
// one that a client sends; another person, who may open fewer; a sign-out that ends them all.
func TestPORT9_TheHomelabExample(t *testing.T) {
	w := startHomelab(t)
	w.backend.answers(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(rw, "%s%s", r.Header.Get("Remote-User"), r.Header.Get("X-Remote-User"))
	})
	auth := w.portalAt("auth.home")
	signIn := func(email string) *visitor {
		v := w.visitor()
		v.header = v.header.Clone()
		v.header.Set("Remote-User", "root@example.com")
		v.header.Set("X-Remote-User", "root@example.com")
		v.visit(http.MethodPost, auth+"/email-link/sign-in", url.Values{"email": {email}})
		_, link := w.mail()
		v.visit(http.MethodGet, link, nil)
		return v
	}
	ada := signIn("ada@example.com")
	for _, app := range homelab {
		want := ""
		if app.header != "" {
			want = "ada@example.com"
		}
		if res, body := ada.open(app.host, "/?q=1"); res.StatusCode != http.StatusOK || body != want || ada.trail[len(ada.trail)-1] != app.host+".localhost:"+w.port+"/" {
			t.Errorf("%s: %d, the app is told of %q, by way of %v", app.host, res.StatusCode, body, ada.trail)
		}
	}
	jo := signIn("jo@example.com")
	_, launcher := jo.open("auth.home", "/")
	for _, app := range homelab {
		if shown, want := strings.Contains(launcher, "<span>"+app.name+"</span>"), app.name != "Files"; shown != want {
			t.Errorf("the gardener's first page shows %s: %v", app.name, shown)
		}
	}
	if res, body := jo.open("files.home", "/"); res.StatusCode != http.StatusForbidden || !strings.Contains(body, "Files") {
		t.Errorf("the family's files for the gardener: %d by way of %v", res.StatusCode, jo.trail)
	}
	ada.visit(http.MethodPost, w.portalAt("feeds.garden")+"/email-link/sign-out", url.Values{"form": {"1"}})
	for _, app := range homelab {
		ada.open(app.host, "/")
		if at := ada.trail[len(ada.trail)-1]; at != "auth.home.localhost:"+w.port+"/email-link/sign-in" {
			t.Errorf("%s after the sign-out at another site: at %s", app.host, at)
		}
	}
	links := 0
	for _, m := range w.mails.Mails() {
		if linkIn.MatchString(m.Text) {
			links++
		}
	}
	if links != 2 {
		t.Errorf("%d mails with a link for two people", links)
	}
	if res, _ := jo.open("pumps.garden", "/"); res.StatusCode != http.StatusOK {
		t.Errorf("the other person afterwards: %d by way of %v", res.StatusCode, jo.trail)
	}
}
