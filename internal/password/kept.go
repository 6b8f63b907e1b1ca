package password

import (
	"fmt"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
)

const (
	// MaxLast is the most passwords, the current one included, that a new one can be asked to differ from: each costs a hash.
	MaxLast = 10
	// sealLabel names the use of the key that seals records.
	sealLabel = "password"
	// keptVersion begins what is sealed.
	keptVersion = "1"
)

// Kept is what is kept of an account's passwords. The zero value is an account without one.
type Kept struct {
	// Current is the record to sign in with; zero when there is none.
	Current Record
	// Earlier are records of earlier passwords, the newest first.
	Earlier []Record
}

// Set returns what is kept after a change of the password. last is how many passwords the next one must differ from, the new
// current one included: 1 keeps no earlier ones. For an upgrade of the record of the same password assign Current instead.
func (k Kept) Set(r Record, last int) Kept {
	n := Kept{Current: r}
	for _, old := range append([]Record{k.Current}, k.Earlier...) {
		if len(n.Earlier) < min(last, MaxLast)-1 && !old.IsZero() {
			n.Earlier = append(n.Earlier, old)
		}
	}
	return n
}

// Seal returns what is stored with the account: sealed, and bound to the account's id, so that a value moved to another account does
// not open. It is nil when nothing is kept.
func (k Kept) Seal(ring *keyring.Ring, account string) []byte {
	if k.Current.IsZero() && len(k.Earlier) == 0 {
		return nil
	}
	lines := []string{keptVersion, k.Current.text}
	for _, r := range k.Earlier {
		lines = append(lines, r.text)
	}
	return ring.Seal(sealLabel, []byte(account), []byte(strings.Join(lines, "\n")))
}

// OpenKept opens what [Kept.Seal] has sealed; empty is the zero value. Errors: keyring.ErrDamaged for what is not this
// account's. It checks the bounds of records again, so nothing dear is computed for a changed one.
func OpenKept(ring *keyring.Ring, account string, sealed []byte) (Kept, error) {
	if len(sealed) == 0 {
		return Kept{}, nil
	}
	plain, err := ring.Open(sealLabel, []byte(account), sealed)
	if err != nil {
		return Kept{}, fmt.Errorf("password record: %w", err)
	}
	lines := strings.Split(string(plain), "\n")
	if len(lines) < 2 || len(lines) > MaxLast+1 || lines[0] != keptVersion {
		return Kept{}, fmt.Errorf("password record: %w", keyring.ErrDamaged)
	}
	var k Kept
	if lines[1] != "" {
		if k.Current, err = ParseRecord(lines[1]); err != nil {
			return Kept{}, err
		}
	}
	for _, line := range lines[2:] {
		r, err := ParseRecord(line)
		if err != nil {
			return Kept{}, err
		}
		k.Earlier = append(k.Earlier, r)
	}
	return k, nil
}
