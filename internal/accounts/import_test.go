package accounts

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// The records are well-formed, and of passwords that nobody knows.
	bcryptText   = "$2b$04$abcdefghijklmnopqrstuuWZgYFnZpIqA7uYq8rJzqfG4DKPEPJlW"
	argon2idText = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

func parse(t *testing.T, text string) password.Record {
	t.Helper()
	r, err := password.ParseRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func exported(t *testing.T, s *Service) (list []Exported) {
	t.Helper()
	if err := s.Store.View(t.Context(), func(tx storage.Tx) (err error) {
		for after := ""; ; {
			page, err := s.Export(tx, after, 2)
			if err != nil || len(page) == 0 {
				return err
			}
			list = append(list, page...)
			after = page[len(page)-1].ID
		}
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func costs(t *testing.T, s *Service) (words []string) {
	t.Helper()
	set, err := s.Costs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range set {
		words = append(words, c.String())
	}
	return words
}

func TestImport_KeepsWhatWasThere(t *testing.T) {
	s := newAccounts(t)
	made := s.Clock.Now().Add(-1000 * time.Hour)
	in := []ImportAccount{
		{
			Email: "Ada@Example.com", Name: "Ada", Roles: []string{"b", "a"}, Language: "de", Record: parse(t, bcryptText),
			Verified: true, Created: made,
		},
		{Email: "off@example.com", Verified: true, Disabled: true, Created: s.Clock.Now().Add(time.Hour)},
		{Email: "argon@example.com", Verified: true, Record: parse(t, argon2idText)},
	}
	results, written, err := s.ImportAll(t.Context(), in, ImportOptions{})
	if err != nil || !written || len(results) != 3 {
		t.Fatalf("%+v, %v, %v", results, written, err)
	}
	byEmail := map[string]Exported{}
	for _, e := range exported(t, s) {
		byEmail[e.Email] = e
	}
	a := byEmail["Ada@example.com"]
	if a.ID != results[0].ID || a.Name != "Ada" || !cmp.Equal(a.Roles, []string{"a", "b"}) || a.Language != "de" ||
		!a.Created.Equal(made) || a.Record.Text() != bcryptText || a.Status != Active {
		t.Errorf("exported %+v", a)
	}
	off := byEmail["off@example.com"]
	if off.Status != Disabled || !off.Created.Equal(s.Clock.Now()) || !off.Record.IsZero() {
		t.Errorf("exported %+v", off)
	}
	if diff := cmp.Diff([]string{"argon2id:64:1:1", "bcrypt:4:0:0"}, costs(t, s)); diff != "" {
		t.Error(diff)
	}
}

func TestImport_WithoutAProofOfTheMailboxLeavesOutPasswordAndName(t *testing.T) {
	s := newAccounts(t)
	results, _, err := s.ImportAll(t.Context(), []ImportAccount{
		{Email: "ada@example.com", Name: "Ada", Roles: []string{"user"}, Record: parse(t, bcryptText)},
		{Email: "bob@example.com", Roles: []string{"user"}},
		{Email: "eve@example.com", Name: "E\nve"},
	}, ImportOptions{GoOn: true})
	if err != nil || !results[0].LeftOut || results[1].LeftOut || results[2].Err == nil {
		t.Fatalf("%+v, %v", results, err)
	}
	list := exported(t, s)
	if len(list) != 2 {
		t.Fatalf("%d accounts", len(list))
	}
	for _, e := range list {
		if !e.Record.IsZero() || e.Name != "" || !cmp.Equal(e.Roles, []string{"user"}) {
			t.Errorf("exported %+v", e)
		}
	}
	if len(costs(t, s)) != 0 {
		t.Error("a cost was counted")
	}
}

func TestImport_NothingIsWrittenWhenOneIsBad(t *testing.T) {
	bad := map[string]ImportAccount{
		"no address":       {Email: "not an address", Verified: true},
		"taken":            {Email: "HERE@example.com", Verified: true},
		"twice":            {Email: "New0@example.com", Verified: true},
		"a control":        {Email: "x@example.com", Name: "\x1b[2J", Verified: true},
		"a role":           {Email: "x@example.com", Roles: []string{"a,b"}, Verified: true},
		"a language":       {Email: "x@example.com", Language: "!", Verified: true},
		"a record as name": {Email: "x@example.com", Name: strings.Repeat("x", MaxName+1), Verified: true},
	}
	for name, line := range bad {
		t.Run(name, func(t *testing.T) {
			s := newAccounts(t)
			create(t, s, NewAccount{Address: addr(t, "here@example.com")})
			var list []ImportAccount
			for i := range 3 {
				list = append(list, ImportAccount{Email: fmt.Sprintf("new%d@example.com", i), Verified: true, Record: parse(t, bcryptText)})
			}
			list = append(list, line, ImportAccount{Email: "last@example.com", Verified: true})
			results, written, err := s.ImportAll(t.Context(), list, ImportOptions{})
			if err != nil || written || len(results) != 5 {
				t.Fatalf("%+v, %v, %v", results, written, err)
			}
			for i, r := range results {
				if (r.Err != nil) != (i == 3) {
					t.Errorf("line %d: %v", i, r.Err)
				}
			}
			if invalid := new(InvalidError); !errors.Is(results[3].Err, ErrTaken) && !errors.As(results[3].Err, &invalid) {
				t.Errorf("refused with %v", results[3].Err)
			}
			if n := len(exported(t, s)); n != 1 || len(costs(t, s)) != 0 {
				t.Errorf("%d accounts, costs %v", n, costs(t, s))
			}
			results, written, err = s.ImportAll(t.Context(), list, ImportOptions{GoOn: true})
			if err != nil || !written || results[3].Err == nil || len(exported(t, s)) != 5 {
				t.Errorf("told to go on: %+v, %v, %v", results, written, err)
			}
		})
	}
}

func TestImport_ManyGoInByAndBy(t *testing.T) {
	s := newAccounts(t)
	var list []ImportAccount
	for i := range 2*importBatch + 7 {
		list = append(list, ImportAccount{Email: fmt.Sprintf("p%d@example.com", i), Verified: true, Record: parse(t, bcryptText)})
	}
	results, written, err := s.ImportAll(t.Context(), list, ImportOptions{GoOn: true})
	if err != nil || !written || len(results) != len(list) || len(exported(t, s)) != len(list) {
		t.Errorf("%d results, %v, %v", len(results), written, err)
	}
	if results, written, err = s.ImportAll(t.Context(), nil, ImportOptions{}); err != nil || len(results) != 0 || !written {
		t.Errorf("an empty file: %v, %v, %v", results, written, err)
	}
}

func TestPassword_SetUpgradeAndDelete(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com"), Password: parse(t, bcryptText)})
	acct, mailbox := epochs(t, s, a.ID, "ada@example.com")
	update(t, s, func(tx storage.Tx) error { return s.UpgradePassword(tx, a.ID, parse(t, argon2idText)) })
	if x, y := epochs(t, s, a.ID, "ada@example.com"); x != acct || y != mailbox {
		t.Error("an upgrade ended something")
	}
	if diff := cmp.Diff([]string{"argon2id:64:1:1"}, costs(t, s)); diff != "" {
		t.Error(diff)
	}
	update(t, s, func(tx storage.Tx) error {
		return s.SetPassword(tx, a.ID, parse(t, bcryptText), password.Policy{Last: 3})
	})
	if x, y := epochs(t, s, a.ID, "ada@example.com"); x != acct+1 || y != mailbox+1 {
		t.Error("a new password did not raise both epochs")
	}
	var c Credentials
	if err := s.Store.View(t.Context(), func(tx storage.Tx) (err error) {
		c, _, err = s.CredentialsByAddress(tx, addr(t, "ADA@example.com"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if c.Account.ID != a.ID || c.Version != 3 || c.Passwords.Current.Text() != bcryptText || len(c.Passwords.Previous) != 1 {
		t.Errorf("credentials %+v", c)
	}
	if diff := cmp.Diff([]string{"bcrypt:4:0:0"}, costs(t, s)); diff != "" {
		t.Error(diff)
	}
	update(t, s, func(tx storage.Tx) error {
		if err := s.SetPassword(tx, "nobody", parse(t, bcryptText), password.Policy{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown account: %v", err)
		}
		return s.Delete(tx, a.ID)
	})
	if len(costs(t, s)) != 0 {
		t.Errorf("costs %v after the last account is gone", costs(t, s))
	}
}

func TestREST1_ARecordMovedToAnotherAccountDoesNotOpen(t *testing.T) {
	s := newAccounts(t)
	a := create(t, s, NewAccount{Address: addr(t, "ada@example.com"), Password: parse(t, bcryptText)})
	b := create(t, s, NewAccount{Address: addr(t, "eve@example.com")})
	update(t, s, func(tx storage.Tx) error {
		from, _, err := tx.Accounts().Get(a.ID)
		if err != nil {
			return err
		}
		if strings.Contains(string(from.Password), bcryptText) {
			t.Error("the record is in the clear")
		}
		to, _, err := tx.Accounts().Get(b.ID)
		if err != nil {
			return err
		}
		to.Password = from.Password
		_, err = tx.Accounts().Replace(to)
		return err
	})
	err := s.Store.View(t.Context(), func(tx storage.Tx) error {
		_, _, err := s.Credentials(tx, b.ID)
		return err
	})
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want damage", err)
	}
	update(t, s, func(tx storage.Tx) error { return s.Delete(tx, b.ID) })
}
