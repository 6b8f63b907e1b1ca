package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// otherType is the typ of a kind of token that is none of ours.
const otherType = "email-link-event+jwt"

func corpusSign() (string, ed25519.PrivateKey) { return corpusKid, corpusSigner }

func minter(tb testing.TB, edit func(*MinterConfig)) *Minter {
	tb.Helper()
	c := MinterConfig{Key: corpusKey, Signer: corpusSign, Now: func() time.Time { return corpusNow.Add(300 * time.Millisecond) }}
	if edit != nil {
		edit(&c)
	}
	m, err := NewMinter(c)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// ordinary is what a person's assertion says: a 16-byte sub, 12-byte jti and sid in base64url.
func ordinary() Identity {
	return Identity{
		Issuer: corpusIssuer, Audience: corpusAudience, Subject: "AAECAwQFBgcICQoL", ID: "DAsKCQgHBgUEAwIB", SessionID: "AQEBAQEBAQEBAQEB",
		Email: "ada@example.com", EmailVerified: true, AuthTime: corpusNow.Add(-time.Hour), Methods: []string{"link"},
	}
}

func TestMintAndVerify(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	full := ordinary()
	full.Name, full.Roles, full.Scope = "Ada <Lovelace> & Ünïcode", []string{"admin", "staff"}, []string{"read", "write"}
	full.State = "s1"
	handOver := full
	handOver.Purpose = "reset"
	for name, tc := range map[string]struct {
		mint   func(*MinterConfig)
		verify func(*Config)
	}{
		"A256KW":         {nil, nil},
		"ECDH-ES+A256KW": {func(c *MinterConfig) { c.Key, c.PublicKey = nil, &private.PublicKey }, func(c *Config) { c.Keys, c.PrivateKey = nil, private }},
		"both keys":      {func(c *MinterConfig) { c.Key, c.PublicKey = nil, &private.PublicKey }, func(c *Config) { c.PrivateKey = private }},
		"signed only":    {func(c *MinterConfig) { c.Key, c.Format = nil, FormatJWS }, func(c *Config) { c.Keys, c.Format = nil, FormatJWS }},
		"key as text":    {nil, func(c *Config) { c.Keys, c.Key = nil, base64.StdEncoding.EncodeToString(corpusKey) }},
		"a key rotation": {nil, func(c *Config) { c.Keys = append([][]byte{digest("new key")}, c.Keys...) }},
		"with a cache":   {nil, func(c *Config) { c.CacheSize = 8 }},
		"an event":       {func(c *MinterConfig) { c.Type = otherType }, func(c *Config) { c.Type = otherType }},
	} {
		t.Run(name, func(t *testing.T) {
			m, v := minter(t, tc.mint), corpusVerifier(t, tc.verify)
			handOvers := corpusVerifier(t, func(c *Config) {
				if tc.verify != nil {
					tc.verify(c)
				}
				c.Purposes = []string{"reset"}
			})
			for _, in := range []Identity{ordinary(), full, handOver} {
				if in.Purpose != "" {
					v = handOvers
				}
				token, expiry, err := m.Mint(in)
				if err != nil || !expiry.Equal(corpusNow.Add(DefaultTTL)) {
					t.Fatalf("Mint: expiry %v, %v", expiry, err)
				}
				in.IssuedAt, in.NotBefore, in.Expiry = corpusNow, corpusNow, expiry
				for range 2 {
					got, err := v.Verify(t.Context(), token)
					if err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff(&in, got); d != "" {
						t.Errorf("(-minted +verified)\n%s", d)
					}
					got.Subject, got.Methods[0] = "changed by the caller", "changed"
				}
			}
		})
	}
}

func TestJWT2_KindsAndFormatsAreNotExchanged(t *testing.T) {
	event := minter(t, func(c *MinterConfig) { c.Type = otherType })
	signed := minter(t, func(c *MinterConfig) { c.Key, c.Format = nil, FormatJWS })
	encrypted := minter(t, nil)
	other := minter(t, func(c *MinterConfig) { c.Key = digest("another audience") })
	signedOnly := func(c *Config) { c.Keys, c.Format = nil, FormatJWS }
	for name, tc := range map[string]struct {
		m    *Minter
		v    func(*Config)
		want Refusal
	}{
		"event as assertion":         {event, nil, RefusedType},
		"assertion as event":         {encrypted, func(c *Config) { c.Type = otherType }, RefusedType},
		"signed as encrypted":        {signed, nil, RefusedForm},
		"encrypted as signed":        {encrypted, signedOnly, RefusedForm},
		"signed event as assertion":  {minter(t, func(c *MinterConfig) { c.Key, c.Format, c.Type = nil, FormatJWS, otherType }), signedOnly, RefusedType},
		"encrypted to another":       {other, nil, RefusedKey},
		"for another audience's app": {encrypted, func(c *Config) { c.Audience = "other" }, RefusedAudience},
	} {
		token, _, err := tc.m.Mint(ordinary())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := corpusVerifier(t, tc.v).Verify(t.Context(), token); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, string(tc.want))
		}
	}
}

func TestAssertionSize(t *testing.T) {
	const limit = 950
	m := minter(t, func(c *MinterConfig) { c.Signer = func() (string, ed25519.PrivateKey) { return "abc", corpusSigner } })
	named, long := ordinary(), ordinary()
	named.Name, named.Roles = "Ada", []string{"admin"}
	long.Subject = base64.RawURLEncoding.EncodeToString(make([]byte, 16))
	for name, id := range map[string]Identity{"ordinary": ordinary(), "with name and a role": named, "16 random bytes as sub": long} {
		token, _, err := m.Mint(id)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", name, len(token))
		if len(token) > limit {
			t.Errorf("%s: %d bytes, more than %d", name, len(token), limit)
		}
	}
}

