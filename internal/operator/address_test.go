package operator_test

import (
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// TestOWN2_AnOperatorTellsBothMailboxes gives an account another address, which cannot be that of another account.
func TestOWN2_AnOperatorTellsBothMailboxes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
		svc.Sites, svc.Site = []flow.Site{site}, func(string) (flow.Site, bool) { return site, true }
		ctx := t.Context()
		var id string
		for _, email := range []string{"bob@example.com", "ann@example.com"} {
			a, err := b.AddAccount(ctx, operator.AccountInput{Email: email})
			if err != nil {
				t.Fatal(err)
			}
			id = a.ID
		}
		for email, want := range map[string]string{"bob@example.com": "has an account already", "nothing": "cannot be used", "": "cannot be used"} {
			if _, err := b.ChangeAccount(ctx, id, operator.AccountChange{Email: &email}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", email, err)
			}
		}
		email := "ann@new.example.com"
		a, err := b.ChangeAccount(ctx, "ann@example.com", operator.AccountChange{Email: &email})
		if err != nil || a.Email != email || a.ID != id {
			t.Fatalf("%+v, %v", a, err)
		}
		mails, err := b.Mails(ctx)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]int{}
		for _, m := range mails {
			told[m.To]++
		}
		if len(mails) != 2 || len(told) != 2 {
			t.Errorf("the mails are %+v", mails)
		}
	})
}
