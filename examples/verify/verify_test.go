//go:build interop

package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// input is what the judges read.
type input struct {
	Now      int64           `json:"now"`
	Issuer   string          `json:"iss"`
	Audience string          `json:"aud"`
	Type     string          `json:"typ"`
	Leeway   int             `json:"leeway"`
	Key      string          `json:"key"`
	JWKS     json.RawMessage `json:"jwks"`
	// JWKSAt is the file or URL of the keys.
	JWKSAt string     `json:"jwks_at"`
	Cases  []testCase `json:"cases"`
}

type testCase struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	// Keys are used instead of Key: secrets, private JWKs, none for tokens that are signed only.
	Keys *[]any `json:"keys,omitempty"`
	// Purposes are of the hand-overs that are accepted.
	Purposes []string `json:"purposes,omitempty"`
	// Later is how many seconds have passed since Now.
	Later   int64  `json:"later,omitempty"`
	Refusal string `json:"refusal,omitempty"`
}

type result struct {
	Name   string         `json:"name"`
	OK     bool           `json:"ok"`
	Error  string         `json:"error"`
	Claims map[string]any `json:"claims"`
}

// language is one verifier, and what to install when its language is missing.
type language struct {
	name    string
	probe   []string
	judge   []string
	install string
}

// The system's Python is asked by its full path: another one in PATH does not see the distribution's modules.
var (
	inNode = language{
		"Node",
		[]string{"node", "-e", "require.resolve('./node/node_modules/jose')"},
		[]string{"node", "testdata/judge.mjs"},
		"Node 20 or later and `npm ci` in examples/verify/node",
	}
	inPython = language{
		"Python",
		[]string{python, "-c", "import jwcrypto.jwe"},
		[]string{python, "testdata/judge.py"},
		"the packages python3 and python3-jwcrypto (Debian, Ubuntu)",
	}
)

const python = "/usr/bin/python3"

// here fails the test when the language is missing.
func (l language) here(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), l.probe[0], l.probe[1:]...).CombinedOutput(); err != nil { //nolint:gosec // of the table above
		t.Fatalf("%s is not here: install %s\n%v\n%s", l.name, l.install, err, out)
	}
}

// each gives the cases to both verifiers.
func (in input) each(t *testing.T, check func(t *testing.T, results []result)) {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []language{inNode, inPython} {
		t.Run(l.name, func(t *testing.T) {
			l.here(t)
			var stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), l.judge[0], l.judge[1:]...) //nolint:gosec // of the table above
			cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			var list []result
			if err := json.Unmarshal(out, &list); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if len(list) != len(in.Cases) {
				t.Fatalf("%d of %d tokens were judged", len(list), len(in.Cases))
			}
			check(t, list)
		})
	}
}

