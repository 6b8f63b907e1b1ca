// Package work is the proof of work that a browser does in place of waiting: challenges in the form of ALTCHA, version 1, made and
// verified by altcha-lib-go (https://altcha.org/docs/v1). The browser searches for the number that, appended to a salt, has a given
// SHA-256; a search of n numbers takes n/2 hashes on average, a verification one.
//
// A challenge is signed under a key of the key ring and nothing of it is kept, so asking for one costs no write. It is bound to a
// page, a mailbox and a network ([Binding]), ends after [Lifetime], and is spent once: [Verify] returns the counter that says so, and
// the caller that accepts the solution writes it in the step that it pays for. So there are no more such counters than slots to be had.
package work

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	altcha "github.com/altcha-org/altcha-lib-go"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// Lifetime is how long a challenge may be solved.
	Lifetime = 5 * time.Minute
	// FirstNumber is the largest number at level 0. Each level doubles it, up to MaxLevel.
	FirstNumber = 50_000
	// MaxLevel is the level above which challenges get no harder: 800 000 numbers, which a slow telephone searches in seconds.
	MaxLevel = 4

	// maxSolution is the longest solution that is looked at, in bytes; one of ours has less than 500.
	maxSolution = 1024
	// mailboxSize is the length of the digest that names a mailbox, in bytes.
	mailboxSize = 16
)

// Labels of the key ring.
const (
	labelKey     = "altcha key"
	labelMailbox = "altcha mailbox"
	labelBinding = "altcha binding"
	labelSpent   = "altcha spent"
)

// Names of the parameters in a salt.
const (
	paramExpires = "expires"
	paramFor     = "for"
)

// Ring makes keyed digests; *keyring.Ring is one.
type Ring interface {
	MAC(label string, parts ...[]byte) storage.Digest
}

// Challenge is what a browser has to solve, in ALTCHA's form. MaxNumber is there under both of the names that ALTCHA's libraries have
// for it.
type Challenge struct {
	altcha.Challenge
	MaxNumberOfScript int64 `json:"maxnumber"`
}

// Mailbox returns the name under which a challenge for a mailbox is asked for. It is a keyed digest of the mailbox's limit key and
// tells nothing but that two requests are about one mailbox.
func Mailbox(ring Ring, limitKey storage.Digest) string {
	d := ring.MAC(labelMailbox, limitKey[:])
	return base64.RawURLEncoding.EncodeToString(d[:mailboxSize])
}

// Binding returns what a challenge is bound to: a page of a site, a Mailbox and a network.
func Binding(ring Ring, site, page, mailbox, network string) string {
	d := ring.MAC(labelBinding, []byte(site), []byte(page), []byte(mailbox), []byte(network))
	return base64.RawURLEncoding.EncodeToString(d[:mailboxSize])
}

// New returns a challenge of a level, for a binding, from now on.
func New(ring Ring, now time.Time, binding string, level int) (Challenge, error) {
	ends := now.Add(Lifetime)
	c, err := altcha.CreateChallenge(altcha.ChallengeOptions{
		Algorithm: altcha.SHA256, MaxNumber: FirstNumber << min(max(level, 0), MaxLevel), HMACKey: key(ring), Expires: &ends,
		Params: url.Values{paramFor: {binding}},
	})
	return Challenge{c, c.MaxNumber}, err
}

// Verify reports whether a solution, base64 of JSON as ALTCHA's field holds it, solves a challenge for a binding that has not ended by
// now. once is the counter that is to be spent with it; the same challenge has the same one, however its solution is spelled.
func Verify(ring Ring, now time.Time, binding, solution string) (once storage.Key, ok bool) {
	var p altcha.Payload
	if len(solution) > maxSolution {
		return once, false
	}
	raw, err := base64.StdEncoding.DecodeString(solution)
	if err != nil || json.Unmarshal(raw, &p) != nil || p.Algorithm != string(altcha.SHA256) {
		return once, false
	}
	params := altcha.ExtractParams(p)
	ends, err := strconv.ParseInt(params.Get(paramExpires), 10, 64)
	if err != nil || now.Unix() >= ends || subtle.ConstantTimeCompare([]byte(params.Get(paramFor)), []byte(binding)) != 1 {
		return once, false
	}
	// The library would compare the end with the system's clock, which is not the gate's.
	if ok, err := altcha.VerifySolutionSafe(p, key(ring), false); err != nil || !ok {
		return once, false
	}
	return storage.Key{End: ends, Digest: ring.MAC(labelSpent, []byte(p.Challenge))}, true
}

func key(ring Ring) string {
	d := ring.MAC(labelKey)
	return string(d[:])
}
