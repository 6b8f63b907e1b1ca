package module

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// withMatchers loads a handler's matchers from JSON, as Caddy does.
func withMatchers(t *testing.T, protect, public string) *Handler {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	h := &Handler{site: new(gate.Site)}
	for _, one := range []struct {
		text string
		into *caddyhttp.RawMatcherSets
	}{{protect, &h.ProtectRaw}, {public, &h.PublicRaw}} {
		if one.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(one.text), one.into); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.loadMatchers(ctx); err != nil {
		t.Fatal(err)
	}
	return h
}

// requestFor is a request for a path as Caddy's server hands it to handlers.
func requestFor(method, path string) *http.Request {
	r := httptest.NewRequest(method, "http://localhost"+path, nil)
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), &caddyhttp.Server{})
}

// TestCONF2_Matchers reads each kind of matcher as what opens, case included, and as what protects, in any case.
func TestCONF2_Matchers(t *testing.T) {
	t.Setenv("EMAIL_LINK_TEST_SHARE", "/share/Xy7")
	const open, closed, asked, unasked = gate.NeedNothing, gate.NeedAll, gate.NeedAll, gate.NeedNothing
	type paths map[string]gate.Need
	for name, c := range map[string]struct {
		protect, public string
		want            paths
	}{
		"public path": {public: `[{"path":["/share/Xy7"]}]`, want: paths{"/share/Xy7": open, "/share/xY7": closed, "/share/xy7": closed, "/share/Xy7/": closed}},
		"public path, a prefix": {public: `[{"path":["/Docs/*"]}]`, want: paths{
			"/Docs/a": open, "/Docs/A.md": open, "/docs/a": closed, "/DOCS/A.md": closed, "/Docs/a%20B": open, "/Docs/%C3%89": open,
		}},
		"public path, lower case": {public: `[{"path":["/docs/*"]}]`, want: paths{"/docs/README.md": open, "/Docs/README.md": closed, "/docs/É": open}},
		"public path, other patterns": {public: `[{"path":["*.Png","*/Open/*","/a/*/B","/É"]}]`, want: paths{
			"/x.Png": open, "/x.png": closed, "/X/Open/y": open, "/x/open/y": closed, "/a/Q/B": open, "/a/q/b": closed, "/%C3%89": open, "/%C3%A9": closed,
		}},
		"public path, escaped": {public: `[{"path":["/caf%C3%89/*","/A%20b"]}]`, want: paths{
			"/caf%C3%89/x": open, "/caf%C3%89/X": open, "/Caf%C3%89/x": closed, "/A%20b": open, "/a%20b": closed,
		}},
		"public path, a placeholder": {public: `[{"path":["{env.EMAIL_LINK_TEST_SHARE}/*"]}]`, want: paths{"/share/Xy7/a": open, "/share/xY7/a": closed}},
		"public path and method":     {public: `[{"path":["/Docs/*"],"method":["GET"]}]`, want: paths{"/Docs/a": open, "/docs/a": closed}},
		"public, alternatives":       {public: `[{"path":["/Docs/*"],"method":["POST"]},{"path":["/docs/*"]}]`, want: paths{"/Docs/a": closed, "/docs/a": open}},
		"public path_regexp":         {public: `[{"path_regexp":{"pattern":"^/share/Xy7$"}}]`, want: paths{"/share/Xy7": open, "/share/xy7": closed}},
		"public but path":            {public: `[{"not":[{"path":["/Admin/*"]}]}]`, want: paths{"/a": open, "/Admin/x": closed, "/admin/x": closed, "/ADMIN/x": closed}},
		"public but path_regexp": {public: `[{"not":[{"path_regexp":{"pattern":"^/Admin/"}}]}]`, want: paths{
			"/A": open, "/Admin/x": closed, "/admin/x": closed, "/ADMIN/x": closed,
		}},
		"public, twice not": {public: `[{"not":[{"not":[{"path":["/share/Xy7"]}]}]}]`, want: paths{"/share/Xy7": open, "/share/xY7": closed}},
		"public expression": {public: `[{"expression":"path('/share/Xy7', '/docs/*') && method('GET')"}]`, want: paths{
			"/share/Xy7": open, "/share/xY7": closed, "/share/xy7": closed, "/docs/Target.txt": open, "/Docs/x": closed,
		}},
		"public expression, placeholder": {public: `[{"expression":"{http.request.uri.path}.startsWith('/share/Xy7')"}]`, want: paths{
			"/share/Xy7": open, "/share/xY7": closed, "/share/xy7": closed, "/share/Xy7/target": open,
		}},
		"public expression, but": {public: `[{"expression":"!path_regexp('^/Admin/')"}]`, want: paths{
			"/a": open, "/Admin/x": closed, "/admin/x": closed, "/ADMIN/x": closed,
		}},
		"public vars":  {public: `[{"vars":{"{http.request.uri.path}":["/share/Xy7"]}}]`, want: paths{"/share/Xy7": open, "/share/xy7": closed}},
		"protect path": {protect: `[{"path":["/Admin/*"]}]`, want: paths{"/admin/x": asked, "/ADMIN/x": asked, "/a": unasked}},
		"protect path_regexp": {protect: `[{"path_regexp":{"pattern":"^/Admin/[A-Z]+"}}]`, want: paths{
			"/admin/x": asked, "/ADMIN/x": asked, "/Admin/X": asked, "/a": unasked,
		}},
		"protect expression": {protect: `[{"expression":"{http.request.uri.path}.startsWith('/Admin/')"}]`, want: paths{
			"/admin/x": asked, "/ADMIN/x": asked, "/Admin/X": asked, "/a": unasked,
		}},
		"protect vars_regexp": {protect: `[{"vars_regexp":{"{http.request.uri.path}":{"pattern":"^/Admin/\\W*x"}}}]`, want: paths{
			"/admin/x": asked, "/ADMIN/X": asked, "/a": unasked,
		}},
		"protect but path":        {protect: `[{"not":[{"path":["/share/Xy7"]}]}]`, want: paths{"/share/Xy7": unasked, "/share/xY7": asked, "/a": asked}},
		"protect but path_regexp": {protect: `[{"not":[{"path_regexp":{"pattern":"^/share/Xy7$"}}]}]`, want: paths{"/share/Xy7": unasked, "/share/xy7": asked}},
	} {
		h := withMatchers(t, c.protect, c.public)
		for path, want := range c.want {
			if got, err := h.site.Access.Need(requestFor(http.MethodGet, path)); got != want || err != nil {
				t.Errorf("%s: %s needs %d, want %d (%v)", name, path, got, want, err)
			}
		}
	}
}

