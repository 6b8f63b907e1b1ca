package password

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	// maxRecord is the largest text of a record, in bytes.
	maxRecord = 512
	minSalt   = 8
	maxSalt   = 128
	minSum    = 16
	maxSum    = 128
)

// Fault is why a record is refused, as a stable code.
type Fault string

// The faults of records.
const (
	// NoPassword: the record says that there is none (empty, or Django's and shadow's "!" and "*").
	NoPassword Fault = "no_password"
	// Unknown: no kind of record begins like this.
	Unknown Fault = "unknown_kind"
	// Unsupported: a known kind that is not checked here.
	Unsupported Fault = "unsupported_kind"
	// Malformed: of a supported kind, but not well-formed.
	Malformed Fault = "malformed"
	// TooCostly: checking it would take more memory or time than is allowed.
	TooCostly Fault = "too_costly"
	// TooWeak: so cheap, or with so little salt, that it protects nothing.
	TooWeak Fault = "too_weak"
	// TooLarge: longer than any record.
	TooLarge Fault = "too_long"
)

// RecordError is the refusal of a record. It never repeats any of it.
type RecordError struct {
	Fault Fault
	// Detail says what is wrong in English.
	Detail string
}

func (e *RecordError) Error() string { return "password record: " + e.Detail }

func refuse(f Fault, format string, args ...any) error {
	return &RecordError{f, fmt.Sprintf(format, args...)}
}

// ParseRecord reads a record of any supported form:
//
//   - argon2id and argon2i: $argon2id$v=19$m=…,t=…,p=…$salt$hash, also with Django's "argon2" in front;
//   - bcrypt: $2a$, $2b$, $2y$, also Django's bcrypt$… and bcrypt_sha256$…;
//   - scrypt: $scrypt$ln=…,r=…,p=…$salt$hash (PHC, passlib), Django's scrypt$N$salt$r$p$hash, Werkzeug's scrypt:N:r:p$salt$hex;
//   - PBKDF2 with SHA-1, SHA-256 or SHA-512: $pbkdf2-sha256$i=…[,l=…]$salt$hash (PHC), $pbkdf2-sha256$rounds$salt$hash
//     (passlib), Django's pbkdf2_sha256$…, Werkzeug's pbkdf2:sha256:iterations$salt$hex.
//
// Errors are *[RecordError]. Nothing is allocated after the parameters a record names.
func ParseRecord(text string) (Record, error) {
	switch {
	case text == "" || text[0] == '!' || text[0] == '*':
		return Record{}, refuse(NoPassword, "the record says that there is no password")
	case len(text) > maxRecord:
		return Record{}, refuse(TooLarge, "a record above %d bytes", maxRecord)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return Record{}, refuse(Malformed, "a character that is no visible ASCII character")
		}
	}
	r, err := parse(text)
	if err != nil {
		return Record{}, err
	}
	if err := r.cost.check(); err != nil {
		return Record{}, err
	}
	if r.cost.Kind != Bcrypt && r.cost.Kind != BcryptSHA256 {
		if err := checkSizes(r); err != nil {
			return Record{}, err
		}
	}
	if r.text == "" {
		r.text = text
	}
	return r, nil
}

func checkSizes(r Record) error {
	switch {
	case len(r.salt) < minSalt:
		return refuse(TooWeak, "a salt below %d bytes", minSalt)
	case len(r.sum) < minSum:
		return refuse(TooWeak, "a hash below %d bytes", minSum)
	case len(r.salt) > maxSalt || len(r.sum) > maxSum:
		return refuse(TooLarge, "a salt or hash above %d bytes", maxSum)
	}
	return nil
}

