package gate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/session"
)

// TestSES7_ABodyThatMovesKeepsItsSession sends a byte of a body every other day, where a session ends after seven idle ones: it goes
// on for weeks, and ends eight days after its last byte.
func TestSES7_ABodyThatMovesKeepsItsSession(t *testing.T) {
	f := newFixture(t)
	sessions := f.rt.Sessions
	body, client := io.Pipe()
	arrived := make(chan error)
	next := handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		go func() {
			for buf := make([]byte, 1); ; {
				_, err := r.Body.Read(buf)
				arrived <- err
				if err != nil {
					return
				}
			}
		}()
		<-r.Context().Done()
		return context.Cause(r.Context())
	})
	r := request(http.MethodPost, testOrigin+"/upload", f.cookie)
	r.Body = io.NopCloser(body)
	ended := make(chan error, 1)
	rec := httptest.NewRecorder()
	go func() { ended <- f.ServeHTTP(rec, arrive(r), next) }()
	t.Cleanup(func() { _ = client.Close() })
	send := func() error {
		go func() { _, _ = client.Write([]byte("x")) }() // nobody takes it where the end was seen first
		return <-arrived
	}
	for day := 2; day <= 20; day += 2 {
		f.time.Advance(48 * time.Hour)
		if err := send(); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		sessions.Tick(f.time.Clock().Now())
		if l, err := sessions.Find(t.Context(), f.cookie, testOrigin); l == nil || err != nil {
			t.Fatalf("day %d: the session is gone, %v", day, err)
		}
	}
	f.time.Advance(8 * 24 * time.Hour)
	sessions.Tick(f.time.Clock().Now())
	if err := <-ended; err != nil || rec.Code != http.StatusUnauthorized {
		t.Errorf("after its end: %d, %v", rec.Code, err)
	}
	if err := send(); !errors.Is(err, errEnded) {
		t.Errorf("a byte after the end: %v", err)
	}
}

// TestSES7_NoBodyIsWholeAfterItsSession: the end of a body that had been read before is no end for the backend.
func TestSES7_NoBodyIsWholeAfterItsSession(t *testing.T) {
	for _, ends := range []bool{false, true} {
		f := newFixture(t)
		r := request(http.MethodPost, testOrigin+"/upload", f.cookie)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("all of it")), -1
		var read error
		next := handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			buf := make([]byte, len("all of it"))
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				t.Error(err)
			}
			if ends {
				if err := f.rt.Sessions.EndEverywhere(context.Background(), f.account.ID); err != nil {
					t.Error(err)
				}
			}
			_, read = r.Body.Read(buf)
			return nil
		})
		if err := f.ServeHTTP(httptest.NewRecorder(), arrive(r), next); err != nil {
			t.Error(err)
		}
		if ends && !errors.Is(read, errEnded) || !ends && read != io.EOF { //nolint:errorlint // as readers compare it
			t.Errorf("the session ends %v: %v", ends, read)
		}
	}
}

// TestSES7_EachDirectionOfAConnection: what a handler has taken over passes nothing on after the end of its session, in either
// direction, not even what was being waited for when it came.
func TestSES7_EachDirectionOfAConnection(t *testing.T) {
	here, there := net.Pipe()
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	w, ended := wrapped(hijackable{httptest.NewRecorder(), here})
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = there.Write([]byte("x")) }()
	buf := make([]byte, 1)
	if n, err := conn.Read(buf); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	ended.Store(true)
	go func() { _, _ = there.Write([]byte("y")) }()
	if n, err := conn.Read(buf); n != 0 || !errors.Is(err, errEnded) {
		t.Errorf("reading: %d, %v", n, err)
	}
	go func() { _, _ = io.Copy(io.Discard, there) }()
	if n, err := conn.Write(buf); n != 0 || !errors.Is(err, errEnded) {
		t.Errorf("writing: %d, %v", n, err)
	}
	if err := conn.(*boundConn).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("closing one direction of a pipe: %v", err)
	}
}

// hijackable gives its connection away.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn, nil, nil }

// deadlines is a server's writer, behind another one that must be left alone.
type deadlines struct {
	http.ResponseWriter
	read, write atomic.Bool
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read.Store(t.Before(time.Now()))
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write.Store(t.Before(time.Now()))
	return nil
}

type outerWriter struct {
	http.ResponseWriter
	t *testing.T
}

func (w outerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w outerWriter) SetReadDeadline(time.Time) error {
	w.t.Error("the deadline is set on a writer in between")
	return nil
}

// TestSES7_WhatWaitsForItsClient: a handler that waits for bytes of a body is woken at once, one that waits for a client to take
// bytes a tick later, so that the answer 401 can still go out.
func TestSES7_WhatWaitsForItsClient(t *testing.T) {
	for _, hasBody := range []bool{true, false} {
		d := &deadlines{ResponseWriter: httptest.NewRecorder()}
		f := &inFlight{cancel: func(error) {}, writer: outerWriter{d, t}}
		if hasBody {
			f.body.ReadCloser = http.NoBody
		}
		f.End(session.ErrEnded, false)
		if d.read.Load() != hasBody || d.write.Load() {
			t.Errorf("at first: read %v, write %v", d.read.Load(), d.write.Load())
		}
		f.End(session.ErrEnded, true)
		if !d.read.Load() || !d.write.Load() {
			t.Errorf("a tick later: read %v, write %v", d.read.Load(), d.write.Load())
		}
	}
}

// TestSES7_TheRequestStaysTheSame: it changes in place, so that what was made for it goes on reading it, and error routes have a context
// to work with.
func TestSES7_TheRequestStaysTheSame(t *testing.T) {
	f := newFixture(t)
	r := arrive(request(http.MethodGet, testOrigin+"/app", f.cookie))
	var inside *http.Request
	err := f.ServeHTTP(httptest.NewRecorder(), r, handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		inside = r
		return io.ErrUnexpectedEOF
	}))
	if !errors.Is(err, io.ErrUnexpectedEOF) || inside != r || r.Context().Err() != nil {
		t.Errorf("%v; the same: %v; its context: %v", err, inside == r, r.Context().Err())
	}
}

// TestSES7_AnInnerSiteRegistersNothing: one entry is enough for a request that passes two sites.
func TestSES7_AnInnerSiteRegistersNothing(t *testing.T) {
	f := newFixture(t)
	inner := *f.Site
	tracked := -1
	err := f.ServeHTTP(httptest.NewRecorder(), arrive(request(http.MethodGet, testOrigin+"/app", f.cookie)), handlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		return inner.ServeHTTP(w, r, handlerFunc(func(http.ResponseWriter, *http.Request) error {
			tracked = f.rt.Sessions.Stats().Tracked
			return nil
		}))
	}))
	if err != nil || tracked != 1 || f.rt.Sessions.Stats().Tracked != 0 {
		t.Errorf("%d tracked inside, %d afterwards, %v", tracked, f.rt.Sessions.Stats().Tracked, err)
	}
}
