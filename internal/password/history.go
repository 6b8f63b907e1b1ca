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
	// historyVersion begins what is sealed.
	historyVersion = "1"
)

// History is what is kept of an account's passwords. The zero value is an account without one.
type History struct {
	// Current is the record to sign in with; zero when there is none.
	Current Record
	// Previous are records of earlier passwords, the newest first.
	Previous []Record
}

// Set returns what is kept after a change of the password. last is how many passwords the next one must differ from, the new
// current one included: 1 keeps no earlier ones. For an upgrade of the record of the same password assign Current instead.
func (k History) Set(r Record, last int) History {
	n := History{Current: r}
	for _, old := range append([]Record{k.Current}, k.Previous...) {
		if len(n.Previous) < min(last, MaxLast)-1 && !old.IsZero() {
			n.Previous = append(n.Previous, old)
		}
	}
	return n
}

// Seal returns what is stored with the account: sealed, and bound to the account's id, so that a value moved to another account does
// not open. It is nil when nothing is kept.
func (k History) Seal(ring *keyring.Ring, account string) []byte {
	if k.Current.IsZero() && len(k.Previous) == 0 {
		return nil
	}
	lines := []string{historyVersion, k.Current.text}
	for _, r := range k.Previous {
		lines = append(lines, r.text)
	}
	return ring.Seal(sealLabel, []byte(account), []byte(strings.Join(lines, "\n")))
}

// OpenHistory opens what [History.Seal] has sealed; empty is the zero value. Errors: keyring.ErrDamaged for what is not this
// account's. It checks the bounds of records again, so nothing costly is computed for a changed one.
func OpenHistory(ring *keyring.Ring, account string, sealed []byte) (History, error) {
	if len(sealed) == 0 {
		return History{}, nil
	}
	plain, err := ring.Open(sealLabel, []byte(account), sealed)
	if err != nil {
		return History{}, fmt.Errorf("password record: %w", err)
	}
	lines := strings.Split(string(plain), "\n")
	if len(lines) < 2 || len(lines) > MaxLast+1 || lines[0] != historyVersion {
		return History{}, fmt.Errorf("password record: %w", keyring.ErrDamaged)
	}
	var k History
	if lines[1] != "" {
		if k.Current, err = ParseRecord(lines[1]); err != nil {
			return History{}, err
		}
	}
	for _, line := range lines[2:] {
		r, err := ParseRecord(line)
		if err != nil {
			return History{}, err
		}
		k.Previous = append(k.Previous, r)
	}
	return k, nil
}
