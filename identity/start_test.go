package identity

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var startKey = digest("sign key")

func ordinaryStart() members {
	return members{
		"iss": corpusAudience, "aud": corpusIssuer, "iat": corpusNow.Unix(), "exp": corpusNow.Unix() + 60, "jti": "j1",
		"purpose": "activation", "email": "ada@example.com", "sub": "42", "state": "s1", "continue": "/finish", "locale": "de",
	}
}

func startHeader() members { return members{"alg": "HS256", "typ": TypeStart} }

func signedStart(claims members) string {
	return signHMAC(startHeader().String(), claims.String(), startKey)
}

func verifyStart(token string) (*Start, error) {
	return VerifyStart(token, [][]byte{startKey}, corpusAudience, corpusIssuer, corpusNow)
}

func TestStartSignedAndRead(t *testing.T) {
	want := Start{
		Audience: corpusAudience, Origin: corpusIssuer, ID: "j1", IssuedAt: corpusNow, Expiry: corpusNow.Add(30 * time.Second),
		Purpose: "reset", Email: "ada@example.com", Subject: "a \"<b>\" ü", State: "s&1", Continue: "/finish?x=1", Locale: "de-AT", NoAccount: true,
	}
	token, err := want.Sign(startKey, corpusNow)
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifyStart(token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Error(diff)
	}
	filled, err := Start{Audience: corpusAudience, Origin: corpusIssuer, Purpose: "sign_in", Email: "a@example.com", Subject: "1"}.Sign(startKey, corpusNow)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = verifyStart(filled); err != nil || got.ID == "" || got.Expiry.Sub(got.IssuedAt) != MaxStartLifetime {
		t.Errorf("%+v, %v", got, err)
	}
	other := digest("another sign key")
	if _, err := VerifyStart(token, [][]byte{other, startKey}, corpusAudience, corpusIssuer, corpusNow); err != nil {
		t.Errorf("the older of two keys: %v", err)
	}
	for _, keys := range [][][]byte{nil, {other}, {startKey, nil}} {
		if _, err := VerifyStart(token, keys, corpusAudience, corpusIssuer, corpusNow); err == nil {
			t.Errorf("%d other keys", len(keys))
		}
	}
	if _, err := want.Sign(startKey[:16], corpusNow); err == nil {
		t.Error("half a key signs")
	}
	if _, err := verifyStart(signedStart(ordinaryStart().with("nbf", corpusNow.Unix(), "known", true, "more", []int{1}))); err != nil {
		t.Errorf("claims that are not looked at: %v", err)
	}
	if _, err := verifyStart(signedStart(ordinaryStart().with("known", false, "sub", nil))); err != nil {
		t.Errorf("nobody's: %v", err)
	}
}

