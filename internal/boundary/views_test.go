package boundary

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPATH1_OneMeaning(t *testing.T) {
	for raw, want := range map[string][]string{
		"/":                           {"/"},
		"/a/b-c_d~e.html":             {"/a/b-c_d~e.html"},
		"/a/":                         {"/a/"},
		"/.well-known/x":              {"/.well-known/x"},
		"/a..b/..c":                   {"/a..b/..c"},
		"/README.md":                  {"/README.md"},
		"/a%20b":                      {"/a b"},
		"/caf%C3%A9":                  {"/café"},
		"/caf%C3%89":                  {"/cafÉ"},
		"/wiki/Talk:Foo_(bar)":        {"/wiki/Talk:Foo_(bar)"},
		"/@me/$x,y=z&a+b!*'":          {"/@me/$x,y=z&a+b!*'"},
		"/%E4%BE%8B/%D0%BF":           {"/例/п"},
		"/a/%5Bid%5D":                 {"/a/[id]"},
		"/" + strings.Repeat("a", 99): {"/" + strings.Repeat("a", 99)},
	} {
		got, ambiguous, err := Views(raw)
		if diff := cmp.Diff(want, got); diff != "" || ambiguous || err != nil {
			t.Errorf("Views(%q): ambiguous %v, %v\n%s", raw, ambiguous, err, diff)
		}
	}
}

func TestPATH1_Ambiguous(t *testing.T) {
	// Each spelling of something that a reader may take for /admin/x must have a view that says so.
	for _, raw := range []string{
		"//admin/x", "/public//../admin/x", "/public/../admin/x", "/public/./../admin/x", "/./admin/x", "/public/%2e%2e/admin/x",
		"/public/%2E./admin/x", "/public/..%2fadmin/x", "/public%2f..%2fadmin/x", "/public/..%252fadmin/x", "/public/%252e%252e/admin/x",
		`/public\..\admin\x`, `/public/..\admin/x`, "/public/..%5cadmin/x", "/public/%5c../admin/x", "/public/..%255cadmin/x", `\admin\x`,
		"/public/..;/admin/x", "/public/..;a=b/admin/x", "/admin;a=b/x", "/;/admin/x", "/public/;/../admin/x", "/public/..%3b/admin/x",
		"/admin%2fx", "/admin%2Fx", "/admin%252fx", "/%61dmin/x", "/%2561dmin/x", "/ADMIN//x", "/%41dmin/x", "admin/x", "/a/b/../../admin/x",
		"/../admin/x", "/a/..//admin/x", "/admin/./x", "/admin/y/../x", "/.//admin/x", "/%2fadmin/x", "/%5cadmin/x", "/admin/x;y",
	} {
		views, ambiguous, err := Views(raw)
		if err != nil || !ambiguous {
			t.Errorf("Views(%q): ambiguous %v, %v", raw, ambiguous, err)
		}
		if !containsFold(views, "/admin/x") {
			t.Errorf("Views(%q) = %q lacks /admin/x", raw, views)
		}
		if views[0] != raw {
			t.Errorf("Views(%q) begins with %q", raw, views[0])
		}
	}
	for _, raw := range []string{
		"", "*", "public/x", "/public/.", "/public/..", "/public/x.", "/public/x./y", "/public/x%20", "/public/x%20/y", "/public/...", "/a;b",
		"/public/%7f", "/public/%0a", "/public/a\tb", "/public/%01", "/public/%3f/x", "/public/%23/x", "/public/x?y", "/public/x#y", "/100%25", "/a%2Db",
		"/public/%ff", "/public/%c0%af../admin", "/public/%c0%ae%c0%ae/admin", "/public/%EF%BC%8Fadmin", "/public/\uFF0E\uFF0E/admin",
		"/public/%E2%80%AE", "/public/%E2%80%8B", "/\u212Aey", "/a%7Eb", "/a%2500b",
	} {
		if _, ambiguous, err := Views(raw); !ambiguous || err != nil {
			t.Errorf("Views(%q): ambiguous %v, %v", raw, ambiguous, err)
		}
	}
}

