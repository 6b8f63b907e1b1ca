package module

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// beginsWith is a matcher that compares paths with regard to case, as path_regexp and expressions do and path does not.
type beginsWith string

func (m beginsWith) MatchWithError(r *http.Request) (bool, error) {
	return strings.HasPrefix(r.URL.Path, string(m)), nil
}

// TestPATH1_EveryViewIsMatched asks for one path in several spellings: it is protected where any view of it is, and public where all are.
func TestPATH1_EveryViewIsMatched(t *testing.T) {
	set := func(path string) gate.Sets {
		sets, err := matcherSets(caddy.Context{}, []caddyhttp.MatcherSet{{beginsWith(path)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return sets
	}
	for name, c := range map[string]struct {
		protect, public gate.Sets
		open, shut      []string
	}{
		"protect": {
			protect: set("/admin"), open: []string{"/", "/open", "/x/admin"},
			shut: []string{"/admin", "/admin/x", "/ADMIN/x", "/Admin", "/%61dmin/x", "/%41DMIN/x", "//admin", "/./admin", "/x/../admin", "/admin;x", "/x/%2e%2e/admin", `/x\..\..\admin`},
		},
		"public": {
			public: set("/open"), open: []string{"/open", "/open/x"},
			shut: []string{"/", "/Open/x", "/OPEN", "/open/../x", "/open/%2e%2e/x", "/open/..%2fx", "/open%2f..%2fx", "//open"},
		},
		"public in capitals": {public: set("/Open"), open: []string{"/Open/x"}, shut: []string{"/open/x", "/OPEN/x"}},
		"both": {
			protect: set("/a"), public: set("/a/open"), open: []string{"/b", "/a/open/x"},
			shut: []string{"/a/x", "/A/open/x", "/a/OPEN/x", "/A/x"},
		},
	} {
		access := gate.Access{Protect: c.protect, Public: c.public, See: asSeen}
		for want, paths := range map[bool][]string{true: c.open, false: c.shut} {
			for _, path := range paths {
				r := requestFor(http.MethodGet, "/")
				u, err := r.URL.Parse(hotOrigin + path)
				if err != nil {
					t.Fatal(err)
				}
				r.RequestURI, r.URL = path, u
				need, err := access.Need(r)
				open := need == gate.NeedNothing
				if open != want || err != nil {
					t.Errorf("%s: %s: open %v, want %v (%v)", name, path, open, want, err)
				}
			}
		}
	}
}
