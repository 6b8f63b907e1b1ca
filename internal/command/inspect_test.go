package command

import (
	"strings"
	"testing"
	"time"
)

func TestEvents_Since(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 28, 15, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"":                     {},
		"2h":                   now.Add(-2 * time.Hour),
		"3d":                   now.Add(-72 * time.Hour),
		"2026-11-28":           time.Date(2026, 11, 28, 0, 0, 0, 0, zone),
		"2026-11-28 14:00":     now.Add(-time.Hour),
		"2026-11-28 14:00:01":  now.Add(-time.Hour + time.Second),
		"2026-11-28T14:00:00Z": now,
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterdayish", "-2h", "0s", "28.11.2026"} {
		if at, err := parseSince(text, now); err == nil || !strings.Contains(err.Error(), "write 2h, 3d") {
			t.Errorf("%q: %v, %v", text, at, err)
		}
	}
}
