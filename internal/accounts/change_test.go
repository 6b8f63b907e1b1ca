package accounts

import (
	"errors"
	"strings"
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
		{"a time zone", func(tx storage.Tx) error { return s.SetTimezone(tx, a.ID, "Europe/Berlin") }, true},
		{"the same time zone", func(tx storage.Tx) error { return s.SetTimezone(tx, a.ID, "Europe/Berlin") }, false},
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

// TestSetTimezone_TakesNamesAlone: what is no name of a zone leaves the account as it is.
func TestSetTimezone_TakesNamesAlone(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com"), Timezone: "Asia/Kathmandu"})
	for _, bad := range []string{"Local", "Europe/Bärlin", "../etc/passwd", "Europe/Berlin\n", "UTC+1", " ", "\x00", strings.Repeat("Europe/", 2000)} {
		update(t, s, func(tx storage.Tx) error {
			var refused *InvalidError
			if err := s.SetTimezone(tx, a.ID, bad); !errors.As(err, &refused) || refused.Field != "timezone" || !strings.Contains(err.Error(), "such as Europe/Berlin") {
				t.Errorf("%.20q: %v", bad, err)
			}
			if _, err := s.Create(tx, NewAccount{Address: addr(t, "eve@example.com"), Timezone: bad}); !errors.As(err, &refused) {
				t.Errorf("%.20q: %v", bad, err)
			}
			return nil
		})
	}
	for _, zone := range []string{"Asia/Kathmandu", "Europe/Kiev", "UTC", ""} {
		update(t, s, func(tx storage.Tx) error { return s.SetTimezone(tx, a.ID, zone) })
		update(t, s, func(tx storage.Tx) error {
			got, found, err := s.Get(tx, a.ID)
			if got.Timezone != zone || got.Email != "ada@example.com" {
				t.Errorf("%q: %+v, %v", zone, got, found)
			}
			return err
		})
	}
}

// TestOpen_EarlierAndLaterRecords opens the sealed part of accounts as other builds have written it, which needs no step of the schema.
func TestOpen_EarlierAndLaterRecords(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com")})
	for text, zone := range map[string]string{
		`{"email":"ada@example.com","name":"Ada","language":"de"}`:                        "",
		`{"email":"ada@example.com","timezone":"Mars/Olympus","something":"of tomorrow"}`: "Mars/Olympus",
	} {
		update(t, s, func(tx storage.Tx) error {
			r, _, err := tx.Accounts().GetForUpdate(a.ID)
			if err != nil {
				return err
			}
			r.Private = s.Ring.Seal(label, []byte(a.ID), []byte(text))
			_, err = tx.Accounts().Replace(r)
			return err
		})
		update(t, s, func(tx storage.Tx) error {
			got, found, err := s.Get(tx, a.ID)
			if !found || got.Timezone != zone || !got.BrowsersForgotten.IsZero() {
				t.Errorf("%s: %+v", text, got)
			}
			return err
		})
	}
}
