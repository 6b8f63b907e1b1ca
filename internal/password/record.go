package password

import (
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // PBKDF2 with HMAC-SHA1, of imported records
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"log/slog"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

const (
	saltSize = 16
	sumSize  = 32
	// bcryptBytes is how much of a password bcrypt looks at.
	bcryptBytes = 72
)

// Record is the hash of a password with all that is needed to check one. The zero value is no record. It does not show
// itself: only [Record.Text] contains the hash.
type Record struct {
	cost Cost
	salt []byte
	sum  []byte
	text string
}

// IsZero reports that there is no record.
func (r Record) IsZero() bool { return r.text == "" }

// Text returns the record as it is stored and exported: [ParseRecord] reads it.
func (r Record) Text() string { return r.text }

// Cost returns what checking a password against the record costs.
func (r Record) Cost() Cost { return r.cost }

// Format prints the cost and nothing else, whatever the verb, so that no log shows a hash.
func (r Record) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "password record (%s)", r.cost) }

// LogValue is [Record.Format] for log/slog.
func (r Record) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// NeedsUpgrade reports that a sign-in should replace the record by one of the current cost: it is of another kind, or takes
// less memory or less memory times passes. A dearer argon2id record stays.
func NeedsUpgrade(r Record, current Cost) bool {
	c := r.cost
	return c.Kind != Argon2id || c.N < current.N || uint64(c.N)*uint64(c.R) < uint64(current.N)*uint64(current.R) ||
		len(r.salt) < saltSize || len(r.sum) < sumSize
}

// newRecord hashes a normalised password under a salt. The cost is an argon2id one within bounds.
func newRecord(c Cost, password, salt []byte) Record {
	r := Record{cost: c, salt: salt}
	r.sum = argon2.IDKey(password, salt, c.R, c.N, uint8(c.P), sumSize) //nolint:gosec // P is at most MaxLanes
	r.text = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.N, c.R, c.P,
		base64.RawStdEncoding.EncodeToString(r.salt), base64.RawStdEncoding.EncodeToString(r.sum))
	return r
}

// matches does the hash and compares in constant time.
func (r Record) matches(password []byte) bool {
	switch r.cost.Kind {
	case Argon2id:
		return same(r.sum, argon2.IDKey(password, r.salt, r.cost.R, r.cost.N, uint8(r.cost.P), uint32(len(r.sum)))) //nolint:gosec // bounded by parsing
	case Argon2i:
		return same(r.sum, argon2.Key(password, r.salt, r.cost.R, r.cost.N, uint8(r.cost.P), uint32(len(r.sum)))) //nolint:gosec // bounded by parsing
	case Bcrypt:
		// Whatever made the record has ignored what is beyond; said here, and not left to a library's silence.
		return bcrypt.CompareHashAndPassword(r.sum, password[:min(len(password), bcryptBytes)]) == nil
	case BcryptSHA256:
		digest := sha256.Sum256(password)
		return bcrypt.CompareHashAndPassword(r.sum, []byte(hex.EncodeToString(digest[:]))) == nil
	case Scrypt:
		sum, err := scrypt.Key(password, r.salt, int(r.cost.N), int(r.cost.R), int(r.cost.P), len(r.sum))
		return err == nil && same(r.sum, sum)
	case PBKDF2SHA1:
		return r.matchesPBKDF2(sha1.New, password)
	case PBKDF2SHA256:
		return r.matchesPBKDF2(sha256.New, password)
	case PBKDF2SHA512:
		return r.matchesPBKDF2(sha512.New, password)
	}
	return false
}

// matchesPBKDF2 computes the first block only: each further one costs as much again and tells nothing more, which is why
// guessers do not compute it either.
func (r Record) matchesPBKDF2(h func() hash.Hash, password []byte) bool {
	want := r.sum[:min(len(r.sum), h().Size())]
	sum, err := pbkdf2.Key(h, string(password), r.salt, int(r.cost.N), len(want))
	return err == nil && same(want, sum)
}

func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// truncates reports that the record looks at a part of this password only.
func (r Record) truncates(password []byte) bool {
	return r.cost.Kind == Bcrypt && len(password) > bcryptBytes
}