// forms of records, by what they begin with. The order matters where one prefix begins with another.
var prefixes = []struct {
	prefix string
	parse  func(rest string) (Record, error)
}{
	{"$argon2id$", argon2Record(Argon2id)},
	{"$argon2i$", argon2Record(Argon2i)},
	{"argon2$argon2id$", argon2Record(Argon2id)},
	{"argon2$argon2i$", argon2Record(Argon2i)},
	{"$2a$", bcryptRecord(Bcrypt, "$2a$")},
	{"$2b$", bcryptRecord(Bcrypt, "$2b$")},
	{"$2y$", bcryptRecord(Bcrypt, "$2y$")},
	{"bcrypt$$2a$", bcryptRecord(Bcrypt, "$2a$")},
	{"bcrypt$$2b$", bcryptRecord(Bcrypt, "$2b$")},
	{"bcrypt$$2y$", bcryptRecord(Bcrypt, "$2y$")},
	{"bcrypt_sha256$$2a$", bcryptRecord(BcryptSHA256, "$2a$")},
	{"bcrypt_sha256$$2b$", bcryptRecord(BcryptSHA256, "$2b$")},
	{"bcrypt_sha256$$2y$", bcryptRecord(BcryptSHA256, "$2y$")},
	{"$scrypt$", scryptPHC},
	{"scrypt$", scryptDjango},
	{"scrypt:", scryptWerkzeug},
	{"$pbkdf2$", pbkdf2PHC(PBKDF2SHA1)},
	{"$pbkdf2-sha1$", pbkdf2PHC(PBKDF2SHA1)},
	{"$pbkdf2-sha256$", pbkdf2PHC(PBKDF2SHA256)},
	{"$pbkdf2-sha512$", pbkdf2PHC(PBKDF2SHA512)},
	{"pbkdf2_sha1$", pbkdf2Text(PBKDF2SHA1, unbase64)},
	{"pbkdf2_sha256$", pbkdf2Text(PBKDF2SHA256, unbase64)},
	{"pbkdf2_sha512$", pbkdf2Text(PBKDF2SHA512, unbase64)},
	{"pbkdf2:sha1:", pbkdf2Text(PBKDF2SHA1, unhex)},
	{"pbkdf2:sha256:", pbkdf2Text(PBKDF2SHA256, unhex)},
	{"pbkdf2:sha512:", pbkdf2Text(PBKDF2SHA512, unhex)},
}

// unsupported kinds get words of their own, so that an operator who imports knows what to do.
var unsupported = []struct{ prefix, name string }{
	{"$argon2d$", "argon2d"},
	{"argon2$argon2d$", "argon2d"},
	{"$2$", "the first bcrypt ($2$)"},
	{"$2x$", "the broken bcrypt of 2011 ($2x$)"},
	{"$1$", "MD5-crypt"},
	{"$5$", "SHA-256-crypt"},
	{"$6$", "SHA-512-crypt"},
	{"$7$", "scrypt-crypt ($7$)"},
	{"$y$", "yescrypt"},
	{"$gy$", "yescrypt"},
	{"$P$", "phpass"},
	{"$H$", "phpass"},
	{"$wp$", "WordPress's own bcrypt"},
	{"$bcrypt-sha256$", "passlib's bcrypt-sha256"},
	{"$apr1$", "Apache's MD5-crypt"},
	{"{", "LDAP's and Dovecot's {SCHEME}"},
	{"md5$", "salted MD5"},
	{"sha1$", "salted SHA-1"},
	{"sha256$", "salted SHA-256"},
}

func parse(text string) (Record, error) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(text, p.prefix); ok {
			return p.parse(rest)
		}
	}
	for _, u := range unsupported {
		if strings.HasPrefix(text, u.prefix) {
			return Record{}, refuse(Unsupported, "%s is not supported; import the account without a password", u.name)
		}
	}
	return Record{}, refuse(Unknown, "a kind of hash that is not known")
}

func argon2Record(kind Kind) func(string) (Record, error) {
	return func(rest string) (Record, error) {
		part := strings.Split(rest, "$")
		if len(part) == 3 && strings.HasPrefix(part[0], "m=") || len(part) > 0 && part[0] == "v=16" {
			return Record{}, refuse(Unsupported, "argon2 of version 16 (1.0) is not supported; import the account without a password")
		}
		if len(part) != 4 || part[0] != "v=19" {
			return Record{}, refuse(Malformed, "argon2: not $v=19$m=…,t=…,p=…$salt$hash")
		}
		n, ok := parameters(part[1], "m", "t", "p")
		if !ok {
			return Record{}, refuse(Malformed, "argon2: the parameters are not m=…,t=…,p=…")
		}
		return encoded(Cost{kind, n[0], n[1], n[2]}, part[2], part[3])
	}
}

// parameters reads "a=1,b=2" with exactly these names in this order.
func parameters(text string, names ...string) ([]uint32, bool) {
	part := strings.Split(text, ",")
	if len(part) != len(names) {
		return nil, false
	}
	values := make([]uint32, len(names))
	for i, name := range names {
		digits, ok := strings.CutPrefix(part[i], name+"=")
		if !ok {
			return nil, false
		}
		if values[i], ok = number(digits); !ok {
			return nil, false
		}
	}
	return values, true
}

// encoded is a record whose salt and hash are base64.
func encoded(c Cost, salt, sum string) (r Record, err error) {
	r.cost = c
	if r.salt, err = unbase64(salt); err == nil {
		r.sum, err = unbase64(sum)
	}
	return r, err
}

// unbase64 reads base64 with or without padding, and passlib's with a dot in the place of the plus.
func unbase64(text string) ([]byte, error) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "="), "=")
	b, err := base64.RawStdEncoding.Strict().DecodeString(strings.ReplaceAll(text, ".", "+"))
	if err != nil {
		return nil, refuse(Malformed, "a salt or hash is not base64")
	}
	return b, nil
}

