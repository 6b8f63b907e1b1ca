package doctor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// gateAt answers as a gate does whose answer to a nonce begins with a word.
func gateAt(t *testing.T, word string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(boundary.HealthHeader, "ok")
		if word != "" {
			w.Header().Set(boundary.AnswerHeader, word+r.URL.Query().Get("nonce"))
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// TestPORT12_AnotherGateIsNamed asks gates of which some are of another database, and one of an older build.
func TestPORT12_AnotherGateIsNamed(t *testing.T) {
	t.Parallel()
	own, other, older := gateAt(t, "own"), gateAt(t, "other"), gateAt(t, "")
	n := Network{Resolver: dns{}, AnswerNonce: func(nonce string) string { return "own" + nonce }}
	site := Site{Path: "/email-link"}
	for _, one := range []*httptest.Server{own, other, older} {
		site.Origins = append(site.Origins, Origin{Text: one.URL, Host: "127.0.0.1"})
	}
	got := map[string]Finding{}
	for _, f := range n.Check(t.Context(), Facts{NoMail: true, Sites: []Site{site}}) {
		if f.Check == "reachable" {
			address, _, _ := strings.Cut(f.Text, " ")
			got[address] = f
		}
	}
	for address, want := range map[string]Result{own.URL: OK, other.URL: Fail, older.URL: Fail} {
		if f := got[address]; f.Result != want || want == Fail && !strings.Contains(f.Text, "answered by another gate") {
			t.Errorf("%s: %+v, want %s", address, f, want)
		}
	}
	n.AnswerNonce = nil // nothing is open: there is nothing to compare with
	for _, f := range n.Check(t.Context(), Facts{NoMail: true, Sites: []Site{site}}) {
		if f.Check == "reachable" && f.Result != OK {
			t.Errorf("without a database: %+v", f)
		}
	}
}

// TestPORT12_EachHostIsAskedOnce lists what is asked of sites that share their base_url: each host at its own site's path, and those below a
// star that the sites name.
func TestPORT12_EachHostIsAskedOnce(t *testing.T) {
	t.Parallel()
	shared := []Origin{
		{Text: "https://auth.example.com", Host: "auth.example.com"},
		{Text: "https://photos.example.org:8443", Host: "photos.example.org"},
		{Text: "https://gone.example.net", Host: "gone.example.net"},
		{Text: "https://*.example.com:8443", Host: ".example.com", Wildcard: true},
	}
	f := Facts{Sites: []Site{
		{Hosts: []string{"photos.example.org"}, Origins: shared, Path: "/sign"},
		{Hosts: []string{"auth.example.com"}, Origins: shared, Path: "/email-link"},
		{Hosts: []string{"A.example.com", "*.example.com", "b.c.example.com"}, Origins: shared, Path: "/email-link"},
		{Origins: []Origin{{Text: "https://inner.example.com", Host: "inner.example.com"}}, Nested: true},
	}}
	var got []string
	for _, one := range f.targets() {
		got = append(got, one.origin+one.path)
	}
	want := "https://photos.example.org:8443/sign https://auth.example.com/email-link https://auth.example.com:8443/email-link " +
		"https://a.example.com:8443/email-link https://gone.example.net/sign"
	if strings.Join(got, " ") != want {
		t.Errorf("asked are\n%s, want\n%s", strings.Join(got, " "), want)
	}
}
