package token

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// linkType is the `typ` of links that carry their own claims.
	linkType = "email-link-link+jwt"
	// MaxLink is the longest text that is looked at as such a link, in bytes; those that are mailed are shorter, see LinkSize.
	MaxLink = 1200
	// cookiePlain is the size of what a stateless flow cookie seals, for every address and every path.
	cookiePlain = 672

	labelLinkKey  = "stateless link"
	labelCookie   = "stateless flow cookie"
	labelPadded   = "padded flow cookie"
	labelFlow     = "stateless flow"
	labelMail     = "stateless mail"
	labelUsed     = "stateless token"
	labelPublicID = "stateless flow id"
)

var (
	// cookieSize is the length of a stateless flow cookie's text.
	cookieSize = encoding.EncodedLen(cookiePlain + keyring.SealOverhead)
	// linkHeader is the protected header of every link that carries claims, linkStart what such a link begins with.
	linkHeader = jweHeader(linkType)
	linkStart  = linkHeader + ".."
)

// FID names a stateless flow in its links, its cookie and its codes. It is a secret: who knows it can find the flow's record,
// and with the keys its codes. Logs name the flow by ID.
type FID [16]byte

// NewFID returns a random one.
func NewFID() (id FID) {
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return id
}

// MarshalText writes base64url.
func (id FID) MarshalText() ([]byte, error) { return encoding.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (id *FID) UnmarshalText(text []byte) error {
	if n, err := encoding.Decode(make([]byte, encoding.DecodedLen(len(text))), text); err != nil || n != len(id) {
		return ErrMalformed
	}
	_, err := encoding.Decode(id[:], text)
	return err
}

// ID returns the flow's public name, as NewID does for stored flows.
func (id FID) ID(ring *keyring.Ring) string {
	d := ring.MAC(labelPublicID, id[:])
	return base64.RawURLEncoding.EncodeToString(d[:idBytes])
}

// Cookie returns what finds the flow's record in place of its cookie.
func (id FID) Cookie(ring *keyring.Ring, end int64) Parsed {
	return Parsed{End: end, Secret: [secretSize]byte(ring.Derive(labelFlow, id[:], secretSize))}
}

// Seed returns what the code, and the nonces of the links, of one mail of the flow derive from. The first mail is 0;
// generation is that of the flow.
func (id FID) Seed(ring *keyring.Ring, generation, mail int) [32]byte {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:], uint64(generation)) //nolint:gosec // counts from 0
	binary.BigEndian.PutUint64(n[8:], uint64(mail))      //nolint:gosec // counts from 0
	return [32]byte(ring.Derive(labelMail, keyring.Frame(id[:], n[:]), 32))
}

// Claims are what a stateless flow is made of: its links and its cookie hold them, sealed, and no store does.
type Claims struct {
	// Site is not among the content: it is part of the keys.
	Site    string `json:"-"`
	Purpose string `json:"pur"`
	FID     FID    `json:"fid"`
	// Issued and Expires are the flow's first and last time, in seconds since 1970.
	Issued  int64 `json:"iat"`
	Expires int64 `json:"exp"`
	// Resends is how many mails may follow the first, Wait the milliseconds between two.
	Resends int   `json:"res,omitempty"`
	Wait    int64 `json:"wait,omitempty"`
	// Global and Mailbox are the epochs at the flow's birth.
	Global  uint64 `json:"eg,omitempty"`
	Mailbox uint64 `json:"em,omitempty"`
	// Client is the address that asked, whose slot a redemption gives back; Known is set when the browser was known, so that it
	// took none.
	Client netip.Addr `json:"ip,omitzero"`
	Known  bool       `json:"known,omitempty"`
	// Private is the flow's own: the address as typed, where to go after, what the asking browser was.
	Private json.RawMessage `json:"prv"`

	// Account is the account that the mail worker found, AccountEpoch its epoch then. A cookie has neither.
	Account      string `json:"sub,omitempty"`
	AccountEpoch uint64 `json:"ea,omitempty"`
	// Mail is the number of the mail, the first being 0.
	Mail int `json:"n,omitempty"`
}

