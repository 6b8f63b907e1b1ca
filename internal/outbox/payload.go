package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// payloadLabel separates sealed mails from everything else that the key ring seals.
const payloadLabel = "outbox payload"

// Payload is what a queued mail holds under seal. Link, cancel link and code are not in it: they derive from Seed, and the links
// of a stateless flow from Claims.
type Payload struct {
	// To is the address as typed, or as stored for a notice.
	To string `json:"to"`
	// Seed is what link, cancel link and code derive from.
	Seed [32]byte `json:"seed"`
	// Base is the origin and the path prefix of our pages.
	Base string `json:"base"`
	// Locale, Device and Network describe the browser that asked.
	Locale  string `json:"locale,omitempty"`
	Device  string `json:"device,omitempty"`
	Network string `json:"network,omitempty"`
	// FlowID names the flow in logs.
	FlowID string `json:"flow,omitempty"`
	// LimitKey is the digest that mail limits of this mailbox are keyed by.
	LimitKey storage.Digest `json:"limit_key"`
	// Mailbox is the digest of the mailbox.
	Mailbox storage.Digest `json:"mailbox,omitzero"`
	// Claims are what the links of a stateless flow carry, but for the account; nil for a stored flow.
	Claims *token.Claims `json:"claims,omitempty"`
	// RequestedAt is when it was asked for, by the system's clock, in seconds since 1970.
	RequestedAt int64 `json:"asked"`
	// Ends is when the flow ends as people see it, by the system's clock, in seconds since 1970. A notice with an end has the link of a flow
	// of the purpose NewDevice or UndoDeletion.
	Ends int64 `json:"ends,omitempty"`
	// SignUpOpen is set when signing up was open to this address when it was asked for.
	SignUpOpen bool `json:"open,omitempty"`
	// Known is set when the asking browser has signed in to this mailbox before.
	Known bool `json:"known,omitempty"`
	// Reserve is set when the mailbox's limit was spent: the mail leaves only if Network is one of those of the account's sessions.
	Reserve bool `json:"reserve,omitempty"`
	// NoLink and NoCode say which of the two the site does not offer.
	NoLink bool `json:"no_link,omitempty"`
	NoCode bool `json:"no_code,omitempty"`
	// SignInEnds is when link and code stop working, by the system's clock, in seconds since 1970, where a sign-up is for an address that has an
	// account: they sign in to it. 0: that mail has neither. NoSignInLink is set when it has a code alone.
	SignInEnds   int64 `json:"sign_in_ends,omitempty"`
	NoSignInLink bool  `json:"no_sign_in_link,omitempty"`
	// App is set when an app with users of its own has asked: no account is looked up, and NoAccount is its word that there is
	// none.
	App       bool `json:"app,omitempty"`
	NoAccount bool `json:"no_account,omitempty"`
	// Act is what the code does, for the purpose Proof.
	Act Act `json:"act,omitzero"`
	// Address is the new address, for a mail about its change to a mailbox that may know it.
	Address string `json:"address,omitempty"`
	// Invited is set for a sign-up where invitations alone make accounts: who has none gets no mail. Invitation is what a mail of the purpose
	// Invite says.
	Invited    bool        `json:"invited,omitempty"`
	Invitation *Invitation `json:"invitation,omitempty"`
	// Notice is the kind of a notice; empty: mailer.KindNewDevice.
	Notice mailer.Kind `json:"notice,omitempty"`
	// Name is the account's name, for a notice.
	Name string `json:"name,omitempty"`
	// Timezone is the account's, where the account is not looked up by the address: for a notice, and mails about a change of the address.
	Timezone string `json:"timezone,omitempty"`
	// Account is the account's id, for a notice and a take-back.
	Account string `json:"account,omitempty"`
	// Subject and Text are what an alert says.
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"`
}

// NewID returns the id of a mail that is queued now: 6 bytes of the time in milliseconds since 1970, big-endian, and 10 random ones.
// So mails that are queued together lie together in the store, which lists them by id, the oldest first. Outside of the gate
// an id is never shown: the Message-ID is a digest of it.
func NewID(now time.Time) (id storage.MailID) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli())) //nolint:gosec // a clock after 1970
	n := copy(id[:], ms[2:])
	_, _ = rand.Read(id[n:]) // never fails: crypto/rand ends the program instead
	return id
}

// Seal returns the payload sealed for the mail with this id.
func (p Payload) Seal(ring *keyring.Ring, id storage.MailID) ([]byte, error) {
	plain, err := token.Compact(p) // a link holds the private half as it is here
	if err != nil {
		return nil, fmt.Errorf("outbox: write the payload: %w", err)
	}
	return ring.Seal(payloadLabel, id[:], plain), nil
}

// OpenPayload opens what Seal made for the same id.
func OpenPayload(ring *keyring.Ring, id storage.MailID, sealed []byte) (Payload, error) {
	var p Payload
	plain, err := ring.Open(payloadLabel, id[:], sealed)
	if err != nil {
		return p, fmt.Errorf("outbox: open the payload: %w", err)
	}
	if err := json.Unmarshal(plain, &p); err != nil {
		return p, fmt.Errorf("outbox: read the payload: %w", err)
	}
	// Notices that were queued before the kinds of the outbox and of the templates were one list have "new_device".
	p.Notice = mailer.Kind(strings.ReplaceAll(string(p.Notice), "_", "-"))
	return p, nil
}

func unix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
