package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/corpus.json anew")

// corpus is what testdata/corpus.json holds, for verifiers in any language.
type corpus struct {
	About  string          `json:"about"`
	Now    int64           `json:"now"`
	Issuer string          `json:"iss"`
	Aud    string          `json:"aud"`
	Type   string          `json:"typ"`
	Leeway int             `json:"leeway"`
	Key    string          `json:"key"`
	JWKS   json.RawMessage `json:"jwks"`
	Cases  []corpusCase    `json:"cases"`
}

type corpusCase struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	// Purposes are what the verifier is told to accept; without them it is one for sign-ins.
	Purposes []string `json:"purposes,omitempty"`
	// Refusal is empty where the token is valid.
	Refusal Refusal `json:"refusal"`
	// Strict marks what common JOSE libraries judge otherwise without being asked to be strict. The gate makes none of these.
	Strict bool `json:"strict,omitempty"`
}

func buildCorpus() corpus {
	c := corpus{
		About: "Tokens for verifiers of Email-Link-Assertion: refuse every case that has a refusal, accept the others. key is the A256KW key; " +
			"the clock stands at now, with leeway seconds. purposes: the verifier of this case is told to accept hand-overs of these purposes and " +
			"nothing else; without it, sign-ins and nothing else. strict: cases that common libraries judge otherwise without being asked to be strict.",
		Now: corpusNow.Unix(), Issuer: corpusIssuer, Aud: corpusAudience, Type: TypeAssertion,
		Leeway: int(DefaultLeeway.Seconds()), Key: b64(corpusKey),
		JWKS: JWKS([]PublicKey{{ID: corpusKid, Key: public(corpusSigner)}}),
	}
	for _, part := range [][]corpusCase{acceptedCases(), signInCases(), formCases(), headerCases(), keyCases(), claimCases(), purposeCases(), textCases()} {
		c.Cases = append(c.Cases, part...)
	}
	return c
}

// sealed makes a token that is in order but for its claims.
func sealed(claims members) string { return sealedText(claims.String()) }

func sealedText(claims string) string {
	return seal(outerHeader().String(), sign(innerHeader().String(), claims, corpusSigner))
}

// inner makes a token that is in order but for the header of its signed part.
func inner(header string) string {
	return seal(outerHeader().String(), sign(header, ordinaryClaims().String(), corpusSigner))
}

// outer makes a token that is in order but for the header of its encryption.
func outer(header string) string {
	return seal(header, sign(innerHeader().String(), ordinaryClaims().String(), corpusSigner))
}

func acceptedCases() []corpusCase {
	c, now := ordinaryClaims(), corpusNow.Unix()
	return []corpusCase{
		{Name: "ordinary", Token: sealed(c)},
		{Name: "alg Ed25519", Token: inner(innerHeader().with("alg", "Ed25519").String()), Strict: true},
		{Name: "name and roles", Token: sealed(c.with("name", "Ada Lovelace", "roles", []string{"admin"}))},
		{Name: "a claim nobody knows", Token: sealed(c.with("later", members{"a": 1}))},
		{Name: "five minutes", Token: sealed(c.with("exp", now+300))},
		{Name: "in its last second of leeway", Token: sealed(c.with("iat", now-69, "nbf", now-69, "exp", now-9))},
		{Name: "from a clock ten seconds ahead", Token: sealed(c.with("iat", now+10, "nbf", now+10, "exp", now+70))},
	}
}

