package gatetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Request is one request as a backend has received it.
type Request struct {
	Method, URI     string
	Header, Trailer http.Header
	Body            string
}

// Backend is an app that trusts what it is told. It records every request.
type Backend struct {
	// Addr is its host and port.
	Addr string

	mu       sync.Mutex
	requests []Request        // guarded by mu
	answer   http.HandlerFunc // guarded by mu
}

// NewBackend starts an app, which answers "hello" until Answer says otherwise.
func NewBackend(t testing.TB) *Backend {
	t.Helper()
	b := &Backend{answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	b.Addr = s.Listener.Addr().String()
	return b
}

// Answer has requests answered by f, after their bodies have been read.
func (b *Backend) Answer(f http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

// Taken returns the requests since the last call.
func (b *Backend) Taken() []Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.requests
	b.requests = nil
	return all
}

// ServeHTTP implements http.Handler.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.requests = append(b.requests, Request{r.Method, r.RequestURI, r.Header.Clone(), r.Trailer.Clone(), string(body)})
	answer := b.answer
	b.mu.Unlock()
	answer(w, r)
}
