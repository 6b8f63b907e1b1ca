package caddyfile_test

import (
	"strings"
	"testing"
)

// portalConfig is a portal with two sites; $ stands for what a test changes.
func portalConfig(base, portal, sites string) string {
	return "{\n\temail_link {\n\t\tbase_url " + base + "\n\t\tmailer none\n\t\tportal " + portal + "\n\t}\n}\n\n" + sites
}

// TestPORT11_APortalThatCannotBeOne validates configurations whose portal would not keep its promises, and each again as its error says.
func TestPORT11_APortalThatCannotBeOne(t *testing.T) {
	const (
		base  = "https://photos.example.org https://auth.example.com"
		auth  = "https://auth.example.com"
		own   = "auth.example.com {\n\temail_link\n}\n"
		photo = "photos.example.org {\n\temail_link\n\treverse_proxy localhost:9\n}\n"
	)
	with := func(lines string) string {
		return "auth.example.com {\n\temail_link {\n\t\t" + lines + "\n\t}\n}\n" + photo
	}
	for name, c := range map[string]struct{ base, portal, sites, want string }{
		"right":                   {base, auth, own + photo, ""},
		"a name, a logo":          {base, auth + " {\n\t\t\tname Home\n\t\t\tapp https://photos.example.org Photos\n\t\t}", own + photo, ""},
		"tls, log, header":        {base, auth, "auth.example.com {\n\ttls internal\n\tlog\n\theader X-A b\n\temail_link\n}\n" + photo, ""},
		"portal off":              {base, auth, own + "photos.example.org {\n\temail_link {\n\t\tportal off\n\t\tsign_up open\n\t}\n\treverse_proxy localhost:9\n}\n", ""},
		"no site block":           {base, auth, photo, ""},
		"none":                    {base, "", own + photo, "an origin is missing"},
		"two portals":             {base, auth + " https://b.example.com", own + photo, "there is one portal"},
		"two lines":               {base, auth + "\n\t\tportal " + auth, own + photo, "portal"},
		"a path":                  {base, auth + "/sign-in", own + photo, "an origin has no path"},
		"a star":                  {base, "https://*.example.com", own + photo, "has a star; write one host"},
		"plain http":              {base, "http://auth.example.com", own + photo, "plain http"},
		"mixed schemes":           {"https://photos.example.org http://auth.localhost", "http://auth.localhost", "http://auth.localhost {\n\temail_link\n}\n" + photo, "different schemes"},
		"not in base_url":         {"https://photos.example.org", auth, own + photo, "is not in base_url"},
		"an unknown app":          {base, auth + " {\n\t\t\tapp https://files.example.org Files\n\t\t}", own + photo, "is no site that the portal signs in for"},
		"an app twice":            {base, auth + " {\n\t\t\tapp https://photos.example.org A\n\t\t\tapp https://photos.example.org B\n\t\t}", own + photo, "is given twice"},
		"an app without name":     {base, auth + " {\n\t\t\tapp https://photos.example.org\n\t\t}", own + photo, "takes an origin, a name"},
		"a backend":               {base, auth, "auth.example.com {\n\temail_link\n\treverse_proxy localhost:9\n}\n" + photo, "nothing but email_link may answer there"},
		"public":                  {base, auth, with("public /x"), "public has no meaning at the portal"},
		"optional":                {base, auth, with("optional"), "optional has no meaning at the portal"},
		"require":                 {base, auth, with("require role admin"), "require has no meaning at the portal"},
		"max_age":                 {base, auth, with("max_age 5m"), "max_age has no meaning at the portal"},
		"verify":                  {base, auth, with("verify from 127.0.0.1"), "verify has no meaning at the portal"},
		"off at the portal":       {base, auth, with("portal off"), "portal has no meaning at the portal"},
		"another host beside":     {base, auth, "auth.example.com, photos.example.org {\n\temail_link\n}\n", "give it a site of its own"},
		"another port":            {base, auth, own + photo + "auth.example.com:8443 {\n\treverse_proxy localhost:9\n}\n", "nothing but email_link may answer there, on no port"},
		"another entry":           {base + " https://auth.example.com:8443", auth, own + photo, "cookies do not tell ports apart"},
		"a star at a port":        {base, auth, own + photo + "*.example.com:8443 {\n\treverse_proxy localhost:9\n}\n", "nothing but email_link may answer there, on no port"},
		"sign_up at a site":       {base, auth, own + "photos.example.org {\n\temail_link {\n\t\tsign_up open\n\t}\n\treverse_proxy localhost:9\n}\n", "people sign up at the portal"},
		"a word but off":          {base, auth, own + "photos.example.org {\n\temail_link {\n\t\tportal on\n\t}\n\treverse_proxy localhost:9\n}\n", `portal: "on" is not off; the portal itself is written in the global option email_link`},
		"off inside a handle":     {base, auth, own + "photos.example.org {\n\temail_link\n\thandle /staff/* {\n\t\temail_link {\n\t\t\tportal off\n\t\t}\n\t\treverse_proxy localhost:9\n\t}\n\treverse_proxy localhost:9\n}\n", "write 'portal off' in the one of Caddyfile:"},
		"off as it says":          {base, auth, own + "photos.example.org {\n\temail_link {\n\t\tportal off\n\t}\n\thandle /staff/* {\n\t\temail_link {\n\t\t\trequire role staff\n\t\t}\n\t\treverse_proxy localhost:9\n\t}\n\treverse_proxy localhost:9\n}\n", ""},
		"sign_up inside":          {base, auth, own + "photos.example.org {\n\temail_link {\n\t\tportal off\n\t}\n\thandle /staff/* {\n\t\temail_link {\n\t\t\tsign_up open\n\t\t}\n\t\treverse_proxy localhost:9\n\t}\n\treverse_proxy localhost:9\n}\n", "write 'sign_up' in the one of"},
		"other spellings":         {base + ":443", "https://AUTH.example.com.:443/ {\n\t\t\tapp https://PHOTOS.example.org:443 Photos\n\t\t}", "AUTH.example.com {\n\temail_link\n}\n" + photo, ""},
		"letters of its own":      {base + " https://bücher.example.org", auth + " {\n\t\t\tapp https://xn--bcher-kva.example.org Books\n\t\t}", own + photo + "bücher.example.org {\n\temail_link\n\treverse_proxy localhost:9\n}\n", ""},
		"the portal as an app":    {base, auth + " {\n\t\t\tapp " + auth + " Home\n\t\t}", own + photo, "is no site that the portal signs in for; write one of https://photos.example.org"},
		"an app with off":         {base, auth + " {\n\t\t\tapp https://photos.example.org Photos\n\t\t}", own + "photos.example.org {\n\temail_link {\n\t\tportal off\n\t}\n\treverse_proxy localhost:9\n}\n", "it signs in for no site: write email_link without 'portal off' in one"},
		"sign_in at a site":       {base, auth, own + "photos.example.org {\n\temail_link {\n\t\tsign_in link\n\t}\n\treverse_proxy localhost:9\n}\n", "sign_in belongs in the global option"},
		"files at a port":         {base, auth, own + photo + "auth.example.com:8443 {\n\tfile_server\n}\n", "nothing but email_link may answer there, on no port"},
		"a gate at a port":        {base, auth, own + photo + "auth.example.com:8443 {\n\temail_link\n\treverse_proxy localhost:9\n}\n", "has a second site"},
		"a star's gate at a port": {base + " https://*.example.com:8443", auth, own + photo + "*.example.com:8443 {\n\temail_link\n\treverse_proxy localhost:9\n}\n", "come to 'email_link' of auth.example.com"},
		"open at a port":          {base, auth, own + photo + "http://auth.example.com:8080 {\n\temail_link off\n\treverse_proxy localhost:9\n}\n", "come to 'email_link' of auth.example.com"},
		"any host at a port":      {base, auth, own + photo + ":8443 {\n\treverse_proxy localhost:9\n}\n", "or by '@others not host auth.example.com'"},
		"others at a port":        {base, auth, own + photo + ":8443 {\n\t@others not host auth.example.com\n\thandle @others {\n\t\treverse_proxy localhost:9\n\t}\n}\n", ""},
		"its errors":              {base, auth, "auth.example.com {\n\temail_link\n\thandle_errors {\n\t\treverse_proxy localhost:9\n\t}\n}\n" + photo, "in handle_errors of auth.example.com"},
		"errors of a port":        {base, auth, own + photo + ":8443 {\n\terror 404\n\thandle_errors {\n\t\treverse_proxy localhost:9\n\t}\n}\n", "in handle_errors of any host at :8443"},
		"a page for errors":       {base, auth, "auth.example.com {\n\temail_link\n\thandle_errors {\n\t\trespond oh\n\t}\n}\n" + photo, ""},
		"twice":                   {base, auth, "auth.example.com {\n\troute {\n\t\temail_link\n\t\temail_link\n\t}\n}\n" + photo, "has email_link a second time"},
		"a matcher":               {base, auth, "auth.example.com {\n\temail_link /x/*\n}\n" + photo, "a matcher behind email_link has no meaning at the portal"},
		"a star beside it":        {"https://*.example.com https://auth.example.com", auth, own + "files.example.com {\n\temail_link\n\treverse_proxy localhost:9\n}\n", ""},
		"a site for all names":    {"https://*.example.com https://auth.example.com", auth, own + "*.example.com {\n\temail_link\n\treverse_proxy localhost:9\n}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := load(t, portalConfig(c.base, c.portal, c.sites))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	err := load(t, "{\n\temail_link {\n\t\tbase_url https://photos.example.org\n\t\tmailer none\n\t}\n}\n\nphotos.example.org {\n\temail_link {\n\t\tportal off\n\t}\n\treverse_proxy localhost:9\n}\n")
	if err == nil || !strings.Contains(err.Error(), "there is no portal") {
		t.Errorf("portal off without a portal: %v", err)
	}
}
