package module_test

import (
	"strings"
	"testing"
)

// TestINV7_AnUnknownRoleOfARuleIsWarnedAbout writes roles that no site requires into `invite by role`: each start names them and what to write, and that works.
func TestINV7_AnUnknownRoleOfARuleIsWarnedAbout(t *testing.T) {
	const sites = `
app.example.com {
	email_link {
		require role family guest
	}
	respond "app"
}
`
	for name, c := range map[string]struct{ rules, sites, want string }{
		"all are required": {"invite by role family gives guest", sites, ""},
		"once for each": {
			"invite by role famly gives guest\n\t\tinvite by role family gives famly", sites,
			`Caddyfile:6: email_link: invite by role famly: no site requires the role "famly"; did you mean family? expected one of family, guest` + "\n",
		},
		"mistyped": {
			"invite by role family gives gest", sites,
			`Caddyfile:6: email_link: invite by role family: no site requires the role "gest"; did you mean guest? expected one of family, guest` + "\n",
		},
		"of the second rule": {
			"invite by role family gives guest\n\t\tinvite by role famly gives guest", sites,
			`Caddyfile:7: email_link: invite by role famly: no site requires the role "famly"; did you mean family? expected one of family, guest` + "\n",
		},
		"none is required": {
			"invite by role family gives family", strings.ReplaceAll(sites, "require role family guest", ""),
			`Caddyfile:6: email_link: invite by role family: no site requires the role "family"; write 'require role family' in the site that it is for` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := provision(t, "{\n\temail_link {\n\t\tbase_url https://app.example.com\n\t\tfrom no-reply@example.com\n\t\tmailer none\n\t\t"+c.rules+"\n\t}\n}\n"+c.sites)
			if err != nil || got != c.want {
				t.Errorf("warned: %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
