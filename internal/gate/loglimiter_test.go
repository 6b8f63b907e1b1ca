package gate

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

var logStart = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// limited is a log behind a limiter.
type limited struct {
	t       *testing.T
	limiter *LogLimiter
	text    bytes.Buffer
	handler slog.Handler
	now     time.Time
}

func newLimited(t *testing.T) *limited {
	l := &limited{t: t, limiter: new(LogLimiter), now: logStart}
	l.handler = l.limiter.Handler(slog.NewTextHandler(&l.text, nil))
	return l
}

func (l *limited) write(event, client string, more ...slog.Attr) {
	l.t.Helper()
	r := slog.NewRecord(l.now, slog.LevelInfo, event, 0)
	r.AddAttrs(slog.String("event", event), slog.String("client", client))
	r.AddAttrs(more...)
	if err := l.handler.Handle(context.Background(), r); err != nil {
		l.t.Fatal(err)
	}
}

// lines returns how many lines contain all words.
func (l *limited) lines(words ...string) (n int) {
	for line := range strings.Lines(l.text.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			n++
		}
	}
	return n
}

// TestLOG3_EachOfAThousandClientsHasItsLines: what bans a client after five denials sees five of each, and no others take their place.
func TestLOG3_EachOfAThousandClientsHasItsLines(t *testing.T) {
	l := newLimited(t)
	for range 10 {
		for i := range 1000 {
			l.write("denied", fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
			l.write("opened", fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
		}
	}
	for i := range 1000 {
		if n := l.lines("event=denied", fmt.Sprintf("client=10.%d.%d.0/24", i/256, i%256)); n != linesPerClient {
			t.Fatalf("client %d has %d lines", i, n)
		}
	}
	for i := range 5000 {
		l.write("denied", fmt.Sprintf("172.16.%d.%d", i/256, i%256))
	}
	if n := l.lines("event=denied"); n != denialsInAll {
		t.Errorf("%d lines about denials within an hour", n)
	}
}

func TestLOG3_AnIPv6NetworkIsOneClient(t *testing.T) {
	l := newLimited(t)
	for i := range 50 {
		l.write("denied", fmt.Sprintf("2001:db8::%x", i+1))
		l.write("denied", fmt.Sprintf("203.0.113.%d", i%2))
	}
	if n, m := l.lines("client=2001"), l.lines("client=203"); n != linesPerClient || m != 2*linesPerClient {
		t.Errorf("%d lines about a /64, %d about two addresses", n, m)
	}
}

func TestLOG2_FiveLinesForEachClientAndEventInTenMinutes(t *testing.T) {
	l := newLimited(t)
	for range 50 {
		l.write("opened", "203.0.113.0/24")
		l.write("denied", "203.0.113.0/24")
		l.write("opened", "2001:db8::/64")
		l.now = l.now.Add(time.Second)
	}
	for _, words := range [][]string{{"event=opened", "client=203"}, {"event=denied", "client=203"}, {"event=opened", "client=2001"}} {
		if n := l.lines(words...); n != linesPerClient {
			t.Errorf("%v: %d lines", words, n)
		}
	}
	// The window slides: at no time are there more than five lines in the ten minutes before it.
	l.now = logStart.Add(clientWindow - time.Millisecond)
	l.write("opened", "203.0.113.0/24")
	if n := l.lines("event=opened", "client=203"); n != linesPerClient {
		t.Errorf("%d lines within ten minutes", n)
	}
	l.now = logStart.Add(clientWindow)
	l.write("opened", "203.0.113.0/24")
	l.write("opened", "203.0.113.0/24")
	if n := l.lines("event=opened", "client=203"); n != linesPerClient+1 {
		t.Errorf("%d lines after the first was ten minutes ago", n)
	}
	l.now = logStart.Add(clientWindow + 5*time.Second) // ten minutes after the first that was left out
	l.write("opened", "198.51.100.0/24")
	if n := l.lines("event=omitted", "of=opened", "lines=92"); n != 1 {
		t.Errorf("%d lines with the count:\n%s", n, l.text.String())
	}
	if n := l.lines("event=omitted", "of=denied", "lines=45"); n != 1 {
		t.Errorf("%d lines with the count of another event", n)
	}
}

func TestLOG2_SixHundredLinesInAnHourInAll(t *testing.T) {
	l := newLimited(t)
	for i := range 5000 {
		l.write("opened", fmt.Sprintf("203.%d.%d.0/24", i/250, i%250))
		l.now = l.now.Add(allWindow / 10_000)
	}
	if n := l.lines("event=opened"); n != linesInAll {
		t.Errorf("%d lines", n)
	}
	if n := len(l.limiter.clients); n > linesInAll {
		t.Errorf("the limiter remembers %d clients", n)
	}
	if n := l.lines("event=omitted"); n > 3 {
		t.Errorf("%d lines tell the count in half an hour", n)
	}
	l.now = logStart.Add(allWindow)
	l.write("opened", "198.51.100.0/24")
	if n := l.lines("client=198"); n != 1 {
		t.Errorf("%d lines an hour after the first", n)
	}
}

// TestLOG2_TheLimiterForgets keeps its memory bounded over a day of ever new clients.
func TestLOG2_TheLimiterForgets(t *testing.T) {
	l := newLimited(t)
	for i := range 24 * 600 {
		l.write("opened", fmt.Sprintf("203.%d.%d.0/24", i/250, i%250))
		l.now = l.now.Add(allWindow / linesInAll)
	}
	if n := l.lines("event=opened"); n != 24*600 {
		t.Errorf("%d lines at 600 an hour", n)
	}
	if n := len(l.limiter.clients); n > 2*linesInAll {
		t.Errorf("the limiter remembers %d clients", n)
	}
}

func TestLOG2_WhatNeedsAMailedTokenIsNotLimited(t *testing.T) {
	l := newLimited(t)
	for range 50 {
		l.write("signed_in", "203.0.113.0/24", slog.String("outcome", "ok"))
		l.write("mailed", "203.0.113.0/24", slog.String("outcome", "sent"))
		l.write("mailed", "203.0.113.0/24", slog.String("outcome", "dropped"))
		l.write("code", "203.0.113.0/24", slog.String("outcome", "unavailable"))
		l.write("request", "203.0.113.0/24", slog.String("outcome", "unavailable"))
	}
	for words, want := range map[string]int{"event=signed_in": 50, "outcome=sent": 50, "outcome=dropped": 5, "outcome=unavailable": 5} {
		if n := l.lines(words); n != want {
			t.Errorf("%s: %d lines, want %d", words, n, want)
		}
	}
}

func TestLOG2_TheCountIsToldAtTheEnd(t *testing.T) {
	l := newLimited(t)
	inner := slog.NewTextHandler(&l.text, nil)
	for range 8 {
		l.write("opened", "203.0.113.0/24")
	}
	l.limiter.Report(context.Background(), inner, l.now, false)
	if n := l.lines("event=omitted"); n != 0 {
		t.Errorf("%d lines before ten minutes", n)
	}
	l.limiter.Report(context.Background(), inner, l.now, true)
	l.limiter.Report(context.Background(), inner, l.now, true)
	if n := l.lines("event=omitted", "of=opened", "lines=3"); n != 1 {
		t.Errorf("%d lines at the end", n)
	}
	// Attributes of a logger count as those of a line.
	log := slog.New(l.handler).With("event", "verify", "client", "192.0.2.0/24")
	for range 8 {
		log.Info("refused")
	}
	if n := l.lines("event=verify"); n != linesPerClient {
		t.Errorf("%d lines of a logger with attributes", n)
	}
}
