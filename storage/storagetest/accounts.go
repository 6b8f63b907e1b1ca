package storagetest

import (
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var accountTests = map[string]func(*testing.T, storage.Store){
	"CreateAndGet":              testAccountCreate,
	"EML3_OneMailboxOneAccount": testAccountTaken,
	"Replace":                   testAccountReplace,
	"Delete":                    testAccountDelete,
	"List":                      testAccountList,
}

// wantAccount checks what the three ways of reading an account answer.
func wantAccount(t *testing.T, s storage.Store, want storage.Account) {
	t.Helper()
	view(t, s, func(tx storage.Tx) error {
		for name, get := range map[string]func() (storage.Account, bool, error){
			"Get":                func() (storage.Account, bool, error) { return tx.Accounts().Get(want.ID) },
			"GetForUpdate":       func() (storage.Account, bool, error) { return tx.Accounts().GetForUpdate(want.ID) },
			"ByMailbox":          func() (storage.Account, bool, error) { return tx.Accounts().ByMailbox(want.Mailbox) },
			"ByMailboxForUpdate": func() (storage.Account, bool, error) { return tx.Accounts().ByMailboxForUpdate(want.Mailbox) },
		} {
			got, found, err := get()
			if err != nil {
				return err
			}
			equal(t, name, pair(got, found), pair(want, true))
		}
		return nil
	})
}

func testAccountCreate(t *testing.T, s storage.Store) {
	a := account("a")
	a.Version = 77
	update(t, s, func(tx storage.Tx) error {
		if found, err := tx.Accounts().Any(); found || err != nil {
			t.Errorf("Any of an empty store = %v, %v", found, err)
		}
		created, err := tx.Accounts().Create(a)
		equal(t, "created", created, true)
		return err
	})
	a.Version = 1
	wantAccount(t, s, a)
	view(t, s, func(tx storage.Tx) error {
		some, err := tx.Accounts().Any()
		equal(t, "Any", some, true)
		_, found, _ := tx.Accounts().Get("other")
		equal(t, "found", found, false)
		_, found, _ = tx.Accounts().Get("")
		equal(t, "found", found, false)
		_, found, _ = tx.Accounts().ByMailbox(digest("other"))
		equal(t, "found", found, false)
		return err
	})
}

func testAccountTaken(t *testing.T, s storage.Store) {
	a := account("a")
	sameID, sameMailbox := account("b"), account("c")
	sameID.ID, sameMailbox.Mailbox = a.ID, a.Mailbox
	update(t, s, func(tx storage.Tx) error { _, err := tx.Accounts().Create(a); return err })
	for _, other := range []storage.Account{sameID, sameMailbox} {
		update(t, s, func(tx storage.Tx) error {
			created, err := tx.Accounts().Create(other)
			equal(t, "created", created, false)
			return err
		})
	}
	a.Version = 1
	wantAccount(t, s, a)
}

func testAccountReplace(t *testing.T, s storage.Store) {
	a, b := account("a"), account("b")
	update(t, s, func(tx storage.Tx) error {
		if _, err := tx.Accounts().Create(a); err != nil {
			return err
		}
		_, err := tx.Accounts().Create(b)
		return err
	})
	replace := func(a storage.Account, want bool) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			got, err := tx.Accounts().Replace(a)
			equal(t, "replaced", got, want)
			return err
		})
	}
	a.Version, a.Status, a.Roles, a.Password = 1, storage.StatusDisabled, nil, []byte("hash")
	replace(a, true)
	replace(a, false) // the version has moved
	a.Version = 2
	wantAccount(t, s, a)

	moved := a
	moved.Mailbox = b.Mailbox
	replace(moved, false) // taken
	moved.Mailbox = digest("new")
	replace(moved, true)
	moved.Version = 3
	wantAccount(t, s, moved)
	view(t, s, func(tx storage.Tx) error {
		_, found, err := tx.Accounts().ByMailbox(a.Mailbox)
		equal(t, "the old mailbox leads somewhere", found, false)
		return err
	})
	missing := account("missing")
	missing.Version = 1
	replace(missing, false)
}

func testAccountDelete(t *testing.T, s storage.Store) {
	a := account("a")
	update(t, s, func(tx storage.Tx) error { _, err := tx.Accounts().Create(a); return err })
	for _, want := range []bool{true, false} {
		update(t, s, func(tx storage.Tx) error {
			deleted, err := tx.Accounts().Delete(a.ID)
			equal(t, "deleted", deleted, want)
			return err
		})
	}
	again := account("a")
	again.ID = "another"
	update(t, s, func(tx storage.Tx) error {
		created, err := tx.Accounts().Create(again)
		equal(t, "the mailbox is free again", created, true)
		return err
	})
}

func testAccountList(t *testing.T, s storage.Store) {
	names := []string{"a", "b", "c", "d", "e"}
	update(t, s, func(tx storage.Tx) error {
		for _, n := range names {
			if _, err := tx.Accounts().Create(account(n)); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx storage.Tx) error {
		for _, limit := range []int{1, 2, 5, 9} {
			var got []string
			for after := ""; ; {
				list, err := tx.Accounts().List(after, limit)
				if err != nil {
					return err
				}
				if len(list) == 0 {
					break
				}
				if len(list) > limit {
					t.Fatalf("List gave %d of %d", len(list), limit)
				}
				for _, a := range list {
					got = append(got, a.ID[len("id-"):])
				}
				after = list[len(list)-1].ID
			}
			equal(t, "ids", got, names)
		}
		list, err := tx.Accounts().List("", 0)
		equal(t, "none", len(list), 0)
		return err
	})
}
