package storagetest

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var invitationTests = map[string]func(*testing.T, storage.Store){
	"Create":           testInvitationCreate,
	"Lists":            testInvitationLists,
	"Lists in a step":  testInvitationListsInStep,
	"With their flows": testInvitationWithFlow,
}

func testInvitationCreate(t *testing.T, s storage.Store) {
	i := invitation("a", "ada", now.Add(time.Hour))
	update(t, s, func(tx storage.Tx) error { return tx.Invitations().Create(i) })
	for what, bad := range map[string]storage.Invitation{
		"twice":             i,
		"without an id":     {Key: key(now, "x"), Mailbox: digest("x")},
		"without a mailbox": {Key: key(now, "x"), ID: "x"},
		"without a key":     {ID: "x", Mailbox: digest("x")},
		"of a key below":    {Key: storage.Key{End: -1, Digest: digest("x")}, ID: "x", Mailbox: digest("x")},
	} {
		if err := s.Update(t.Context(), func(tx storage.Tx) error { return tx.Invitations().Create(bad) }); err == nil {
			t.Errorf("%s: created", what)
		}
	}
}

// invite stores invitations of two accounts and of an operator, two of them for one mailbox.
func invite(tx storage.Tx) (all []storage.Invitation, err error) {
	for n, one := range []struct{ name, inviter string }{{"a", "ada"}, {"b", "adam"}, {"c", "ada"}, {"d", ""}, {"e", "ada"}} {
		i := invitation(one.name, one.inviter, now.Add(time.Duration(n)*time.Hour))
		if one.name == "e" {
			i.Mailbox = all[0].Mailbox
		}
		all = append(all, i)
		err = errors.Join(err, tx.Invitations().Create(i))
	}
	return all, err
}

func checkInvitations(t *testing.T, tx storage.Tx, all []storage.Invitation) error {
	t.Helper()
	ofAda, err1 := tx.Invitations().ByInviter("ada", 9)
	first, err2 := tx.Invitations().ByInviter("ada", 1)
	ofOperator, err3 := tx.Invitations().ByInviter("", 9)
	unknown, err4 := tx.Invitations().ByInviter("ad", 9)
	twice, err5 := tx.Invitations().ByMailbox(all[0].Mailbox, 9)
	uninvited, err6 := tx.Invitations().ByMailbox(digest("none"), 9)
	none, err7 := tx.Invitations().ByInviter("ada", 0)
	equal(t, "of one account", ofAda, []storage.Invitation{all[0], all[2], all[4]})
	equal(t, "the first of it", first, all[:1])
	equal(t, "of the operator", ofOperator, all[3:4])
	equal(t, "for one mailbox", twice, []storage.Invitation{all[0], all[4]})
	equal(t, "none", len(unknown)+len(uninvited)+len(none), 0)
	var got []storage.Invitation
	for after := (storage.Key{}); ; {
		page, err := tx.Invitations().List(after, 2)
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
	behind, err8 := tx.Invitations().List(storage.Key{End: 1 << 50}, 2)
	equal(t, "after every key", len(behind), 0)
	return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8)
}

func testInvitationLists(t *testing.T, s storage.Store) {
	var all []storage.Invitation
	update(t, s, func(tx storage.Tx) (err error) { all, err = invite(tx); return err })
	view(t, s, func(tx storage.Tx) error { return checkInvitations(t, tx, all) })
	sweep(t, s, now.Add(time.Hour), 9, 2)
	view(t, s, func(tx storage.Tx) error {
		ofAda, err := tx.Invitations().ByInviter("ada", 9)
		equal(t, "after a sweep", ofAda, []storage.Invitation{all[2], all[4]})
		again, err2 := tx.Invitations().ByMailbox(all[0].Mailbox, 9)
		equal(t, "for one mailbox", again, all[4:])
		return errors.Join(err, err2)
	})
}

func testInvitationListsInStep(t *testing.T, s storage.Store) {
	update(t, s, func(tx storage.Tx) error {
		all, err := invite(tx)
		return errors.Join(err, checkInvitations(t, tx, all))
	})
}

// testInvitationWithFlow stores an invitation with its flow, or neither.
func testInvitationWithFlow(t *testing.T, s storage.Store) {
	f := flow("f", now.Add(time.Hour))
	i := storage.Invitation{Key: f.Key, ID: f.ID, Mailbox: f.Mailbox}
	err := s.Update(t.Context(), func(tx storage.Tx) error {
		return errors.Join(tx.Flows().Create(f), tx.Invitations().Create(i), errTest)
	})
	if !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Invitations().List(storage.Key{}, 9)
		_, found, err2 := tx.Flows().Get(f.Key)
		equal(t, "what is left", pair(len(list), found), pair(0, false))
		return errors.Join(err, err2)
	})
	update(t, s, func(tx storage.Tx) error { return errors.Join(tx.Flows().Create(f), tx.Invitations().Create(i)) })
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Invitations().ByMailbox(f.Mailbox, 9)
		equal(t, "the invitation", list, []storage.Invitation{i})
		return err
	})
}
