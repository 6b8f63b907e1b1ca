package session

import (
	"crypto/sha256"

	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

const (
	// DefaultCacheBytes is the default bound of the session cache: about 30 000 sessions with an assertion each.
	DefaultCacheBytes = 64 << 20
	// baseSize is about what a cached session takes beside its texts and its assertions.
	baseSize = 900
)

// cacheKey is not the digest that finds the record, which is keyed and dearer. It only keeps usable cookies out of memory.
func cacheKey(cookie string) [32]byte {
	var b [token.Size]byte // a shorter text of an earlier build ends in zeros, which none has
	copy(b[:], cookie)
	return sha256.Sum256(b[:])
}

// cacheSize returns about how many bytes a session without assertions takes.
func (l *Live) cacheSize() int {
	n := baseSize + len(l.Session.Site) + len(l.Session.Device) + len(l.Account.ID) + len(l.Account.Email) + len(l.Account.Name)
	for _, r := range l.Account.Roles {
		n += len(r) + 16
	}
	return n
}
