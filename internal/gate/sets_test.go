package gate

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

// says is a matcher with two answers of its own.
type says struct{ opens, demands bool }

func (s says) Opens(*http.Request) bool   { return s.opens }
func (s says) Demands(*http.Request) bool { return s.demands }

func TestPATH1_AllMatchersOfASetHoldAndOneSetIsEnough(t *testing.T) {
	yes, no, maybe := says{true, true}, says{}, says{false, true}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, c := range map[string]struct {
		sets           Sets
		opens, demands bool
	}{
		"none":              {nil, true, true},
		"one that holds":    {Sets{{yes}}, true, true},
		"one of two":        {Sets{{yes, no}}, false, false},
		"the other of two":  {Sets{{no, yes}}, false, false},
		"both of two":       {Sets{{yes, yes}}, true, true},
		"one may hold":      {Sets{{yes, maybe}}, false, true},
		"one set of two":    {Sets{{no}, {yes}}, true, true},
		"halves of two":     {Sets{{yes, no}, {no, yes}}, false, false},
		"not what holds":    {Sets{{Not{Sets{{yes}}}}}, false, false},
		"not what does not": {Sets{{Not{Sets{{no}}}}}, true, true},
		"not what may":      {Sets{{Not{Sets{{maybe}}}}}, false, true},
	} {
		if got := c.sets.Opens(r); got != c.opens {
			t.Errorf("%s: opens %v", name, got)
		}
		if got := c.sets.Demands(r); got != c.demands {
			t.Errorf("%s: demands %v", name, got)
		}
	}
	// What only may keep a request off a way does not keep it off.
	see := func(r *http.Request, _ string) *http.Request { return r }
	for name, c := range map[string]struct {
		unless Matcher
		want   bool
	}{"certainly": {yes, false}, "possibly": {maybe, true}, "never": {no, true}} {
		route := Route{{Match: Sets{{yes}}, Unless: []Sets{{{c.unless}}}}}
		if got := route.Reaches(Read(r, see)); got != c.want {
			t.Errorf("kept off %s: reaches %v", name, got)
		}
	}
}

// TestLOG1_NoTokenInTheRefererOrAHeader sends a mailed token where a page that was opened by a link leaves it.
func TestLOG1_NoTokenInTheRefererOrAHeader(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	text := token.Random(now().Add(time.Hour))
	r := httptest.NewRequest(http.MethodGet, "/app", nil)
	r.Header.Set("Referer", "https://app.example.com/email-link/link?t="+text)
	r.Header.Set("X-Original-Url", "/email-link/link?t="+text)
	r.Header.Set("Accept", "text/html")
	logged := LoggedRequest(r, "/email-link/link?t="+text, now)
	for name, values := range logged.Header {
		if strings.Contains(strings.Join(values, ""), text) {
			t.Errorf("%s is logged as %q", name, values)
		}
	}
	if strings.Contains(logged.RequestURI, text) || logged.Header.Get("Accept") != "text/html" {
		t.Errorf("logged as %q with %v", logged.RequestURI, logged.Header)
	}
	if !strings.Contains(r.Header.Get("X-Original-Url"), text) {
		t.Error("the request itself was changed")
	}
	RedactReferer(r.Header, now)
	if got := r.Header.Get("Referer"); strings.Contains(got, text) || !strings.HasPrefix(got, "https://app.example.com/") {
		t.Errorf("the Referer goes on as %q", got)
	}
}
