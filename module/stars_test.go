package module_test

import (
	"strings"
	"testing"
)

// starGlobal is the global option of these tests, with a star in base_url.
const starGlobal = `{
	email_link {
		base_url https://*.example.com
		from no-reply@example.com
		mailer none
	}
}

`

// TestMAIL1_StarAdmitsNamedHosts: a star in base_url stands for the hosts that matchers on the way to a gate name. Where the site takes
// every name, each start says what that trusts.
func TestMAIL1_StarAdmitsNamedHosts(t *testing.T) {
	const (
		gate  = "\temail_link\n\treverse_proxy localhost:3000\n"
		trust = "every name below *.example.com can ask for links"
	)
	for _, s := range []struct {
		name, sites string
		// answered and not are names of which the gate does and does not take the requests.
		answered, not string
		warned        bool
	}{
		{"sites by name", "app.example.com, files.example.com {\n" + gate + "}\n", "app files", "evil *", false},
		{"names and a star without a gate", "app.example.com {\n" + gate + "}\n*.example.com {\n\trespond 404\n}\n", "app", "evil", false},
		{"a star", "*.example.com {\n" + gate + "}\n", "app evil", "", true},
		{"a star and a name beside it", "app.example.com {\n" + gate + "}\n*.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n}\n", "app evil", "", true},
		{"any host", ":8443 {\n" + gate + "}\n", "app evil", "", true},
		{"certificates on demand", "https:// {\n\ttls internal {\n\t\ton_demand\n\t}\n" + gate + "}\n", "app evil", "", true},
		{"a star in the middle", "http://app.*.com {\n" + gate + "}\n", "app", "evil", false},
		{"two stars", "*.*.com {\n" + gate + "}\n", "app evil", "", true},
		{"a star below the star", "*.app.example.com, app.example.com {\n" + gate + "}\n", "app", "evil", false},
		{"a handle for each host", "*.example.com {\n\t@app host app.example.com\n\thandle @app {\n" + gate + "\t}\n\thandle {\n\t\tabort\n\t}\n}\n", "app", "evil", false},
		{"a handle for each host of any", ":8443 {\n\t@app host APP.example.com\n\thandle @app {\n" + gate + "\t}\n\thandle {\n\t\tabort\n\t}\n}\n", "app", "evil", false},
		{"a handle in a handle", ":8443 {\n\t@all host *.example.com\n\thandle @all {\n\t\t@app host app.example.com\n\t\thandle @app {\n" + gate + "\t\t}\n\t}\n}\n", "app", "evil", false},
		{"a gate before the handles", "*.example.com {\n\temail_link\n\t@app host app.example.com\n\thandle @app {\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\tabort\n\t}\n}\n", "app evil", "", true},
		{"an inner gate", "*.example.com {\n\temail_link\n\t@app host app.example.com\n\thandle @app {\n\t\temail_link {\n\t\t\trequire role admin\n\t\t}\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\tabort\n\t}\n}\n", "app evil", "", true},
		{"all but one", "*.example.com {\n\t@rest not host app.example.com\n\thandle @rest {\n" + gate + "\t}\n\thandle {\n\t\tabort\n\t}\n}\n", "evil", "", true},
		{"others turned away before it", "*.example.com {\n\t@others not host app.example.com\n\troute {\n\t\tabort @others\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "app", "evil", false},
		{"a named route", "&(app) {\n\troute {\n" + gate + "\t}\n}\napp.example.com {\n\tinvoke app\n}\n", "app", "evil", false},
		{"an expression", "*.example.com {\n\t@app expression `{host} == \"app.example.com\"`\n\thandle @app {\n" + gate + "\t}\n}\n", "app evil", "", true},
		{"errors of a star", "app.example.com {\n" + gate + "}\n*.example.com {\n\terror 404\n\thandle_errors {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "app evil", "", true},
	} {
		t.Run(s.name, func(t *testing.T) {
			app, err := provisioned(t, starGlobal+s.sites)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range strings.Fields(s.answered) {
				if !app.Answers(name + ".example.com") {
					t.Errorf("%s is refused", name)
				}
			}
			for _, name := range strings.Fields(s.not) {
				if app.Answers(name+".example.com") || app.Answers(strings.ToUpper(name)+".Example.com.") {
					t.Errorf("%s is answered", name)
				}
			}
			n := 0
			for _, f := range app.Warnings() {
				if f.Check == "base_url" && strings.Contains(f.Line(), trust) {
					n++
				}
			}
			if (n > 0) != s.warned {
				t.Errorf("%d warnings about the star: %v", n, app.Warnings())
			}
		})
	}
}

// TestMAIL1_StarWarningCanBeObeyed does what the warning says to write, in each of its three ways.
func TestMAIL1_StarWarningCanBeObeyed(t *testing.T) {
	star := "*.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n}\n"
	if warnings, err := provision(t, starGlobal+star); err != nil || !strings.HasPrefix(warnings, "Caddyfile:10: email_link: ") || strings.Count(warnings, "\n") != 1 {
		t.Fatalf("%q, %v", warnings, err)
	}
	for name, config := range map[string]string{
		"in base_url":     strings.Replace(starGlobal, "*.", "app.", 1) + star,
		"in the address":  starGlobal + strings.Replace(star, "*.", "app.", 1),
		"by host matcher": starGlobal + "*.example.com {\n\t@app host app.example.com\n\thandle @app {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n",
	} {
		if warnings, err := provision(t, config); warnings != "" || err != nil {
			t.Errorf("%s: %q, %v", name, warnings, err)
		}
	}
}