// TestCONF2_SeenRequests: matchers see the path that is tried by its placeholders too, and leave nothing behind on the request.
func TestCONF2_SeenRequests(t *testing.T) {
	r := requestFor(http.MethodGet, "/sent?q=1")
	caddyhttp.SetVar(r.Context(), "who", "ann")
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	repl.Set("of.the.request", "kept")
	seen := asSeen(r, "/seen")
	h := withMatchers(t, `[{"path_regexp":{"name":"re","pattern":"^/(seen)$"}}]`, "")
	if !h.site.Access.Protect.Demands(seen) || !h.site.Access.Protect.Opens(seen) {
		t.Error("the path is not seen")
	}
	other := seen.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	const text = "{http.request.uri} {http.vars.who} {of.the.request} {http.regexp.re.1} {http.request.method}"
	if got := other.ReplaceAll(text, "-"); got != "/seen?q=1 ann kept seen GET" {
		t.Errorf("the seen request: %s", got)
	}
	if got := repl.ReplaceAll(text, "-"); got != "/sent?q=1 ann kept - GET" {
		t.Errorf("the request: %s", got)
	}
}

// TestCONF2_TriedBeforeTheirTime: a matcher of a route may compare what a handler before it sets, and is tried before that handler runs.
func TestCONF2_TriedBeforeTheirTime(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	expression := &caddyhttp.MatchExpression{Expr: "{http.vars.kind} == 'admin'"}
	if err := expression.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]any{
		"expression": expression, "vars": &caddyhttp.VarsMatcher{"kind": {"admin"}}, "vars by placeholder": &caddyhttp.VarsMatcher{"{http.vars.kind}": {"admin"}},
	} {
		sets, err := matcherSets(ctx, []caddyhttp.MatcherSet{{m}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for kind, want := range map[string][2]bool{"": {false, true}, "admin": {true, true}, "other": {false, false}} {
			r := requestFor(http.MethodGet, "/")
			if kind != "" {
				caddyhttp.SetVar(r.Context(), "kind", kind)
			}
			if got := [2]bool{sets.Opens(r), sets.Demands(r)}; got != want {
				t.Errorf("%s, the variable is %q: opens, demands are %v", name, kind, got)
			}
		}
	}
}

// TestCONF2_WhoAsksMore: a reading that leads to a handler without demands asks nobody for anything.
func TestCONF2_WhoAsksMore(t *testing.T) {
	closed, optional := &Handler{site: new(gate.Site)}, &Handler{Optional: true, site: new(gate.Site)}
	role := &Handler{Require: Require{Role: [][]string{{"admin"}}}}
	for name, c := range map[string]struct {
		other, first *Handler
		want         bool
	}{
		"off": {&Handler{Off: true}, optional, false}, "optional": {optional, optional, false}, "a session, where one is needed": {&Handler{}, closed, false},
		"a session, where none is": {closed, optional, true}, "a role": {role, closed, true}, "a fresh proof": {&Handler{MaxAge: 1}, closed, true},
	} {
		if got := c.other.asksMoreThan(c.first); got != c.want {
			t.Errorf("%s: asks for more is %t", name, got)
		}
	}
}

// TestAUTHZ1_AnEmptyMatcherSetIsRefused: a set without a matcher matches everything, so the site would be open.
func TestAUTHZ1_AnEmptyMatcherSetIsRefused(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	for name, h := range map[string]*Handler{
		"public":                   {PublicRaw: caddyhttp.RawMatcherSets{{}}},
		"protect":                  {ProtectRaw: caddyhttp.RawMatcherSets{{}}},
		"public, beside another":   {PublicRaw: caddyhttp.RawMatcherSets{{"path": []byte(`["/a"]`)}, {}}},
		"protect, before another":  {ProtectRaw: caddyhttp.RawMatcherSets{{}, {"path": []byte(`["/a"]`)}}},
		"public, where is protect": {ProtectRaw: caddyhttp.RawMatcherSets{{"path": []byte(`["/a"]`)}}, PublicRaw: caddyhttp.RawMatcherSets{nil}},
	} {
		h.site = new(gate.Site)
		if err := h.loadMatchers(ctx); err == nil || !strings.Contains(err.Error(), "match everything") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHDR3_AnAnswerThatIsTakenBackTellsNothing: a matcher that cannot say whether it matches makes no path public.
func TestHDR3_AnAnswerThatIsTakenBackTellsNothing(t *testing.T) {
	failing := gate.Sets{{caddyMatcher{caddyhttp.MatcherSet{failingMatcher{}}}}}
	for name, access := range map[string]gate.Access{"public": {Public: failing, See: asSeen}, "protect": {Protect: failing, See: asSeen}} {
		if need, err := access.Need(requestFor(http.MethodGet, "/app")); need != gate.NeedAll || err != nil {
			t.Errorf("%s: needs %d, %v", name, need, err)
		}
	}
}

type failingMatcher struct{}

func (failingMatcher) MatchWithError(*http.Request) (bool, error) {
	return true, errors.New("cannot say")
}
