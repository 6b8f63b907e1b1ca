package module

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// unreachable is a database that does not answer.
type unreachable struct{ storage.Store }

// View implements storage.Store.
func (unreachable) View(context.Context, func(storage.Tx) error) error { return storage.ErrUnreachable }

// TestTheDoctorExaminesAGateWhoseDatabaseIsAway: on such a day the doctor says so, and makes all checks that need no database.
func TestTheDoctorExaminesAGateWhoseDatabaseIsAway(t *testing.T) {
	ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: caddy.ModuleMap{"email_link": []byte(`{"mailer": {"transport": "none"}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := ctx.App("email_link")
	if err != nil {
		t.Fatal(err)
	}
	app, s := loaded.(*App), newShared(t)
	one := func(check string) func(doctor.Finding) bool {
		return func(f doctor.Finding) bool { return f.Check == check }
	}
	healthy, err := app.diagnose(t.Context(), s.core, "")
	if err != nil || slices.ContainsFunc(healthy, one("storage")) {
		t.Fatalf("%v %+v", err, healthy)
	}
	own := s.Store
	s.Store = unreachable{own}
	defer func() { s.Store = own }()
	list, err := app.diagnose(t.Context(), s.core, "")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, one("storage"))
	if i < 0 || list[i].Result != doctor.Fail || !strings.Contains(list[i].Text, "cannot be reached") || len(list) < len(healthy) { // the tokens are missing
		t.Errorf("%+v\nhealthy: %+v", list, healthy)
	}
}
