//go:build interop

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// input is what the scripts read.
type input struct {
	Now        int64           `json:"now"`
	Issuer     string          `json:"iss"`
	Audience   string          `json:"aud"`
	Type       string          `json:"typ"`
	Leeway     int             `json:"leeway"`
	Key        string          `json:"key"`
	JWKS       json.RawMessage `json:"jwks"`
	PrivateKey json.RawMessage `json:"private_key,omitempty"`
	Cases      []testCase      `json:"cases"`
}

type testCase struct {
	Name      string `json:"name"`
	Token     string `json:"token"`
	Format    string `json:"format"`
	Algorithm string `json:"algorithm"`
	Refusal   string `json:"refusal,omitempty"`
	Strict    bool   `json:"strict,omitempty"`
}

type result struct {
	Name   string         `json:"name"`
	OK     bool           `json:"ok"`
	Error  string         `json:"error"`
	Claims map[string]any `json:"claims"`
}

// verifier is one language's script, and what to install when it is missing.
type verifier struct {
	name    string
	probe   []string
	command []string
	install string
}

// The system's Python is asked by its full path: another one in PATH does not see the distribution's modules.
var verifiers = []verifier{
	{
		"npm jose",
		[]string{"node", "--input-type=module", "-e", "await import('jose')"},
		[]string{"node", "verify.mjs"},
		"Node 18 or later and `npm ci` in identity/interop",
	},
	{
		"jwcrypto",
		[]string{"/usr/bin/python3", "-c", "import jwcrypto.jwe, jwcrypto.jws"},
		[]string{"/usr/bin/python3", "verify.py"},
		"the packages python3 and python3-jwcrypto (Debian, Ubuntu)",
	},
}

// run gives the cases to a script and returns its verdicts by name.
func (v verifier) run(t *testing.T, in input) map[string]result {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), v.probe[0], v.probe[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s is not here: install %s\n%v\n%s", v.name, v.install, err, out)
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), v.command[0], v.command[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", v.name, err, stderr.String())
	}
	var list []result
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatalf("%s: %v\n%s", v.name, err, out)
	}
	if len(list) != len(in.Cases) {
		t.Fatalf("%s judged %d of %d tokens", v.name, len(list), len(in.Cases))
	}
	results := map[string]result{}
	for _, r := range list {
		results[r.Name] = r
	}
	return results
}

func TestMintedTokensVerifyElsewhere(t *testing.T) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	_, signing, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	privateJWK, err := json.Marshal(jose.JSONWebKey{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	in := input{
		Now: now.Unix(), Issuer: "https://app.example.com", Audience: "app.example.com", Type: identity.TypeAssertion,
		Leeway: 10, Key: base64.RawURLEncoding.EncodeToString(key), PrivateKey: privateJWK,
		JWKS: identity.JWKS([]identity.PublicKey{{ID: "abc", Key: signing.Public().(ed25519.PublicKey)}}),
	}
	said := identity.Identity{
		Issuer: in.Issuer, Audience: in.Audience, Subject: "AAECAwQFBgcICQoL", ID: "DAsKCQgHBgUEAwIB", SessionID: "AQEBAQEBAQEBAQEB",
		Email: "ada@example.com", EmailVerified: true, AuthTime: now, Methods: []string{"link"},
		Name: "Ada <Löwenherz> & Söhne 🦁", Roles: []string{"admin", "staff"}, Scope: []string{"read", "write"}, Purpose: "reset", State: "s1",
	}
	want := map[string]any{
		"iss": in.Issuer, "aud": in.Audience, "sub": said.Subject, "jti": said.ID, "sid": said.SessionID, "email": said.Email,
		"email_verified": true, "auth_time": float64(now.Unix()), "amr": []any{"link"}, "name": said.Name,
		"roles": []any{"admin", "staff"}, "scope": "read write", "purpose": "reset", "state": "s1",
		"iat": float64(now.Unix()), "nbf": float64(now.Unix()), "exp": float64(now.Unix() + 60),
	}
	signer := func() (string, ed25519.PrivateKey) { return "abc", signing }
	clock := func() time.Time { return now }
	for _, c := range []struct {
		algorithm string
		config    identity.MinterConfig
	}{
		{"A256KW", identity.MinterConfig{Key: key}},
		{"ECDH-ES+A256KW", identity.MinterConfig{PublicKey: &private.PublicKey}},
		{"signed only", identity.MinterConfig{Format: identity.FormatJWS}},
	} {
		c.config.Signer, c.config.Now = signer, clock
		m, err := identity.NewMinter(c.config)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := m.Mint(said)
		if err != nil {
			t.Fatal(err)
		}
		tc := testCase{Name: c.algorithm, Token: token, Format: "jwe", Algorithm: c.algorithm}
		if c.config.Format == identity.FormatJWS {
			tc.Format, tc.Algorithm = "jws", "A256KW"
		}
		in.Cases = append(in.Cases, tc)
	}
	for _, v := range verifiers {
		t.Run(v.name, func(t *testing.T) {
			for name, r := range v.run(t, in) {
				if !r.OK {
					t.Errorf("%s: refused: %s", name, r.Error)
				} else if d := cmp.Diff(want, r.Claims); d != "" {
					t.Errorf("%s: (-minted +verified)\n%s", name, d)
				}
			}
		})
	}
}

func TestJWT1_CorpusElsewhere(t *testing.T) {
	b, err := os.ReadFile("../testdata/corpus.json")
	if err != nil {
		t.Fatal(err)
	}
	var in input
	if err := json.Unmarshal(b, &in); err != nil {
		t.Fatal(err)
	}
	for i := range in.Cases {
		in.Cases[i].Format, in.Cases[i].Algorithm = "jwe", "A256KW"
	}
	for _, v := range verifiers {
		t.Run(v.name, func(t *testing.T) {
			results, loose := v.run(t, in), 0
			for _, c := range in.Cases {
				switch r := results[c.Name]; {
				case r.OK == (c.Refusal == ""):
				case c.Strict:
					loose++
				case r.OK:
					t.Errorf("%s: accepted, want %q", c.Name, c.Refusal)
				default:
					t.Errorf("%s: refused: %s", c.Name, r.Error)
				}
			}
			t.Logf("%d tokens, %d of the strict ones judged otherwise", len(in.Cases), loose)
		})
	}
}
