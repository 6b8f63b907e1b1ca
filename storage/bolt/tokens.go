package bolt

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type tokens struct{ *tx }

// Create stores a new token.
func (t tokens) Create(k storage.Token) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	return t.create(bTokens, k.Key, encodeToken(k))
}

// Get returns a token, used or not, over or not.
func (t tokens) Get(k storage.Key) (token storage.Token, found bool, err error) {
	_, token, found, err = t.read(k)
	return token, found, err
}

func (t tokens) read(k storage.Key) (key []byte, token storage.Token, found bool, err error) {
	key, v, err := t.getKeyed(bTokens, k)
	if err != nil || v == nil {
		return nil, token, false, err
	}
	if token, err = decodeToken(k, v); err != nil {
		return nil, storage.Token{}, false, err
	}
	return key, token, true, nil
}

// Consume marks the token as used, once.
func (t tokens) Consume(k storage.Key, now time.Time) (storage.Token, storage.TokenResult, error) {
	if !t.writable {
		return storage.Token{}, 0, storage.ErrReadOnly
	}
	if now.IsZero() { // it would read back as "not used"
		return storage.Token{}, 0, errNoKey
	}
	key, token, found, err := t.read(k)
	switch {
	case err != nil:
		return token, 0, err
	case !found || !k.Alive(now):
		return token, storage.TokenMissing, nil
	case token.Replayed:
		return token, storage.TokenReplayed, nil
	case !token.Used.IsZero():
		token.Replayed = true
		return token, storage.TokenUsed, t.put(bTokens, key, encodeToken(token))
	}
	token.Used = now.UTC()
	return token, storage.TokenConsumed, t.put(bTokens, key, encodeToken(token))
}
