package module_test

import (
	"slices"
	"strings"
	"testing"
)

// portalGlobal is a global option whose sites share base_url. $ stands for more of them.
const portalGlobal = `{
	email_link {
		base_url https://*.example.com https://photos.example.org https://auth.example.net $
		mailer none
		portal https://auth.example.net
	}
}

auth.example.net {
	email_link
}

`

// TestPORT13_ASiteIsTheOneThatAnswers asks for sites by their origin, as links of operators and mails do, where several sites have that origin in
// their base_url: it is the one to which the requests come. Each is told by the path of its pages, and asked for
// in other letters than those of base_url.
func TestPORT13_ASiteIsTheOneThatAnswers(t *testing.T) {
	const backend = "\treverse_proxy localhost:3000\n}\n"
	site := func(address, path, more string) string {
		return address + " {\n\temail_link {\n\t\tpath " + path + "\n\t\t" + more + "\n\t}\n" + backend
	}
	for name, c := range map[string]struct {
		sites string
		// want is the path of each origin, with a star where its people sign in at the portal.
		want map[string]string
		// shown are the sites on the portal's first page.
		shown string
	}{
		"one beside the portal": {
			site("photos.example.org", "/led", "") + site("staff.example.com", "/own", "portal off"),
			map[string]string{"https://photos.example.org": "/led*", "https://staff.example.com": "/own"},
			"https://photos.example.org",
		},
		"in the other order": {
			site("admin.example.com", "/own", "portal off") + site("photos.example.org", "/led", ""),
			map[string]string{"https://photos.example.org": "/led*", "https://admin.example.com": "/own"},
			"https://photos.example.org",
		},
		"a star beside it": {
			site("*.example.com", "/led", "") + site("staff.example.com", "/own", "portal off") + site("photos.example.org", "/more", ""),
			map[string]string{"https://files.example.com": "/led*", "https://staff.example.com": "/own", "https://photos.example.org": "/more*"},
			"https://photos.example.org",
		},
		"any host beside it": {
			site("https://", "/led", "") + site("staff.example.com", "/own", "portal off"),
			map[string]string{"https://photos.example.org": "/led*", "https://staff.example.com": "/own"},
			"https://photos.example.org",
		},
		"other ports": {
			site("photos.example.org", "/led", "") + site("photos.example.org:8443", "/own", "portal off"),
			map[string]string{"https://photos.example.org": "/led*", "https://photos.example.org:8443": "/own"},
			"https://photos.example.org",
		},
		"other ports, in the other order": {
			site("photos.example.org:8443", "/led", "") + site("photos.example.org", "/own", "portal off"),
			map[string]string{"https://photos.example.org": "/own", "https://photos.example.org:8443": "/led*"},
			"https://photos.example.org:8443",
		},
		"other letters": {
			site("PHOTOS.example.org", "/own", "portal off") + site("Files.example.com", "/led", ""),
			map[string]string{"https://photos.example.org": "/own", "https://files.example.com": "/led*"},
			"https://files.example.com",
		},
		"a handle for each host": {
			"https:// {\n\ttls internal {\n\t\ton_demand\n\t}\n\t@own host photos.example.org\n\thandle @own {\n\t\temail_link {\n\t\t\tportal off\n\t\t\tpath /own\n\t\t\taudience own\n\t\t}\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\temail_link {\n\t\t\tpath /led\n\t\t\taudience led\n\t\t}\n\t\treverse_proxy localhost:3001\n\t}\n}\n",
			map[string]string{"https://photos.example.org": "/own", "https://files.example.com": "/led*"},
			"",
		},
		"inside": {
			site("photos.example.org", "/own", "portal off\n\t}\n\thandle /staff/* {\n\t\temail_link {\n\t\t\trequire role staff\n\t\t}\n\t\treverse_proxy localhost:3000") + site("files.example.com", "/led", ""),
			map[string]string{"https://photos.example.org": "/own", "https://files.example.com": "/led*"},
			"https://files.example.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			more := ""
			if strings.Contains(name, "ports") {
				more = "https://photos.example.org:8443"
			}
			app, err := provisioned(t, strings.Replace(portalGlobal, "$", more, 1)+c.sites)
			if err != nil {
				t.Fatal(err)
			}
			for origin, want := range c.want {
				path, led := app.PathAt(strings.ToUpper(origin) + "/")
				if led {
					path += "*"
				}
				if path != want {
					t.Errorf("%s is at %s, want %s", origin, path, want)
				}
			}
			if got := app.Launcher(); !slices.Equal(got, strings.Fields(c.shown)) {
				t.Errorf("the portal shows %v, want %s", got, c.shown)
			}
			for origin, want := range c.want {
				if !strings.HasSuffix(want, "*") && slices.Contains(app.FormActions(), origin) {
					t.Errorf("the portal's forms may lead to %s, which keeps pages of its own", origin)
				}
			}
		})
	}
}
