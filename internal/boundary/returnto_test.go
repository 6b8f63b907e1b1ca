package boundary

import (
	"net/url"
	"strings"
	"testing"
)

func TestRED1_Accepts(t *testing.T) {
	for in, want := range map[string]string{
		"/":                                      "/",
		"/a/b?c=d&e=%2Ff#g":                      "/a/b?c=d&e=%2Ff#g",
		"/group%2Fproject":                       "/group%2Fproject",
		"/a//b":                                  "/a//b",
		"/a/./b/../c":                            "/a/c",
		"/a/%2e%2E/c":                            "/c",
		"/a/..":                                  "/",
		"/../../a":                               "/a",
		"/café/ü?q=ß":                            "/caf%C3%A9/%C3%BC?q=%C3%9F",
		"/caf%C3%A9":                             "/caf%C3%A9",
		"/a b":                                   "/a%20b",
		`/search?q=\d"<x>`:                       "/search?q=%5Cd%22%3Cx%3E",
		"/{env.HOME}?{{.}}":                      "/%7Benv.HOME%7D?%7B%7B.%7D%7D",
		"/a?to=//evil.example":                   "/a?to=//evil.example",
		"/a#//evil.example":                      "/a#//evil.example",
		"/email-linked":                          "/email-linked",
		"/x/email-link":                          "/x/email-link",
		"/a?b=/email-link/sign-out":              "/a?b=/email-link/sign-out",
		"/a;b=c":                                 "/a;b=c",
		"/:80":                                   "/:80",
		"/@evil.example":                         "/@evil.example",
		"/javascript:alert(1)":                   "/javascript:alert(1)",
		"/?":                                     "/?",
		"/" + strings.Repeat("a", maxReturnTo-1): "/" + strings.Repeat("a", maxReturnTo-1),
	} {
		if got := ReturnTo(in, "/email-link"); got != want {
			t.Errorf("ReturnTo(%.99q) = %.99q, want %.99q", in, got, want)
		}
	}
}

func TestRED1_Refuses(t *testing.T) {
	for _, in := range []string{
		"", "a", "?a", "#a", "https://evil.example", "//evil.example", "///evil.example", "javascript:alert(1)", "data:,x", "evil.example",
		`/\evil.example`, `\/evil.example`, `\\evil.example`, `/a\b`, `/a/..\..\b`,
		"/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", " /a", "/a\r\nSet-Cookie: a=b", "/a\x00", "/a\x7f", "/a\u0085\x1b",
		"/a?b\n", "/a#\r", "/.//evil.example", "/a/..//evil.example", "/%2e//evil.example", "/./%2e%2e//evil.example", "/%2E%2E/%2F/evil.example",
		"/%2fevil.example", "/%2Fevil.example", "/%5cevil.example", "/%252fevil.example", "/%255cevil.example", "/..%2f/evil.example", "/%09/evil.example",
		"/a/..%2f..%2f/evil.example", "/a%0d%0ab", "/a%00", "/a%", "/a%zz", "/\xff", "/;/../;//evil.example",
		"/" + strings.Repeat("a", maxReturnTo), "/" + strings.Repeat("ü", maxReturnTo/3),
		"/email-link", "/email-link/", "/email-link/sign-out", "/Email-Link/sign-out", "/x/../email-link/sign-out", "/./email-link", "/email-link?a",
		"/email-link#a", "/%65mail-link/sign-out", "/email-link%2fsign-out", "/x/..%2femail-link/sign-out", "/%2565mail-link", "/email-link;a=b/sign-out",
		"/x//../../email-link/", "/email%2Dlink",
	} {
		if got := ReturnTo(in, "/email-link"); got != "/" {
			t.Errorf("ReturnTo(%.99q) = %.99q, want /", in, got)
		}
	}
	if got := ReturnTo("/auth/x", "/auth/"); got != "/" {
		t.Errorf("a prefix that ends in a slash: %s", got)
	}
	if got := ReturnTo("/auth/x", ""); got != "/auth/x" {
		t.Errorf("no prefix: %s", got)
	}
}

// browse resolves a reference against an origin as a browser does for a special scheme, as far as it decides about the
// origin and the path (https://url.spec.whatwg.org/#concept-basic-url-parser).
func browse(origin, ref string) (gotOrigin, path string) {
	ref = strings.TrimFunc(ref, func(r rune) bool { return r <= ' ' })
	ref = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(ref)
	scheme, host, _ := strings.Cut(origin, "://")
	if i := strings.IndexAny(ref, ":/\\?#"); i > 0 && ref[i] == ':' {
		if s := strings.ToLower(ref[:i]); s != scheme {
			return s + ":", ref[i+1:]
		}
		ref = ref[i+1:]
	}
	rest := ref
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	rest = strings.ReplaceAll(rest, `\`, "/")
	if strings.HasPrefix(rest, "//") {
		rest = strings.TrimLeft(rest, "/")
		host, rest, _ = strings.Cut(rest, "/")
		rest = "/" + rest
	}
	var out []string
	segments := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	for i, segment := range segments {
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".":
		case "..":
			out = out[:max(len(out)-1, 0)]
		default:
			out = append(out, segment)
			continue
		}
		if i == len(segments)-1 {
			out = append(out, "")
		}
	}
	return scheme + "://" + host, "/" + strings.Join(out, "/")
}

func TestBrowse(t *testing.T) {
	for ref, want := range map[string]string{
		"/a/../b?c": "https://a.example /b", "//evil.example/x": "https://evil.example /x", `/\evil.example`: "https://evil.example /",
		"/\t/evil.example": "https://evil.example /", "http://evil.example": "http: //evil.example", "/%2e%2e/a/.": "https://a.example /a/",
		"https:evil": "https://a.example /evil", "\x01 //evil.example ": "https://evil.example /",
	} {
		origin, path := browse("https://a.example", ref)
		if got := origin + " " + path; got != want {
			t.Errorf("browse(%q) = %s, want %s", ref, got, want)
		}
	}
}

func FuzzRED1_StaysOnTheSite(f *testing.F) {
	for _, seed := range []string{
		"/", "/a/b?c#d", "//evil.example", `/\evil.example`, "/\t/evil.example", "/.//evil.example", "/%2e%2e//x", "/%2fevil", "/a b", "/ü", "/a;b",
		"/email-link/x", "/x/..%2femail-link", "https:/evil", "/{x}", "/a?\\", "/a#%zz", "/%5c", "/a%252f",
	} {
		f.Add(seed)
	}
	const origin, prefix = "https://app.example.com", "/email-link"
	f.Fuzz(func(t *testing.T, raw string) {
		to := ReturnTo(raw, prefix)
		if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\"<>{} ") || len(to) > maxReturnTo {
			t.Fatalf("ReturnTo(%q) = %q", raw, to)
		}
		if strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("ReturnTo(%q) = %q holds more than printable ASCII", raw, to)
		}
		if again := ReturnTo(to, prefix); again != to {
			t.Fatalf("ReturnTo(%q) = %q, and again %q", raw, to, again)
		}
		got, path := browse(origin, to)
		if got != origin || strings.HasPrefix(path, "//") {
			t.Fatalf("ReturnTo(%q) = %q leads to %s%s", raw, to, got, path)
		}
		base, err := url.Parse(origin + "/x/y")
		if err != nil {
			t.Fatal(err)
		}
		u, err := base.Parse(to)
		if err != nil || u.Scheme+"://"+u.Host != origin || below(u.Path, prefix) || below(path, prefix) {
			t.Fatalf("ReturnTo(%q) = %q leads to %v, %v", raw, to, u, err)
		}
	})
}
