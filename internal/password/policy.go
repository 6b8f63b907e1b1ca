package password

import (
	"context"
	"fmt"
	"unicode/utf8"
)

const (
	// DefaultMinLength is the least number of code points of a new password.
	DefaultMinLength = 12
	// LowestMinLength is the lowest value that MinLength may have.
	LowestMinLength = 8
)

// Reason is why a new password is refused, as a stable code; catalogues have words for each. The empty one is no refusal.
type Reason string

// The reasons.
const (
	TooShort Reason = "too_short"
	TooLong  Reason = "too_long"
	// TooCommon: guessed too soon, being a common password, a pattern or a repetition.
	TooCommon Reason = "too_common"
	// ContainsName: guessed too soon because it is made of the person's address or name or the site's.
	ContainsName Reason = "contains_name"
	// SameAsCurrent: it is the current password.
	SameAsCurrent Reason = "same_as_old"
	// Reused: it is one of the earlier passwords.
	Reused Reason = "reused"
	// InvalidCharacters: control characters, or no text at all.
	InvalidCharacters Reason = "invalid_characters"
)

// Reasons returns all reasons, for catalogues to be complete.
func Reasons() []Reason {
	return []Reason{TooShort, TooLong, TooCommon, ContainsName, SameAsCurrent, Reused, InvalidCharacters}
}

// Policy decides which new passwords are accepted. There are no rules of composition (NIST SP 800-63B, section 3.1.1.2). The zero
// value is the default.
type Policy struct {
	// MinLength is in code points after normalisation; 0 is [DefaultMinLength].
	MinLength int
	// Last is how many passwords a new one must differ from, the current one included; 0 is 1, [MaxLast] at most.
	Last int
}

// Validate returns an error for a policy out of bounds.
func (p Policy) Validate() error {
	if p.MinLength != 0 && (p.MinLength < LowestMinLength || p.MinLength > MaxLength) {
		return fmt.Errorf("password min_length: %d is not from %d to %d", p.MinLength, LowestMinLength, MaxLength)
	}
	if p.Last < 0 || p.Last > MaxLast {
		return fmt.Errorf("password: %d earlier passwords are not from 0 to %d", p.Last, MaxLast)
	}
	return nil
}

// Min returns the minimum length in force, for pages to show.
func (p Policy) Min() int {
	if p.MinLength == 0 {
		return DefaultMinLength
	}
	return p.MinLength
}

// last is Last with its default.
func (p Policy) last() int { return min(max(p.Last, 1), MaxLast) }

// Words are what others know of the person and the site: a password made of them is guessed soon.
type Words struct {
	// Site holds the site's name and host.
	Site []string
	// Email is the address, Name the person's name; either may be empty.
	Email, Name string
}

// Check validates a new password by itself; it is cheap and hashes nothing. See [Hasher.Check] for the comparison with the old
// ones.
func (p Policy) Check(typed string, w Words) Reason {
	normal, reason := Normalize(typed)
	if reason != "" {
		return reason
	}
	if utf8.RuneCountInString(normal) < p.Min() {
		return TooShort
	}
	return strength(normal, w.list())
}

// Check validates a new password: by itself first, then by what the account had. Each old record costs one hash. A refusal
// changes nothing: the link that led here stays valid. Errors: *[BusyError] and that of ctx while it waits.
func (h *Hasher) Check(ctx context.Context, p Policy, typed string, w Words, k History) (Reason, error) {
	if reason := p.Check(typed, w); reason != "" {
		return reason, nil
	}
	old := append([]Record{k.Current}, k.Previous...)
	for i, r := range old[:min(len(old), p.last())] {
		if r.IsZero() {
			continue
		}
		v, err := h.Verify(ctx, r, typed)
		switch {
		case err != nil:
			return "", err
		case v.OK && i == 0:
			return SameAsCurrent, nil
		case v.OK:
			return Reused, nil
		}
	}
	return "", nil
}

// Replace returns what is kept after a change to a new record: see [History.Set].
func (p Policy) Replace(k History, r Record) History { return k.Set(r, p.last()) }
