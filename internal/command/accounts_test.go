package command

import (
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func TestAccountFilter(t *testing.T) {
	t.Parallel()
	a := operator.Account{ID: "zX8", Email: "Ann@example.com", Name: "Ann Lee", Roles: []string{"admin"}, Status: "active"}
	for f, want := range map[accountFilter]bool{
		{}: true, {text: "ann@"}: true, {text: "lee"}: true, {text: "zx8"}: true, {text: "bob"}: false,
		{role: "admin"}: true, {role: "adm"}: false, {status: "active"}: true, {status: "disabled"}: false, {text: "ann", role: "family"}: false,
	} {
		if f.passes(a) != want {
			t.Errorf("%+v", f)
		}
	}
	if err := (accountFilter{status: "disable"}).check(); err == nil || !strings.Contains(err.Error(), "did you mean disabled?") {
		t.Errorf("%v", err)
	}
}
