package flow

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

func TestENUM1_EveryStatelessFlowCookieHasOneLength(t *testing.T) {
	g := statelessGate(t)
	g.account("ada@example.com")
	sizes := map[int]bool{}
	for i, email := range []string{"ada@example.com", "bob@example.com", "a@b.example", strings.Repeat("x", 60) + "@example.com"} {
		for _, purpose := range []string{SignIn, Activation} {
			result := must[RequestResult](t)(g.stranger(i).ask(purpose, email))
			sizes[len(result.FlowCookie)] = true
		}
	}
	if len(sizes) != 1 {
		t.Errorf("cookies of %v bytes", sizes)
	}
}

// TestENUM1_AnAppsFlowCookieSaysNothingOfItsUser starts flows on pages of every length, for an address that the app knows and says
// more of, and for one that it does not know. Around some length one is stored and the other is not; nobody sees it.
func TestENUM1_AnAppsFlowCookieSaysNothingOfItsUser(t *testing.T) {
	g := statelessGate(t)
	g.site.Limits = limit.Table{}
	size := len(must[string](t)((&token.Claims{Private: json.RawMessage("{}")}).Cookie(g.Ring)))
	notify, n := 0, 0
	for _, email := range []string{"ada@example.com", "firstname.lastname@company.example.com"} {
		for _, word := range []string{"0", strings.Repeat("&", 256)} {
			for form := range 101 {
				carried := map[bool]bool{}
				for _, known := range []bool{true, false} {
					n++
					b := g.stranger(n)
					b.client = netip.MustParseAddr("2001:db8:1111:2222:3333:4444:5555:6666")
					in := g.starts(Reset, email)
					in.Form, in.Continue, in.Subject, in.State, in.NoAccount = "/"+strings.Repeat("p", form), "/", "", "", !known
					if known {
						in.Subject, in.State, in.Continue = strings.Repeat("u", 36), word, "/password"
					}
					result := must[RequestResult](t)(b.starts(in))
					if len(result.FlowCookie) != size {
						t.Errorf("a page of %d bytes, known %v: a cookie of %d bytes", form, known, len(result.FlowCookie))
					}
					_, err := token.ReadCookie(g.Ring, g.site.Origin, result.FlowCookie)
					carried[known] = err == nil
					if p, found, err := g.Status(context.Background(), g.site, b.requester()); !found || err != nil || p != result.Pending {
						t.Errorf("a page of %d bytes, known %v: %+v, %v", form, known, p, err)
					}
				}
				if carried[true] != carried[false] {
					notify++
				}
			}
		}
	}
	if notify == 0 {
		t.Error("no flow was stored for what the app knows: this test sees nothing")
	}
}

// TestTOK6_PaddedCookies reads the long cookie of a stored flow at its own site, unchanged, and nowhere else. The flow goes on with
// it after a switch to stored flows.
func TestTOK6_PaddedCookies(t *testing.T) {
	g := statelessGate(t)
	b := g.browser()
	result := must[RequestResult](t)(g.Request(context.Background(), g.site, b.requester(), RequestInput{
		Purpose: Activation, Email: "ada@example.com", ReturnTo: "/" + strings.Repeat("p", 2000),
	}))
	b.flow = result.FlowCookie
	if _, err := token.ReadCookie(g.Ring, g.site.Origin, b.flow); err == nil {
		t.Fatal("the flow was not stored")
	}
	site := g.site
	site.Origin = "https://other.example.com"
	if _, found, err := g.Status(context.Background(), site, b.requester()); found || err != nil {
		t.Errorf("another site: %v, %v", found, err)
	}
	cookie := b.flow
	for i := range len(cookie) {
		b.flow = cookie[:i] + string(cookie[i]^1) + cookie[i+1:]
		if _, found, err := g.Status(context.Background(), g.site, b.requester()); found || err != nil {
			t.Fatalf("byte %d: a flow, %v", i, err)
		}
	}
	b.flow = cookie
	g.site.Stateless = false
	g.restart()
	g.post()
	must[Done](t)(b.type_(b.newest("ada@example.com").code))
}
