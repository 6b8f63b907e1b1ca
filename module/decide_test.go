package module

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/machine"
)

// carrying puts headers on a request, in pairs.
func carrying(r *http.Request, pairs ...string) *http.Request {
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Set(pairs[i], pairs[i+1])
	}
	return r
}

// refusedOne sends a request that must not get to the backend, and beside it one that must, which differs in one thing.
func refusedOne(t *testing.T, name string, h *Handler, want int, bad, good *http.Request) {
	t.Helper()
	if got := try(t, h, bad); got.code != want || got.arrived != nil {
		t.Errorf("%s: %d, want %d; the backend got %v", name, got.code, want, got.arrived)
	}
	if good == nil {
		return
	}
	if got := try(t, h, good); got.code != http.StatusOK || got.arrived == nil {
		t.Errorf("beside %s: %d, the backend got %v", name, got.code, got.arrived)
	}
}

func TestMACH3_ATokenGoesWhereItsScopeIsNamedAndNowhereElse(t *testing.T) {
	h, cookie := started(t)
	text := tokenOf(t, h, cookie)
	with := func(target string, pairs ...string) *http.Request {
		return carrying(request(http.MethodGet, target, ""), append([]string{"Authorization", "Bearer " + text}, pairs...)...)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+text))
	app := hotOrigin + "/app"
	refusedOne(t, "a page of ours", h, 403, with(hotOrigin+DefaultPath+"/sign-in"), with(app))
	refusedOne(t, "our first page", h, 403, with(hotOrigin+DefaultPath+"/"), nil)
	refusedOne(t, "Basic of another site", h, 403, with(app, "Authorization", basic, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), with(app, "Authorization", basic))
	refusedOne(t, "Basic of a sibling", h, 403, with(app, "Authorization", basic, "Sec-Fetch-Site", "same-site"), with(app, "Authorization", basic, "Sec-Fetch-Site", "same-origin"))
	for name, lines := range map[string][][]string{
		"no scope named":       nil,
		"people alone":         {{machine.People}},
		"another scope":        {{"files", machine.People}},
		"the first line alone": {{"calendar"}, {"files"}},
		"the last line alone":  {{"files"}, {"calendar"}},
	} {
		h.Require.Scope = lines
		refusedOne(t, name, h, 403, with(app), nil)
		h.Require.Scope = [][]string{{"files", "calendar"}, {"calendar", machine.People}}
		refusedOne(t, "a token that is none, "+name, h, 401, with(app, "Authorization", "Bearer "+text+"x"), with(app))
	}
}

func TestSES1_AnOldProofIsAskedForAnew(t *testing.T) {
	h, cookie := started(t)
	text := tokenOf(t, h, cookie)
	for _, r := range []*http.Request{
		request(http.MethodGet, hotOrigin+"/app", cookie), carrying(request(http.MethodGet, hotOrigin+"/app", ""), "Authorization", "Bearer "+text),
	} {
		h.MaxAge = 1
		refusedOne(t, "an old proof", h, 401, r.Clone(r.Context()), nil)
		h.MaxAge = caddy.Duration(time.Hour)
		if got := try(t, h, r); got.code != http.StatusOK {
			t.Errorf("a young proof: %d", got.code)
		}
	}
}

func TestSES4_AnUpgradeNeedsASessionAndItsOwnOrigin(t *testing.T) {
	h, cookie := started(t)
	upgrade := func(cookie, origin string) *http.Request {
		r := carrying(request(http.MethodGet, hotOrigin+"/ws", cookie), "Connection", "Upgrade", "Upgrade", "websocket")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		return r
	}
	for origin, want := range map[string]int{"": 403, "null": 403, "https://evil.example": 403, strings.Replace(hotOrigin, "https", "http", 1): 403} {
		refusedOne(t, "an upgrade from "+origin, h, want, upgrade(cookie, origin), upgrade(cookie, hotOrigin))
	}
	refusedOne(t, "an upgrade without a session", h, 401, upgrade("", hotOrigin), nil)
}

func TestPATH1_NoMethodThatTellsOrTunnels(t *testing.T) {
	h, cookie := started(t)
	for _, method := range []string{http.MethodTrace, http.MethodConnect} {
		r := request(http.MethodGet, hotOrigin+"/app", cookie)
		r.Method = method
		refusedOne(t, method, h, 405, r, request(http.MethodOptions, hotOrigin+"/app", cookie))
	}
}
