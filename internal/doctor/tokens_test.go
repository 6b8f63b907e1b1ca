package doctor

import (
	"strings"
	"testing"
	"time"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	outer, people, inside, nowhere := site("app.example.com"), site("www.example.com"), site("app.example.com"), site("app.example.com")
	outer.TokenScopes = []string{"calendar", "contacts"}
	inside.Nested, inside.InsideHandle, inside.InheritedScopes = true, "/admin/*", outer.TokenScopes
	nowhere.Nested, nowhere.InheritedScopes = true, outer.TokenScopes
	if list := scopes(Facts{Sites: []Site{people}}); len(list) != 0 {
		t.Errorf("where no token passes anywhere: %+v", list)
	}
	if list := scopes(Facts{Sites: []Site{outer, people}}); len(list) != 1 || list[0].Result != OK {
		t.Errorf("without an inner one: %+v", list)
	}
	list := scopes(Facts{Sites: []Site{outer, inside, inside, nowhere}})
	if len(list) != 2 || list[0].Result != Warn || list[1].Result != Warn {
		t.Fatalf("each place once: %+v", list)
	}
	for i, want := range []string{"the email_link inside 'handle /admin/*' of app.example.com names no scope", "the inner email_link of app.example.com names no scope"} {
		if f := list[i]; !strings.Contains(f.Text, want) || !strings.Contains(f.Text, "(calendar contacts)") ||
			!strings.Contains(f.Fix, "'require scope session'") || !strings.Contains(f.Fix, "'require scope calendar contacts session'") {
			t.Errorf("%+v", f)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	facts := func(list ...Token) Facts {
		for i := range list {
			list[i].Site, list[i].Scopes = orElse(list[i].Site, "https://app.example.com"), append(list[i].Scopes, "calendar")
			if list[i].Ends.IsZero() {
				list[i].Ends = now.Add(60 * day)
			}
		}
		return Facts{Sites: []Site{site("app.example.com", "https://app.example.com", "https://*.example.org")}, Granted: []string{"calendar", "files"}, Now: now, Tokens: list}
	}
	if list := tokens(facts()); len(list) != 0 {
		t.Errorf("without a token: %+v", list)
	}
	soon := Token{ID: "a", Ends: now.Add(14*day - time.Second)}
	six := make([]Token, 6)
	for i := range six {
		six[i] = Token{ID: string(rune('a' + i)), Ended: true}
	}
	for name, one := range map[string]struct {
		facts     Facts
		want      Result
		text, fix string
	}{
		"good":          {facts(Token{ID: "a", Ends: now.Add(14 * day)}, Token{ID: "b", Site: "https://dav.example.org"}), OK, "2 in use", ""},
		"soon":          {facts(soon, Token{ID: "b"}), Warn, "the machine token a on 2026-12-06 ends within 14 days", "tokens create"},
		"two soon":      {facts(soon, soon), Warn, "2 machine tokens (a on 2026-12-06, a on 2026-12-06) end within 14 days", "tokens create"},
		"ended":         {facts(Token{ID: "a", Ended: true, Ends: soon.Ends}), Warn, "the machine token a no longer opens anything", "tokens revoke"},
		"many ended":    {facts(six...), Warn, "6 machine tokens (a, b, c, d, e and 1 more) no longer open anything", ""},
		"another scope": {facts(Token{ID: "a", Scopes: []string{"files", "mail"}}), Warn, "the machine token a has the scope mail, which", "scopes"},
		"another site":  {facts(Token{ID: "a", Site: "https://old.example.com"}), Warn, "a for https://old.example.com is for a site that is in no base_url", "revoke"},
	} {
		list := Offline(one.facts)
		got := list[len(list)-1]
		if got.Check != "tokens" || got.Result != one.want || !strings.Contains(got.Text, one.text) || !strings.Contains(got.Fix, one.fix) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if list := tokens(facts(soon, Token{ID: "b", Ended: true}, Token{ID: "c", Scopes: []string{"x", "y"}}, Token{ID: "d", Scopes: []string{"x"}})); len(list) != 4 {
		t.Errorf("all at once: %+v", list)
	}
}
