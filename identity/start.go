package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// StartHeader is the response header by which an app starts a flow. It never gets to the client.
	StartHeader = "Email-Link-Start"
	// DoneHeader is the response header by which an app says that it has done what a flow was for: the jti. It never gets to
	// the client.
	DoneHeader = "Email-Link-Done"
	// TypeStart is the typ of the token in StartHeader.
	TypeStart = "email-link-start+jwt"

	// MaxStartLifetime is the longest time between iat and exp of a start.
	MaxStartLifetime = time.Minute
	// MaxSubject is the largest sub of a start, in bytes.
	MaxSubject = 128
	// MaxState is the largest state of a start, in bytes.
	MaxState = 256
	// MaxContinue is the largest continue of a start, in bytes.
	MaxContinue = 512

	maxStartID     = 128
	maxStartEmail  = 320
	maxStartLocale = 35
)

// startPurposes are what an app may start a flow for.
var startPurposes = []string{"activation", "sign_in", "reset"}

// Start is what an app with users of its own says to have the gate mail a link: the claims of the JWT in [StartHeader].
type Start struct {
	// Audience is the app's name (iss), Origin the site's origin (aud).
	Audience, Origin string
	// ID names this start (jti): the gate obeys it once.
	ID string
	// IssuedAt and Expiry bound its life (iat, exp), [MaxStartLifetime] at most.
	IssuedAt, Expiry time.Time
	// Purpose is activation, sign_in or reset.
	Purpose string
	// Email is where the mail goes.
	Email string
	// Subject is the app's own name of the user (sub), State its own word of this flow. Both come back in the assertion when
	// the flow has ended, and mean nothing to the gate.
	Subject, State string
	// Locale is the language of the mail as a BCP 47 tag; empty: the browser's.
	Locale string
	// Continue is the path of the app that the flow leads to; empty: "/".
	Continue string
	// NoAccount is set when the app has no user for this address (known: false): the mail says so, and has no link.
	NoAccount bool
}

// StartError is the reason why a start is not obeyed.
type StartError struct {
	// Reason is a stable word: too_large, malformed, header, signature, claims, issuer, audience, lifetime, expired, not_yet.
	Reason string
	// Words say what is wrong and what to do about it. They hold neither key nor address.
	Words string
}

// Error returns the words.
func (e *StartError) Error() string { return e.Words }

func refuseStart(reason, format string, args ...any) error {
	return &StartError{Reason: reason, Words: fmt.Sprintf(format, args...)}
}

// startWire is the JSON form of a Start.
type startWire struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
	ID       string `json:"jti"`
	Purpose  string `json:"purpose"`
	Email    string `json:"email"`
	Subject  string `json:"sub,omitempty"`
	Locale   string `json:"locale,omitempty"`
	State    string `json:"state,omitempty"`
	Continue string `json:"continue,omitempty"`
	Known    *bool  `json:"known,omitempty"`
}

// Sign returns the start as a JWT (HS256) for [StartHeader], for apps in Go. key is the audience's sign key as [ParseKey] reads
// it, now the time; ID, IssuedAt and Expiry are filled in where they are empty. What the gate would refuse is not looked for.
func (s Start) Sign(key []byte, now time.Time) (string, error) {
	if len(key) != keySize {
		return "", fmt.Errorf("identity: the sign key has %d bytes, not %d", len(key), keySize)
	}
	if s.ID == "" {
		s.ID = randomID()
	}
	if s.IssuedAt.IsZero() {
		s.IssuedAt = now
	}
	if s.Expiry.IsZero() {
		s.Expiry = s.IssuedAt.Add(MaxStartLifetime)
	}
	w := startWire{
		Issuer: s.Audience, Audience: s.Origin, IssuedAt: s.IssuedAt.Unix(), Expiry: s.Expiry.Unix(), ID: s.ID, Purpose: s.Purpose,
		Email: s.Email, Subject: s.Subject, Locale: s.Locale, State: s.State, Continue: s.Continue,
	}
	if s.NoAccount {
		w.Known = new(bool)
	}
	payload, err := json.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(`{"alg":"HS256","typ":"`+TypeStart+`"}`)) + "." + b64.EncodeToString(payload)
	return text + "." + b64.EncodeToString(hs256(key, text)), nil
}

