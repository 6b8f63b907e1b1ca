package keyring

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ids(keys []SigningKey) (out []string) {
	for _, k := range keys {
		out = append(out, k.ID)
	}
	return out
}

func TestKEY1_SigningKeyRotation(t *testing.T) {
	r, _ := open(t, [][]byte{master(1)}, nil)
	t0 := time.Unix(1_800_000_000, 0)
	k, changed, err := r.OpenSigningKeys(nil, t0)
	if err != nil || changed == nil {
		t.Fatalf("first key: changed %v, %v", changed != nil, err)
	}
	old := k.Current(t0)
	if len(old.ID) != 3 || !ed25519.Verify(old.Public, []byte("x"), ed25519.Sign(old.Private, []byte("x"))) {
		t.Fatalf("unusable key %q", old.ID)
	}
	if k.Listed(t0)[0].Private != nil {
		t.Error("a listing holds a private key")
	}

	sealed, err := k.Rotate(t0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Rotate(t0.Add(SigningLead - time.Second)); !errors.Is(err, ErrRotating) {
		t.Errorf("rotation during a rotation: %v", err)
	}
	check := func(k *SigningKeys, at time.Duration, current string, listed ...string) {
		t.Helper()
		if got := k.Current(t0.Add(at)).ID; got != current {
			t.Errorf("at %v: current is %s, want %s", at, got, current)
		}
		if d := cmp.Diff(listed, ids(k.Listed(t0.Add(at)))); d != "" {
			t.Errorf("at %v: listed (-want +got)\n%s", at, d)
		}
	}
	next := k.Listed(t0)[1].ID
	check(k, 0, old.ID, old.ID, next)
	check(k, SigningLead-time.Second, old.ID, old.ID, next)
	check(k, SigningLead, next, old.ID, next)
	check(k, SigningLead+SigningTail-time.Second, next, old.ID, next)
	check(k, SigningLead+SigningTail, next, next)

	again, changed, err := r.OpenSigningKeys(sealed, t0)
	if err != nil || changed != nil {
		t.Fatalf("reopened: changed %v, %v", changed != nil, err)
	}
	check(again, 0, old.ID, old.ID, next)
	if !again.Current(t0).Private.Equal(old.Private) {
		t.Error("another private key after reopening")
	}
	late, changed, err := r.OpenSigningKeys(sealed, t0.Add(time.Hour))
	if err != nil || changed == nil {
		t.Fatalf("a key that is listed no longer was not dropped: %v", err)
	}
	check(late, time.Hour, next, next)
	if err := late.Reload(sealed); err != nil {
		t.Fatal(err)
	}
	check(late, 0, old.ID, old.ID, next)
}

func TestKEY1_ForeignSigningKeysAreRefused(t *testing.T) {
	r, _ := open(t, [][]byte{master(1)}, nil)
	other, _ := open(t, [][]byte{master(1)}, nil)
	now := time.Unix(1_800_000_000, 0)
	k, sealed, err := r.OpenSigningKeys(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.OpenSigningKeys(sealed, now); !errors.Is(err, ErrDamaged) {
		t.Errorf("foreign: %v", err)
	}
	if err := k.Reload(sealed[:20]); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut: %v", err)
	}
	for _, plain := range []string{"[]", "{", `[{"id":"x","seed":"AAAA","from":1}]`} {
		if _, _, err := r.OpenSigningKeys(r.Seal(signingLabel, nil, []byte(plain)), now); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", plain, err)
		}
	}
}
