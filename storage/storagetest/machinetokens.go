package storagetest

import (
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var machineTokenTests = map[string]func(*testing.T, storage.Store){
	"Create": testMachineCreate,
	"Revoke": testMachineRevoke,
	"List":   testMachineList,
}

func testMachineCreate(t *testing.T, s storage.Store) {
	m := machineToken("a", now.Add(time.Hour))
	update(t, s, func(tx storage.Tx) error { return tx.MachineTokens().Create(m) })
	view(t, s, func(tx storage.Tx) error {
		got, found, err := tx.MachineTokens().Get(m.Key)
		equal(t, "Get", pair(got, found), pair(m, true))
		return err
	})
	view(t, s, func(tx storage.Tx) error {
		_, found, err := tx.MachineTokens().Get(key(now.Add(time.Hour), "none"))
		equal(t, "found", found, false)
		return err
	})
	for what, bad := range map[string]storage.MachineToken{
		"twice":          m,
		"without an id":  {Key: key(now, "x"), Account: "a"},
		"without a key":  {ID: "x", Account: "a"},
		"of nobody":      {Key: key(now, "x"), ID: "x"},
		"of a key below": {Key: storage.Key{End: -1, Digest: digest("x")}, ID: "x", Account: "a"},
	} {
		if err := s.Update(t.Context(), func(tx storage.Tx) error { return tx.MachineTokens().Create(bad) }); err == nil {
			t.Errorf("%s: created", what)
		}
	}
}

func testMachineRevoke(t *testing.T, s storage.Store) {
	m := machineToken("a", now.Add(time.Hour))
	update(t, s, func(tx storage.Tx) error { return tx.MachineTokens().Create(m) })
	revoke := func(at time.Time, want bool) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			got, revoked, err := tx.MachineTokens().Revoke(m.Key, at)
			equal(t, "Revoke", pair(got, revoked), pair(m, want))
			return err
		})
		view(t, s, func(tx storage.Tx) error {
			got, _, err := tx.MachineTokens().Get(m.Key)
			equal(t, "Get", got, m)
			return err
		})
	}
	m.Revoked = now
	revoke(now, true)
	revoke(now.Add(time.Minute), false)
	update(t, s, func(tx storage.Tx) error {
		_, revoked, err := tx.MachineTokens().Revoke(key(now, "none"), now)
		equal(t, "revoked", revoked, false)
		return err
	})
}

func testMachineList(t *testing.T, s storage.Store) {
	var all []storage.MachineToken
	update(t, s, func(tx storage.Tx) error {
		for i, name := range []string{"a", "b", "c", "d", "e"} {
			m := machineToken(name, now.Add(time.Duration(i)*time.Hour))
			all = append(all, m)
			if err := tx.MachineTokens().Create(m); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx storage.Tx) error {
		var got []storage.MachineToken
		for after := (storage.Key{}); ; {
			page, err := tx.MachineTokens().List(after, 2)
			if err != nil {
				return err
			}
			got = append(got, page...)
			if len(page) < 2 {
				break
			}
			after = page[len(page)-1].Key
		}
		equal(t, "all", got, all)
		none, err := tx.MachineTokens().List(storage.Key{End: 1 << 50}, 2)
		equal(t, "after every key", len(none), 0)
		return err
	})
}
