package accounts

import (
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestSES1_EveryChangeIsPublished: who keeps an account, its sessions or its tokens in memory learns of each change, and of nothing else.
func TestSES1_EveryChangeIsPublished(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com"), Name: "Ada", Roles: []string{"admin"}})
	var told []storage.Change
	defer s.Store.Subscribe(func(c storage.Change) { told = append(told, c) })()
	for _, c := range []struct {
		name    string
		change  func(tx storage.Tx) error
		publish bool
	}{
		{"the same name", func(tx storage.Tx) error { return s.SetName(tx, a.ID, "Ada") }, false},
		{"another name", func(tx storage.Tx) error { return s.SetName(tx, a.ID, "Ada L.") }, true},
		{"the same roles", func(tx storage.Tx) error { return s.SetRoles(tx, a.ID, []string{"admin", "admin"}) }, false},
		{"no roles", func(tx storage.Tx) error { return s.SetRoles(tx, a.ID, nil) }, true},
		{"a language", func(tx storage.Tx) error { return s.SetLanguage(tx, a.ID, "de") }, true},
		{"disabled", func(tx storage.Tx) error { return s.SetStatus(tx, a.ID, storage.StatusDisabled) }, true},
		{"enabled", func(tx storage.Tx) error { return s.SetStatus(tx, a.ID, storage.StatusActive) }, true},
		{"a password", func(tx storage.Tx) error {
			return s.SetPassword(tx, a.ID, parse(t, bcryptText), password.Policy{})
		}, true},
		{"its re-hash", func(tx storage.Tx) error { return s.UpgradePassword(tx, a.ID, parse(t, argon2idText)) }, true},
		{"deleted", func(tx storage.Tx) error { return s.Delete(tx, a.ID) }, true},
	} {
		told = nil
		update(t, s, c.change)
		if (len(told) > 0) != c.publish || c.publish && told[0] != (storage.Change{Kind: storage.ChangeAccount, Account: a.ID}) {
			t.Errorf("%s: published %+v", c.name, told)
		}
	}
}

// TestFLOW5_AnAccountIsActiveOnlyWhereItSaysSo: a status that this build does not know is no permission.
func TestFLOW5_AnAccountIsActiveOnlyWhereItSaysSo(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com")})
	for status, want := range map[storage.Status]Status{storage.StatusActive: Active, storage.StatusDisabled: Disabled, 0: Disabled, 3: Disabled, 99: Disabled} {
		var got Account
		update(t, s, func(tx storage.Tx) error {
			r, _, err := tx.Accounts().GetForUpdate(a.ID)
			if err != nil {
				return err
			}
			r.Status = status
			if _, err := tx.Accounts().Replace(r); err != nil {
				return err
			}
			got, _, err = s.Get(tx, a.ID)
			return err
		})
		if got.Status != want {
			t.Errorf("an account with the status %d is %s", status, got.Status)
		}
	}
}
