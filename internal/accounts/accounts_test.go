package accounts

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func newAccounts(t *testing.T) *Service {
	t.Helper()
	store := enginetest.Open(t, t.TempDir())
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	master := make([]byte, 32)
	_, _ = rand.Read(master)
	ring, _, err := keyring.Open([][]byte{master}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Service{Store: store, Ring: ring, Clock: clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)).Clock()}
}

func addr(t *testing.T, s string) address.Address {
	t.Helper()
	a, err := address.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func update(t *testing.T, s *Service, fn func(storage.Tx) error) {
	t.Helper()
	if err := s.Store.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, s *Service, n NewAccount) (a Account) {
	t.Helper()
	update(t, s, func(tx storage.Tx) (err error) {
		a, err = s.Create(tx, n)
		return err
	})
	return a
}

// epochs returns the epochs of an account and of its mailbox.
func epochs(t *testing.T, s *Service, id, email string) (acct, mailbox uint64) {
	t.Helper()
	err := s.Store.View(t.Context(), func(tx storage.Tx) (err error) {
		if acct, err = tx.Epochs().Get(storage.AccountEpoch(id)); err != nil {
			return err
		}
		mailbox, err = tx.Epochs().Get(storage.MailboxEpoch(addr(t, email).Mailbox(s.Ring)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return acct, mailbox
}

func TestEML3_SpellingsOfOneMailboxAreOneAccount(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{
		Address: addr(t, "Ada.L@Example.COM"), Name: "Ada Łovelace", Roles: []string{"user", "admin", "user"}, Language: "pl-PL",
	})
	want := Account{
		ID: a.ID, Email: "Ada.L@example.com", Name: "Ada Łovelace", Roles: []string{"admin", "user"},
		Status: Active, Language: "pl-PL",
	}
	for _, spelling := range []string{"Ada.L@Example.COM", "ada.l@example.com"} {
		got, found, err := s.Lookup(t.Context(), spelling)
		if err != nil || !found {
			t.Fatalf("%s: %v, %v", spelling, found, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", spelling, d)
		}
	}
	for _, other := range []string{"ada.l+x@example.com", "adal@example.com", "аda.l@example.com", "", "x", "ada.l@example.com, bob@example.com"} {
		if _, found, err := s.Lookup(t.Context(), other); found || err != nil {
			t.Errorf("%s: %v, %v", other, found, err)
		}
	}
	err := s.Store.Update(t.Context(), func(tx storage.Tx) error {
		_, err := s.Create(tx, NewAccount{Address: addr(t, "ADA.L@example.com")})
		return err
	})
	if !errors.Is(err, ErrTaken) {
		t.Errorf("a second account for one mailbox: %v", err)
	}
}

func TestREST1_WhatPeopleToldIsSealedAndBound(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com"), Name: "Ada"})
	b := create(t, s, NewAccount{Address: addr(t, "bob@example.com"), Name: "Bob"})
	update(t, s, func(tx storage.Tx) error {
		ra, _, err := tx.Accounts().Get(a.ID)
		if err != nil {
			return err
		}
		for _, secret := range []string{"ada", "Ada", "example"} {
			if bytes.Contains(ra.Private, []byte(secret)) {
				t.Errorf("%q can be read", secret)
			}
		}
		rb, _, err := tx.Accounts().Get(b.ID)
		if err != nil {
			return err
		}
		rb.Private = ra.Private
		_, err = tx.Accounts().Replace(rb)
		return err
	})
	if _, _, err := s.Lookup(t.Context(), "bob@example.com"); !errors.Is(err, ErrDamaged) {
		t.Errorf("an account with another's sealed part: %v", err)
	}
}

// TestFLOW1_MakingAnAccountEndsWhatItsMailboxWasAskedFor: a flow from before has the mailbox's epoch from before.
func TestFLOW1_MakingAnAccountEndsWhatItsMailboxWasAskedFor(t *testing.T) {
	s := newAccounts(t)
	const email = "ada@example.com"
	_, before := epochs(t, s, "none", email)
	a := create(t, s, NewAccount{Address: addr(t, email)})
	if _, after := epochs(t, s, a.ID, email); after != before+1 {
		t.Errorf("the mailbox's epoch was %d and is %d", before, after)
	}
}

func TestFLOW5_ChangesAndTheirEpochs(t *testing.T) {
	s := newAccounts(t)
	const email = "ada@example.com"
	a := create(t, s, NewAccount{Address: addr(t, email), Name: "Ada"})
	for _, step := range []struct {
		name          string
		do            func(storage.Tx) error
		acct, mailbox uint64
		want          Account
	}{
		{
			"created", func(storage.Tx) error { return nil }, 0, 1,
			Account{Name: "Ada", Status: Active},
		},
		{
			"name", func(tx storage.Tx) error { return s.SetName(tx, a.ID, "Countess") }, 0, 1,
			Account{Name: "Countess", Status: Active},
		},
		{
			"roles", func(tx storage.Tx) error { return s.SetRoles(tx, a.ID, []string{"b", "a"}) }, 0, 1,
			Account{Name: "Countess", Status: Active, Roles: []string{"a", "b"}},
		},
		{
			"language", func(tx storage.Tx) error { return s.SetLanguage(tx, a.ID, "en") }, 0, 1,
			Account{Name: "Countess", Status: Active, Roles: []string{"a", "b"}, Language: "en"},
		},
		{
			"disabled", func(tx storage.Tx) error { return s.SetStatus(tx, a.ID, storage.StatusDisabled) }, 1, 2,
			Account{Name: "Countess", Status: Disabled, Roles: []string{"a", "b"}, Language: "en"},
		},
		{
			"disabled again", func(tx storage.Tx) error { return s.SetStatus(tx, a.ID, storage.StatusDisabled) }, 1, 2,
			Account{Name: "Countess", Status: Disabled, Roles: []string{"a", "b"}, Language: "en"},
		},
		{
			"enabled", func(tx storage.Tx) error { return s.SetStatus(tx, a.ID, storage.StatusActive) }, 2, 3,
			Account{Name: "Countess", Status: Active, Roles: []string{"a", "b"}, Language: "en"},
		},
	} {
		update(t, s, step.do)
		if acct, mailbox := epochs(t, s, a.ID, email); acct != step.acct || mailbox != step.mailbox {
			t.Errorf("%s: epochs %d and %d", step.name, acct, mailbox)
		}
		got, found, err := s.Lookup(t.Context(), email)
		if err != nil || !found {
			t.Fatalf("%s: %v, %v", step.name, found, err)
		}
		step.want.ID, step.want.Email = a.ID, email
		if d := cmp.Diff(step.want, got); d != "" {
			t.Errorf("%s: %s", step.name, d)
		}
	}
	update(t, s, func(tx storage.Tx) error { return s.Delete(tx, a.ID) })
	if acct, mailbox := epochs(t, s, a.ID, email); acct != 3 || mailbox != 4 {
		t.Errorf("deleted: epochs %d and %d", acct, mailbox)
	}
	if _, found, err := s.Lookup(t.Context(), email); found || err != nil {
		t.Errorf("deleted: %v, %v", found, err)
	}
	if again := create(t, s, NewAccount{Address: addr(t, email)}); again.ID == a.ID {
		t.Error("an id was used again")
	}
	for name, do := range map[string]func(storage.Tx) error{
		"delete": func(tx storage.Tx) error { return s.Delete(tx, a.ID) },
		"name":   func(tx storage.Tx) error { return s.SetName(tx, a.ID, "x") },
		"status": func(tx storage.Tx) error { return s.SetStatus(tx, a.ID, storage.StatusDisabled) },
	} {
		if err := s.Store.Update(t.Context(), do); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of a deleted account: %v", name, err)
		}
	}
}

func TestList(t *testing.T) {
	s := newAccounts(t)
	update(t, s, func(tx storage.Tx) error {
		if found, err := s.Any(tx); found || err != nil {
			t.Errorf("Any of none: %v, %v", found, err)
		}
		return nil
	})
	for _, e := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		create(t, s, NewAccount{Address: addr(t, e), Disabled: e == "b@example.com"})
	}
	seen := map[string]Status{}
	err := s.Store.View(t.Context(), func(tx storage.Tx) error {
		after := ""
		for {
			list, err := s.List(tx, after, 2)
			if err != nil || len(list) == 0 {
				return err
			}
			for _, e := range list {
				if e.Created.IsZero() || e.Mailbox.IsZero() || e.Password {
					t.Errorf("entry %+v", e)
				}
				seen[e.Email], after = e.Status, e.ID
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Status{"a@example.com": Active, "b@example.com": Disabled, "c@example.com": Active}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
}

func TestHDR4_ControlCharactersAreRefusedWhenStored(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com"), Name: "Ada"})
	names := []string{
		"a\nb", "a\r\nX: y", "a\x00", "a\x7f", "a\u0085", "a\u2028b", "a\u202eb", "a\u200eb", "a\ufeff", "a\xff", strings.Repeat("a", MaxName+1),
	}
	for _, name := range names {
		err := s.Store.Update(t.Context(), func(tx storage.Tx) error { return s.SetName(tx, a.ID, name) })
		if invalid := new(InvalidError); !errors.As(err, &invalid) || invalid.Field != "name" {
			t.Errorf("name %q: %v", name, err)
		}
		err = s.Store.Update(t.Context(), func(tx storage.Tx) error {
			_, err := s.Create(tx, NewAccount{Address: addr(t, "x@example.com"), Name: name})
			return err
		})
		if invalid := new(InvalidError); !errors.As(err, &invalid) {
			t.Errorf("a new account with name %q: %v", name, err)
		}
	}
	for _, role := range []string{"", "a b", "a,b", "a\n", "a\x00", "é", `a"`, `a\`, strings.Repeat("a", MaxRole+1)} {
		err := s.Store.Update(t.Context(), func(tx storage.Tx) error { return s.SetRoles(tx, a.ID, []string{"ok", role}) })
		if invalid := new(InvalidError); !errors.As(err, &invalid) || invalid.Field != "role" {
			t.Errorf("role %q: %v", role, err)
		}
	}
	if CheckRoles(make([]string, MaxRoles+1)) == nil || CheckRoles(strings.Fields(strings.Repeat("r ", MaxRoles+1))) == nil {
		t.Error("too many roles")
	}
	for _, name := range []string{"", "Ada Łovelace", "می\u200cخواهم", "O'Neil, Jr.", strings.Repeat("a", MaxName)} {
		if err := CheckName(name); err != nil {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, role := range []string{"admin", "team:x/y", "a.b-c_d", "*"} {
		if err := CheckRole(role); err != nil {
			t.Errorf("role %q: %v", role, err)
		}
	}
	for tag, good := range map[string]bool{
		"": true, "en": true, "de-CH-1996": true, "zh-Hant": true, "1en": false, "en-": false, "-": false, "en--x": false, "e\nn": false,
		strings.Repeat("a", 36): false,
	} {
		if err := CheckLanguage(tag); (err == nil) != good {
			t.Errorf("language %q: %v", tag, err)
		}
	}
}