func formCases() []corpusCase {
	claims := ordinaryClaims().String()
	jws := sign(innerHeader().String(), claims, corpusSigner)
	jwe := seal(outerHeader().String(), jws)
	p := strings.Split(jwe, ".")
	flat, err := json.Marshal(map[string]string{"protected": p[0], "encrypted_key": p[1], "iv": p[2], "ciphertext": p[3], "tag": p[4]})
	if err != nil {
		panic(err)
	}
	big := ordinaryClaims().with("name", strings.Repeat("x", 5000)).String()
	return []corpusCase{
		{Name: "empty", Token: "", Refusal: RefusedForm},
		{Name: "only dots", Token: "....", Refusal: RefusedMalformed},
		{Name: "six parts", Token: jwe + ".", Refusal: RefusedForm},
		{Name: "a bare JWS", Token: jws, Refusal: RefusedForm},
		{Name: "a bare JWS, alg none", Token: b64([]byte(innerHeader().with("alg", "none").String())) + "." + b64([]byte(claims)) + ".", Refusal: RefusedForm},
		{Name: "a JWE without a JWS", Token: seal(outerHeader().String(), claims), Refusal: RefusedForm},
		{Name: "a JWE in a JWE", Token: seal(outerHeader().String(), jwe), Refusal: RefusedForm},
		{Name: "JSON serialization", Token: string(flat), Refusal: RefusedForm},
		{Name: "above 8 KiB", Token: sealedText(big), Refusal: RefusedTooLarge, Strict: true},
		{Name: "the tag is changed", Token: change(jwe, 4, flipped), Refusal: RefusedDecryption},
		{Name: "the tag is short", Token: change(jwe, 4, func(s string) string { return s[:16] }), Refusal: RefusedDecryption},
		{Name: "no tag", Token: change(jwe, 4, func(string) string { return "" }), Refusal: RefusedDecryption},
		{Name: "the nonce is changed", Token: change(jwe, 2, flipped), Refusal: RefusedDecryption},
		{Name: "the nonce has 16 bytes", Token: sealWith(outerHeader().String(), jws, corpusKey, 16), Refusal: RefusedDecryption, Strict: true},
		{Name: "no nonce", Token: change(jwe, 2, func(string) string { return "" }), Refusal: RefusedDecryption},
		{Name: "the ciphertext is changed", Token: change(jwe, 3, flipped), Refusal: RefusedDecryption},
		{Name: "no ciphertext", Token: change(jwe, 3, func(string) string { return "" }), Refusal: RefusedDecryption},
		{Name: "the encrypted key is changed", Token: change(jwe, 1, flipped), Refusal: RefusedDecryption},
		{Name: "no encrypted key", Token: change(jwe, 1, func(string) string { return "" }), Refusal: RefusedDecryption},
		{Name: "encrypted to another audience", Token: sealWith(outerHeader().String(), jws, digest("another"), 12), Refusal: RefusedDecryption},
	}
}