func unhex(text string) ([]byte, error) {
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, refuse(Malformed, "a hash is not hex")
	}
	return b, nil
}

var bcryptBase64 = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

// bcryptRecord reads what follows the version: the cost, 22 characters of salt, 31 of hash. Spare bits of the last
// characters, which some programs leave set, are cleared.
func bcryptRecord(kind Kind, version string) func(string) (Record, error) {
	return func(rest string) (Record, error) {
		if len(rest) != 56 || rest[2] != '$' {
			return Record{}, refuse(Malformed, "bcrypt: a record has 60 characters")
		}
		cost, ok := number(strings.TrimPrefix(rest[:2], "0"))
		salt, err1 := bcryptBase64.DecodeString(rest[3:25])
		sum, err2 := bcryptBase64.DecodeString(rest[25:])
		if !ok || err1 != nil || err2 != nil || len(salt) != 16 || len(sum) != 23 {
			return Record{}, refuse(Malformed, "bcrypt: the cost, the salt or the hash is not well-formed")
		}
		text := version + rest[:3] + bcryptBase64.EncodeToString(salt) + bcryptBase64.EncodeToString(sum)
		r := Record{cost: Cost{Kind: kind, N: cost}, salt: salt, sum: []byte(text), text: text}
		if kind == BcryptSHA256 {
			r.text = "bcrypt_sha256$" + text
		}
		return r, nil
	}
}

func scryptPHC(rest string) (Record, error) {
	part := strings.Split(rest, "$")
	if len(part) != 3 {
		return Record{}, refuse(Malformed, "scrypt: not $ln=…,r=…,p=…$salt$hash")
	}
	n, ok := parameters(part[0], "ln", "r", "p")
	if !ok || n[0] == 0 {
		return Record{}, refuse(Malformed, "scrypt: the parameters are not ln=…,r=…,p=…")
	}
	if n[0] > 31 {
		return Record{}, refuse(TooCostly, "scrypt: ln above 31")
	}
	return encoded(Cost{Scrypt, 1 << n[0], n[1], n[2]}, part[1], part[2])
}

func scryptDjango(rest string) (Record, error) {
	part := strings.Split(rest, "$")
	if len(part) != 5 {
		return Record{}, refuse(Malformed, "scrypt: not scrypt$N$salt$r$p$hash")
	}
	return scryptText(part[0], part[2], part[3], part[1], part[4], unbase64)
}

func scryptWerkzeug(rest string) (Record, error) {
	part := strings.Split(rest, "$")
	cost := strings.Split(part[0], ":")
	if len(part) != 3 || len(cost) != 3 {
		return Record{}, refuse(Malformed, "scrypt: not scrypt:N:r:p$salt$hash")
	}
	return scryptText(cost[0], cost[1], cost[2], part[1], part[2], unhex)
}

// scryptText is a record whose salt is used as it is written.
func scryptText(n, r, p, salt, sum string, decode func(string) ([]byte, error)) (Record, error) {
	c, ok := Cost{Kind: Scrypt}, [3]bool{}
	c.N, ok[0] = number(n)
	c.R, ok[1] = number(r)
	c.P, ok[2] = number(p)
	if ok != [3]bool{true, true, true} {
		return Record{}, refuse(Malformed, "scrypt: N, r or p is no number")
	}
	b, err := decode(sum)
	return Record{cost: c, salt: []byte(salt), sum: b}, err
}

func pbkdf2PHC(kind Kind) func(string) (Record, error) {
	return func(rest string) (Record, error) {
		part := strings.Split(rest, "$")
		if len(part) != 3 {
			return Record{}, refuse(Malformed, "PBKDF2: not $iterations$salt$hash")
		}
		iterations, ok := number(part[0])
		if !ok {
			var n []uint32
			if n, ok = parameters(part[0], "i"); !ok {
				n, ok = parameters(part[0], "i", "l")
			}
			if !ok {
				return Record{}, refuse(Malformed, "PBKDF2: the iterations are no number")
			}
			iterations = n[0]
		}
		return encoded(Cost{Kind: kind, N: iterations}, part[1], part[2])
	}
}

// pbkdf2Text is a record whose salt is used as it is written.
func pbkdf2Text(kind Kind, decode func(string) ([]byte, error)) func(string) (Record, error) {
	return func(rest string) (Record, error) {
		part := strings.Split(rest, "$")
		if len(part) != 3 {
			return Record{}, refuse(Malformed, "PBKDF2: not iterations$salt$hash")
		}
		iterations, ok := number(part[0])
		if !ok {
			return Record{}, refuse(Malformed, "PBKDF2: the iterations are no number")
		}
		b, err := decode(part[2])
		return Record{cost: Cost{Kind: kind, N: iterations}, salt: []byte(part[1]), sum: b}, err
	}
}
