package module

import (
	"strings"
	"testing"
)

// TestOWN6_ScopesSelfAreAmongTheScopes reads both lists as a configuration in JSON has them, and obeys what is said of them.
func TestOWN6_ScopesSelfAreAmongTheScopes(t *testing.T) {
	for name, c := range map[string]struct {
		all, self []string
		says      string
	}{
		"none":                    {[]string{"calendar"}, nil, ""},
		"some":                    {[]string{"calendar", "backup"}, []string{"calendar"}, ""},
		"all":                     {[]string{"calendar", "backup"}, []string{"backup", "calendar"}, ""},
		"one that is no scope":    {[]string{"calendar"}, []string{"calendar", "backup"}, `scopes self: "backup" is not among the scopes; name it in both lists`},
		"another case":            {[]string{"calendar"}, []string{"Calendar"}, `scopes self: "Calendar" is not among the scopes; name it in both lists`},
		"an empty one":            {[]string{"calendar"}, []string{""}, `scopes self: "" is not among the scopes; name it in both lists`},
		"where there are none":    {nil, []string{"calendar"}, `scopes self: "calendar" is not among the scopes; name it in both lists`},
		"obeyed: named in both":   {[]string{"calendar", "backup"}, []string{"calendar", "backup"}, ""},
		"the word for everything": {[]string{"calendar"}, []string{"*"}, `scopes self: "*" is not among the scopes; name it in both lists`},
	} {
		err := checkSelfScopes(c.self, c.all)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
