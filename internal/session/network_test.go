package session

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestFAIR3_LiveSessionsMakeTheirNetworksTheAccountsOwn asks from addresses inside and outside of the networks of an account's sessions,
// before and after their ends.
func TestFAIR3_LiveSessionsMakeTheirNetworksTheAccountsOwn(t *testing.T) {
	r := newRig(t)
	ada, bob := r.account("ada@example.com"), r.account("bob@example.com")
	opened := func(id, client string) (ok bool) {
		t.Helper()
		var addr netip.Addr
		if client != "" {
			addr = netip.MustParseAddr(client)
		}
		if err := r.spy.View(context.Background(), func(tx storage.Tx) (err error) {
			ok, err = r.OpenedFrom(tx, id, addr)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	r.open(ada, OpenInput{}) // from an address that is not known
	r.open(ada, OpenInput{Client: netip.MustParseAddr("203.0.113.7")})
	cookie, v6 := r.open(ada, OpenInput{Client: netip.MustParseAddr("2001:db8:1:2::7")})
	if v6.Network != "2001:db8:1::/48" {
		t.Errorf("the network is %q", v6.Network)
	}
	for client, want := range map[string]bool{
		"203.0.113.7": true, "203.0.113.250": true, "::ffff:203.0.113.9": true, "203.0.114.7": false, "": false,
		"2001:db8:1:ffff::1": true, "2001:db8:2:2::7": false,
	} {
		if got := opened(ada.ID, client); got != want {
			t.Errorf("%q: %v, want %v", client, got, want)
		}
		if opened(bob.ID, client) || opened("", client) {
			t.Errorf("%q is somebody else's network as well", client)
		}
	}
	if err := r.End(context.Background(), r.mustFind(cookie, siteA)); err != nil {
		t.Fatal(err)
	}
	if opened(ada.ID, "2001:db8:1:2::7") {
		t.Error("the network of a session that has been ended")
	}
	r.time.Advance(time.Hour)
	if opened(ada.ID, "203.0.113.7") {
		t.Error("the network of a session that has expired")
	}
	r.open(ada, OpenInput{Client: netip.MustParseAddr("203.0.113.7")})
	if err := r.EndEverywhere(context.Background(), ada.ID); err != nil {
		t.Fatal(err)
	}
	if opened(ada.ID, "203.0.113.7") {
		t.Error("the network of a session that has been ended with all others")
	}
}
