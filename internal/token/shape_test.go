package token

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// shapeNow is the time of these tests, an hour before the tokens end.
var shapeNow = time.Unix(1_800_000_000, 0).UTC()

func clockAt(t time.Time) func() time.Time { return func() time.Time { return t } }

// mailed returns one token of each kind that is mailed.
func mailed(tb testing.TB) map[string]string {
	tb.Helper()
	r, c := ring(tb), testClaims()
	link, err := c.Link(r, c.FID.Seed(r, 0, 1), false)
	if err != nil {
		tb.Fatal(err)
	}
	cancel, err := c.Link(r, c.FID.Seed(r, 0, 1), true)
	if err != nil {
		tb.Fatal(err)
	}
	end := shapeNow.Add(time.Hour)
	return map[string]string{
		"stored": New(r, NewSeed(), "sign_in", site, end.Add(time.Millisecond)), "stored cancel": NewCancel(r, NewSeed(), "sign_in", site, end.Add(time.Second/2)),
		"stored, whole second": New(r, NewSeed(), "sign_in", site, end), "stateless": link, "stateless cancel": cancel,
	}
}

// escapeAll writes each byte as an escape.
func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// manglings are what mail programs make of a token in the value of a query, before it is escaped.
func manglings(text string) map[string]string {
	half := len(text) / 2
	all := map[string]string{
		"as it is": text, "quoted-printable": "3D" + text, "two quoted-printable": "=3D" + text, "soft line break": text[:half] + "=\r\n" + text[half:],
		"soft line break, LF": text[:half] + "=\n" + text[half:], "line end": text[:half] + "\r\n" + text[half:], "indented": text[:half] + "\r\n\t " + text[half:],
		"no-break space": text + "\u00a0", "zero width": text[:3] + "\u200b" + text[3:], "soft hyphen": text[:half] + "\u00ad" + text[half:], "mark": "\ufeff" + text,
		"in angles": "<" + text + ">", "in quotes": `"` + text + `"`, "in brackets": "(" + text + ")", "words behind": text + ". Thanks!", "underscore": text + "_",
	}
	for _, end := range []string{".", ",", ")", ">", `"`, "'", ";", ":", "!", "?", "]", "…", "»", " ", "=", "%", "\r\n", ".)", "&#62;"} {
		all["ends with "+end] = text + end
	}
	return all
}

func TestLOG2_WhatOpensAPageIsFoundInAnAddress(t *testing.T) {
	for kind, text := range mailed(t) {
		for name, value := range manglings(text) {
			cleaned, ok := Clean(value, shapeNow)
			if !ok || cleaned != text {
				t.Errorf("%s, %s: Clean(%q) = %q, %v", kind, name, value, cleaned, ok)
			}
			for _, spelled := range []string{url.QueryEscape(value), escapeAll(value), url.QueryEscape(url.QueryEscape(value)), escapeAll(escapeAll(value))} {
				for _, format := range []string{
					"/auth/link?t=%s", "/auth/link?%%74=%s", "/auth/cancel?T=%s", "/auth/link/?utm_source=x&t=%s", "/auth/link%%3Ft=%s", "//auth/link?t=%s", "/Auth/Link?t=%s",
					"/auth/link/%s", "/auth%%2flink%%2F%s", "/old/link?x=1;t=%s#x", "https://app.example.com/auth/link?t=%s", "/x?return_to=%%2Fold%%2Flink%%3Ft%%3D%s",
					"/l.php?u=https%%3A%%2F%%2Fapp.example.com%%2Fauth%%2Flink%%3Ft%%3D%s&h=1", "/auth/link?=%s", "/auth/link?t=a&t=%s",
				} {
					address := fmt.Sprintf(format, spelled)
					if !Holds(address, clockAt(shapeNow)) || !Holds(address, nil) {
						t.Errorf("%s, %s: nothing is found in %s", kind, name, address)
					}
					if redacted := Redact(address, clockAt(shapeNow)); Holds(redacted, nil) || strings.Contains(redacted, text[:20]) {
						t.Errorf("%s, %s: %s becomes %s", kind, name, address, redacted)
					}
				}
			}
		}
	}
}

// TestLOG2_ATokenCutShortIsFound holds for as much of a token as lets the rest be guessed.
func TestLOG2_ATokenCutShortIsFound(t *testing.T) {
	for kind, text := range mailed(t) {
		for _, missing := range []int{1, 2, 10} {
			short := text[:len(text)-missing]
			if cleaned, ok := Clean(short, shapeNow); ok && !strings.HasPrefix(kind, "stored") {
				t.Errorf("%s without %d characters opens %q", kind, missing, cleaned)
			}
			if !Holds("/x?t="+short, clockAt(shapeNow)) {
				t.Errorf("%s without %d characters is not found", kind, missing)
			}
		}
	}
}

