package gate

import (
	"strings"
	"testing"
)

func TestMAIL1_ParseOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://app.example.com":                      "https://app.example.com",
		"https://app.example.com/":                     "https://app.example.com",
		"https://APP.example.com:443":                  "https://app.example.com",
		"https://app.example.com:8443":                 "https://app.example.com:8443",
		"https://bücher.example":                       "https://xn--bcher-kva.example",
		"https://*.example.com":                        "https://*.example.com",
		"http://localhost:8080":                        "http://localhost:8080",
		"http://127.0.0.1":                             "http://127.0.0.1",
		"http://[::1]:80":                              "http://[::1]",
		"http://app.localhost":                         "http://app.localhost",
		"http://*.localhost":                           "http://*.localhost",
		"http://example.com":                           "",
		"http://10.0.0.1":                              "",
		"ftp://example.com":                            "",
		"https://user@example.com":                     "",
		"https://example.com/x":                        "",
		"https://example.com?x":                        "",
		"https://example.com?":                         "",
		"https://example.com#":                         "",
		"https://*":                                    "",
		"https://*.com":                                "",
		"https://a.*.example.com":                      "",
		"https://*a.example.com":                       "",
		"https://*.192.0.2.1":                          "",
		"https://example.com:":                         "",
		"https://example.com:0":                        "",
		"https://example.com:65536":                    "",
		"https://exa mple.com":                         "",
		"https://exa\x00mple.com":                      "",
		"//example.com":                                "",
		"example.com":                                  "",
		"":                                             "",
		"https://" + strings.Repeat("a.", 200) + "com": "",
	} {
		o, err := ParseOrigin(in)
		if (err == nil) != (want != "") || o.String() != want {
			t.Errorf("%q: %q, %v; want %q", in, o, err, want)
		}
	}
}

func TestMAIL1_Resolve(t *testing.T) {
	var list []Origin
	for _, s := range []string{"https://app.example.com", "https://*.example.org", "http://localhost:8080", "https://[2001:db8::1]:8443"} {
		o, err := ParseOrigin(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	for host, want := range map[string]string{
		"app.example.com":       "https://app.example.com",
		"APP.Example.com":       "https://app.example.com",
		"app.example.com.":      "https://app.example.com",
		"app.example.com:443":   "https://app.example.com",
		"app.example.com:80":    "",
		"app.example.com:8443":  "",
		"a.example.org":         "https://a.example.org",
		"a.b.example.org":       "",
		"example.org":           "",
		".example.org":          "",
		"evilexample.org":       "",
		"localhost:8080":        "http://localhost:8080",
		"localhost":             "",
		"[2001:db8::1]:8443":    "https://[2001:db8::1]:8443",
		"app.example.com@evil":  "",
		"app.example.com/evil":  "",
		"app.example.com, evil": "",
		"":                      "",
		":443":                  "",
		"a\n.example.org":       "",
	} {
		got, ok := Resolve(list, host)
		if got != want && (ok || want != "") {
			t.Errorf("%q: %q, %v; want %q", host, got, ok, want)
		}
	}
}

func FuzzCFG1_ParseOrigin(f *testing.F) {
	for _, s := range []string{"https://app.example.com", "https://*.example.com:8443", "http://[::1]:80", "https://bücher.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseOrigin(s)
		if err != nil {
			return
		}
		again, err := ParseOrigin(o.String())
		if err != nil || again != o {
			t.Errorf("%q: the canonical form %q reads as %+v, %v", s, o, again, err)
		}
	})
}
