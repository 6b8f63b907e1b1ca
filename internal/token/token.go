// Package token makes and reads the texts that are secrets for a while: mailed links, typed codes and cookie values.
//
// A token's text is base64url(5-byte end ‖ 32 bytes), 50 characters without padding. The end is no secret and proves nothing:
// it only finds the record, whose own end decides. What is stored is a keyed digest of the 32 bytes, bound to purpose and site,
// so a token is nothing at another purpose or site, and the database cannot make one.
//
// The 32 bytes of a mailed token, and the code beside it, derive from a random seed that lives in the sealed outbox record
// until the mail is done, so each retry renders the same mail. Those of a cookie are random.
package token

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	endSize    = 5
	secretSize = 32
	// Size is the length of a token's text in characters.
	Size = (8*(endSize+secretSize) + 5) / 6
	// CodeDigits is the length of a typed code.
	CodeDigits = 8
	maxEnd     = 1<<(8*endSize) - 1
	idBytes    = 12
)

// ErrMalformed says that a text is no token. It never repeats the text.
var ErrMalformed = errors.New("token: malformed")

// encoding refuses stray bits in the last character, so that each token has one text.
var encoding = base64.RawURLEncoding.Strict()

// Parsed is the content of a token's text.
type Parsed struct {
	// End is in whole seconds since 1970, and only finds the record.
	End    int64
	Secret [secretSize]byte
}

// NewSeed draws the random seed from which one mail's token, cancel token and code derive.
func NewSeed() (seed [32]byte) {
	_, _ = rand.Read(seed[:]) // never fails: crypto/rand ends the program instead
	return seed
}

// New returns the text of the link token of a seed: always the same for the same arguments.
func New(ring *keyring.Ring, seed [32]byte, purpose, site string, end time.Time) string {
	return derived(ring, "token link", seed, purpose, site, end)
}

// NewCancel returns the text of the cancel token of a seed. Its digest is [Parsed.Key] with [CancelPurpose].
func NewCancel(ring *keyring.Ring, seed [32]byte, purpose, site string, end time.Time) string {
	return derived(ring, "token cancel", seed, purpose, site, end)
}

// CancelPurpose is the purpose under which the cancel token of a flow is stored.
func CancelPurpose(purpose string) string { return "cancel:" + purpose }

func derived(ring *keyring.Ring, label string, seed [32]byte, purpose, site string, end time.Time) string {
	info := keyring.Frame([]byte(purpose), []byte(site), seed[:])
	return text(end, [secretSize]byte(ring.Derive(label, info, secretSize)))
}

// Random returns the text of a new random token, for cookies.
func Random(end time.Time) string {
	var secret [secretSize]byte
	_, _ = rand.Read(secret[:])
	return text(end, secret)
}

// text joins end and secret. An end outside what 5 bytes hold (the year 36812) is brought to the nearest that they do.
func text(end time.Time, secret [secretSize]byte) string {
	var b [8 + secretSize]byte
	binary.BigEndian.PutUint64(b[:], uint64(min(max(end.Unix(), 0), maxEnd)))
	copy(b[8:], secret[:])
	return encoding.EncodeToString(b[8-endSize:])
}

// Parse reads a token's text. It accepts exactly what this package writes; the length is checked before anything else.
func Parse(text string) (Parsed, error) {
	var p Parsed
	if len(text) != Size {
		return p, ErrMalformed
	}
	for i := range len(text) {
		if c := text[i]; c == '\r' || c == '\n' { // the decoder would skip them
			return p, ErrMalformed
		}
	}
	var b [8 + secretSize + 1]byte // one spare byte: DecodedLen rounds up
	n, err := encoding.Decode(b[8-endSize:], []byte(text))
	if err != nil || n != endSize+secretSize {
		return p, ErrMalformed
	}
	p.End = int64(binary.BigEndian.Uint64(b[:8])) //nolint:gosec // five bytes fit
	copy(p.Secret[:], b[8:])
	return p, nil
}

// Key returns where the token's record is: its end, and the digest for this purpose and site.
func (p Parsed) Key(ring *keyring.Ring, purpose, site string) storage.Key {
	return storage.Key{End: p.End, Digest: ring.MAC("token", []byte(purpose), []byte(site), p.Secret[:])}
}

// CookieKey returns where the record of a cookie value is; the label says which cookie.
func (p Parsed) CookieKey(ring *keyring.Ring, label, site string) storage.Key {
	return storage.Key{End: p.End, Digest: ring.MAC("cookie", []byte(label), []byte(site), p.Secret[:])}
}

// Code returns the typed code of a seed: 8 decimal digits, each value equally likely.
func Code(ring *keyring.Ring, seed [32]byte, purpose, site string) string {
	const (
		values = 100_000_000
		// limit is the largest multiple of values that 32 bits hold; numbers from there on would favour low codes.
		limit = (1 << 32) / values * values
	)
	for round := byte(0); ; round++ {
		info := keyring.Frame([]byte(purpose), []byte(site), seed[:], []byte{round})
		for b := ring.Derive("token code", info, secretSize); len(b) >= 4; b = b[4:] {
			if n := binary.BigEndian.Uint32(b); n < limit {
				return fmt.Sprintf("%0*d", CodeDigits, n%values)
			}
		}
	}
}

// CodeDigest returns the digest of a code as stored with its flow. It is keyed by the raw value of the flow cookie as well,
// which is nowhere at rest: with the database and the key file nobody can try the 100 million codes.
func CodeDigest(ring *keyring.Ring, flowCookie, code string) storage.Digest {
	return ring.MAC("code", []byte(flowCookie), []byte(code))
}

// NormalizeCode drops spaces and dashes from a typed code and says whether exactly 8 ASCII digits are left.
func NormalizeCode(s string) (code string, ok bool) {
	if len(s) > 64 {
		return "", false
	}
	digits := make([]byte, 0, CodeDigits)
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			if len(digits) == CodeDigits {
				return "", false
			}
			digits = append(digits, byte(r))
		case !ignoredInCode(r):
			return "", false
		}
	}
	return string(digits), len(digits) == CodeDigits
}

// ignoredInCode lists what mail programs and phones put between digits: spaces and dashes of all kinds, and the marks that
// keep the direction of digits in Arabic text.
func ignoredInCode(r rune) bool {
	switch r {
	case ' ', '\t', '\r', '\n', '\u00a0', '\u2007', '\u2009', '\u202f', '-', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2212',
		'\u200e', '\u200f', '\u061c', '\u2066', '\u2067', '\u2068', '\u2069':
		return true
	}
	return false
}

// NewID returns a random public name: 12 bytes as 16 characters of base64url. No name begins with "-": a command would take it
// for an option.
func NewID() string {
	const dash = 62 // the value of "-" (RFC 4648 section 5)
	var b [idBytes]byte
	for first := byte(dash); first == dash; first = b[0] >> 2 {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	}
	return base64.RawURLEncoding.EncodeToString(b[:])
}