// TestTOK6_CleanIsStrict accepts nothing but one whole token between what mail programs add.
func TestTOK6_CleanIsStrict(t *testing.T) {
	for kind, text := range mailed(t) {
		for name, value := range map[string]string{
			"letters behind": text + "x", "letters before": "x" + text, "twice": text + text, "twice, apart by a point": "x." + text, "lower case": strings.ToLower(text),
			"one less": text[1:], "padding inside": text[:20] + "=" + text[20:], "huge": text + strings.Repeat(" ", 4*MaxLink),
		} {
			if cleaned, ok := Clean(value, shapeNow); ok {
				t.Errorf("%s, %s: %q opens %q", kind, name, value, cleaned)
			}
		}
		if _, ok := Clean(text, shapeNow.Add(2*shapeSpan)); ok && strings.HasPrefix(kind, "stored") {
			t.Errorf("%s: a token of another year has the form", kind)
		}
	}
}

// TestLOG2_OrdinaryAddressesStayInTheLog keeps Caddy's own line for addresses that hold no token.
func TestLOG2_OrdinaryAddressesStayInTheLog(t *testing.T) {
	now := clockAt(shapeNow)
	for _, address := range []string{
		"/", "/x?t=x", "/watch?v=dQw4w9WgXcQ&t=42s", "/sign-in?t=", "/x?t=" + strings.Repeat("A", 52), "/x?t=" + strings.Repeat("a", 52), "/?q=AI+assistants+for+the+new+version+of+kubernetes+clusters",
		"/blog/Agriculture-and-AI-in-the-next-century-a-long-title-of-an-article", "/?q=AGENTS+AGREEMENTS+AND+EVERYTHING+ELSE+THAT+IS+LOUD", "/static/app.AZx8f0a1b2c3d4e5f60718293a4b5c6d.js",
		"/?code=0123456789abcdef0123456789abcdef0123456789abcdef0123", "/?id_token=eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2V4YW1wbGUuY29tIn0.c2ln",
		"/%F0%9F%98%80/" + strings.Repeat("%20", 60), "/?X-Amz-Signature=" + strings.Repeat("0f", 32), "/" + strings.Repeat("a/", 2000),
	} {
		if Holds(address, now) {
			t.Errorf("%s is kept out of the log", address)
		}
		if path, _, _ := strings.Cut(address, "?"); Redact(address, now) != path {
			t.Errorf("%s becomes %s", address, Redact(address, now))
		}
	}
}

func TestLOG2_LookingForATokenAllocatesNothing(t *testing.T) {
	now := clockAt(shapeNow)
	text := mailed(t)["stored"]
	for _, address := range []string{"/a/path/of/some/length/that/an/app/has?page=2&sort=name", "/a%20b/c?q=x+y+z+and+some+more+words+of+a+search", "/x?t=" + text, "/x?t=" + escapeAll(text)} {
		if n := testing.AllocsPerRun(100, func() { _ = Holds(address, now) }); n > 0 {
			t.Errorf("%s: %v allocations", address, n)
		}
	}
}

// FuzzLOG2_CleanIsFound reports that no text opens a page and stays in a log.
func FuzzLOG2_CleanIsFound(f *testing.F) {
	for _, text := range mailed(f) {
		for _, value := range manglings(text) {
			f.Add(value)
		}
	}
	f.Fuzz(func(t *testing.T, value string) {
		if _, ok := Clean(value, shapeNow); !ok {
			return
		}
		for _, address := range []string{"/auth/link?t=" + url.QueryEscape(value), "/auth/link/" + url.PathEscape(value), "/x?return_to=" + url.QueryEscape("/auth/link?t="+url.QueryEscape(value))} {
			if !Holds(address, clockAt(shapeNow)) {
				t.Errorf("%q opens a page and is not found in %s", value, address)
			}
		}
	})
}

func BenchmarkHolds(b *testing.B) {
	now := clockAt(shapeNow)
	for _, address := range []string{"/a/path?page=2", "/a/path/of/some/length/that/an/app/has?page=2&sort=name", "/a%20b/c?q=x+y+z+and+some+more+words+of+a+search"} {
		b.Run(address, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = Holds(address, now)
			}
		})
	}
}
