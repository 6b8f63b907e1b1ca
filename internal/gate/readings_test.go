package gate

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// below matches paths below a prefix as `path` does: in any case for demands, in its own for what it opens.
type below string

func (b below) Opens(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, string(b)) }

func (b below) Demands(r *http.Request) bool {
	return strings.HasPrefix(strings.ToLower(r.URL.Path), strings.ToLower(string(b)))
}

// method matches one method.
type method string

func (m method) Opens(r *http.Request) bool   { return r.Method == string(m) }
func (m method) Demands(r *http.Request) bool { return m.Opens(r) }

func one(ms ...Matcher) Sets { return Sets{ms} }

// sent makes a request with a target as it is sent.
func sent(t *testing.T, target string) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		u = &url.URL{Path: target}
	}
	return &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
}

func see(r *http.Request, path string) *http.Request {
	seen, u := *r, *r.URL
	u.Path, u.RawPath, u.Opaque = path, "", ""
	seen.URL = &u
	return &seen
}

func TestCONF2_Need(t *testing.T) {
	for name, c := range map[string]struct {
		access Access
		want   map[string]Need
	}{
		"public": {Access{Public: one(below("/share/Xy7"))}, map[string]Need{
			"/share/Xy7": NeedNothing, "/share/Xy7/a": NeedNothing, "/share/xY7": NeedAll, "/share/xy7": NeedAll, "/SHARE/Xy7": NeedAll, "/": NeedAll,
			"/share/Xy7/a;b": NeedAll, "/share/Xy7/..%2fa": NeedAll, "//share/Xy7": NeedAll, "/share/%58y7": NeedAll,
		}},
		"public but": {Access{Public: one(Not{one(below("/admin/"))})}, map[string]Need{
			"/a": NeedNothing, "/A": NeedNothing, "/admin/x": NeedAll, "/Admin/x": NeedAll, "/a;b": NeedAll,
		}},
		"protect": {Access{Protect: one(below("/Admin/"))}, map[string]Need{
			"/": NeedNothing, "/A": NeedNothing, "/admin/x": NeedAll, "/ADMIN/x": NeedAll, "/Admin/x": NeedAll, "/a;b": NeedSession, "//x/admin/x": NeedSession,
		}},
		"protect but": {Access{Protect: one(Not{one(below("/share/Xy7"))})}, map[string]Need{
			"/share/Xy7": NeedNothing, "/share/xY7": NeedAll, "/a": NeedAll,
		}},
		"protect, public": {Access{Protect: one(below("/admin/")), Public: one(below("/admin/Logo"))}, map[string]Need{
			"/admin/Logo": NeedNothing, "/admin/logo": NeedAll, "/ADMIN/Logo": NeedAll, "/admin/x": NeedAll, "/a": NeedNothing,
		}},
		"optional": {Access{Optional: true}, map[string]Need{"/": NeedNothing, "/A;b": NeedNothing}},
		"all":      {Access{}, map[string]Need{"/": NeedAll, "/A;b": NeedAll}},
	} {
		c.access.See = see
		for path, want := range c.want {
			if got, err := c.access.Need(sent(t, path)); got != want || err != nil {
				t.Errorf("%s: %s needs %d, want %d (%v)", name, path, got, want, err)
			}
		}
		r := sent(t, "/")
		r.URL.Path = "/a\x00"
		if got, err := c.access.Need(r); got != NeedAll || !errors.Is(err, boundary.ErrPath) {
			t.Errorf("%s: NUL needs %d, %v", name, got, err)
		}
	}
}

// spellings are ways to write /admin/x of which Caddy reads some and programs behind it others.
var spellings = []string{
	"/admin/x", "/ADMIN/x", "//admin/x", "//x/admin/x", "///x/admin/x", "/%2fx/admin/x", `/\x/admin/x`, "/;/admin/x", "/admin;a/x", "/%61dmin/x", "/%2561dmin/x",
	"/x/..%2fadmin/x", "/x/../admin/x", "/x/%252e%252e/admin/x", `/x/..\admin\x`, "/x/..%255cadmin/x", "/admin%2fx", "/admin%252Fx", "/./admin/x", "/admin./x",
	"/%EF%BC%8Fadmin/x", "/%c0%afadmin/x", "/ad%09min/x", "x:admin/x", "/admin/x%3f", "/admin/x%23",
}