func headerCases() []corpusCase {
	in, out := innerHeader(), outerHeader()
	jwk := json.RawMessage(JWKS([]PublicKey{{ID: corpusKid, Key: public(otherSigner)}})[len(`{"keys":[`):])
	jwk = bytes.TrimSuffix(jwk, []byte("]}"))
	jws := sign(in.String(), ordinaryClaims().String(), corpusSigner)
	zipped := seal(out.with("zip", "DEF").String(), deflate(jws))
	return []corpusCase{
		{Name: "typ of another kind of token, inside", Token: inner(in.with("typ", otherType).String()), Refusal: RefusedType},
		{Name: "typ of another kind of token, outside", Token: outer(out.with("typ", otherType).String()), Refusal: RefusedType},
		{Name: "an event's token", Token: seal(out.with("typ", otherType).String(), sign(in.with("typ", otherType).String(), ordinaryClaims().String(), corpusSigner)), Refusal: RefusedType},
		{Name: "typ JWT, inside", Token: inner(in.with("typ", "JWT").String()), Refusal: RefusedType},
		{Name: "no typ, inside", Token: inner(in.with("typ", nil).String()), Refusal: RefusedType},
		{Name: "no typ, outside", Token: outer(out.with("typ", nil).String()), Refusal: RefusedType},
		{Name: "typ is a number", Token: inner(in.with("typ", 1).String()), Refusal: RefusedMalformed},
		{Name: "no cty", Token: outer(out.with("cty", nil).String()), Refusal: RefusedContentType, Strict: true},
		{Name: "another cty", Token: outer(out.with("cty", "json").String()), Refusal: RefusedContentType, Strict: true},
		{Name: "zip", Token: zipped, Refusal: RefusedCompression},
		{Name: "crit, outside", Token: outer(out.with("crit", []string{"exp"}, "exp", 1).String()), Refusal: RefusedHeader},
		{Name: "crit, inside", Token: inner(in.with("crit", []string{"exp"}, "exp", 1).String()), Refusal: RefusedHeader},
		{Name: "b64 false", Token: inner(in.with("crit", []string{"b64"}, "b64", false).String()), Refusal: RefusedHeader},
		{Name: "a header nobody knows", Token: inner(in.with("x", 1).String()), Refusal: RefusedHeader, Strict: true},
		{Name: "jwk, and signed by it", Token: seal(out.String(), sign(in.with("jwk", jwk).String(), ordinaryClaims().String(), otherSigner)), Refusal: RefusedKeyMaterial},
		{Name: "jwk and an unknown kid", Token: seal(out.String(), sign(in.with("jwk", jwk, "kid", "zz").String(), ordinaryClaims().String(), otherSigner)), Refusal: RefusedKeyMaterial},
		{Name: "jku", Token: seal(out.String(), sign(in.with("jku", "https://evil.example/jwks.json").String(), ordinaryClaims().String(), otherSigner)), Refusal: RefusedKeyMaterial},
		{Name: "x5u", Token: seal(out.String(), sign(in.with("x5u", "https://evil.example/x").String(), ordinaryClaims().String(), otherSigner)), Refusal: RefusedKeyMaterial},
		{Name: "x5c", Token: seal(out.String(), sign(in.with("x5c", []string{"MAA="}).String(), ordinaryClaims().String(), otherSigner)), Refusal: RefusedKeyMaterial},
		{Name: "jwk, outside", Token: outer(out.with("jwk", jwk).String()), Refusal: RefusedKeyMaterial, Strict: true},
		{Name: "epk beside a shared key", Token: outer(out.with("epk", jwk).String()), Refusal: RefusedHeader, Strict: true},
		{Name: "duplicate alg, inside", Token: inner(`{"alg":"none","alg":"EdDSA","kid":"k1","typ":"email-link+jwt"}`), Refusal: RefusedMalformed, Strict: true},
		{Name: "duplicate kid, outside", Token: outer(`{"kid":"zz",` + out.String()[1:]), Refusal: RefusedMalformed, Strict: true},
	}
}

func keyCases() []corpusCase {
	in, out, claims := innerHeader(), outerHeader(), ordinaryClaims().String()
	jws := sign(in.String(), claims, corpusSigner)
	none := b64([]byte(in.with("alg", "none").String())) + "." + b64([]byte(claims)) + "."
	other := ordinaryClaims().with("sub", "BBBBBBBBBBBBBBBB").String()
	return []corpusCase{
		{Name: "alg none", Token: seal(out.String(), none), Refusal: RefusedAlgorithm},
		{Name: "alg None, with the signature", Token: inner(in.with("alg", "None").String()), Refusal: RefusedAlgorithm},
		{Name: "no alg", Token: inner(in.with("alg", nil).String()), Refusal: RefusedAlgorithm},
		{Name: "HMAC with the public key", Token: seal(out.String(), signHMAC(in.with("alg", "HS256").String(), claims, public(corpusSigner))), Refusal: RefusedAlgorithm},
		{Name: "HMAC with the audience key", Token: seal(out.String(), signHMAC(in.with("alg", "HS256").String(), claims, corpusKey)), Refusal: RefusedAlgorithm},
		{Name: "HMAC called EdDSA", Token: seal(out.String(), signHMAC(in.String(), claims, public(corpusSigner))), Refusal: RefusedSignature},
		{Name: "an app's start token", Token: signHMAC(`{"alg":"HS256","typ":"email-link-start+jwt"}`, claims, corpusKey), Refusal: RefusedForm},
		{Name: "unknown kid, inside", Token: inner(in.with("kid", "zz").String()), Refusal: RefusedKey},
		{Name: "no kid, inside", Token: inner(in.with("kid", nil).String()), Refusal: RefusedKey, Strict: true},
		{Name: "empty kid, inside", Token: inner(in.with("kid", "").String()), Refusal: RefusedKey},
		{Name: "unknown kid, outside", Token: outer(out.with("kid", "zzz").String()), Refusal: RefusedKey, Strict: true},
		{Name: "no kid, outside", Token: outer(out.with("kid", nil).String()), Refusal: RefusedKey, Strict: true},
		{Name: "signed by another key", Token: seal(out.String(), sign(in.String(), claims, otherSigner)), Refusal: RefusedSignature},
		{Name: "no signature", Token: seal(out.String(), change(jws, 2, func(string) string { return "" })), Refusal: RefusedSignature},
		{Name: "the signature is changed", Token: seal(out.String(), change(jws, 2, flipped)), Refusal: RefusedSignature},
		{Name: "another payload under the signature", Token: seal(out.String(), change(jws, 1, func(string) string { return b64([]byte(other)) })), Refusal: RefusedSignature},
		{Name: "key management dir", Token: outer(out.with("alg", "dir").String()), Refusal: RefusedAlgorithm},
		{Name: "key management A128KW", Token: outer(out.with("alg", "A128KW").String()), Refusal: RefusedAlgorithm},
		{Name: "key management A256GCMKW", Token: outer(out.with("alg", "A256GCMKW").String()), Refusal: RefusedAlgorithm},
		{Name: "key management RSA1_5", Token: outer(out.with("alg", "RSA1_5").String()), Refusal: RefusedAlgorithm},
		{Name: "key management ECDH-ES+A256KW", Token: outer(out.with("alg", "ECDH-ES+A256KW").String()), Refusal: RefusedAlgorithm},
		{Name: "encryption A128GCM", Token: outer(out.with("enc", "A128GCM").String()), Refusal: RefusedAlgorithm},
		{Name: "encryption A256CBC-HS512", Token: outer(out.with("enc", "A256CBC-HS512").String()), Refusal: RefusedAlgorithm},
	}
}

