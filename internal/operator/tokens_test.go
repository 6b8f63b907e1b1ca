package operator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func TestCreateToken_Refuses(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	site := flow.Site{Origin: "https://app.example.com"}
	svc.Sites = []flow.Site{site}
	svc.Site = func(origin string) (flow.Site, bool) { return site, origin == site.Origin }
	if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	good := operator.MachineTokenInput{Who: "ada@example.com", Scopes: []string{"calendar"}, TTL: time.Hour}
	if _, err := svc.CreateToken(t.Context(), good); err == nil || !strings.Contains(err.Error(), "scopes <name>") {
		t.Errorf("without a list: %v", err)
	}
	svc.Scopes = []string{"calendar", "contacts"}
	for name, one := range map[string]struct {
		change func(*operator.MachineTokenInput)
		want   string
	}{
		"a scope of nobody's": {func(in *operator.MachineTokenInput) { in.Scopes = []string{"calendar", "files"} }, "calendar, contacts"},
		"no scope":            {func(in *operator.MachineTokenInput) { in.Scopes = nil }, "calendar, contacts"},
		"too long":            {func(in *operator.MachineTokenInput) { in.TTL = 91 * 24 * time.Hour }, "90 days"},
		"below zero":          {func(in *operator.MachineTokenInput) { in.TTL = -1 }, "positive"},
		"an unknown account":  {func(in *operator.MachineTokenInput) { in.Who = "grace@example.com" }, "no account"},
		"an unknown site":     {func(in *operator.MachineTokenInput) { in.Site = "https://evil.example" }, "not a site"},
		"a name that steers":  {func(in *operator.MachineTokenInput) { in.Name = "a\x1b[2J" }, "control character"},
	} {
		in := good
		one.change(&in)
		if made, err := svc.CreateToken(t.Context(), in); err == nil || made.Token != "" || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	made, err := svc.CreateToken(t.Context(), good)
	if err != nil || !strings.HasPrefix(made.Token, "elt_") || made.State != "good" || made.Site != site.Origin {
		t.Fatalf("%+v, %v", made, err)
	}
	svc.Scopes = []string{"contacts"}
	list, err := svc.Tokens(t.Context(), "ada@example.com")
	if err != nil || len(list) != 1 || list[0].Token != "" || list[0].Email != "ada@example.com" || len(list[0].Lost) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if gone, err := svc.RevokeToken(t.Context(), made.ID); err != nil || gone.State != "revoked" {
		t.Errorf("%+v, %v", gone, err)
	}
	if _, err := svc.RevokeToken(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "tokens list") {
		t.Error(err)
	}
	status := "disabled"
	if _, err := svc.ChangeAccount(t.Context(), "ada@example.com", operator.AccountChange{Status: &status}); err != nil {
		t.Fatal(err)
	}
	good.Scopes = svc.Scopes
	if _, err := svc.CreateToken(t.Context(), good); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Error(err)
	}
}
