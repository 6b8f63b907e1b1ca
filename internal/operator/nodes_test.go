package operator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// newNodes returns what operators do on one of two nodes, and the other one.
func newNodes(t *testing.T, self storage.NodeInfo) (svc *operator.Service, other *enginetest.Node) {
	t.Helper()
	store := enginetest.Open(t, t.TempDir())
	nodes := enginetest.Nodes(store, 2)
	v, err := vault.Open(t.Context(), vault.Config{
		Store: nodes[0], Masters: func([]byte) ([][]byte, error) { return [][]byte{[]byte(enginetest.Master)}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := nodes[0].Announce(t.Context(), self); err != nil {
		t.Fatal(err)
	}
	return &operator.Service{Vault: v, Self: self}, nodes[1]
}

// TestNODE3_NodesThatDifferAreNamed: configuration and keys.
func TestNODE3_NodesThatDifferAreNamed(t *testing.T) {
	self := storage.NodeInfo{Version: "v1", Config: "sites:1 limits:1", Secrets: []string{"new", "old"}}
	svc, other := newNodes(t, self)
	for _, c := range []struct {
		info storage.NodeInfo
		want []string
	}{
		{self, nil},
		{storage.NodeInfo{Version: "v2", Config: "sites:1 limits:1", Secrets: []string{"old", "new"}}, nil},
		{
			storage.NodeInfo{Version: "v1", Config: "sites:1 limits:2", Secrets: []string{"old"}},
			[]string{"another configuration (limits): ", "it lacks the key new"},
		},
		{storage.NodeInfo{Config: "sites:2 limits:2"}, []string{"another configuration (sites, limits): "}},
		{storage.NodeInfo{Config: "3f"}, []string{"another configuration (all of it): "}},
		{storage.NodeInfo{}, nil}, // it has not said yet
	} {
		if err := other.Announce(t.Context(), c.info); err != nil {
			t.Fatal(err)
		}
		list, err := svc.Nodes(t.Context())
		if err != nil || len(list) != 2 || !list[0].Self || len(list[0].Differs) != 0 {
			t.Fatalf("%+v, %v", list, err)
		}
		if got := list[1].Differs; !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%+v differs by %q, want %q", c.info, got, c.want)
		}
	}
}

// TestNODE3_ResealWaitsForEachNode: a node that lacks the new key could not start any more.
func TestNODE3_ResealWaitsForEachNode(t *testing.T) {
	svc, other := newNodes(t, storage.NodeInfo{Secrets: []string{"new", "old"}})
	sealed := 0
	svc.Seal = func(context.Context, func(storage.Tx) error) (bool, error) {
		sealed++
		return sealed == 1, nil
	}
	if err := other.Announce(t.Context(), storage.NodeInfo{Secrets: []string{"old"}}); err != nil {
		t.Fatal(err)
	}
	var refusal *operator.Error
	if _, err := svc.Reseal(t.Context()); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "lacks the key new") || sealed != 0 {
		t.Errorf("while a node lacks the key: %v, sealed %d times", err, sealed)
	}
	if err := other.Announce(t.Context(), storage.NodeInfo{Secrets: []string{"old", "new"}}); err != nil {
		t.Fatal(err)
	}
	for _, changed := range []bool{true, false} {
		if done, err := svc.Reseal(t.Context()); err != nil || done.Changed != changed || done.Fingerprint != "new" {
			t.Errorf("%+v, %v, want changed %v", done, err, changed)
		}
	}
}