// elsewhere are ambiguous paths that no program takes for one below /admin.
var elsewhere = []string{"/ann/proj/-/blob/main%2Fadmin/x", "/bucket/a%2Fb", "/a;b", "/remote.php/dav/100%25", "//x/y", "/a/./b", "/Admin%2Dx", "/x/%2e%2e/admins/x"}

func TestCONF2_Ways(t *testing.T) {
	strip := func(prefix string) func(r *http.Request) *http.Request {
		return func(r *http.Request) *http.Request { return see(r, strings.TrimPrefix(r.URL.Path, prefix)) }
	}
	for name, c := range map[string]struct {
		route Route
		at    string
		also  string
		want  bool
	}{
		"unconditional":   {Route{}, "", "", true},
		"path":            {Route{{Match: one(below("/admin/"))}}, "", "", true},
		"nested":          {Route{{Match: one(below("/ad"))}, {Match: one(below("/admin/"))}}, "", "", true},
		"method":          {Route{{Match: one(below("/admin/"), method("GET"))}}, "", "", true},
		"another method":  {Route{{Match: one(below("/admin/"), method("POST"))}}, "", "", false},
		"alternatives":    {Route{{Match: Sets{{method("POST")}, {below("/admin/")}}}}, "", "", true},
		"but":             {Route{{Match: one(Not{one(below("/public/"))})}}, "", "", true},
		"after a sibling": {Route{{Match: one(below("/admin/")), Unless: []Sets{one(below("/admin/open/"))}}}, "", "", true},
		"shadowed":        {Route{{Match: one(below("/admin/")), Unless: []Sets{one(below("/admin/x"))}}}, "", "/admin/x", false},
		"moved":           {Route{{Match: one(below("/app/"))}, {Rewrite: strip("/app")}, {Match: one(below("/admin/"))}}, "/app", "", true},
		"moved elsewhere": {Route{{Match: one(below("/app/"))}, {Rewrite: strip("/app")}, {Match: one(below("/other/"))}}, "/app", "", false},
		"moved by a rule": {Route{{Match: one(below("/app/")), Rewrite: strip("/app")}, {Match: one(below("/admin/"))}}, "/app", "", true},
	} {
		for _, path := range spellings {
			if !c.want && c.also == "" && name != "moved elsewhere" || c.want || path == c.also {
				if c.at != "" && path[0] != '/' {
					continue
				}
				if got := c.route.Reaches(Read(sent(t, c.at+path), see)); got != c.want {
					t.Errorf("%s: %q reaches: %t", name, c.at+path, got)
				}
			}
		}
	}
	guarded := Route{{Match: one(below("/admin/"))}}
	for _, path := range elsewhere {
		if guarded.Reaches(Read(sent(t, path), see)) {
			t.Errorf("%q reaches /admin", path)
		}
	}
	for _, path := range []string{"/public/a;b", "/public/a%2Fb", "/public/./x"} {
		if (Route{{Match: one(Not{one(below("/public/"))})}}).Reaches(Read(sent(t, path), see)) {
			t.Errorf("%q reaches what is not below /public", path)
		}
	}
	if !(Route{{Match: one(Not{one(below("/public/"))})}}).Reaches(Read(sent(t, "/public/..%2fadmin"), see)) {
		t.Error("a path that leaves /public does not reach what is not below it")
	}
	// One with too many readings to look at reaches everything.
	if !guarded.Reaches(Read(sent(t, "/"+strings.Repeat("a;", 3000)), see)) {
		t.Error("a path that is too long to be read in every way reaches nothing")
	}
}

// TestCONF2_OneReading: a program reads a path in one way, so no two readings together reach a gate.
func TestCONF2_OneReading(t *testing.T) {
	route := Route{{Match: one(below("/x;a/"))}, {Match: one(below("/x/"))}}
	if route.Reaches(Read(sent(t, "/x;a/y"), see)) {
		t.Error("two readings together reach a gate")
	}
}

func TestCONF2_Protects(t *testing.T) {
	a := Access{Protect: one(below("/admin/")), See: see}
	for _, path := range spellings {
		if !a.Protects(sent(t, path)) {
			t.Errorf("%q is not protected", path)
		}
	}
	for _, path := range elsewhere {
		if a.Protects(sent(t, path)) {
			t.Errorf("%q is protected", path)
		}
	}
}
