// Package keyring holds the keys of one gate.
//
// The master keys of the option `secret` seal one random data key, kept in the database under storage.MetaDataKey; every other
// key derives from the data key by HKDF-SHA256 (RFC 5869) under a label of its own. So changing `secret` re-seals one record
// and nothing else changes, and neither the database nor the master alone is of use.
//
// Sealing is AES-256-GCM under a key that is derived anew for each message from 16 random bytes, so the number of messages
// under one label has no bound worth counting.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// MinMaster is the least number of bytes of a master key.
	MinMaster = 32
	keySize   = 32
	saltSize  = 16
	// sealVersion begins every sealed value.
	sealVersion = 1
	// recordVersion begins the sealed data key.
	recordVersion   = 1
	fingerprintSize = 8
	recordHead      = 1 + fingerprintSize
	// SealOverhead is by how many bytes Seal makes a value longer.
	SealOverhead = 1 + saltSize + 12 + 16
)

var (
	// ErrForeignKey reports that none of the master keys has sealed the data key; see [ForeignKeyError].
	ErrForeignKey = errors.New("keyring: no master key opens the database")
	// ErrDamaged reports that a sealed value has been changed, or belongs to another place.
	ErrDamaged = errors.New("keyring: a sealed value is damaged or does not belong here")
)

// ForeignKeyError is the refusal to open a database with keys that are not its own. It is an [ErrForeignKey].
type ForeignKeyError struct {
	// Sealed is the fingerprint of the master key that is needed.
	Sealed string
	// Have are the fingerprints of the master keys that were tried.
	Have []string
}

func (e *ForeignKeyError) Error() string {
	return fmt.Sprintf("keyring: the database was sealed with master key %s; the keys given are %s: put the right key into `secret` (or its key file)",
		e.Sealed, strings.Join(e.Have, ", "))
}

// Is makes errors.Is(err, ErrForeignKey) hold.
func (e *ForeignKeyError) Is(target error) bool { return target == ErrForeignKey }

// Ring is an opened key ring. It is read-only and safe for use by many goroutines.
type Ring struct {
	// prk is the HKDF pseudo-random key of the data key.
	prk         []byte
	macKey      []byte
	macs        sync.Pool // of hash.Hash: keyed once, used again and again
	fingerprint string
}

// Open opens the sealed data key with the first of the masters that can. With sealed empty it makes a new data key. When
// resealed is not nil the caller stores it under storage.MetaDataKey before anything that depends on the ring: the data key
// is new, or was sealed by a master that is not the first.
//
// Errors: [ErrForeignKey] when no master has sealed it, [ErrDamaged] when the record is not whole.
func Open(masters [][]byte, sealed []byte) (r *Ring, resealed []byte, err error) {
	if len(masters) == 0 {
		return nil, nil, errors.New("keyring: no master key")
	}
	for i, m := range masters {
		if len(m) < MinMaster {
			return nil, nil, fmt.Errorf("keyring: master key %d of %d is shorter than %d bytes", i+1, len(masters), MinMaster)
		}
	}
	if len(sealed) == 0 {
		data := make([]byte, keySize)
		_, _ = rand.Read(data) // never fails: crypto/rand ends the program instead
		return newRing(data, Fingerprint(masters[0])), sealDataKey(masters[0], data), nil
	}
	by, err := SealedBy(sealed)
	if err != nil {
		return nil, nil, err
	}
	have := make([]string, len(masters))
	for i, m := range masters {
		have[i] = Fingerprint(m)
		if have[i] != by {
			continue
		}
		data, err := gcm(masterKey(m)).Open(nil, nil, sealed[recordHead:], sealed[:recordHead])
		if err != nil || len(data) != keySize {
			return nil, nil, fmt.Errorf("the data key: %w", ErrDamaged)
		}
		if i > 0 {
			resealed = sealDataKey(masters[0], data)
		}
		return newRing(data, by), resealed, nil
	}
	return nil, nil, &ForeignKeyError{Sealed: by, Have: have}
}

// SealedBy names the master key that has sealed a data key record.
func SealedBy(sealed []byte) (fingerprint string, err error) {
	if len(sealed) < recordHead || sealed[0] != recordVersion {
		return "", fmt.Errorf("the data key: %w", ErrDamaged)
	}
	return hex.EncodeToString(sealed[1:recordHead]), nil
}

