// Package password hashes, checks and judges passwords.
//
// A password is stored as a [Record]: argon2id for what is set here, and bcrypt, scrypt, PBKDF2 and argon2 as other programs
// made them, until the next sign-in replaces the record. Records are kept sealed and bound to their account ([History]).
//
// A [Hasher] lets only so many hashes run at once and only so many wait, so neither memory nor the other requests suffer
// when many people sign in together; it also knows the one moment at which answers to sign-ins go out ([Attempt]), so that
// the time does not reveal whether an address has an account. It holds no passwords and belongs into what survives a
// reload: two of them would run twice as many hashes.
//
// A [Policy] judges new passwords.
package password

import (
	"errors"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// MaxLength is the largest number of code points of a password, after normalisation.
	MaxLength = 256
	// MaxBytes is the largest number of bytes as typed that is looked at: more than any 256 code points that people type.
	MaxBytes = 4096
)

// ErrInvalid reports that a text cannot be a password: see [Policy.Check] for the reason.
var ErrInvalid = errors.New("password: not a password")

// Normalize returns the form of a new password that is hashed: Unicode NFC (RFC 8265, section 4.2.2, without its mapping of
// spaces and its limits to old Unicode versions). It answers [TooLong] or [InvalidCharacters] for what cannot be a password:
// control characters, NUL among them, invalid UTF-8 and lone surrogates, also where a JSON decoder has replaced them by
// U+FFFD. What is too long is refused before it is read.
func Normalize(typed string) (normal string, reason Reason) {
	if len(typed) > MaxBytes {
		return "", TooLong
	}
	if !utf8.ValidString(typed) {
		return "", InvalidCharacters
	}
	for _, c := range typed {
		if unicode.IsControl(c) || c == utf8.RuneError {
			return "", InvalidCharacters
		}
	}
	normal = norm.NFC.String(typed)
	if utf8.RuneCountInString(normal) > MaxLength {
		return "", TooLong
	}
	return normal, ""
}

// forms returns what a typed password may have been hashed as: its normal form, and what was typed where the two differ, for
// records of programs that do not normalise. It is laxer than [Normalize], because those programs were; nil is what nothing
// can have been hashed as. NUL is refused since bcrypt ends there in most programs.
func forms(typed string) [][]byte {
	if len(typed) > MaxBytes || !utf8.ValidString(typed) {
		return nil
	}
	for i := range len(typed) {
		if typed[i] == 0 {
			return nil
		}
	}
	normal := norm.NFC.String(typed)
	if normal == typed {
		return [][]byte{[]byte(typed)}
	}
	return [][]byte{[]byte(normal), []byte(typed)}
}