func claimCases() []corpusCase {
	c, now := ordinaryClaims(), corpusNow.Unix()
	cases := []corpusCase{
		{Name: "expired", Token: sealed(c.with("iat", now-70, "nbf", now-70, "exp", now-10)), Refusal: RefusedExpired},
		{Name: "expired long ago", Token: sealed(c.with("iat", now-4000, "nbf", now-4000, "exp", now-3940)), Refusal: RefusedExpired},
		{Name: "not yet", Token: sealed(c.with("iat", now+11, "nbf", now+11, "exp", now+71)), Refusal: RefusedNotYet},
		{Name: "nbf in the future", Token: sealed(c.with("nbf", now+30)), Refusal: RefusedNotYet},
		{Name: "iat in the future", Token: sealed(c.with("iat", now+30)), Refusal: RefusedNotYet, Strict: true},
		{Name: "301 seconds", Token: sealed(c.with("exp", now+301)), Refusal: RefusedLifetime},
		{Name: "a year", Token: sealed(c.with("exp", now+365*86400)), Refusal: RefusedLifetime},
		{Name: "a year, by nbf", Token: sealed(c.with("nbf", now-365*86400)), Refusal: RefusedLifetime, Strict: true},
		{Name: "exp is iat", Token: sealed(c.with("exp", now)), Refusal: RefusedLifetime, Strict: true},
		{Name: "exp before iat", Token: sealed(c.with("exp", now-5)), Refusal: RefusedLifetime, Strict: true},
		{Name: "another issuer", Token: sealed(c.with("iss", "https://evil.example")), Refusal: RefusedIssuer},
		{Name: "the issuer with a slash", Token: sealed(c.with("iss", corpusIssuer+"/")), Refusal: RefusedIssuer},
		{Name: "the issuer as a prefix", Token: sealed(c.with("iss", corpusIssuer+".evil.example")), Refusal: RefusedIssuer},
		{Name: "another audience", Token: sealed(c.with("aud", "other.example.com")), Refusal: RefusedAudience},
		{Name: "another audience, in capitals", Token: sealed(c.with("aud", strings.ToUpper(corpusAudience))), Refusal: RefusedAudience},
		{Name: "the audience of events", Token: sealed(c.with("aud", corpusAudience+"/events")), Refusal: RefusedAudience},
		{Name: "aud is a list", Token: sealed(c.with("aud", []string{"other.example.com", corpusAudience})), Refusal: RefusedClaims, Strict: true},
		{Name: "EXP instead of exp", Token: sealed(c.with("exp", nil, "EXP", now+60)), Refusal: RefusedClaims},
		{Name: "email_verified is a word", Token: sealed(c.with("email_verified", "true")), Refusal: RefusedClaims, Strict: true},
		{Name: "roles is a word", Token: sealed(c.with("roles", "admin")), Refusal: RefusedClaims, Strict: true},
		{Name: "sub is a number", Token: sealed(c.with("sub", 7)), Refusal: RefusedClaims},
		{Name: "sub is null", Token: sealed(c.with("sub", json.RawMessage("null"))), Refusal: RefusedClaims},
		{Name: "empty sub", Token: sealed(c.with("sub", "")), Refusal: RefusedClaims, Strict: true},
	}
	for _, name := range []string{"exp", "nbf", "iat", "iss", "aud", "sub", "jti"} {
		refusal := RefusedClaims
		cases = append(cases, corpusCase{Name: "no " + name, Token: sealed(c.with(name, nil)), Refusal: refusal})
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		for _, wild := range []string{`"1800000060"`, `null`, `-1`, `true`, `[1800000060]`} {
			cases = append(cases, corpusCase{Name: name + " is " + wild, Token: sealed(c.with(name, json.RawMessage(wild))), Refusal: RefusedClaims, Strict: name != "exp" || wild == `-1`})
		}
		for _, wild := range []string{`1.80000006e9`, `1800000060.5`, `1e400`, `99999999999999999999`, `253402300800`} {
			cases = append(cases, corpusCase{Name: name + " is " + wild, Token: sealedText(strings.Replace(c.with(name, nil).String(), "{", `{"`+name+`":`+wild+",", 1)), Refusal: RefusedClaims, Strict: true})
		}
	}
	return cases
}