// TestJWT1_StartsRefused refuses whatever is not exactly a start of this audience, for this site, now; the reason is a stable
// word, and the words that go with it hold no key.
func TestJWT1_StartsRefused(t *testing.T) {
	now := corpusNow.Unix()
	claims := func(kv ...any) string { return signedStart(ordinaryStart().with(kv...)) }
	header := func(kv ...any) string {
		return signHMAC(startHeader().with(kv...).String(), ordinaryStart().String(), startKey)
	}
	good := claims()
	text := ordinaryStart().String()
	for name, c := range map[string]struct{ token, reason string }{
		"empty":              {"", "malformed"},
		"too large":          {strings.Repeat("a", MaxInput+1), "too_large"},
		"two parts":          {"a.b", "malformed"},
		"five parts":         {"a.b.c.d.e", "malformed"},
		"json":               {`{"payload":"x"}`, "malformed"},
		"padded":             {good + "=", "malformed"},
		"line break":         {good[:10] + "\n" + good[10:], "malformed"},
		"stray bits":         {change(good, 2, strayBits), "malformed"},
		"no signature":       {change(good, 2, func(string) string { return "" }), "signature"},
		"flipped signature":  {change(good, 2, flipped), "signature"},
		"other claims":       {change(good, 1, func(string) string { return b64([]byte(ordinaryStart().with("sub", "1").String())) }), "signature"},
		"another key":        {signHMAC(startHeader().String(), text, digest("other")), "signature"},
		"key's text":         {signHMAC(startHeader().String(), text, []byte(base64.RawURLEncoding.EncodeToString(startKey))), "signature"},
		"key's hex":          {signHMAC(startHeader().String(), text, []byte(hex.EncodeToString(startKey))), "signature"},
		"none":               {header("alg", "none"), "header"},
		"HS512":              {header("alg", "HS512"), "header"},
		"hs256":              {header("alg", "hs256"), "header"},
		"alg missing":        {header("alg", nil), "header"},
		"alg a number":       {header("alg", 1), "header"},
		"JWT":                {header("typ", "JWT"), "header"},
		"typ missing":        {header("typ", nil), "header"},
		"assertion's typ":    {header("typ", TypeAssertion), "header"},
		"event's typ":        {header("typ", otherType), "header"},
		"answer's typ":       {header("typ", "email-link-answer+jwt"), "header"},
		"crit":               {header("crit", []string{"x"}), "header"},
		"b64":                {header("b64", false), "header"},
		"zip":                {header("zip", "DEF"), "header"},
		"jwk":                {header("jwk", members{"kty": "oct"}), "header"},
		"kid":                {header("kid", "x"), "header"},
		"duplicate header":   {signHMAC(`{"alg":"none","alg":"HS256","typ":"`+TypeStart+`"}`, text, startKey), "malformed"},
		"duplicate claim":    {signHMAC(startHeader().String(), `{"sub":"1",`+text[1:], startKey), "malformed"},
		"no object":          {signHMAC(startHeader().String(), `[]`, startKey), "malformed"},
		"an assertion":       {sign(innerHeader().String(), ordinaryClaims().String(), corpusSigner), "header"},
		"no iss":             {claims("iss", nil), "claims"},
		"another iss":        {claims("iss", "other"), "issuer"},
		"list of iss":        {claims("iss", []string{corpusAudience}), "claims"},
		"no aud":             {claims("aud", nil), "claims"},
		"another aud":        {claims("aud", "https://other.example.com"), "audience"},
		"list of aud":        {claims("aud", []string{corpusIssuer}), "claims"},
		"slash behind aud":   {claims("aud", corpusIssuer+"/"), "audience"},
		"no iat":             {claims("iat", nil), "claims"},
		"no exp":             {claims("exp", nil), "claims"},
		"exp a text":         {claims("exp", "x"), "claims"},
		"exp with fraction":  {claims("exp", float64(now)+1.5), "claims"},
		"exp before iat":     {claims("exp", now-1), "lifetime"},
		"61 seconds":         {claims("exp", now+61), "lifetime"},
		"over":               {claims("iat", now-70, "exp", now-10), "expired"},
		"not yet":            {claims("iat", now+11, "exp", now+20), "not_yet"},
		"nbf to come":        {claims("nbf", now+11), "not_yet"},
		"nbf a text":         {claims("nbf", "now"), "claims"},
		"no jti":             {claims("jti", nil), "claims"},
		"empty jti":          {claims("jti", ""), "claims"},
		"long jti":           {claims("jti", strings.Repeat("j", 129)), "claims"},
		"no purpose":         {claims("purpose", nil), "claims"},
		"purpose of another": {claims("purpose", "delete"), "claims"},
		"no email":           {claims("email", nil), "claims"},
		"list of emails":     {claims("email", []string{"a@example.com"}), "claims"},
		"long email":         {claims("email", strings.Repeat("e", 321)), "claims"},
		"no sub":             {claims("sub", nil), "claims"},
		"sub a number":       {claims("sub", 42), "claims"},
		"long sub":           {claims("sub", strings.Repeat("ü", 65)), "claims"},
		"long state":         {claims("state", strings.Repeat("s", 257)), "claims"},
		"control in state":   {claims("state", "a\x00b"), "claims"},
		"long continue":      {claims("continue", "/"+strings.Repeat("c", 512)), "claims"},
		"long locale":        {claims("locale", strings.Repeat("d", 36)), "claims"},
		"known a text":       {claims("known", "false"), "claims"},
		"known null":         {signHMAC(startHeader().String(), `{"known":null,`+text[1:], startKey), "claims"},
	} {
		s, err := verifyStart(c.token)
		var refusal *StartError
		if s != nil && err == nil || !errors.As(err, &refusal) || refusal.Reason != c.reason {
			t.Errorf("%s: %+v, %v, want %s", name, s, err, c.reason)
			continue
		}
		for _, secret := range []string{base64.RawURLEncoding.EncodeToString(startKey), hex.EncodeToString(startKey), "ada@"} {
			if strings.Contains(refusal.Words, secret) {
				t.Errorf("%s: the words hold a secret: %s", name, refusal.Words)
			}
		}
	}
	for _, at := range []time.Duration{-10 * time.Second, 69 * time.Second} {
		if _, err := VerifyStart(good, [][]byte{startKey}, corpusAudience, corpusIssuer, corpusNow.Add(at)); err != nil {
			t.Errorf("with clocks that are %v apart: %v", at, err)
		}
	}
}

