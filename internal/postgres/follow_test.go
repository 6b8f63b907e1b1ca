package postgres

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestNODE1_AwayForTooLong: rows that a node has not read may have been deleted, or the database was put back to an earlier state.
func TestNODE1_AwayForTooLong(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	account := storage.Change{Kind: storage.ChangeAccount, Account: "ada"}
	for name, c := range map[string]struct {
		oldest uint64
		at     time.Time
		all    bool
	}{
		"in time":  {oldest: 8, at: at.Add(longestAway)},
		"away":     {oldest: 8, at: at.Add(longestAway + 1), all: true},
		"put back": {oldest: 6, at: at, all: true},
	} {
		s := &Store{log: slog.New(slog.DiscardHandler)}
		f := &follower{store: s, since: 7, lastAnswer: at}
		var heard []storage.Change
		s.publisher.Subscribe(func(c storage.Change) {
			if heard = append(heard, c); f.last.Load() != nil {
				t.Errorf("%s: what is cached may be used before the change is delivered", name)
			}
		})
		f.deliver(answer{oldest: c.oldest, at: c.at, changes: []storage.Change{account}}, time.Now(), 0)
		if all := heard[0].Kind == storage.ChangeAll; all != c.all || len(heard) == 0 || f.since != c.oldest {
			t.Errorf("%s: heard %+v", name, heard)
		}
	}
}

// TestNODE3_ClocksThatDifferAreToldAndRefused: what others verify has the time of this machine.
func TestNODE3_ClocksThatDifferAreToldAndRefused(t *testing.T) {
	for skew, want := range map[time.Duration]struct{ told, refused bool }{
		0: {}, 4 * time.Second: {}, 6 * time.Second: {told: true}, -30 * time.Second: {told: true}, 59 * time.Second: {told: true},
		90 * time.Second: {refused: true}, -90 * time.Second: {refused: true},
	} {
		var log bytes.Buffer
		f := &follower{store: &Store{log: slog.New(slog.NewTextHandler(&log, nil))}}
		err := f.checkSkew(skew)
		if (err != nil) != want.refused || strings.Contains(log.String(), "NTP") != want.told {
			t.Errorf("%s: %v, the log says %q", skew, err, &log)
		}
		if err != nil && !strings.Contains(err.Error(), "1m30s") {
			t.Error(err)
		}
	}
}

// TestNODE1_APollThatFails: one that failed by itself says nothing yet, and one during which this process was stopped never does.
func TestNODE1_APollThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		durations []time.Duration
		gone      bool
	}{
		"one":               {durations: []time.Duration{time.Second}},
		"two":               {durations: []time.Duration{time.Second, time.Second}, gone: true},
		"stopped":           {durations: []time.Duration{10 * time.Second, 3 * time.Second, time.Second}},
		"stopped meanwhile": {durations: []time.Duration{time.Second, 10 * time.Second, time.Second}, gone: true},
	} {
		f, gone := &follower{}, false
		for _, duration := range c.durations {
			if gone {
				t.Errorf("%s: gone too soon", name)
			}
			gone = f.isGone(duration)
		}
		if gone != c.gone {
			t.Errorf("%s: gone %v", name, gone)
		}
	}
}
