package boundary

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSES2_OurCookiesReachNoBackend(t *testing.T) {
	for _, c := range []struct {
		name     string
		lines    []string
		insecure bool
		want     Cookies
		left     []string
	}{
		{name: "none", lines: []string{"a=b; c=d"}, left: []string{"a=b; c=d"}},
		{name: "no line"},
		{name: "alone", lines: []string{"__Host-email_link=S"}, want: Cookies{Session: "S"}},
		{name: "last", lines: []string{"a=b; __Host-email_link=S"}, want: Cookies{Session: "S"}, left: []string{"a=b"}},
		{name: "first", lines: []string{"__Host-email_link=S; a=b"}, want: Cookies{Session: "S"}, left: []string{"a=b"}},
		{name: "middle", lines: []string{"a=b; __Host-email_link=S; c=d"}, want: Cookies{Session: "S"}, left: []string{"a=b; c=d"}},
		{
			name:  "all five",
			lines: []string{"__Host-email_link=S; x=1; __Host-email_link_flow=F; __Host-email_link_token=T; y=2; __Host-email_link_known=K;__Host-email_link_handover=H"},
			want:  Cookies{Session: "S", Flow: "F", Token: "T", Known: "K", Handoff: "H"}, left: []string{"x=1; y=2"},
		},
		{
			name: "several lines", lines: []string{"__Host-email_link=S", "a=b", "c=d; __Host-email_link_flow=F"},
			want: Cookies{Session: "S", Flow: "F"}, left: []string{"a=b", "c=d"},
		},
		{
			name: "crumbs", lines: []string{"a=b", "__Host-email_link_flow=F", "__Host-email_link=S"},
			want: Cookies{Session: "S", Flow: "F"}, left: []string{"a=b"},
		},
		{name: "the other form is dropped", lines: []string{"email_link=X; a=b; __Host-email_link=S"}, want: Cookies{Session: "S"}, left: []string{"a=b"}},
		{name: "plain http", insecure: true, lines: []string{"email_link=S; __Host-email_link=X"}, want: Cookies{Session: "S"}},
		{name: "two of one name", lines: []string{"__Host-email_link=S; __Host-email_link=X"}, want: Cookies{Doubled: true}},
		{
			name: "two of one name in two lines", lines: []string{"__Host-email_link=S", "__Host-email_link=S; __Host-email_link_flow=F"},
			want: Cookies{Flow: "F", Doubled: true},
		},
		{name: "two of the other form", lines: []string{"email_link=X; email_link=Y; __Host-email_link=S"}, want: Cookies{Session: "S"}},
		{name: "white space", lines: []string{"a=b;\t __Host-email_link\t= S \t;c=d"}, want: Cookies{Session: "S"}, left: []string{"a=b; c=d"}},
		{name: "no space", lines: []string{"a=b;__Host-email_link=S;c=d"}, want: Cookies{Session: "S"}, left: []string{"a=b; c=d"}},
		{name: "empty parts", lines: []string{";; __Host-email_link=S;;"}, want: Cookies{Session: "S"}},
		{name: "no value", lines: []string{"__Host-email_link=; __Host-email_link_flow"}},
		{name: "equals in the value", lines: []string{"__Host-email_link=a=b"}, want: Cookies{Session: "a=b"}},
		{
			name: "others that look alike", lines: []string{"__Host-email_link_x=1; my__Host-email_link=2; __Host-Email_Link=3; a=__Host-email_link=4; email_linked=5"},
			left: []string{"__Host-email_link_x=1; my__Host-email_link=2; __Host-Email_Link=3; a=__Host-email_link=4; email_linked=5"},
		},
		{name: "spelling of others is kept", lines: []string{"a=b;c = d ;; __Host-email_link=S"}, want: Cookies{Session: "S"}, left: []string{"a=b;c = d ;"}},
	} {
		h := http.Header{"Cookie": c.lines}
		if c.lines == nil {
			h = http.Header{}
		}
		got := ExtractCookies(h, !c.insecure)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(c.left, h["Cookie"]); diff != "" {
			t.Errorf("%s: left (-want +got):\n%s", c.name, diff)
		}
		if _, there := h["Cookie"]; there && c.left == nil {
			t.Errorf("%s: an empty Cookie header is left", c.name)
		}
	}
}

