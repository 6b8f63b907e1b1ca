package vault

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// metaHealth names the value that Health writes.
	metaHealth = "health"
	// probeSize is how many bytes Health writes, over the same ones each time: more than a request does, so that a full disk does not take
	// them while it refuses requests.
	probeSize = 64 << 10
	// probeEvery is the shortest time between two writes of Health, retryEvery after one that has failed: anybody may ask, as often as
	// they like.
	probeEvery = 5 * time.Second
	retryEvery = time.Second
)

// writeProbe finds out whether the store can be written. Its zero value has not asked yet.
type writeProbe struct {
	mu sync.Mutex
	// running is closed when the write that is under way has ended; nil when none is.
	running chan struct{}
	// next is when to write again, err what the last write came to.
	next time.Time
	err  error
}

// AnswerNonce returns what this gate answers to a nonce, and with it each node on the same database and no other gate.
func (v *Vault) AnswerNonce(nonce string) string {
	d := v.Ring.MAC("health answer", []byte(nonce))
	return base64.RawURLEncoding.EncodeToString(d[:])
}

// Health returns why the store cannot be read or written, or nil. It writes at most once in five seconds, and once a second while writes
// fail, and takes the last outcome in between. A write that has not ended when ctx does counts as failed.
func (v *Vault) Health(ctx context.Context) error {
	err := v.Store.View(ctx, func(tx storage.Tx) error {
		_, _, err := tx.Meta().Get(storage.MetaDataKey)
		return err
	})
	if err != nil {
		return fmt.Errorf("vault: the store cannot be read: %w", err)
	}
	p := &v.probe
	p.mu.Lock()
	if p.running == nil && !v.Clock.Now().Before(p.next) {
		p.running = make(chan struct{})
		go v.probeWrite(context.WithoutCancel(ctx), p.running)
	}
	running, err := p.running, p.err
	p.mu.Unlock()
	if running == nil {
		return err
	}
	select {
	case <-running:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("vault: a write takes too long: %w", ctx.Err())
	}
}

// ServingCached reports whether the database cannot be reached, and until when what was read before is served nevertheless.
func (v *Vault) ServingCached() (until time.Time, serving bool) {
	if v.shared == nil {
		return time.Time{}, false
	}
	until, out := v.shared.Outage()
	return until, out && !clock.Passed(until)
}

// probeWrite writes once and logs when the outcome is another than before.
func (v *Vault) probeWrite(ctx context.Context, done chan<- struct{}) {
	err := v.Store.Update(ctx, func(tx storage.Tx) error { return tx.Meta().Put(metaHealth, make([]byte, probeSize)) })
	if err != nil {
		err = fmt.Errorf("vault: the store cannot be written: %w", err)
	}
	p := &v.probe
	p.mu.Lock()
	before := p.err
	p.err, p.running, p.next = err, nil, v.Clock.Now().Add(probeEvery)
	if err != nil {
		p.next = v.Clock.Now().Add(retryEvery)
	}
	p.mu.Unlock()
	defer close(done)
	switch {
	case err != nil && before == nil:
		v.log.ErrorContext(ctx, "the database cannot be written: sign-ins and sign-ups fail", "event", "unavailable", "error", err)
	case err == nil && before != nil:
		v.log.InfoContext(ctx, "the database can be written again", "event", "unavailable")
	}
}
