package boundary

import (
	"net/http"
	"strings"
	"testing"
)

// asked returns the headers of a well-formed question, changed by lines "Name: value"; a line "-Name" removes one.
func asked(lines ...string) http.Header {
	h := http.Header{}
	h.Set("X-Forwarded-Method", "GET")
	h.Set("X-Forwarded-Proto", "https")
	h.Set("X-Forwarded-Host", "app.example.com")
	h.Set("X-Forwarded-Uri", "/a?b=c")
	for _, line := range lines {
		name, value, added := strings.Cut(line, ": ")
		if added {
			h.Add(name, value)
		} else {
			h.Del(strings.TrimPrefix(name, "-"))
		}
	}
	return h
}

func TestHDR2_ForwardedOnceEach(t *testing.T) {
	for _, good := range []http.Header{
		asked(),
		asked("X-Original-URI: /a?b=c", "X-Original-Method: GET"),
		asked("X-Original-URI: /a?b=c", "X-Original-URI: /a?b=c"),
		asked("-X-Forwarded-Uri", "X-Forwarded-Uri: //a/../b%2fc"),
		asked("-X-Forwarded-Method", "X-Forwarded-Method: PROPFIND"),
	} {
		f, err := ReadForwarded(good)
		if err != nil || f.URI != good.Get("X-Forwarded-Uri") || f.Method != good.Get("X-Forwarded-Method") || f.Host != "app.example.com" || f.URL.Host != "" {
			t.Errorf("%v: %+v, %v", good, f, err)
		}
		f.Forget(good)
		if len(good) != 0 {
			t.Errorf("left: %v", good)
		}
	}
	for _, bad := range [][]string{
		{"-X-Forwarded-Method"},
		{"-X-Forwarded-Proto"},
		{"-X-Forwarded-Host"},
		{"-X-Forwarded-Uri"},
		{"X-Forwarded-Method: GET"},
		{"X-Forwarded-Proto: https"},
		{"X-Forwarded-Host: app.example.com"},
		{"X-Forwarded-Uri: /a?b=c"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: "},
		{"X-Original-URI: /public"},
		{"X-Original-URI: "},
		{"X-Original-Method: POST"},
		{"X-Original-URI: /a?b=c", "X-Original-URI: /public"},
		{"X-Original-URI: /a?b=c#x"},
		{"X-Original-URI: https://app.example.com/a?b=c"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: https://app.example.com/public"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: *"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: public"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: ?public"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: /public\r\nX-Other: 1"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: /%zz"},
		{"-X-Forwarded-Uri", "X-Forwarded-Uri: /public, /admin\n"},
		{"-X-Forwarded-Method", "X-Forwarded-Method: TRACE"},
		{"-X-Forwarded-Method", "X-Forwarded-Method: CONNECT"},
		{"-X-Forwarded-Method", "X-Forwarded-Method: GET, POST"},
		{"-X-Forwarded-Method", "X-Forwarded-Method: GET /x"},
		{"-X-Forwarded-Proto", "X-Forwarded-Proto: https, http"},
		{"-X-Forwarded-Proto", "X-Forwarded-Proto: HTTPS"},
	} {
		if f, err := ReadForwarded(asked(bad...)); err == nil {
			t.Errorf("%q was read as %+v", bad, f)
		} else if strings.Contains(err.Error(), "public") {
			t.Errorf("%q: the error tells what the header holds: %v", bad, err)
		}
	}
}

// FuzzPATH1_Forwarded makes sure that what was read as a path is one, and that a path on which two programs may differ is seen so.
func FuzzPATH1_Forwarded(f *testing.F) {
	for _, seed := range []string{"/", "/a?b", "//evil/x", "/public#x", "/public/..%2fadmin", "https://x/", "/%0d%0a", "*", "/\\x", "/a b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := ReadForwarded(asked("-X-Forwarded-Uri", "X-Forwarded-Uri: "+uri))
		if err != nil {
			return
		}
		if got.URL.Host != "" || got.URL.Scheme != "" || got.URL.User != nil || got.URL.Opaque != "" || !strings.HasPrefix(got.URL.Path, "/") {
			t.Fatalf("%q was read as %#v", uri, got.URL)
		}
		path, _, _ := strings.Cut(uri, "?")
		_, ambiguous, err := Views(got.URL.EscapedPath())
		if odd := strings.ContainsAny(path, "\\;#") || strings.Contains(path, "//") || strings.Contains(path, "/../"); err == nil && odd && !ambiguous {
			t.Fatalf("%q counts as plain", uri)
		}
	})
}

// TestPATH1_ForwardedEscapes keeps the client's escapes where a byte beside them belongs into no path: package url would write
// the path anew from its decoded form, and an escaped slash would be judged as a plain one.
func TestPATH1_ForwardedEscapes(t *testing.T) {
	for _, uri := range []string{`/public%2fx"`, `/public%2fx|?a=1`, `/publi%63/x^`, "/public%2Fx\xff", `/public%3bx{}`, `/public%2fx "`} {
		f, err := ReadForwarded(http.Header{
			"X-Forwarded-Method": {"GET"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example.com"}, "X-Forwarded-Uri": {uri},
		})
		if err != nil {
			t.Fatalf("%q: %v", uri, err)
		}
		if _, ambiguous, err := Views(f.URL.EscapedPath()); !ambiguous || err != nil {
			t.Errorf("%q is judged as %q, which is not ambiguous (%v)", uri, f.URL.EscapedPath(), err)
		}
	}
}