// TestTOK3_AStartOfAnotherSiteOrAppIsRefused signs with the right key what is meant for another site, and by another app.
func TestTOK3_AStartOfAnotherSiteOrAppIsRefused(t *testing.T) {
	if _, err := verifyStart(signedStart(ordinaryStart())); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"another site": signedStart(ordinaryStart().with("aud", "https://other.example.com")),
		"another port": signedStart(ordinaryStart().with("aud", "https://app.example.com:8443")),
		"over http":    signedStart(ordinaryStart().with("aud", "http://app.example.com")),
		"another app":  signedStart(ordinaryStart().with("iss", "other.example.com")),
	} {
		if s, err := verifyStart(token); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestStartWordsHelp says what to change, with both values.
func TestStartWordsHelp(t *testing.T) {
	for token, want := range map[string]string{
		signedStart(ordinaryStart().with("iss", "app")):                                             `iss is "app", and the audience of this site is "app.example.com"`,
		signedStart(ordinaryStart().with("aud", "http://x")):                                        `aud is "http://x", and the origin of this site is "https://app.example.com"`,
		signHMAC(startHeader().String(), "{}", []byte(hex.EncodeToString(startKey))):                "decode it",
		signHMAC(startHeader().String(), "{}", digest("x")):                                         "--sign",
		signedStart(ordinaryStart().with("iat", corpusNow.Unix()-600, "exp", corpusNow.Unix()-540)): "compare the clocks",
		signedStart(ordinaryStart().with("purpose", strings.Repeat("\x1b[31mü", 100))):              "control character",
	} {
		if _, err := verifyStart(token); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestJWT2_StartsAreNoAssertions refuses a start in an assertion's place, signed with whatever key the app has.
func TestJWT2_StartsAreNoAssertions(t *testing.T) {
	v := corpusVerifier(t, nil)
	signed := corpusVerifier(t, func(c *Config) { c.Format, c.Keys = FormatJWS, nil })
	for _, key := range [][]byte{startKey, corpusKey, public(corpusSigner)} {
		token := signHMAC(startHeader().String(), ordinaryStart().with("iss", corpusIssuer, "aud", corpusAudience).String(), key)
		for name, text := range map[string]string{"bare": token, "sealed": seal(outerHeader().String(), token)} {
			if id, err := v.Verify(t.Context(), text); err == nil {
				t.Errorf("%s: %+v", name, id)
			}
		}
		if id, err := signed.Verify(t.Context(), token); err == nil {
			t.Errorf("signed only: %+v", id)
		}
	}
}

func FuzzJWT1_Start(f *testing.F) {
	f.Add(signedStart(ordinaryStart()))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if s, err := verifyStart(token); err == nil && s.Audience != corpusAudience {
			t.Errorf("%+v", s)
		}
	})
}