// Fingerprint names a master key: 16 hex digits from which nothing about the key follows.
func Fingerprint(master []byte) string { return hex.EncodeToString(fingerprint(master)) }

func fingerprint(master []byte) []byte {
	return mustKey(hkdf.Key(sha256.New, master, nil, "email_link master fingerprint", fingerprintSize))
}

func masterKey(master []byte) []byte {
	return mustKey(hkdf.Key(sha256.New, master, nil, "email_link data key", keySize))
}

func sealDataKey(master, data []byte) []byte {
	head := append([]byte{recordVersion}, fingerprint(master)...)
	return gcm(masterKey(master)).Seal(head, nil, data, head)
}

func newRing(data []byte, fingerprint string) *Ring {
	r := &Ring{prk: mustKey(hkdf.Extract(sha256.New, data, []byte("email_link"))), fingerprint: fingerprint}
	r.macKey = r.Derive("mac", nil, keySize)
	return r
}

// Fingerprint names the master key that opened the ring.
func (r *Ring) Fingerprint() string { return r.fingerprint }

// Derive returns n bytes (at most 8160) for a label and any info.
func (r *Ring) Derive(label string, info []byte, n int) []byte {
	return mustKey(hkdf.Expand(sha256.New, r.prk, string(Frame([]byte(label), info)), n))
}

// Seal encrypts plain under a label, bound to aad. The result is SealOverhead bytes longer.
func (r *Ring) Seal(label string, aad, plain []byte) []byte {
	head := make([]byte, 1+saltSize, SealOverhead+len(plain))
	head[0] = sealVersion
	_, _ = rand.Read(head[1:])
	return gcm(r.sealKey(label, head[1:])).Seal(head, nil, plain, aad)
}

// Open decrypts what Seal made under the same label and aad; anything else is [ErrDamaged].
func (r *Ring) Open(label string, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < 1+saltSize || sealed[0] != sealVersion {
		return nil, ErrDamaged
	}
	plain, err := gcm(r.sealKey(label, sealed[1:1+saltSize])).Open(nil, nil, sealed[1+saltSize:], aad)
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

func (r *Ring) sealKey(label string, salt []byte) []byte {
	return r.Derive("seal", Frame([]byte(label), salt), keySize)
}

// MAC returns the HMAC-SHA256 of the parts under a label. Label and parts are length-prefixed: no two lists are alike.
func (r *Ring) MAC(label string, parts ...[]byte) (d storage.Digest) {
	h, ok := r.macs.Get().(hash.Hash)
	if !ok {
		h = hmac.New(sha256.New, r.macKey)
	}
	defer r.macs.Put(h)
	h.Reset()
	var n [4]byte
	write := func(p []byte) {
		binary.BigEndian.PutUint32(n[:], uint32(len(p))) //nolint:gosec // a part of 4 GiB does not exist
		h.Write(n[:])
		h.Write(p)
	}
	write([]byte(label))
	for _, p := range parts {
		write(p)
	}
	h.Sum(d[:0])
	return d
}

// AudienceKey returns the 32 bytes an app of this audience decrypts its assertions with (A256KW).
func (r *Ring) AudienceKey(audience string) []byte {
	return r.Derive("audience key", []byte(audience), keySize)
}

// SignKey returns the 32 bytes an app of this audience signs its own requests and answers with (HS256).
func (r *Ring) SignKey(audience string) []byte {
	return r.Derive("audience sign key", []byte(audience), keySize)
}

// Frame joins parts, each behind its length in 4 bytes, so that no two lists of parts are alike.
func Frame(parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += 4 + len(p)
	}
	b := make([]byte, 0, n)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p))) //nolint:gosec // a part of 4 GiB does not exist
		b = append(b, p...)
	}
	return b
}

// gcm returns AES-256-GCM that puts a random nonce in front of the ciphertext.
func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("keyring: " + err.Error()) // the key has a fixed, valid size
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("keyring: " + err.Error()) // an AES block is always fit for GCM
	}
	return a
}

// mustKey unwraps results of package hkdf, which fails for sizes above 8160 bytes only: a mistake of the caller.
func mustKey(key []byte, err error) []byte {
	if err != nil {
		panic("keyring: " + err.Error())
	}
	return key
}
