package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func master(seed byte) []byte {
	m := make([]byte, MinMaster)
	for i := range m {
		m[i] = seed + byte(i)
	}
	return m
}

func open(t *testing.T, masters [][]byte, sealed []byte) (*Ring, []byte) {
	t.Helper()
	r, resealed, err := Open(masters, sealed)
	if err != nil {
		t.Fatal(err)
	}
	return r, resealed
}

func TestParseMasters(t *testing.T) {
	key := master(7)
	for name, text := range map[string]string{
		"hex":              hex.EncodeToString(key),
		"HEX":              strings.ToUpper(hex.EncodeToString(key)),
		"base64":           base64.StdEncoding.EncodeToString(key),
		"base64 unpadded":  base64.RawStdEncoding.EncodeToString(key),
		"base64url":        base64.URLEncoding.EncodeToString(key),
		"base64url, bare":  base64.RawURLEncoding.EncodeToString(key),
		"with a line feed": base64.StdEncoding.EncodeToString(key) + "\n",
		"raw":              string(key),
	} {
		got, err := ParseMasters([]string{text})
		if err != nil || len(got) != 1 || !bytes.Equal(got[0], key) {
			t.Errorf("%s: got %x, %v", name, got, err)
		}
	}
	raw := "correct horse battery staple, and then some more"
	if got, err := ParseMasters([]string{raw}); err != nil || string(got[0]) != raw {
		t.Errorf("raw text: %q, %v", got, err)
	}
}

func TestKEY1_BadMastersAreRefusedByNumberNotByValue(t *testing.T) {
	good := hex.EncodeToString(master(1))
	for name, bad := range map[string]string{
		"empty":            "",
		"blank":            " \n",
		"short":            "tooshort-secret",
		"short hex":        "00112233445566778899aabbccddee",
		"placeholder":      "{env.A_VARIABLE_WITH_QUITE_A_LONG_NAME}",
		"one letter":       strings.Repeat("a", 64),
		"two letters":      strings.Repeat("ab", 32),
		"the same as 1":    good,
		"the same, spaced": " " + good,
	} {
		_, err := ParseMasters([]string{good, bad})
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.Contains(err.Error(), "value 2 of 2") {
			t.Errorf("%s: the error does not say which: %v", name, err)
		}
		if v := strings.TrimSpace(bad); v != "" && strings.Contains(err.Error(), v) {
			t.Errorf("%s: the error repeats the value: %v", name, err)
		}
	}
	if _, err := ParseMasters(nil); err == nil {
		t.Error("no value: accepted")
	}
}

func TestKEY1_RotationOfSecretKeepsEverything(t *testing.T) {
	a, b := master(1), master(100)
	r1, sealed := open(t, [][]byte{a}, nil)
	if sealed == nil {
		t.Fatal("a new data key was not handed out for storing")
	}
	again, resealed := open(t, [][]byte{a}, sealed)
	if resealed != nil {
		t.Error("resealed without need")
	}
	if again.Fingerprint() != Fingerprint(a) || !bytes.Equal(again.AudienceKey("x"), r1.AudienceKey("x")) {
		t.Error("not the same ring")
	}
	r2, resealed := open(t, [][]byte{b, a}, sealed)
	if resealed == nil {
		t.Fatal("not re-sealed under the first master")
	}
	if !bytes.Equal(r2.AudienceKey("x"), r1.AudienceKey("x")) {
		t.Error("the data key changed")
	}
	r3, more := open(t, [][]byte{b}, resealed)
	if more != nil || !bytes.Equal(r3.AudienceKey("x"), r1.AudienceKey("x")) {
		t.Error("the old master is still needed")
	}
}