// TestCONF2_Readings: each of these is /admin/x to some parser in use, and a view has to say so.
func TestCONF2_Readings(t *testing.T) {
	for _, raw := range []string{
		// A host before the path: WHATWG parsers, PHP's parse_url, Python's urlsplit, Go's url.Parse.
		"//x/admin/x", "//x:80/admin/x", "//a@x/admin/x", "///x/admin/x", "//x//admin/x", "//x/./admin/x", "//x/y/../admin/x", "//X/ADMIN/x",
		"/%2fx/admin/x", "/%2f%2fx/admin/x", "/%252fx/admin/x", `/\x/admin/x`, `\\x\admin\x`, "/%5cx/admin/x", "/.//x/admin/x", "/y/..//x/admin/x",
		"//x;y/admin/x", "/;//x/admin/x", "//x%2fadmin/x", "//%61/admin/x",
		// Parameters, also where they hide a segment or a dot segment.
		"/;/admin/x", "/admin;a/x", "/;a=b/admin/x", "/admin%3ba/x", "/y/..;/admin/x", "/y/;/../..;a/admin;b/x",
		// Encoded twice.
		"/%2561dmin/x", "/%2541DMIN/x", "/y/%252e%252e/admin/x", "/y/..%252fadmin/x", "/%252fadmin/x", "/admin%252fx", "/admin%253ba/x",
		// What follows the path.
		"/admin/x%3f", "/admin/x%3fy/z", "/admin/x#y", "/admin/x%23/../y", "/admin/x%253fy", "/y/../admin/x#/..",
		// Backslashes, dots and spaces as Windows has them.
		`/y\..\admin\x`, "/y%5c..%5cadmin%5cx", "/admin./x", "/admin%20/x", "/admin.../x.", "/admin/x%20.", "/y/.../../../admin/x",
		// Characters that are dropped or taken for others.
		"/ad%09min/x", "/%0aadmin/x", "/ad%E2%80%8Bmin/x", "/%EF%BC%8Fadmin/x", "/%EF%BD%81dmin/x", "/%EF%BC%A1DMIN/x", "/y/%E2%80%A5/admin/x",
		"/y/%c0%ae%c0%ae/admin/x", "/y/..%c0%afadmin/x", "/%c0%afadmin/x", "/%c1%a1dmin/x", "/%25c0%25afadmin/x",
		// Not below "/".
		"admin/x", "./admin/x", "../admin/x", "%2fadmin/x",
	} {
		views, ambiguous, err := Views(raw)
		if err != nil || !ambiguous || !containsFold(views, "/admin/x") {
			t.Errorf("Views(%q) lacks /admin/x: ambiguous %v, %v, %q", raw, ambiguous, err, views)
		}
	}
	// What people use beside an /admin/* is nowhere near it.
	for _, raw := range []string{
		"/remote.php/dav/files/ann/100%25%20%2B%3B.txt", "/index.php/s/Xy7/download?", "/ann/project/-/blob/main%2Fadmin/x", "/bucket/a%2Fadmin%2Fx",
		"/api/v4/projects/ann%2Fadmin/x", "/bucket//admin-x", "/files/admin;v=1", "/x/%E2%80%A6/admin",
	} {
		views, _, err := Views(raw)
		if err != nil || len(views) == 0 || slices.ContainsFunc(views, func(v string) bool { return strings.HasPrefix(v, "/admin") }) {
			t.Errorf("Views(%q): %v, %q", raw, err, views)
		}
	}
}

