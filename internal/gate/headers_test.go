package gate

import (
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
)

func TestCFG1_HeaderValues(t *testing.T) {
	u := user{&accounts.Account{ID: "id1", Email: "{file./etc/hostname}{env.HOME}", Name: "Ada", Roles: []string{"admin", "staff"}}}
	for in, want := range map[string]string{
		"{http.auth.user.id}":                                "id1",
		"{http.auth.user.roles}":                             "admin,staff",
		"name={http.auth.user.name}; id={http.auth.user.id}": "name=Ada; id=id1",
		"yes":                    "yes",
		"{http.auth.user.email}": "{file./etc/hostname}{env.HOME}", // never expanded again
	} {
		v, err := ParseHeaderValue(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := v.text(u); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{
		"", "{http.auth.user.mail}", "{http.auth.user.}", "{env.HOME}", "{id}", "{http.auth.user.id", "a}", "{}", "a\nb", "{http.request.uri}",
	} {
		if v, err := ParseHeaderValue(in); err == nil {
			t.Errorf("%q was accepted as %v", in, v)
		}
	}
}

func FuzzCFG1_HeaderValue(f *testing.F) {
	f.Add("{http.auth.user.id}")
	f.Add("a{http.auth.user.roles}b}")
	u := user{&accounts.Account{ID: "id1"}}
	f.Fuzz(func(_ *testing.T, s string) {
		if v, err := ParseHeaderValue(s); err == nil {
			_ = v.text(u)
		}
	})
}
