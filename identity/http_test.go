package identity

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func serve(h http.Handler, values ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if values != nil {
		r.Header[Header] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestJWT1_Handler(t *testing.T) {
	var log bytes.Buffer
	v := corpusVerifier(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if id, ok := FromContext(r.Context()); ok {
			who = id.Subject
		}
		_, _ = w.Write([]byte(who))
	})
	token, _, err := minter(t, nil).Mint(ordinary())
	if err != nil {
		t.Fatal(err)
	}
	expired := sealed(ordinaryClaims().with("exp", 1))
	for _, tc := range []struct {
		name     string
		values   []string
		required int
		optional int
	}{
		{"one assertion", []string{token}, 200, 200},
		{"none", nil, 401, 200},
		{"an empty one", []string{""}, 401, 200},
		{"two", []string{token, token}, 401, 401},
		{"two, one empty", []string{"", token}, 401, 401},
		{"two in one value", []string{token + ", " + token}, 401, 401},
		{"not valid", []string{expired}, 401, 401},
		{"nonsense", []string{"x"}, 401, 401},
	} {
		for _, h := range []struct {
			h    http.Handler
			want int
		}{{v.Handler(app), tc.required}, {v.OptionalHandler(app), tc.optional}} {
			w := serve(h.h, tc.values...)
			body := w.Body.String()
			if w.Code != h.want {
				t.Errorf("%s: status %d, want %d", tc.name, w.Code, h.want)
			}
			switch {
			case w.Code == http.StatusUnauthorized:
				if body != `{"status":401,"title":"Unauthorized","code":"unauthorized"}`+"\n" || w.Header().Get("WWW-Authenticate") == "" || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %v %s", tc.name, w.Header(), body)
				}
			case len(tc.values) == 1 && tc.values[0] == token:
				if body != ordinary().Subject {
					t.Errorf("%s: the app saw %q", tc.name, body)
				}
			case body != "nobody":
				t.Errorf("%s: the app saw %q", tc.name, body)
			}
		}
	}
	if !strings.Contains(log.String(), "lifetime") || strings.Contains(log.String(), expired[:40]) {
		t.Errorf("log: %s", log.String())
	}
}

// TestJWT4_AHandOverIsNoSignIn asks each kind of verifier for the other's tokens, with the same keys and the same audience.
func TestJWT4_AHandOverIsNoSignIn(t *testing.T) {
	said := ordinary()
	signIn, _, err := minter(t, nil).Mint(said)
	if err != nil {
		t.Fatal(err)
	}
	said.Purpose, said.State = "reset", "s1"
	handOver, _, err := minter(t, nil).Mint(said)
	if err != nil {
		t.Fatal(err)
	}
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := FromContext(r.Context())
		_, _ = fmt.Fprint(w, ok && id.Purpose == "reset")
	})
	purposes := []string{"reset"}
	people, links := corpusVerifier(t, func(c *Config) { c.CacheSize = 8 }), corpusVerifier(t, func(c *Config) { c.Purposes, c.CacheSize = purposes, 8 })
	purposes[0] = "changed by the caller"
	for name, tc := range map[string]struct {
		v           *Verifier
		good, wrong string
		sees        string
	}{"sign-ins": {people, signIn, handOver, "false"}, "hand-overs": {links, handOver, signIn, "true"}} {
		for _, h := range []http.Handler{tc.v.Handler(app), tc.v.OptionalHandler(app)} {
			for range 2 { // the second one from the cache, were it there
				if w := serve(h, tc.good); w.Code != http.StatusOK || w.Body.String() != tc.sees {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
				if w := serve(h, tc.wrong); w.Code != http.StatusUnauthorized {
					t.Errorf("%s: the other kind: %d %s", name, w.Code, w.Body)
				}
			}
		}
		if id, err := tc.v.Verify(t.Context(), tc.wrong); id != nil || !errors.Is(err, RefusedPurpose) {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
}

func TestHDR3_UnreadableKeysAre503NeverAnonymous(t *testing.T) {
	g := newGate(t)
	g.set(http.StatusBadGateway, nil)
	v := g.verifier(t)
	app := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the app was called") })
	token, _, err := minter(t, nil).Mint(ordinary())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []http.Handler{v.Handler(app), v.OptionalHandler(app)} {
		if w := serve(h, token); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "502") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestFromContextOfAnyRequest(t *testing.T) {
	if id, ok := FromContext(t.Context()); ok || id != nil {
		t.Errorf("got %v", id)
	}
	want := ordinary()
	if id, ok := FromContext(NewContext(t.Context(), &want)); !ok || id != &want || !(&Identity{Roles: []string{"a"}}).HasRole("a") || id.HasRole("a") ||
		!(&Identity{Scope: []string{"a"}}).HasScope("a") || id.HasScope("a") {
		t.Errorf("got %v", id)
	}
}