func TestCONF2_SentPath(t *testing.T) {
	for target, want := range map[string]string{
		"/a%2fb?c": "/a%2fb", "/A b": "/A%20b", "x:admin/x": "admin/x", "x:%61dmin?y": "%61dmin", "http://h/a": "/a", "*": "*", "": "",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := SentPath(u); got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
}

func TestPATH1_Refused(t *testing.T) {
	for _, raw := range []string{"/%", "/%4", "/a%zz", "/%u0061", "/%%30", "/a%00", "/a\x00b", "/a%2"} {
		if ambiguous, err := Ambiguous(raw); !ambiguous || !errors.Is(err, ErrPath) {
			t.Errorf("Ambiguous(%q): %t, %v", raw, ambiguous, err)
		}
		if views, _, err := Views(raw); !errors.Is(err, ErrPath) || views != nil {
			t.Errorf("Views(%q) = %q, %v", raw, views, err)
		}
	}
}

func TestPATH1_LongPathsAreBounded(t *testing.T) {
	for _, raw := range []string{
		"/" + strings.Repeat("../", 3000) + "admin", "/" + strings.Repeat("%252e%252e;%5c/", 3000),
		`//%5c%255cX%3bx/..;%253f/A%09%2509 .%20/%e2%80%8b%25e2%2580%258b%2e%252e//%ef%bc%8f%25ef%25bc%258f;/%23%2523`,
	} {
		views, ambiguous, err := Views(raw)
		if err != nil || !ambiguous || views != nil {
			t.Errorf("%d views, ambiguous %v, %v", len(views), ambiguous, err)
		}
	}
}

func BenchmarkViews(b *testing.B) {
	for name, raw := range map[string]string{
		"ordinary": "/static/css/app.css", "upper case": "/Static/App.css", "ambiguous": "/a/..%2fB;c/d",
		"host":   "//x/admin/x",
		"costly": "/" + strings.Repeat("Aa%2541;b.%3f%5c/", 240),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Views(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzPATH1_Views(f *testing.F) {
	for _, seed := range []string{
		"/", "/a/b", "/A%20b", "//a", "/a/../b", "/%2e%2e/a", "/a%252fb", `/a\b`, "/a;b/c", "/%ff", "/%c0%af", "", "*", "/a.", "/\uFF0F", "/%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		views, ambiguous, err := Views(raw)
		if err != nil {
			if views != nil || !errors.Is(err, ErrPath) || !errors.Is(second(Ambiguous(raw)), ErrPath) {
				t.Fatalf("Views(%q) = %q, %v", raw, views, err)
			}
			return
		}
		if len(views) > maxViews || len(views) == 0 && !ambiguous {
			t.Fatalf("Views(%q): %d views", raw, len(views))
		}
		if views == nil {
			return
		}
		once, err := url.PathUnescape(raw)
		if err != nil || !slices.Contains(views, once) {
			t.Fatalf("Views(%q) = %q lacks %q (%v)", raw, views, once, err)
		}
		if ambiguous {
			return
		}
		// One meaning: nothing is left to decode, to resolve, to cut or to collapse, however often it is tried.
		again, still, err := Views((&url.URL{Path: once}).EscapedPath())
		if err != nil || still || cmp.Diff(views, again) != "" {
			t.Fatalf("Views(%q) = %q; escaped anew %q, %v, %v", raw, views, again, still, err)
		}
		for _, view := range views {
			if twice, err := url.PathUnescape(view); err != nil || twice != view || resolve(view, true) != view || cutParams(view) != view {
				t.Fatalf("Views(%q) = %q has a second meaning", raw, views)
			}
		}
	})
}

// TestDOS1_Ambiguous: what decides on a request builds no views of an ambiguous path, and judges as Views does.
func TestDOS1_Ambiguous(t *testing.T) {
	for _, path := range []string{"/", "/a/b", "/A", "/caf%C3%A9", "/a/../b", "//a", "/a%2fb", "/a;b", "", "*", "/%", "/a%00", "/" + strings.Repeat("%41/;", 800)} {
		_, want, wantErr := Views(path)
		if got, err := Ambiguous(path); got != want || !errors.Is(err, wantErr) {
			t.Errorf("%.20s: %t, %v; Views says %t, %v", path, got, err, want, wantErr)
		}
	}
}

func containsFold(views []string, path string) bool {
	return slices.ContainsFunc(views, func(view string) bool { return strings.EqualFold(view, path) })
}

func second(_ bool, err error) error { return err }
