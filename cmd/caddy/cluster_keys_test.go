//go:build postgres

package main

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// verifier verifies assertions of the site, and asks one node after the other for the keys, the first time the one with this number. With keys
// it knows these alone.
func (c *cluster) verifier(first int, key string, keys ...identity.PublicKey) *identity.Verifier {
	c.t.Helper()
	asked := new(atomic.Int64)
	asked.Store(int64(first))
	config := identity.Config{
		Issuers: []string{c.origin}, Audience: strings.TrimPrefix(c.origin, "http://"), Type: identity.TypeAssertion, Key: key, SigningKeys: keys,
	}
	if len(keys) == 0 {
		config.JWKSURL = c.origin + "/email-link/jwks.json"
		config.Client = &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, // each fetch goes to another node
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				n := c.nodes[int(asked.Add(1)-1)%len(c.nodes)]
				return new(net.Dialer).DialContext(ctx, "tcp", n.site)
			},
		}}
	}
	v, err := identity.NewVerifier(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// listedKey returns a signing key that every node lists.
func (c *cluster) listedKey(id string) (key identity.PublicKey) {
	c.t.Helper()
	for _, n := range c.nodes {
		eventually(c.t, "the node lists the new key", func() bool {
			_, page := n.browser(nil).do(http.MethodGet, c.origin+"/email-link/jwks.json", "")
			list, err := identity.ParseJWKS([]byte(page))
			i := slices.IndexFunc(list, func(k identity.PublicKey) bool { return k.ID == id })
			if err == nil && i >= 0 {
				key = list[i]
			}
			return err == nil && i >= 0
		})
	}
	return key
}

// TestNODE1_ARotationIsRefusedByNoVerifier rotates the key on the first node while the others sign. Verifiers that fetch the keys from one
// node after the other accept each assertion: those that have known the keys from before on, and one that begins with each assertion.
func TestNODE1_ARotationIsRefusedByNoVerifier(t *testing.T) {
	onlyLong(t)
	t.Parallel() // it waits for the lead of a key, a quarter of an hour
	c := newCluster(t)
	b := c.enter("ada@example.com")
	key := firstLine(c.nodes[0].must("keys", "audience", strings.TrimPrefix(c.origin, "http://")))
	verifiers := []*identity.Verifier{c.verifier(0, key), c.verifier(1, key), c.verifier(2, key)}
	verified := 0
	verify := func() (last string) {
		for i, n := range c.nodes[1:] {
			status, assertion := n.browser(b.cookies).do(http.MethodGet, c.origin+"/app/assertion", "")
			if status != http.StatusOK {
				t.Fatalf("%d %.200q", status, assertion)
			}
			for j, v := range append(verifiers, c.verifier(verified+i, key)) {
				if id, err := v.Verify(t.Context(), assertion); err != nil || id.Email != "ada@example.com" {
					t.Fatalf("verifier %d of an assertion of node %d, after %d: %v", j+1, i+2, verified, err)
				}
				verified++
			}
			last = assertion
		}
		return last
	}
	verify()
	rotated, err := c.nodes[0].client().RotateKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, begun := c.verifier(0, key, c.listedKey(rotated.ID)), time.Now()
	var signed time.Time // when the new key was first seen in use
	for signed.IsZero() || time.Since(signed) < time.Minute {
		if _, err := next.Verify(t.Context(), verify()); err == nil && signed.IsZero() {
			signed = time.Now()
			t.Logf("the new key signs after %s", time.Since(begun).Round(time.Second))
		}
		if time.Since(begun) > 20*time.Minute+gatetest.Patience {
			t.Fatal("the new key does not sign")
		}
		time.Sleep(500 * time.Millisecond) // what signs changes with the time of other processes
	}
	t.Logf("%d verifications, none refused", verified)
}
