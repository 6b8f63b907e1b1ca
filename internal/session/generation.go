package session

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"

	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// stripes is the number of generations of each kind. A change of one session or account costs one more read for each cached
// session that shares its stripe.
const stripes = 4096

// generations count changes. What was read is good while the generations noted before the read are unchanged.
type generations struct {
	seed     maphash.Seed
	sessions [stripes]atomic.Uint64
	accounts [stripes]atomic.Uint64
	// all is raised when everything may have changed: the lifetimes, the global epoch.
	all atomic.Uint64
	// changes counts all of them.
	changes atomic.Uint64
}

func (g *generations) init() { g.seed = maphash.MakeSeed() }

func (g *generations) session(k storage.Key) *atomic.Uint64 {
	return &g.sessions[binary.LittleEndian.Uint16(k.Digest[:])%stripes]
}

func (g *generations) account(id string) *atomic.Uint64 {
	return &g.accounts[maphash.String(g.seed, id)%stripes]
}

// note returns the generations of a session as they are now.
func (g *generations) note(key storage.Key, of subject) credential.Stamp {
	session, parent := g.session(key), (*atomic.Uint64)(nil)
	if !of.parent.IsZero() {
		parent = g.session(of.parent)
	}
	return credential.NewStamp(session, parent, g.account(of.account), &g.all)
}

// raise makes everything stale that depends on the counter. changes goes first: a load that sees the old stripe and the new
// count only reads once more, while the other order would let it miss the change.
func (g *generations) raise(c *atomic.Uint64) {
	g.changes.Add(1)
	c.Add(1)
}
