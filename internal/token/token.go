// Package token makes and reads the texts that are secrets for a while: mailed links, typed codes and cookie values.
//
// A token's text is base64url(7-byte end ‖ 32 bytes), 52 characters. The end is 5 bytes of seconds and 2 of the part of a second; it is no
// secret and proves nothing: it only finds the record, whose own end decides. What is stored is a keyed digest of the 32 bytes, bound
// to purpose and site, so a token is nothing at another purpose or site, and the database cannot make one.
//
// The digest of a token begins with the part of the second, so what is made at one time lies together in the store, which is in the order
// of ends and then of digests. Texts of earlier builds have no part, and 50 characters; they are read as before.
//
// The 32 bytes of a mailed token, and the code beside it, derive from a random seed that lives in the sealed outbox record
// until the mail is done, so each retry renders the same mail. Those of a cookie are random.
//
// The states of a mailed token:
//
//	          Consume             Consume again
//	unused ─────────────► used ─────────────────► replayed
//	   │                    │                        │
//	   └──── its end ───────┴────────────────────────┴─────► swept
//
// Exactly one of any number of calls consumes a token. The first replay is an event in the audit log, later ones leave no trace.
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
	partSize   = 2
	secretSize = 32
	// Size is the length of a token's text in characters; legacySize is that of a text without a part.
	Size       = 8 * (endSize + partSize + secretSize) / 6
	legacySize = (8*(endSize+secretSize) + 5) / 6
	// CodeDigits is the length of a typed code.
	CodeDigits = 8
	maxEnd     = 1<<(8*endSize) - 1
	idBytes    = 12
)

// ErrMalformed reports that a text is no token. It never repeats the text.
var ErrMalformed = errors.New("token: malformed")

// encoding refuses stray bits in the last character, so that each token has one text.
var encoding = base64.RawURLEncoding.Strict()

// Parsed is the content of a token's text.
type Parsed struct {
	// End is in whole seconds since 1970, and only finds the record.
	End int64
	// Part is the part of the second after End, in 1/65536 of it; 0 where the text has none. The record's end is End.
	Part   uint16
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
	return encode(end, part(end), [secretSize]byte(ring.Derive(label, info, secretSize)))
}

// Random returns the text of a new random token, for cookies. Its part of the second is at least 1.
func Random(end time.Time) string {
	var secret [secretSize]byte
	_, _ = rand.Read(secret[:])
	return encode(end, max(part(end), 1), secret)
}

// Ends returns the end for New and NewCancel of tokens that lie beside the flow with this key in the store: the flow's end with its
// part of the second.
func Ends(flow storage.Key) time.Time {
	parts := int64(binary.BigEndian.Uint16(flow.Digest[:]))
	// Rounded up to the microsecond, which every store keeps, so that part finds it again: a part is 15 of them.
	return time.Unix(flow.End, ((parts*int64(time.Second/time.Microsecond)+1<<16-1)>>16)*int64(time.Microsecond)).UTC()
}

// part returns the part of the second that a time is in.
func part(t time.Time) uint16 {
	return uint16(int64(t.Nanosecond()) << 16 / int64(time.Second)) //nolint:gosec // below 1 << 16
}

// encode joins end, part and secret. An end outside what 5 bytes hold (the year 36812) is brought to the nearest that they do. Where the
// part is 0 it is left out: a mail that an earlier build has queued ends at a whole second, and its link has to stay the same.
func encode(end time.Time, part uint16, secret [secretSize]byte) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+partSize+secretSize), uint64(min(max(end.Unix(), 0), maxEnd)))
	if part > 0 {
		b = binary.BigEndian.AppendUint16(b, part)
	}
	return encoding.EncodeToString(append(b, secret[:]...)[8-endSize:])
}

// HasLength reports whether a text is as long as a token's is.
func HasLength(text string) bool { return len(text) == Size || len(text) == legacySize }

// Parse reads a token's text. It accepts exactly what this package writes; the length is checked before anything else.
func Parse(text string) (Parsed, error) {
	var p Parsed
	if !HasLength(text) {
		return p, ErrMalformed
	}
	for i := range len(text) {
		if c := text[i]; c == '\r' || c == '\n' { // the decoder would skip them
			return p, ErrMalformed
		}
	}
	var b [8 + partSize + secretSize + 1]byte // one spare byte: DecodedLen rounds up
	n, err := encoding.Decode(b[8-endSize:], []byte(text))
	if err != nil {
		return p, ErrMalformed
	}
	secret := b[8:]
	if n == endSize+partSize+secretSize {
		if p.Part, secret = binary.BigEndian.Uint16(secret), secret[partSize:]; p.Part == 0 {
			return p, ErrMalformed
		}
	}
	p.End = int64(binary.BigEndian.Uint64(b[:8])) //nolint:gosec // five bytes fit
	copy(p.Secret[:], secret)
	return p, nil
}

// at returns the key of a record: the digest, cut to 30 bytes, comes after the part of the second.
func (p Parsed) at(d storage.Digest) storage.Key {
	if p.Part > 0 {
		copy(d[partSize:], d[:])
		binary.BigEndian.PutUint16(d[:], p.Part)
	}
	return storage.Key{End: p.End, Digest: d}
}

// Key returns where the token's record is: its end, and the digest for this purpose and site.
func (p Parsed) Key(ring *keyring.Ring, purpose, site string) storage.Key {
	return p.at(ring.MAC("token", []byte(purpose), []byte(site), p.Secret[:]))
}

// CookieKey returns where the record of a cookie value is; the label says which cookie.
func (p Parsed) CookieKey(ring *keyring.Ring, label, site string) storage.Key {
	return p.at(ring.MAC("cookie", []byte(label), []byte(site), p.Secret[:]))
}

// Code returns the typed code of a seed: 8 decimal digits, each value equally likely.
func Code(ring *keyring.Ring, seed [32]byte, purpose, site string) string {
	for round := byte(0); ; round++ {
		info := keyring.Frame([]byte(purpose), []byte(site), seed[:], []byte{round})
		for b := ring.Derive("token code", info, secretSize); len(b) >= 4; b = b[4:] {
			if code, ok := unbiased(binary.BigEndian.Uint32(b)); ok {
				return fmt.Sprintf("%0*d", CodeDigits, code)
			}
		}
	}
}

// unbiased returns the code of a random number. It returns false for the numbers that would favour low codes: those from the
// largest multiple of the number of codes that 32 bits hold.
func unbiased(n uint32) (code uint32, ok bool) {
	const (
		codes = 100_000_000
		limit = (1 << 32) / codes * codes
	)
	return n % codes, n < limit
}

// CodeDigest returns the digest of a code as stored with its flow. It is keyed by the raw value of the flow cookie as well,
// which is nowhere at rest: with the database and the key file the 100 million codes cannot be tried.
func CodeDigest(ring *keyring.Ring, flowCookie, code string) storage.Digest {
	return ring.MAC("code", []byte(flowCookie), []byte(code))
}

// NormalizeCode drops spaces and dashes from a typed code and reports whether exactly 8 ASCII digits are left.
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