// signInCases say of no purpose, each in its own way.
func signInCases() []corpusCase {
	c := ordinaryClaims()
	return []corpusCase{
		{Name: "signed in, with an empty purpose", Token: sealed(c.with("purpose", ""))},
		{Name: "signed in, with a state", Token: sealed(c.with("state", "s1"))},
	}
}

// purposeCases are in order but for what they are for.
func purposeCases() []corpusCase {
	signIn := ordinaryClaims()
	handOver := signIn.with("purpose", "reset", "state", "s1", "sub", "42", "sid", nil)
	asked := []string{"activation", "reset"}
	return []corpusCase{
		{Name: "handed over with purpose", Token: sealed(handOver), Purposes: asked},
		{Name: "handed over, for a sign-in", Token: sealed(handOver), Refusal: RefusedPurpose},
		{Name: "handed over in the account's own name, for a sign-in", Token: sealed(signIn.with("purpose", "sign_in")), Refusal: RefusedPurpose},
		{Name: "handed over with a purpose nobody knows, for a sign-in", Token: sealed(signIn.with("purpose", "x")), Refusal: RefusedPurpose},
		{Name: "handed over with another purpose", Token: sealed(handOver.with("purpose", "sign_in")), Purposes: asked, Refusal: RefusedPurpose},
		{Name: "handed over with a purpose in capitals", Token: sealed(handOver.with("purpose", "RESET")), Purposes: asked, Refusal: RefusedPurpose},
		{Name: "handed over with a part of a purpose", Token: sealed(handOver.with("purpose", "rese")), Purposes: asked, Refusal: RefusedPurpose},
		{Name: "signed in, for a hand-over", Token: sealed(signIn), Purposes: asked, Refusal: RefusedPurpose},
		{Name: "signed in, for a hand-over, with an empty purpose", Token: sealed(signIn.with("purpose", "")), Purposes: asked, Refusal: RefusedPurpose},
		{Name: "signed in, for a hand-over, with a state", Token: sealed(signIn.with("state", "s1")), Purposes: asked, Refusal: RefusedPurpose},
		{Name: "purpose is a list", Token: sealed(handOver.with("purpose", []string{"reset"})), Purposes: asked, Refusal: RefusedClaims},
		{Name: "purpose is null", Token: sealed(handOver.with("purpose", json.RawMessage("null"))), Refusal: RefusedClaims, Strict: true},
	}
}