func TestCookieName(t *testing.T) {
	if got := CookieName(SessionCookie, true) + " " + CookieName(FlowCookie, false); got != "__Host-email_link email_link_flow" {
		t.Error(got)
	}
	for _, kind := range cookieKinds {
		for _, secure := range []bool{false, true} {
			h := http.Header{"Cookie": {CookieName(kind, secure) + "=v"}}
			if got := ExtractCookies(h, secure); got == (Cookies{}) || len(h) != 0 {
				t.Errorf("%s is not taken", CookieName(kind, secure))
			}
		}
	}
}

func TestTakeCookiesAllocates(t *testing.T) {
	for _, line := range []string{"a=b; c=d", "a=b; c=d; __Host-email_link=S", "__Host-email_link=S; a=b; c=d"} {
		lines := []string{line}
		h := http.Header{"Cookie": lines}
		if n := testing.AllocsPerRun(100, func() {
			lines[0] = line
			ExtractCookies(h, true)
		}); n != 0 {
			t.Errorf("%q: %v allocations", line, n)
		}
	}
	h := http.Header{}
	if n := testing.AllocsPerRun(100, func() { ExtractCookies(h, true) }); n != 0 {
		t.Errorf("no cookies: %v allocations", n)
	}
}

func BenchmarkTakeCookies(b *testing.B) {
	session := CookieName(SessionCookie, true) + "=" + strings.Repeat("x", 50)
	for name, line := range map[string]string{"absent": "theme=dark; lang=en", "last": "theme=dark; " + session, "middle": "a=b; " + session + "; c=d"} {
		b.Run(name, func(b *testing.B) {
			lines := []string{line}
			h := http.Header{"Cookie": lines}
			b.ReportAllocs()
			for b.Loop() {
				lines[0] = line
				ExtractCookies(h, true)
			}
		})
	}
}

func FuzzSES2_TakeCookies(f *testing.F) {
	f.Add("a=b; __Host-email_link=S; c=d", "email_link_flow=F")
	f.Add(";;=;__Host-email_link", "__Host-email_link = x ;")
	f.Add("\nemail_link", "1")
	f.Fuzz(func(t *testing.T, one, two string) {
		h := http.Header{"Cookie": {one, two}}
		ExtractCookies(h, true)
		// What net/http and a plain splitter read from the rest.
		for _, cookie := range (&http.Request{Header: h}).Cookies() {
			if _, _, ok := ourCookie(cookie.Name); ok {
				t.Fatalf("%q %q leave %q", one, two, h)
			}
		}
		var others []string
		for _, line := range []string{one, two} {
			for pair := range strings.SplitSeq(line, ";") {
				name, _, _ := strings.Cut(pair, "=")
				if _, _, ok := ourCookie(trimSpace(name)); !ok && trimSpace(pair) != "" {
					others = append(others, trimSpace(pair))
				}
			}
		}
		var left []string
		for _, line := range h["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				if trimSpace(pair) != "" {
					left = append(left, trimSpace(pair))
				}
			}
		}
		if fmt.Sprintf("%q", others) != fmt.Sprintf("%q", left) {
			t.Fatalf("%q %q leave %q", one, two, h)
		}
	})
}

// TestDOS1_ManyCookies: a line of nothing but changes between our cookies and others is put together once, not anew for each.
func TestDOS1_ManyCookies(t *testing.T) {
	const n = 1 << 15
	header := http.Header{"Cookie": {strings.Repeat("a=b; email_link=x; ", n)}}
	allocated := testing.AllocsPerRun(1, func() {
		c := ExtractCookies(http.Header{"Cookie": {header["Cookie"][0]}}, false)
		if !c.Doubled || c.Session != "" {
			t.Error("a doubled cookie counts")
		}
	})
	if allocated > 100 {
		t.Errorf("%.0f allocations", allocated)
	}
	ExtractCookies(header, false)
	if want := strings.TrimSuffix(strings.Repeat("a=b; ", n), "; "); strings.TrimRight(header["Cookie"][0], "; ") != want {
		t.Error("other cookies are not what they were")
	}
}
