package storage

import (
	"slices"
	"sync"
)

// Publisher is the local half of [Store.Subscribe], for engines. The zero value has no subscribers.
type Publisher struct {
	// calling is held while subscribers are called, so that they are called one at a time.
	calling sync.Mutex

	mu          sync.Mutex
	subscribers []*subscriber // guarded by mu
}

type subscriber struct{ fn func(Change) }

// Subscribe implements [Store.Subscribe].
func (p *Publisher) Subscribe(fn func(Change)) (stop func()) {
	s := &subscriber{fn}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscribers = append(p.subscribers, s)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.subscribers = slices.DeleteFunc(p.subscribers, func(one *subscriber) bool { return one == s })
	}
}

// Deliver calls every subscriber for each change. It returns when all have returned.
func (p *Publisher) Deliver(changes []Change) {
	if len(changes) == 0 {
		return
	}
	p.mu.Lock()
	subscribers := slices.Clone(p.subscribers)
	p.mu.Unlock()
	p.calling.Lock()
	defer p.calling.Unlock()
	for _, c := range changes {
		for _, s := range subscribers {
			s.fn(c)
		}
	}
}