func hs256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// VerifyStart reads a start that was signed with one of keys, for the gate's side; there are several while they are rotated. It has
// to be of this audience, for this origin, and alive at now. Whether it has been obeyed before, and whether Continue is a path to lead to, is for the caller to judge. The
// error is a [StartError].
func VerifyStart(token string, keys [][]byte, audience, origin string, now time.Time) (*Start, error) {
	if len(token) > MaxInput {
		return nil, refuseStart("too_large", "it has %d bytes; %d at most", len(token), MaxInput)
	}
	if len(keys) == 0 || slices.ContainsFunc(keys, func(key []byte) bool { return len(key) != keySize }) {
		return nil, errors.New("identity: no sign key")
	}
	parts, err := split(token, 3)
	if err != nil {
		return nil, refuseStart("malformed", "it is no compact JWT: three parts with dots between them")
	}
	if err := checkStartHeader(parts[0]); err != nil {
		return nil, err
	}
	signature, err := decodeSegment(parts[2])
	if err != nil {
		return nil, refuseStart("malformed", "the signature is not base64url without padding")
	}
	if text := token[:len(parts[0])+1+len(parts[1])]; !signedWithOne(keys, text, signature) {
		return nil, wrongStartKey(keys, audience, text, signature)
	}
	payload, err := decodeSegment(parts[1])
	if err != nil {
		return nil, refuseStart("malformed", "the claims are not base64url without padding")
	}
	o, err := parseObject(payload)
	if err != nil {
		return nil, refuseStart("malformed", "the claims are not one JSON object without duplicate members")
	}
	s, err := readStart(o)
	if err != nil {
		return nil, err
	}
	return s, s.check(o, audience, origin, now)
}

// checkStartHeader takes HS256 of the right type and nothing else: no compression, no critical extension, no key of its own.
func checkStartHeader(segment string) error {
	b, err := decodeSegment(segment)
	if err != nil {
		return refuseStart("malformed", "the header is not base64url without padding")
	}
	o, err := parseObject(b)
	if err != nil {
		return refuseStart("malformed", "the header is not one JSON object without duplicate members")
	}
	alg, _, algErr := o.text("alg")
	typ, _, typErr := o.text("typ")
	switch {
	case algErr != nil || typErr != nil:
		return refuseStart("header", "alg and typ are texts")
	case alg != "HS256":
		return refuseStart("header", "alg is %s; it has to be HS256", truncated(alg))
	case typ != TypeStart:
		return refuseStart("header", "typ is %s; it has to be %q", truncated(typ), TypeStart)
	}
	for name := range o {
		if name != "alg" && name != "typ" {
			return refuseStart("header", "the header has %s; only alg and typ belong there", truncated(name))
		}
	}
	return nil
}

func signedWithOne(keys [][]byte, text string, signature []byte) bool {
	return slices.ContainsFunc(keys, func(key []byte) bool { return hmac.Equal(signature, hs256(key, text)) })
}

// wrongStartKey reports that a signature does not fit, and whether it is the usual mistake.
func wrongStartKey(keys [][]byte, audience, text string, signature []byte) error {
	var texts [][]byte
	for _, key := range keys {
		for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.StdEncoding} {
			texts = append(texts, []byte(enc.EncodeToString(key)))
		}
		texts = append(texts, []byte(hex.EncodeToString(key)))
	}
	if signedWithOne(texts, text, signature) {
		return refuseStart("signature", "it is signed with the text of the key; the key is the 32 bytes that the text stands for (decode it as base64url)")
	}
	return refuseStart("signature", "it is signed with another key than the sign key of the audience %q, which 'caddy email-link keys audience %s --sign' prints unless the configuration names one", audience, audience)
}