func textCases() []corpusCase {
	c := ordinaryClaims().String()
	jws := sign(innerHeader().String(), c, corpusSigner)
	jwe := seal(outerHeader().String(), jws)
	padded := func(s string) string { return s + "=" }
	return []corpusCase{
		{Name: "duplicate sub", Token: sealedText(`{"sub":"BBBBBBBBBBBBBBBB",` + c[1:]), Refusal: RefusedMalformed, Strict: true},
		{Name: "duplicate sub, escaped", Token: sealedText(`{"s\u0075b":"BBBBBBBBBBBBBBBB",` + c[1:]), Refusal: RefusedMalformed, Strict: true},
		{Name: "duplicate member, deep", Token: sealedText(`{"x":[{"a":1,"a":2}],` + c[1:]), Refusal: RefusedMalformed, Strict: true},
		{Name: "nested too deep", Token: sealedText(`{"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "," + c[1:]), Refusal: RefusedMalformed, Strict: true},
		{Name: "claims are a list", Token: sealedText("[" + c + "]"), Refusal: RefusedMalformed},
		{Name: "claims are null", Token: sealedText("null"), Refusal: RefusedMalformed},
		{Name: "claims are nothing", Token: sealedText(""), Refusal: RefusedMalformed},
		{Name: "text after the claims", Token: sealedText(c + c), Refusal: RefusedMalformed},
		{Name: "a byte order mark", Token: sealedText("\ufeff" + c), Refusal: RefusedMalformed, Strict: true},
		{Name: "claims are not UTF-8", Token: sealedText(`{"name":"` + "\xff" + `",` + c[1:]), Refusal: RefusedMalformed, Strict: true},
		{Name: "stray bits in the encrypted key", Token: change(jwe, 1, strayBits), Refusal: RefusedMalformed, Strict: true},
		{Name: "stray bits in the tag", Token: change(jwe, 4, strayBits), Refusal: RefusedMalformed, Strict: true},
		{Name: "stray bits in the signature", Token: seal(outerHeader().String(), change(jws, 2, strayBits)), Refusal: RefusedMalformed, Strict: true},
		{Name: "padding", Token: change(jwe, 1, padded), Refusal: RefusedMalformed, Strict: true},
		{Name: "a line feed", Token: change(jwe, 3, func(s string) string { return s[:8] + "\n" + s[8:] }), Refusal: RefusedMalformed, Strict: true},
		{Name: "a line feed, inside", Token: seal(outerHeader().String(), change(jws, 2, func(s string) string { return s[:8] + "\n" + s[8:] })), Refusal: RefusedMalformed, Strict: true},
		{Name: "a space at the end", Token: jwe + " ", Refusal: RefusedMalformed, Strict: true},
		{Name: "two tokens", Token: jwe + "," + jwe, Refusal: RefusedForm},
	}
}

func TestJWT1_Corpus(t *testing.T) {
	built := buildCorpus()
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(built); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "corpus.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil { //nolint:gosec // test data is for all to read
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil { //nolint:gosec // test data is for all to read
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, text.Bytes()) {
		t.Errorf("%s is not what this test builds: go test ./identity -run TestJWT1_Corpus -update", path)
	}
	var c corpus
	if err := json.Unmarshal(stored, &c); err != nil {
		t.Fatal(err)
	}
	ordinary := corpusVerifier(t, nil)
	seen := map[string]bool{}
	for _, tc := range c.Cases {
		if seen[tc.Name] {
			t.Errorf("two cases are called %q", tc.Name)
		}
		seen[tc.Name] = true
		v := ordinary
		if tc.Purposes != nil {
			v = corpusVerifier(t, func(c *Config) { c.Purposes = tc.Purposes })
		}
		id, err := v.Verify(t.Context(), tc.Token)
		switch {
		case tc.Refusal == "" && (err != nil || id == nil || id.Email != "ada@example.com"):
			t.Errorf("%s: refused: %v", tc.Name, err)
		case tc.Refusal != "" && (!errors.Is(err, tc.Refusal) || id != nil):
			t.Errorf("%s: got %v, want %q", tc.Name, err, string(tc.Refusal))
		}
	}
	t.Logf("%d cases", len(c.Cases))
}