// Compact writes v as JSON in as few bytes as it takes: & and < and > stand for themselves, not for six bytes each.
func Compact(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// linkKind returns the sealer of links, or of cancel links, of a site.
func linkKind(ring *keyring.Ring, site string, cancel bool) *JWE {
	kind := "link"
	if cancel {
		kind = "cancel"
	}
	return NewJWE([32]byte(ring.Derive(labelLinkKey, keyring.Frame([]byte(site), []byte(kind)), 32)), linkType)
}

// Link returns the text of the mail's link, or of its cancel link: always the same for the same seed and claims.
func (c *Claims) Link(ring *keyring.Ring, seed [32]byte, cancel bool) (string, error) {
	plain, err := Compact(c)
	if err != nil {
		return "", err
	}
	return linkKind(ring, c.Site, cancel).SealAgain(seed[:], plain), nil
}

// LinkSize returns the length of the claims' link, with room for what the mail worker adds.
func (c *Claims) LinkSize() (int, error) {
	const account = 64 // the account's id, its epoch and the number of the mail
	plain, err := Compact(c)
	return len(linkStart) + encoding.EncodedLen(nonceSize) + 1 + encoding.EncodedLen(len(plain)+account) + 1 +
		encoding.EncodedLen(tagSize), err
}

// IsLink reports whether a text has the form of a link that carries claims. Only ReadLink knows whether it is one.
func IsLink(text string) bool { return len(text) <= MaxLink && strings.HasPrefix(text, linkStart) }

// ReadLink returns the claims of a link of this site; cancel reports that it is the link "this wasn't me". ErrMalformed is the
// answer to everything else. The claims are as they were sealed: whether their time has ended is for the caller to judge.
func ReadLink(ring *keyring.Ring, site, text string) (c Claims, cancel bool, err error) {
	if !IsLink(text) {
		return c, false, ErrMalformed
	}
	for _, cancel := range [...]bool{false, true} {
		plain, err := linkKind(ring, site, cancel).Open(text)
		if err != nil {
			continue
		}
		if json.Unmarshal(plain, &c) != nil {
			return Claims{}, false, ErrMalformed
		}
		c.Site = site
		return c, cancel, nil
	}
	return c, false, ErrMalformed
}

// FitsCookie reports whether the claims of a request fit into a flow cookie, with room for their epochs.
func (c *Claims) FitsCookie() bool {
	const epochs = 24
	plain, err := Compact(c)
	return err == nil && len(plain)+epochs <= cookiePlain
}

// Cookie returns the flow cookie's text, which has one length whatever the claims are. Those that do not fit are an error.
func (c *Claims) Cookie(ring *keyring.Ring) (string, error) {
	plain, err := Compact(c)
	if err != nil {
		return "", err
	}
	if len(plain) > cookiePlain {
		return "", errors.New("token: the claims do not fit into a cookie")
	}
	return sealPadded(ring, labelCookie, c.Site, plain), nil
}

// Pad makes the cookie of a stored flow as long as one that carries claims, so that the two cannot be told apart.
func Pad(ring *keyring.Ring, site, cookie string) string {
	return sealPadded(ring, labelPadded, site, []byte(cookie))
}

// Unpad returns the cookie of a stored flow that Pad has made longer at this site; anything else is ErrMalformed.
func Unpad(ring *keyring.Ring, site, text string) (Parsed, error) {
	plain, err := unpad(ring, labelPadded, site, text)
	if err != nil {
		return Parsed{}, err
	}
	return Parse(string(bytes.TrimRight(plain, " ")))
}

func sealPadded(ring *keyring.Ring, label, site string, plain []byte) string {
	plain = append(plain, bytes.Repeat([]byte{' '}, cookiePlain-len(plain))...)
	return encoding.EncodeToString(ring.Seal(label, []byte(site), plain))
}

func unpad(ring *keyring.Ring, label, site, text string) ([]byte, error) {
	if len(text) != cookieSize || strings.ContainsAny(text, "\r\n") {
		return nil, ErrMalformed
	}
	sealed, err := encoding.DecodeString(text)
	if err != nil {
		return nil, ErrMalformed
	}
	plain, err := ring.Open(label, []byte(site), sealed)
	if err != nil {
		return nil, ErrMalformed
	}
	return plain, nil
}

// ReadCookie returns the claims of a flow cookie of this site; anything else is ErrMalformed.
func ReadCookie(ring *keyring.Ring, site, text string) (c Claims, err error) {
	plain, err := unpad(ring, labelCookie, site, text)
	if err != nil || json.Unmarshal(plain, &c) != nil {
		return Claims{}, ErrMalformed
	}
	c.Site = site
	return c, nil
}

// Key returns where the mark of a used link is. Until the link is used there is no record.
func (c *Claims) Key(ring *keyring.Ring, generation int, cancel bool) storage.Key {
	seed, kind := c.FID.Seed(ring, generation, c.Mail), []byte{0}
	if cancel {
		kind[0] = 1
	}
	return storage.Key{End: c.Expires, Digest: ring.MAC(labelUsed, []byte(c.Site), []byte(c.Purpose), seed[:], kind)}
}

// Alive reports whether the claims' time has not ended: until they expire, and not longer than life from their birth, whatever they
// say. Claims from the future are none of ours.
func (c *Claims) Alive(now time.Time, life time.Duration) bool {
	return c.Issued <= now.Add(skew).Unix() && now.Unix() < min(c.Expires, c.Issued+int64(life/time.Second))
}

// skew is by how much the gate's clock may be behind where it has been: it is persisted once a minute.
const skew = 5 * time.Minute
