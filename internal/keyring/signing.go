package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// SigningLead is how long a new signing key is listed before its first use: three times the max-age of the key list.
	SigningLead = 15 * time.Minute
	// SigningTail is how long a signing key stays listed after its last use: three times the longest assertion.
	SigningTail = 15 * time.Minute

	signingLabel = "signing keys"
)

// ErrRotating reports that a new signing key has been made already and is not in use yet.
var ErrRotating = errors.New("keyring: a rotation of the signing key is under way")

// SigningKey is one Ed25519 key pair.
type SigningKey struct {
	// ID is the kid: 3 characters of base64url, derived from the public key. It only finds the key among a few, and every
	// request carries it, so it is short.
	ID     string
	Public ed25519.PublicKey
	// Private is nil in listings.
	Private ed25519.PrivateKey
}

// SigningKeys are the keys that sign assertions: one in use, perhaps one to come, perhaps one that has been. They are safe for
// use by many goroutines.
type SigningKeys struct {
	ring *Ring
	mu   sync.Mutex
	keys []signingEntry
}

// signingEntry is the stored form; times are in whole seconds since 1970.
type signingEntry struct {
	ID   string `json:"id"`
	Seed []byte `json:"seed"`
	// From is the first use, Until the last; 0 is open.
	From  int64 `json:"from"`
	Until int64 `json:"until,omitempty"`

	private ed25519.PrivateKey
}

// OpenSigningKeys opens the record of storage.MetaSigningKeys; with sealed empty it makes the first key, in use at once. When
// changed is not nil the caller stores it: a key was made, or one that is listed no longer was dropped.
func (r *Ring) OpenSigningKeys(sealed []byte, now time.Time) (k *SigningKeys, changed []byte, err error) {
	k = &SigningKeys{ring: r}
	if len(sealed) == 0 {
		k.keys = []signingEntry{newSigningEntry(now.Unix(), nil)}
		return k, k.seal(k.keys), nil
	}
	keys, err := r.openEntries(sealed)
	if err != nil {
		return nil, nil, err
	}
	k.keys = pruneExpired(keys, now)
	if len(k.keys) != len(keys) {
		changed = k.seal(k.keys)
	}
	return k, changed, nil
}

// Reload takes over a stored record, for instance after the commit of a rotation has failed.
func (k *SigningKeys) Reload(sealed []byte) error {
	keys, err := k.ring.openEntries(sealed)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys
	return nil
}

// Current returns the key to sign with at now.
func (k *SigningKeys) Current(now time.Time) SigningKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	best := k.keys[0]
	for _, e := range k.keys[1:] { // in the order of From
		if e.From <= now.Unix() {
			best = e
		}
	}
	return SigningKey{ID: best.ID, Public: best.public(), Private: best.private}
}

// Listed returns the public halves of all keys that verifiers shall know at now, the oldest first.
func (k *SigningKeys) Listed(now time.Time) []SigningKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []SigningKey
	for _, e := range pruneExpired(k.keys, now) {
		out = append(out, SigningKey{ID: e.ID, Public: e.public()})
	}
	return out
}

// Rotate makes a new key that is listed from now on and used from now plus [SigningLead]. The caller stores the result; when
// that fails it calls [SigningKeys.Reload] with what is stored. While a rotation is under way it answers [ErrRotating].
func (k *SigningKeys) Rotate(now time.Time) (sealed []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := slices.Clone(pruneExpired(k.keys, now))
	last := &keys[len(keys)-1]
	if last.From > now.Unix() {
		return nil, fmt.Errorf("%w: key %s is used from %s", ErrRotating, last.ID, time.Unix(last.From, 0).UTC().Format(time.RFC3339))
	}
	from := now.Add(SigningLead).Unix()
	last.Until = from
	keys = append(keys, newSigningEntry(from, keys))
	k.keys = keys
	return k.seal(keys), nil
}

func (k *SigningKeys) seal(keys []signingEntry) []byte {
	plain, err := json.Marshal(keys)
	if err != nil {
		panic("keyring: " + err.Error()) // strings, bytes and numbers always marshal
	}
	return k.ring.Seal(signingLabel, nil, plain)
}

func (r *Ring) openEntries(sealed []byte) ([]signingEntry, error) {
	plain, err := r.Open(signingLabel, nil, sealed)
	if err != nil {
		return nil, fmt.Errorf("the signing keys: %w", err)
	}
	var keys []signingEntry
	if err := json.Unmarshal(plain, &keys); err != nil || len(keys) == 0 {
		return nil, fmt.Errorf("the signing keys: %w", ErrDamaged)
	}
	for i := range keys {
		if len(keys[i].Seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("the signing keys: %w", ErrDamaged)
		}
		keys[i].private = ed25519.NewKeyFromSeed(keys[i].Seed)
	}
	return keys, nil
}

func (e signingEntry) public() ed25519.PublicKey {
	return ed25519.PublicKey(bytes.Clone(e.private[ed25519.SeedSize:]))
}

// pruneExpired leaves out the keys whose last use is SigningTail ago. The last key is never among them.
func pruneExpired(keys []signingEntry, now time.Time) []signingEntry {
	var out []signingEntry
	for i, e := range keys {
		if i < len(keys)-1 && e.Until != 0 && now.Unix() >= e.Until+int64(SigningTail/time.Second) {
			continue
		}
		out = append(out, e)
	}
	return out
}

// newSigningEntry draws a key whose ID none of the others has.
func newSigningEntry(from int64, others []signingEntry) signingEntry {
	for {
		seed := make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed)
		e := signingEntry{Seed: seed, From: from, private: ed25519.NewKeyFromSeed(seed)}
		sum := sha256.Sum256(e.private[ed25519.SeedSize:])
		e.ID = base64.RawURLEncoding.EncodeToString(sum[:3])[:3]
		if !slices.ContainsFunc(others, func(o signingEntry) bool { return o.ID == e.ID }) {
			return e
		}
	}
}
