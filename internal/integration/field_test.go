package integration

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

// fieldHosts are the hosts of the gate in the configurations of the field, each with a member that has signed in.
var fieldHosts = []string{"app.localhost", "half.localhost"}

// TestCONF3_ConfigurationsOfTheField runs configurations of the shapes that people have in use, each with the requests that have to
// be admitted, refused and forwarded as the golden file says: whatever the gate learns to refuse, these go on as they are.
func TestCONF3_ConfigurationsOfTheField(t *testing.T) {
	files, err := filepath.Glob("testdata/field/*.caddyfiletest")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	w, members := newField(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sites, requests, found := strings.Cut(string(text), "----------\n")
			if !found {
				t.Fatal("no line of dashes")
			}
			if diff := cmp.Diff(string(caddyfile.Format([]byte(sites))), sites); diff != "" {
				t.Errorf("caddy fmt would change it (-fmt +is):\n%s", diff)
			}
			s := w.setup
			s.sites = w.replacer.Replace(sites)
			if err := w.tryLoad(s); err != nil {
				t.Fatal(err)
			}
			w.idle()
			var got strings.Builder
			for _, line := range strings.Split(strings.TrimSpace(requests), "\n") {
				request, _, _ := strings.Cut(line, " | ")
				fmt.Fprintf(&got, "%s | %s\n", request, w.outcome(t, request, members))
			}
			if *update {
				if err := os.WriteFile(file, []byte(sites+"----------\n"+got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(requests, got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// field is one Caddy that the configurations of the field are loaded into.
type field struct {
	*world
	setup    setup
	replacer *strings.Replacer
	backends map[string]*backend
}

func newField(t *testing.T) (*field, map[string]string) {
	t.Helper()
	f := &field{setup: setup{global: "sign_up open\nscopes dav", sites: ":$PORT {\nemail_link\nreverse_proxy $BACKEND\n}\n"}, backends: map[string]*backend{}}
	for _, host := range fieldHosts {
		f.setup.baseURL += " http://" + host + ":$PORT"
	}
	f.world = start(t, f.setup)
	files := t.TempDir()
	for name, text := range map[string]string{"index.html": "the hub", "hub.txt": "text", "index.php": "<?php"} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pairs := []string{"$FILES", files, "$FCGI", f.php(t)}
	for _, name := range []string{"ONE", "TWO", "THREE"} {
		b := newBackend(t)
		f.backends[name] = b
		pairs = append(pairs, "$"+name, b.addr)
	}
	f.replacer = strings.NewReplacer(pairs...)
	cookies := map[string]string{}
	for _, host := range fieldHosts {
		f.host = host
		c := f.client()
		f.signUp(c, strings.TrimSuffix(host, ".localhost")+"@example.com")
		cookies[host] = c.cookie()
	}
	return f, cookies
}

// php runs a FastCGI responder, as php-fpm is one, and returns its address.
func (f *field) php(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	b := newBackend(t)
	f.backends["PHP"] = b
	go func() { _ = fcgi.Serve(l, b) }()
	return l.Addr().String()
}

// outcome sends a request and returns what became of it: the status, where it leads, and what arrived at which backend.
func (f *field) outcome(t *testing.T, request string, cookies map[string]string) string {
	t.Helper()
	words := strings.Fields(request)
	if len(words) != 4 {
		t.Fatalf("%q: want who, method, host and path", request)
	}
	f.host = words[2]
	header := "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\nRemote-User: forged\nX-Webauth-User: forged\n"
	switch words[0] {
	case "member":
		header += "Cookie: mine=1; " + cookies[words[2]] + "\n"
	case "member-of-app":
		header += "Cookie: " + cookies["app.localhost"] + "\n"
	}
	res, body := f.raw(words[1] + " " + words[3] + " HTTP/1.1\nHost: $HOST\n" + header + "Connection: close\n\n")
	parts := []string{fmt.Sprint(res.StatusCode)}
	if location := res.Header.Get("Location"); location != "" {
		parts = append(parts, "to "+strings.ReplaceAll(location, f.port, "$PORT"))
	}
	for _, name := range []string{"ONE", "TWO", "THREE", "PHP"} {
		for _, r := range f.backends[name].taken() {
			parts = append(parts, "at "+name, r.method, r.uri, arrived(r.header))
		}
	}
	if text := strings.TrimSpace(body); res.StatusCode != http.StatusSeeOther && len(text) < 40 {
		parts = append(parts, fmt.Sprintf("%q", text))
	}
	return strings.Join(parts, " ")
}

// arrived names the headers that say who is there.
func arrived(header http.Header) string {
	var b bytes.Buffer
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		switch value := strings.Join(header[name], ","); {
		case name == "Email-Link-Assertion" && len(value) > 200:
			b.WriteString("+assertion")
		case strings.HasPrefix(name, "Remote-"), strings.HasPrefix(name, "X-Webauth-"), strings.HasPrefix(name, "X-Emby-"), strings.HasPrefix(name, "Email-Link-"), name == "Cookie":
			fmt.Fprintf(&b, "+%s=%s", name, value)
		}
	}
	return b.String()
}
