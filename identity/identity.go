// Package identity makes and verifies the assertion: the proof of who is signed in that the gate hands to an app in the
// request header Email-Link-Assertion.
//
// An assertion is a JWT of at most five minutes, signed with Ed25519 by the gate and then encrypted to one audience: a compact
// JWE (A256KW or ECDH-ES+A256KW, with A256GCM) around a compact JWS (EdDSA), both of type email-link+jwt. Apps in Go wrap their
// handlers:
//
//	v, err := identity.NewVerifier(identity.Config{
//		Issuers:  []string{"https://app.example.com"},
//		Audience: "app.example.com",
//		Type:     identity.TypeAssertion,
//		Key:      os.Getenv("EMAIL_LINK_KEY"), // caddy email-link keys audience app.example.com
//		JWKSURL:  "https://app.example.com/email-link/jwks.json",
//	})
//	…
//	http.ListenAndServe("127.0.0.1:3000", v.Handler(app))
//
// and ask [FromContext] who it is. Where the app starts flows of its own, the path that they lead to has a second verifier, with
// [Config.Purposes]: no verifier takes a hand-over for a sign-in, or a sign-in for a hand-over. Everything that is not exactly such a token is refused; the reason is a [Refusal], for logs.
// An assertion without a purpose repeats for up to half its lifetime, so it must never be refused as a replay.
package identity

import (
	"errors"
	"slices"
	"time"
)

const (
	// Header is the request header that carries the assertion.
	Header = "Email-Link-Assertion"
	// TypeAssertion is the typ of an assertion; a verifier has to be told which type it is for.
	TypeAssertion = "email-link+jwt"

	// MaxLifetime is the longest time between iat and exp.
	MaxLifetime = 5 * time.Minute
	// DefaultTTL is the lifetime of an assertion where none is configured.
	DefaultTTL = time.Minute
	// MaxSize is the size in bytes above which nothing is minted.
	MaxSize = 4 << 10
	// MaxInput is the size in bytes above which nothing is parsed.
	MaxInput = 8 << 10
)

// Format is the form of an assertion.
type Format string

const (
	// FormatJWE is signed and encrypted; it is the default.
	FormatJWE Format = "jwe"
	// FormatJWS is signed only, for apps that cannot decrypt: anyone who sees one reads the address in it.
	FormatJWS Format = "jws"
)

// Identity is what an assertion says.
type Identity struct {
	// Issuer is the origin of the site (iss), Audience the app it is for (aud).
	Issuer, Audience string
	// Subject is the account's id (sub): opaque, never reused. Use it as the key of your own records, not the address.
	Subject string
	// ID names this token (jti), SessionID the session behind it (sid).
	ID, SessionID string
	// Email is the address; EmailVerified is set when its mailbox has been proven.
	Email         string
	EmailVerified bool
	// AuthTime is when the person last proved themselves, Methods how (amr): link, code, pwd, token.
	AuthTime time.Time
	Methods  []string
	// Name and Roles may be empty.
	Name  string
	Roles []string
	// Scope is what a machine token was made for; empty for people.
	Scope []string
	// Purpose is set only where a flow that the app has started is handed over, to a verifier with [Config.Purposes]; State is
	// the app's own word of that flow. Such a token is no sign-in, and is acted on once for each ID.
	Purpose, State string
	// IssuedAt, NotBefore and Expiry bound its life (iat, nbf, exp), in whole seconds.
	IssuedAt, NotBefore, Expiry time.Time
}

// HasRole reports whether the identity has the role.
func (id *Identity) HasRole(role string) bool {
	for _, r := range id.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// HasScope reports whether this is a program with a machine token of the scope. People have none.
func (id *Identity) HasScope(scope string) bool { return slices.Contains(id.Scope, scope) }

// Refusal is the reason why a token is not accepted. It is an error for errors.Is, a stable word for logs, and holds nothing
// of the token.
type Refusal string

// The reasons.
const (
	RefusedTooLarge    Refusal = "too_large"    // above MaxInput
	RefusedMissing     Refusal = "missing"      // no header, or more than one
	RefusedMalformed   Refusal = "malformed"    // not strict base64url, JSON, UTF-8; duplicate members
	RefusedForm        Refusal = "form"         // not the compact form configured: a bare JWS, a JWE around something else, JSON
	RefusedAlgorithm   Refusal = "algorithm"    // alg or enc other than those of this profile
	RefusedType        Refusal = "type"         // typ is not the one asked for
	RefusedContentType Refusal = "content_type" // cty is not JWT
	RefusedCompression Refusal = "compression"  // zip
	RefusedKeyMaterial Refusal = "key_material" // the token brings or points to its own key
	RefusedHeader      Refusal = "header"       // crit, or a header this profile does not know
	RefusedKey         Refusal = "unknown_key"  // kid is missing or not one of ours
	RefusedDecryption  Refusal = "decryption"
	RefusedSignature   Refusal = "signature"
	RefusedClaims      Refusal = "claims"   // a claim is missing or of the wrong type
	RefusedLifetime    Refusal = "lifetime" // exp, nbf and iat do not fit together, or are too far apart
	RefusedExpired     Refusal = "expired"
	RefusedNotYet      Refusal = "not_yet" // iat or nbf in the future
	RefusedIssuer      Refusal = "issuer"
	RefusedAudience    Refusal = "audience"
	RefusedPurpose     Refusal = "purpose" // a hand-over where a sign-in is asked for, or the other way round
)

// Error returns the reason as words.
func (r Refusal) Error() string { return "identity: token refused: " + string(r) }

// ErrKeysUnavailable reports that the signing keys could not be read. That is no fault of the token: answer 503.
var ErrKeysUnavailable = errors.New("identity: the signing keys are unavailable")
