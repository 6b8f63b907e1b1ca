package password

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is a way of hashing passwords.
type Kind string

// The kinds that can be checked. Only [Argon2id] is made here.
const (
	Argon2id Kind = "argon2id"
	Argon2i  Kind = "argon2i"
	// Bcrypt looks at the first 72 bytes of a password only.
	Bcrypt Kind = "bcrypt"
	// BcryptSHA256 is Django's: bcrypt of the SHA-256 of the password in hex.
	BcryptSHA256 Kind = "bcrypt-sha256"
	Scrypt       Kind = "scrypt"
	// PBKDF2SHA1 is accepted because the weakness of SHA-1, collisions, is none of PBKDF2's.
	PBKDF2SHA1   Kind = "pbkdf2-sha1"
	PBKDF2SHA256 Kind = "pbkdf2-sha256"
	PBKDF2SHA512 Kind = "pbkdf2-sha512"
)

// Bounds on what a stored record may demand. A record above them is refused before anything is allocated for it: anyone who
// could write one would else stop the gate with it.
const (
	// MaxMemory is the most memory of one hash, in KiB: 128 MiB, scrypt with N=2^17 and r=8.
	MaxMemory = 128 << 10
	// MaxLanes is the most lanes (argon2) or the largest p (scrypt).
	MaxLanes = 16
	// MaxArgon2Work is the largest product of memory in KiB and passes.
	MaxArgon2Work = 1 << 20
	// MaxScryptWork is the largest product N·r·p.
	MaxScryptWork = 1 << 21
	// MaxBcryptCost is the largest cost of bcrypt, about a second.
	MaxBcryptCost = 14
	// MinIterations and MaxIterations are the bounds of PBKDF2.
	MinIterations = 1000
	MaxIterations = 2_000_000
)

// Cost is what one hash costs. Records of one cost take the same time.
type Cost struct {
	Kind Kind
	// N is the memory in KiB of argon2, N of scrypt, the cost of bcrypt, the iterations of PBKDF2.
	N uint32
	// R is the number of passes of argon2 and r of scrypt, else 0.
	R uint32
	// P is the number of lanes of argon2 and p of scrypt, else 0.
	P uint32
}

// Default is the cost of the records made here: argon2id with 19 MiB, two passes and one lane (OWASP's first choice where
// memory is dear).
var Default = Cost{Kind: Argon2id, N: 19 << 10, R: 2, P: 1}

// String returns the cost as one word, e.g. "argon2id:19456:2:1".
func (c Cost) String() string { return fmt.Sprintf("%s:%d:%d:%d", c.Kind, c.N, c.R, c.P) }

// ParseCost reads what [Cost.String] has written, within the bounds of a record.
func ParseCost(text string) (Cost, error) {
	part := strings.Split(text, ":")
	if len(part) != 4 || len(text) > maxRecord {
		return Cost{}, refuse(Malformed, "a cost has four parts")
	}
	c := Cost{Kind: Kind(part[0])}
	for i, field := range []*uint32{&c.N, &c.R, &c.P} {
		n, ok := number(part[i+1])
		if !ok {
			return Cost{}, refuse(Malformed, "a part of the cost is no number")
		}
		*field = n
	}
	return c, c.check()
}

// number reads a plain decimal number without sign and leading zeros.
func number(text string) (uint32, bool) {
	if text == "" || (text[0] == '0' && len(text) > 1) || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil //nolint:gosec // ParseUint keeps to 32 bits
}

// memory is the memory of one hash, in KiB.
func (c Cost) memory() uint64 {
	switch c.Kind {
	case Argon2id, Argon2i:
		return uint64(c.N)
	case Scrypt:
		return (uint64(c.N)*uint64(c.R)*128 + 1023) >> 10 // what p adds is a few KiB
	default:
		return 0
	}
}

// work grows with the time of a hash; that of two kinds cannot be compared.
func (c Cost) work() uint64 {
	switch c.Kind {
	case Argon2id, Argon2i:
		return uint64(c.N) * uint64(c.R)
	case Scrypt:
		return uint64(c.N) * uint64(c.R) * uint64(c.P)
	default:
		return uint64(c.N)
	}
}

// weight is the number of permits that a hash takes: as many as its memory or its lanes are worth, never more than there
// are, so that a large one runs alone.
func (c Cost) weight(unit uint64, permits int64) int64 {
	w := max(int64((c.memory()+unit-1)/unit), 1) //nolint:gosec // memory is bounded by check
	if c.Kind == Argon2id || c.Kind == Argon2i {
		w = max(w, int64(c.P))
	}
	return min(w, permits)
}

// check returns an error for a cost that is out of bounds.
func (c Cost) check() error {
	switch c.Kind {
	case Argon2id, Argon2i:
		return c.checkArgon2()
	case Scrypt:
		return c.checkScrypt()
	case Bcrypt, BcryptSHA256:
		if c.N < 4 || c.R != 0 || c.P != 0 {
			return refuse(Malformed, "bcrypt: a cost below 4")
		}
		if c.N > MaxBcryptCost {
			return refuse(TooCostly, "bcrypt: a cost above %d", MaxBcryptCost)
		}
	case PBKDF2SHA1, PBKDF2SHA256, PBKDF2SHA512:
		if c.R != 0 || c.P != 0 {
			return refuse(Malformed, "PBKDF2 has but one parameter")
		}
		if c.N < MinIterations {
			return refuse(TooWeak, "PBKDF2: less than %d iterations", MinIterations)
		}
		if c.N > MaxIterations {
			return refuse(TooCostly, "PBKDF2: more than %d iterations", MaxIterations)
		}
	default:
		return refuse(Unknown, "a kind of hash that is not known")
	}
	return nil
}

// checkArgon2 keeps to RFC 9106, section 3.1, and to the bounds.
func (c Cost) checkArgon2() error {
	if c.R == 0 || c.P == 0 || uint64(c.N) < 8*uint64(c.P) {
		return refuse(Malformed, "argon2: t and p are at least 1, m at least 8p")
	}
	if c.N > MaxMemory || c.P > MaxLanes || uint64(c.N)*uint64(c.R) > MaxArgon2Work {
		return refuse(TooCostly, "argon2: more than m=%d, p=%d or m·t=%d", MaxMemory, MaxLanes, MaxArgon2Work)
	}
	return nil
}

// checkScrypt keeps to RFC 7914, section 2, and to the bounds.
func (c Cost) checkScrypt() error {
	if c.N < 2 || c.N&(c.N-1) != 0 || c.R == 0 || c.P == 0 {
		return refuse(Malformed, "scrypt: N is a power of 2, r and p are at least 1")
	}
	// Each factor is bounded before they are multiplied, so that nothing overflows.
	if c.N > MaxScryptWork || c.R > 128 || c.P > MaxLanes || c.memory() > MaxMemory ||
		uint64(c.N)*uint64(c.R)*uint64(c.P) > MaxScryptWork {
		return refuse(TooCostly, "scrypt: more than 128·N·r=%d KiB, p=%d or N·r·p=%d", MaxMemory, MaxLanes, MaxScryptWork)
	}
	return nil
}

// Costs is the set of costs that records of a store have: the release time of answers follows the slowest.
type Costs []Cost
