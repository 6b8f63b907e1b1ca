package machinetoken

import (
	"errors"
	"testing"
	"time"
)

// TestOWN3_OnesOwnTokensAlone lists and revokes the tokens of one account of two.
func TestOWN3_OnesOwnTokensAlone(t *testing.T) {
	r := newRig(t)
	ada, bob := r.account("ada@example.com"), r.account("bob@example.com")
	make := func(id string) Token {
		_, made, err := r.Create(t.Context(), Input{Account: id, Site: siteA, Scopes: []string{"calendar"}, TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	own, foreign := make(ada.ID), make(bob.ID)
	if err := r.RevokeOwn(t.Context(), ada.ID, foreign.ID, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("a token of another account: %v", err)
	}
	if err := r.RevokeOwn(t.Context(), ada.ID, own.ID, "192.0.2.0/24"); err != nil {
		t.Errorf("one's own: %v", err)
	}
	for id, ended := range map[string]bool{ada.ID: true, bob.ID: false} {
		if list, err := r.List(t.Context(), id); err != nil || len(list) != 1 || list[0].Account != id || list[0].Ended != ended {
			t.Errorf("the tokens of %s are %+v, %v", id, list, err)
		}
	}
}