// readStart reads the claims.
func readStart(o object) (*Start, error) {
	s := &Start{}
	for _, f := range []struct {
		name     string
		to       *string
		required bool
		max      int
	}{
		{"iss", &s.Audience, true, MaxInput},
		{"aud", &s.Origin, true, MaxInput},
		{"jti", &s.ID, true, maxStartID},
		{"purpose", &s.Purpose, true, MaxInput},
		{"email", &s.Email, true, maxStartEmail},
		{"sub", &s.Subject, false, MaxSubject},
		{"locale", &s.Locale, false, maxStartLocale},
		{"state", &s.State, false, MaxState},
		{"continue", &s.Continue, false, MaxContinue},
	} {
		text, present, err := o.text(f.name)
		switch {
		case err != nil:
			return nil, refuseStart("claims", "%s is not a text", f.name)
		case f.required && text == "":
			return nil, refuseStart("claims", "%s is missing", f.name)
		case present && len(text) > f.max:
			return nil, refuseStart("claims", "%s has %d bytes; %d at most", f.name, len(text), f.max)
		case strings.ContainsFunc(text, unicode.IsControl):
			return nil, refuseStart("claims", "%s holds a control character", f.name)
		}
		*f.to = text
	}
	for name, to := range map[string]*time.Time{"iat": &s.IssuedAt, "exp": &s.Expiry} {
		t, present, err := o.date(name)
		if err != nil || !present {
			return nil, refuseStart("claims", "%s is missing or is not a whole number of seconds since 1970", name)
		}
		*to = t
	}
	if raw, ok := o["known"]; ok {
		known, err := o.flag("known")
		if err != nil {
			return nil, refuseStart("claims", "known is %s; it is true or false", truncated(string(raw)))
		}
		s.NoAccount = !known
	}
	return s, nil
}

// check judges claims that were signed with the right key.
func (s *Start) check(o object, audience, origin string, now time.Time) error {
	notBefore, _, err := o.date("nbf")
	const clock = "15:04:05"
	switch {
	case err != nil:
		return refuseStart("claims", "nbf is not a whole number of seconds since 1970")
	case s.Audience != audience:
		return refuseStart("issuer", "iss is %s, and the audience of this site is %q", truncated(s.Audience), audience)
	case s.Origin != origin:
		return refuseStart("audience", "aud is %s, and the origin of this site is %q", truncated(s.Origin), origin)
	case !slices.Contains(startPurposes, s.Purpose):
		return refuseStart("claims", "purpose is %s; it is one of %s", truncated(s.Purpose), strings.Join(startPurposes, ", "))
	case s.Subject == "" && !s.NoAccount:
		return refuseStart("claims", "sub is missing: the app's own name of the user")
	case !s.Expiry.After(s.IssuedAt) || s.Expiry.Sub(s.IssuedAt) > MaxStartLifetime:
		return refuseStart("lifetime", "exp is %d seconds after iat; from 1 to %d", int64(s.Expiry.Sub(s.IssuedAt)/time.Second), int64(MaxStartLifetime/time.Second))
	case !now.Before(s.Expiry.Add(DefaultLeeway)):
		return refuseStart("expired", "it ended at %s, and the clock here says %s (UTC): sign each one anew, and compare the clocks", s.Expiry.UTC().Format(clock), now.UTC().Format(clock))
	case now.Add(DefaultLeeway).Before(s.IssuedAt) || now.Add(DefaultLeeway).Before(notBefore):
		return refuseStart("not_yet", "it begins at %s, and the clock here says %s (UTC): compare the clocks", s.IssuedAt.UTC().Format(clock), now.UTC().Format(clock))
	}
	return nil
}

// truncated quotes a value for people, shortened.
func truncated(s string) string {
	const most = 80
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return fmt.Sprintf("%q", s)
}