func TestNothingAbove4KiBIsMinted(t *testing.T) {
	m := minter(t, nil)
	largest := 0
	for n := range 400 {
		id := ordinary()
		id.Roles = make([]string, 10*n)
		for i := range id.Roles {
			id.Roles[i] = "r"
		}
		token, _, err := m.Mint(id)
		if err != nil {
			if !errors.Is(err, ErrTooLarge) || token != "" {
				t.Fatalf("%d roles: %v", 10*n, err)
			}
			break
		}
		largest = len(token)
		if largest > MaxSize {
			t.Fatalf("%d roles: %d bytes", 10*n, largest)
		}
	}
	if largest < 4000 {
		t.Errorf("the largest had %d bytes", largest)
	}
	id := ordinary()
	id.Name = strings.Repeat("x", 1<<20)
	if _, _, err := m.Mint(id); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long name: %v", err)
	}
}

func TestMintRefusesWhatItCannotSay(t *testing.T) {
	for name, edit := range map[string]func(*Identity){
		"no issuer":       func(id *Identity) { id.Issuer = "" },
		"no audience":     func(id *Identity) { id.Audience = "" },
		"no subject":      func(id *Identity) { id.Subject = "" },
		"not UTF-8":       func(id *Identity) { id.Subject = "\xff" },
		"a role, not":     func(id *Identity) { id.Roles = []string{"\xff"} },
		"scope with gaps": func(id *Identity) { id.Scope = []string{"a b"} },
		"empty scope":     func(id *Identity) { id.Scope = []string{""} },
	} {
		id := ordinary()
		edit(&id)
		if token, _, err := minter(t, nil).Mint(id); err == nil || token != "" {
			t.Errorf("%s: minted", name)
		}
	}
	keyless := minter(t, func(c *MinterConfig) { c.Signer = func() (string, ed25519.PrivateKey) { return "x", nil } })
	if _, _, err := keyless.Mint(ordinary()); err == nil {
		t.Error("minted without a key")
	}
}

func TestMintDrawsItsOwnID(t *testing.T) {
	m, v := minter(t, nil), corpusVerifier(t, nil)
	seen := map[string]bool{}
	for range 3 {
		id := ordinary()
		id.ID = ""
		token, _, err := m.Mint(id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Verify(t.Context(), token)
		if err != nil || len(got.ID) != 16 || seen[got.ID] {
			t.Fatalf("jti %q, %v", got.ID, err)
		}
		seen[got.ID] = true
	}
}

func TestMinterConfigIsChecked(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*MinterConfig){
		"no signer":        func(c *MinterConfig) { c.Signer = nil },
		"ttl too long":     func(c *MinterConfig) { c.TTL = MaxLifetime + time.Second },
		"ttl negative":     func(c *MinterConfig) { c.TTL = -time.Second },
		"ttl with a rest":  func(c *MinterConfig) { c.TTL = 1500 * time.Millisecond },
		"unknown format":   func(c *MinterConfig) { c.Format = "none" },
		"no key":           func(c *MinterConfig) { c.Key = nil },
		"short key":        func(c *MinterConfig) { c.Key = c.Key[:31] },
		"jws with a key":   func(c *MinterConfig) { c.Format = FormatJWS },
		"a curve too weak": func(c *MinterConfig) { c.Key, c.PublicKey = nil, &p224.PublicKey },
	} {
		c := MinterConfig{Key: corpusKey, Signer: corpusSign}
		edit(&c)
		if _, err := NewMinter(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParseKey(t *testing.T) {
	for name, text := range map[string]string{
		"hex":       hex.EncodeToString(corpusKey),
		"base64":    base64.StdEncoding.EncodeToString(corpusKey),
		"base64url": base64.RawURLEncoding.EncodeToString(corpusKey) + "\n",
	} {
		if got, err := ParseKey(text); err != nil || string(got) != string(corpusKey) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "short", string(corpusKey), hex.EncodeToString(corpusKey[:31]), hex.EncodeToString(corpusKey) + "00", "{env.KEY}"} {
		if _, err := ParseKey(text); err == nil || (text != "" && strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestClaimsAreWrittenInFull(t *testing.T) {
	id := ordinary()
	id.IssuedAt, id.NotBefore, id.Expiry = corpusNow, corpusNow, corpusNow.Add(time.Minute)
	b, err := encodeClaims(&id)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("iss aud sub iat nbf exp jti sid email email_verified auth_time amr") {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("unexpected claims: %v", got)
	}
}

func BenchmarkMint(b *testing.B) {
	for name, edit := range map[string]func(*MinterConfig){
		"jwe": nil,
		"jws": func(c *MinterConfig) { c.Key, c.Format = nil, FormatJWS },
	} {
		b.Run(name, func(b *testing.B) {
			m, id := minter(b, edit), ordinary()
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.Mint(id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	token, _, err := minter(b, nil).Mint(ordinary())
	if err != nil {
		b.Fatal(err)
	}
	for name, size := range map[string]int{"cached": 0, "uncached": -1} {
		b.Run(name, func(b *testing.B) {
			v := corpusVerifier(b, func(c *Config) { c.CacheSize = size })
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