// asFile writes the keys where the judges find them.
func (in *input) asFile(t *testing.T) {
	t.Helper()
	in.JWKSAt = filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(in.JWKSAt, in.JWKS, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestJWT1_CorpusElsewhere(t *testing.T) {
	b, err := os.ReadFile("../../identity/testdata/corpus.json")
	if err != nil {
		t.Fatal(err)
	}
	var in input
	if err := json.Unmarshal(b, &in); err != nil {
		t.Fatal(err)
	}
	in.asFile(t)
	in.each(t, func(t *testing.T, results []result) {
		for i, c := range in.Cases {
			switch r := results[i]; {
			case r.OK == (c.Refusal == ""):
			case r.OK:
				t.Errorf("%s: accepted, want %q", c.Name, c.Refusal)
			default:
				t.Errorf("%s: refused: %s", c.Name, r.Error)
			}
		}
		t.Logf("%d tokens", len(in.Cases))
	})
}

// mint is a gate's part: keys of its own, and tokens.
type mint struct {
	t       *testing.T
	key     []byte
	signing ed25519.PrivateKey
	now     time.Time
	said    identity.Identity
}

func newMint(t *testing.T) (*mint, input) {
	t.Helper()
	m := &mint{t: t, key: make([]byte, 32), now: time.Now()}
	_, _ = rand.Read(m.key)
	var err error
	if _, m.signing, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	m.said = identity.Identity{
		Issuer: "https://app.example.com", Audience: "app.example.com", Subject: "AAECAwQFBgcICQoL", ID: "DAsKCQgHBgUEAwIB",
		SessionID: "AQEBAQEBAQEBAQEB", Email: "ada@example.com", EmailVerified: true, AuthTime: m.now, Methods: []string{"link"},
		Name: "Ada <Löwenherz> & Söhne 🦁 \"1.5e3\": -1\u2028", Roles: []string{"admin", "staff"}, Scope: []string{"read", "write"},
		State: `{"a":1,"a":2}`,
	}
	return m, input{
		Now: m.now.Unix(), Issuer: m.said.Issuer, Audience: m.said.Audience, Type: identity.TypeAssertion, Leeway: 10,
		Key: base64.RawURLEncoding.EncodeToString(m.key), JWKS: m.jwks("abc"),
	}
}

func (m *mint) jwks(kid string) json.RawMessage {
	return identity.JWKS([]identity.PublicKey{{ID: kid, Key: m.signing.Public().(ed25519.PublicKey)}})
}

func (m *mint) token(kid string, c identity.MinterConfig) string {
	m.t.Helper()
	c.Signer, c.Now = func() (string, ed25519.PrivateKey) { return kid, m.signing }, func() time.Time { return m.now }
	minter, err := identity.NewMinter(c)
	if err != nil {
		m.t.Fatal(err)
	}
	token, _, err := minter.Mint(m.said)
	if err != nil {
		m.t.Fatal(err)
	}
	return token
}

func TestMintedTokensVerifyElsewhere(t *testing.T) {
	m, in := newMint(t)
	in.asFile(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	sealed, public := m.token("abc", identity.MinterConfig{Key: m.key}), m.token("abc", identity.MinterConfig{PublicKey: &private.PublicKey})
	signed := m.token("abc", identity.MinterConfig{Format: identity.FormatJWS})
	old, ec := strings.Repeat("0a", 32), json.RawMessage(jwk)
	in.Cases = []testCase{
		{Name: "A256KW", Token: sealed},
		{Name: "a key in hexadecimal", Token: sealed, Keys: &[]any{hex.EncodeToString(m.key)}},
		{Name: "a key in base64, after an older one", Token: sealed, Keys: &[]any{old, base64.StdEncoding.EncodeToString(m.key)}},
		{Name: "ECDH-ES+A256KW", Token: public, Keys: &[]any{ec}},
		{Name: "signed only", Token: signed, Keys: &[]any{}},
		{Name: "signed only, where it has to be encrypted", Token: signed, Refusal: "form"},
		{Name: "to a public key, where a secret is expected", Token: public, Refusal: "kid"},
		{Name: "by a secret, where a private key is expected", Token: sealed, Keys: &[]any{ec}, Refusal: "kid"},
		{Name: "encrypted, where it has to be signed only", Token: sealed, Keys: &[]any{}, Refusal: "form"},
		{Name: "to another secret", Token: sealed, Keys: &[]any{old}, Refusal: "kid"},
	}
	m.said.Purpose = "reset"
	in.Cases = append(in.Cases, testCase{Name: "a hand-over", Token: m.token("abc", identity.MinterConfig{Key: m.key}), Purposes: []string{"reset"}})
	want := map[string]any{
		"iss": in.Issuer, "aud": in.Audience, "sub": m.said.Subject, "jti": m.said.ID, "sid": m.said.SessionID, "email": m.said.Email,
		"email_verified": true, "auth_time": float64(in.Now), "amr": []any{"link"}, "name": m.said.Name,
		"roles": []any{"admin", "staff"}, "scope": "read write", "state": m.said.State,
		"iat": float64(in.Now), "nbf": float64(in.Now), "exp": float64(in.Now + 60),
	}
	in.each(t, func(t *testing.T, results []result) {
		for i, c := range in.Cases {
			r := results[i]
			if c.Purposes != nil {
				want["purpose"] = "reset"
			} else {
				delete(want, "purpose")
			}
			if r.OK != (c.Refusal == "") {
				t.Errorf("%s: accepted %v, want the refusal %q; %s", c.Name, r.OK, c.Refusal, r.Error)
			} else if d := cmp.Diff(want, r.Claims); r.OK && d != "" {
				t.Errorf("%s: (-minted +verified)\n%s", c.Name, d)
			}
		}
	})
}

// TestJWT1_KeysElsewhere counts how often the keys are asked for: at the first token, for an unknown kid once a minute, and after five
// minutes; and looks at what happens when they cannot be had, or move.
func TestJWT1_KeysElsewhere(t *testing.T) {
	m, in := newMint(t)
	type answer struct {
		status int
		keys   json.RawMessage
		moved  string
	}
	var asked atomic.Int64
	answers := []answer{{status: 200, keys: m.jwks("one")}, {status: 503}, {status: 200, keys: m.jwks("two")}, {status: 307, moved: "/elsewhere"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1) - 1
		if r.URL.Path != "/jwks.json" || int(n) >= len(answers) {
			t.Errorf("request %d for %s", n, r.URL.Path)
			return
		}
		a := answers[n]
		if a.moved != "" {
			w.Header().Set("Location", a.moved)
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(a.keys)
	}))
	t.Cleanup(server.Close)
	in.JWKSAt = server.URL + "/jwks.json"
	at := func(name string, later int64, kid, refusal string) testCase {
		m.now = time.Unix(in.Now+later, 0)
		return testCase{Name: name, Later: later, Token: m.token(kid, identity.MinterConfig{Key: m.key}), Refusal: refusal}
	}
	in.Cases = []testCase{
		at("first", 0, "one", ""), // asks
		at("the same keys", 59, "one", ""),
		at("an unknown key, too early to ask", 59, "two", "kid"),
		at("an unknown key, and no answer", 60, "two", "kid"), // asks
		at("an unknown key, too early to ask again", 119, "two", "kid"),
		at("a known key meanwhile", 119, "one", ""),
		at("a new key", 120, "two", ""), // asks
		at("a key that is not listed any more", 130, "one", "kid"),
		at("the keys at hand, while they have moved", 420, "two", ""), // asks
		at("still the keys at hand", 421, "two", ""),
	}
	in.each(t, func(t *testing.T, results []result) {
		for i, c := range in.Cases {
			if r := results[i]; r.OK != (c.Refusal == "") {
				t.Errorf("%s: accepted %v, want the refusal %q; %s", c.Name, r.OK, c.Refusal, r.Error)
			}
		}
		if n := asked.Swap(0); n != int64(len(answers)) {
			t.Errorf("asked %d times, wanted %d", n, len(answers))
		}
	})

	m.now = time.Unix(in.Now, 0)
	in.JWKSAt = strings.Replace(in.JWKSAt, "127.0.0.1", "127.0.0.1.example.com", 1)
	in.Cases = []testCase{{Name: "keys over plain http from elsewhere", Token: m.token("one", identity.MinterConfig{Key: m.key})}}
	in.each(t, func(t *testing.T, results []result) {
		if results[0].OK {
			t.Error(in.Cases[0].Name)
		}
	})
}

// TestShortEnough keeps the files that people copy at the size they are said to have.
func TestShortEnough(t *testing.T) {
	for _, name := range []string{"go/main.go", "node/verify.mjs", "python/verify.py"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > 60 {
			t.Errorf("%s has %d lines", name, n)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if len(line) > 160 {
				t.Errorf("%s:%d has %d columns", name, i+1, len(line))
			}
		}
	}
}