func TestKEY1_ForeignKeyNamesFingerprints(t *testing.T) {
	a, b := master(1), master(100)
	_, sealed := open(t, [][]byte{a}, nil)
	_, _, err := Open([][]byte{b}, sealed)
	if !errors.Is(err, ErrForeignKey) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{Fingerprint(a), Fingerprint(b)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if by, err := SealedBy(sealed); err != nil || by != Fingerprint(a) {
		t.Errorf("SealedBy = %s, %v", by, err)
	}
}

func TestKEY1_DamagedDataKeyIsNeverReplaced(t *testing.T) {
	a := master(1)
	_, sealed := open(t, [][]byte{a}, nil)
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if r, _, err := Open([][]byte{a}, bad); err == nil || r != nil {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	for n := 1; n < len(sealed); n++ {
		if _, _, err := Open([][]byte{a}, sealed[:n]); err == nil {
			t.Errorf("cut to %d: accepted", n)
		}
	}
	if _, _, err := Open(nil, sealed); err == nil {
		t.Error("no master: accepted")
	}
	if _, _, err := Open([][]byte{a[:31]}, nil); err == nil {
		t.Error("short master: accepted")
	}
}

func TestSealAndOpen(t *testing.T) {
	r, _ := open(t, [][]byte{master(1)}, nil)
	other, _ := open(t, [][]byte{master(1)}, nil)
	plain := []byte("ada@example.com")
	sealed := r.Seal("account", []byte("id1"), plain)
	if len(sealed) != len(plain)+45 {
		t.Errorf("overhead is %d", len(sealed)-len(plain))
	}
	if bytes.Contains(sealed, plain) || bytes.Equal(sealed, r.Seal("account", []byte("id1"), plain)) {
		t.Error("not sealed afresh")
	}
	if got, err := r.Open("account", []byte("id1"), sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Open = %q, %v", got, err)
	}
	refuse := func(what string, ring *Ring, label, aad string, b []byte) {
		t.Helper()
		if got, err := ring.Open(label, []byte(aad), b); !errors.Is(err, ErrDamaged) || got != nil {
			t.Errorf("%s: got %q, %v", what, got, err)
		}
	}
	refuse("another label", r, "flow", "id1", sealed)
	refuse("another place", r, "account", "id2", sealed)
	refuse("another ring", other, "account", "id1", sealed)
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 0x80
		refuse("changed", r, "account", "id1", bad)
		refuse("cut", r, "account", "id1", sealed[:i])
	}
}

func TestMACSeparatesLabelsAndParts(t *testing.T) {
	r, _ := open(t, [][]byte{master(1)}, nil)
	seen := map[string]string{}
	for name, d := range map[string]interface{ String() string }{
		"a,b":     r.MAC("l", []byte("a"), []byte("b")),
		"ab":      r.MAC("l", []byte("ab")),
		"ab,":     r.MAC("l", []byte("ab"), nil),
		"la,b":    r.MAC("la", []byte("b")),
		"l":       r.MAC("l"),
		"framed":  r.MAC("l", Frame([]byte("a"), []byte("b"))),
		"another": r.MAC("m", []byte("a"), []byte("b")),
	} {
		if was, ok := seen[d.String()]; ok {
			t.Errorf("%s and %s are alike", was, name)
		}
		seen[d.String()] = name
	}
	if r.MAC("l", []byte("a")) != r.MAC("l", []byte("a")) {
		t.Error("not deterministic")
	}
}

func TestKEY1_AudienceKeysAreApart(t *testing.T) {
	r, _ := open(t, [][]byte{master(1)}, nil)
	keys := [][]byte{r.AudienceKey("a"), r.SignKey("a"), r.AudienceKey("b"), r.SignKey("b"), r.Derive("mac", nil, 32)}
	for i, k := range keys {
		if len(k) != 32 {
			t.Errorf("key %d has %d bytes", i, len(k))
		}
		for j := range i {
			if bytes.Equal(k, keys[j]) {
				t.Errorf("keys %d and %d are alike", i, j)
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	r, _, err := Open([][]byte{master(1)}, nil)
	if err != nil {
		b.Fatal(err)
	}
	plain := make([]byte, 100)
	for b.Loop() {
		r.Seal("x", nil, plain)
	}
}

func BenchmarkMAC(b *testing.B) {
	r, _, err := Open([][]byte{master(1)}, nil)
	if err != nil {
		b.Fatal(err)
	}
	part := make([]byte, 32)
	for b.Loop() {
		r.MAC("x", part, part)
	}
}
