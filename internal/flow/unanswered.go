package flow

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// maxUnanswered bounds the answers that are kept.
const maxUnanswered = 1000

// unanswered keeps the answers of redemptions of which it was not known in time whether they were committed: the database had gone away
// before it said so. The browser got an error, and not its session. When it tries again, and the redemption has happened, it gets the
// answer. They are kept in memory only, until the flow ends: a session's cookie is in no store. The zero value is ready for use.
type unanswered struct {
	mu sync.Mutex
	// key keys the digests of passwords.
	key []byte                       // guarded by mu
	m   map[storage.Key]unansweredOf // guarded by mu, by the key of the flow
}

type unansweredOf struct {
	done Done
	// cookie is the flow cookie of the browser.
	cookie string
	// password is the keyed digest of the new password that was sent.
	password []byte
}

// keep keeps the answer of a step if its outcome is unknown.
func (u *unanswered) keep(err error, flow storage.Key, requester Requester, password string, done Done, now time.Time) {
	if !errors.Is(err, storage.ErrUnknown) || requester.FlowCookie == "" || done.AlreadySignedIn {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.key, u.m = make([]byte, 32), map[storage.Key]unansweredOf{}
		_, _ = rand.Read(u.key)
	}
	maps.DeleteFunc(u.m, func(k storage.Key, _ unansweredOf) bool { return !k.Alive(now) })
	if len(u.m) < maxUnanswered {
		u.m[flow] = unansweredOf{done, requester.FlowCookie, u.digest(password)}
	}
}

func (u *unanswered) digest(password string) []byte {
	h := hmac.New(sha256.New, u.key)
	_, _ = h.Write([]byte(password))
	return h.Sum(nil)
}

// get returns the answer that a browser has not got from a flow that was redeemed by it. It is found only while the session that the flow has
// opened lives.
func (u *unanswered) get(tx storage.Tx, f storage.Flow, requester Requester) (one unansweredOf, found bool, err error) {
	u.mu.Lock()
	one, found = u.m[f.Key]
	u.mu.Unlock()
	if !found || f.State != storage.FlowRedeemed || f.Session != one.done.Session.Key || !hmac.Equal([]byte(requester.FlowCookie), []byte(one.cookie)) {
		return one, false, nil
	}
	if one.done.SessionCookie == "" {
		return one, true, nil
	}
	se, found, err := tx.Sessions().Get(f.Session)
	if err != nil || !found {
		return one, false, err
	}
	e, err := storage.ReadEpochs(tx, se.Mailbox, se.Account, false)
	return one, e == se.Epochs, err
}

// sentPassword reports whether the answer is that to a request with this password.
func (u *unanswered) sentPassword(one unansweredOf, password string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return hmac.Equal(one.password, u.digest(password))
}
