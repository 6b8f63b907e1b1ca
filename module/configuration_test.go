package module_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link/caddyfile"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// shape is a Caddyfile below the usual global option, and what its validation comes to.
type shape struct {
	name, sites string
	// refused is part of the error, empty where the configuration is accepted. warned is part of a warning, empty for none.
	refused, warned string
}

// global is the global option of the shapes. Their first line is line 10.
const global = `{
	email_link {
		base_url https://app.example.com https://a.example.com https://b.example.com https://open.example.com https://status.example.com
		from no-reply@example.com
		mailer none
		scopes files
	}
}

`

// provision adapts and provisions a Caddyfile, as `caddy validate` does, and returns its warnings.
func provision(t *testing.T, input string) (warnings string, err error) {
	t.Helper()
	app, err := provisioned(t, input)
	if err != nil {
		return "", err
	}
	for _, f := range app.Warnings() {
		warnings += f.Line() + "\n"
	}
	return warnings, nil
}

func provisioned(t *testing.T, input string) (*module.App, error) {
	t.Helper()
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(out, cfg); err != nil {
		t.Fatalf("reading the adapted JSON: %v", err)
	}
	cfg.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}
	// Tests of another package may make the keys of Caddy's own certificate authority right now, and two processes that do break each other.
	cfg.StorageRaw = caddyconfig.JSONModuleObject(map[string]string{"root": t.TempDir()}, "module", "file_system", nil)
	ctx, err := caddy.ProvisionContext(cfg)
	if err != nil {
		return nil, err
	}
	app, err := ctx.App("email_link")
	if err != nil {
		return nil, err
	}
	return app.(*module.App), nil
}

func checkShapes(t *testing.T, shapes []shape) {
	t.Helper()
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			warnings, err := provision(t, global+s.sites)
			switch {
			case s.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case s.refused != "" && (err == nil || !strings.Contains(err.Error(), s.refused)):
				t.Errorf("got %v, want an error with %q", err, s.refused)
			case s.warned == "" && warnings != "":
				t.Errorf("warned: %s", warnings)
			case !strings.Contains(warnings, s.warned):
				t.Errorf("got the warnings %q, want %q", warnings, s.warned)
			}
		})
	}
}

// TestNODE3_WhatNodesMustHaveAlike changes one thing at a time of a configuration, and looks which part of it nodes are told to differ in.
func TestNODE3_WhatNodesMustHaveAlike(t *testing.T) {
	const base = `{
	email_link {
		base_url https://app.example.com https://b.example.com
		from no-reply@example.com
		mailer none
		scopes files calendar
		session idle 1h
		limit redeem_ip 10-H
	}
}

app.example.com {
	email_link {
		require role admin
	}
}

b.example.com {
	email_link {
		optional
	}
}
`
	parts := func(text string) map[string]string {
		t.Helper()
		app, err := provisioned(t, text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		got := map[string]string{}
		for _, part := range strings.Fields(app.Digest()) {
			name, digest, _ := strings.Cut(part, ":")
			got[name] = digest
		}
		return got
	}
	was := parts(base)
	for _, c := range []struct{ from, to, differs string }{
		{"mailer none", "mailer none\n\t\tlog_client full", ""},
		{"mailer none", "mailer none\n\t\taccent 1f5fbf", ""},
		{"mailer none", "mailer none\n\t\tsign_in code link", ""}, // the default
		{"files calendar", "calendar files", ""},
		{"app.example.com https://b.example.com", "b.example.com https://app.example.com", ""},
		{"app.example.com {", "app.example.com:8443 {", ""},
		{"require role admin", "require role users", "sites"},
		{"optional", "max_age 1h", "sites"},
		{"optional", "public /x", "sites"},
		{"optional", "sign_up open", "sites"},
		{"b.example.com\n", "b.example.com https://c.example.com\n", "sites"},
		{"mailer none", "mailer none\n\t\tsign_up open", "sign-in"},
		{"mailer none", "mailer none\n\t\tsign_in link", "sign-in"},
		{"mailer none", "mailer none\n\t\tlinks stateless", "sign-in"},
		{"10-H", "11-H", "limits"},
		{"idle 1h", "idle 2h", "lifetimes"},
		{"files calendar", "files", "scopes"},
	} {
		if !strings.Contains(base, c.from) {
			t.Fatalf("no %q", c.from)
		}
		differs := ""
		for name, digest := range parts(strings.Replace(base, c.from, c.to, 1)) {
			if was[name] != digest {
				differs += name
			}
		}
		if differs != c.differs {
			t.Errorf("%q in the place of %q: differs in %q, want %q", c.to, c.from, differs, c.differs)
		}
	}
}
