package module

import (
	"github.com/caddyserver/caddy/v2"
)

// SignUp says who may make an account by proving a mailbox.
type SignUp struct {
	// Policy is `closed`, where accounts come from the operator alone, or `open`. Default: `closed`.
	Policy string `json:"policy,omitempty"`
	// Domains narrows `open` to mailboxes of these domains, compared as a whole. Default: any domain.
	Domains []string `json:"domains,omitempty"`
}

// Invite lets accounts with a role invite others from their own page.
type Invite struct {
	// By is the role that they have.
	By string `json:"by"`
	// Gives are the roles that they may give, one or more.
	Gives []string `json:"gives"`
}

// Lifetime holds how long links and codes work. A value above 72 hours is refused, but for that of invitations.
type Lifetime struct {
	// Activation is the lifetime of a sign-up. Default: 24 hours.
	Activation caddy.Duration `json:"activation,omitempty"`
	// SignIn is the lifetime of a sign-in. Default: 15 minutes.
	SignIn caddy.Duration `json:"sign_in,omitempty"`
	// Reset is the lifetime of a link that sets a new password. Default: 30 minutes.
	Reset caddy.Duration `json:"reset,omitempty"`
	// Invite is the lifetime of an invitation, 30 days at most. Default: 7 days.
	Invite caddy.Duration `json:"invite,omitempty"`
}

// Resend says how often a person may ask for the mail again.
type Resend struct {
	// Count is how many mails may follow the first one of a flow. Default: 5.
	Count *int `json:"count,omitempty"`
	// Wait is the time between two of them. Default: 60 seconds.
	Wait caddy.Duration `json:"wait,omitempty"`
}

// Session says how long a sign-in lasts.
type Session struct {
	// Idle is how long an unused session lives. Default: 7 days.
	Idle caddy.Duration `json:"idle,omitempty"`
	// Absolute is how long a session lives at most; the cookie is persistent until then. Default: 30 days.
	Absolute caddy.Duration `json:"absolute,omitempty"`
}

// Password says which passwords are good, and what a new one does. There are no rules about capitals, digits or signs: what
// is guessed soon is refused, and the page says why.
type Password struct {
	// MinLength is the least number of characters, from 8 to 256. Default: 12.
	MinLength int `json:"min_length,omitempty"`
	// History is how many of the account's passwords a new one must differ from, the current one included; 10 at most. They
	// are kept as sealed hashes. Default: the current one only.
	History int `json:"history,omitempty"`
	// SignInAfterReset says that a new password set by a mailed link signs in at once. Default: no, the sign-in form asks for
	// it.
	SignInAfterReset bool `json:"sign_in_after_reset,omitempty"`
}

// Require says which accounts pass. Each list that is given must hold by one of its words.
type Require struct {
	// Role holds groups of roles; of each group the account needs one.
	Role [][]string `json:"role,omitempty"`
	// Email holds groups of address patterns; of each group one must match. In a pattern `*` stands for the whole local part
	// or for one whole label of the domain, as in `*@example.com`.
	Email [][]string `json:"email,omitempty"`
	// Scope holds groups of scopes of machine tokens; of each group a token needs one. The word `session` means every person
	// who has signed in: without it people do not pass. Where no scope is named no token passes.
	Scope [][]string `json:"scope,omitempty"`
}

// Identity says in which form the identity is passed to the backend.
type Identity struct {
	// Header carries the assertion. Default: `Email-Link-Assertion`.
	Header string `json:"header,omitempty"`
	// Key encrypts the assertion: 32 bytes as base64, base64url or hex text; `{env.X}` and `{file.X}` are resolved at
	// run time. Default: derived from the key ring for the audience; `caddy email-link keys audience` prints it.
	Key string `json:"key,omitempty"`
	// SignKey verifies what the app says to the gate, such as `Email-Link-Start`: 32 bytes like Key. During a rotation there are
	// several, and each verifies. Default: derived from the key ring for the audience; `caddy email-link keys audience <name>
	// --sign` prints it.
	SignKey []string `json:"sign_key,omitempty"`
	// TTL is the lifetime of an assertion, 5 minutes at most. Default: 60 seconds.
	TTL caddy.Duration `json:"ttl,omitempty"`
	// Format is `jwe` (signed and encrypted), `jws` (signed only) or `none` (no assertion). Default: `jwe`.
	Format string `json:"format,omitempty"`
}

// Header is one plain header with a part of the identity, for backends that cannot read the assertion.
type Header struct {
	// Name is the header's name, such as `Remote-User`.
	Name string `json:"name"`
	// Value is text with the placeholders `{http.auth.user.id}`, `.email`, `.name` and `.roles`.
	Value string `json:"value"`
}
