package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestTOK5_AMuteLastsItsTimeToTheSecond mutes one mailbox for one network at several times of a day, since what keeps it is counted in days.
func TestTOK5_AMuteLastsItsTimeToTheSecond(t *testing.T) {
	p := newPost(t)
	ada, bob := storage.Digest{1}, storage.Digest{2}
	is := func(tx storage.Tx, of storage.Digest, network, device string, at time.Time) bool {
		t.Helper()
		held, err := muted(tx, p.Ring, of, network, device, at)
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	day := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	const firefox, chrome = "Firefox on Linux", "Chrome on Windows"
	for i, at := range []time.Duration{
		0, time.Second, 12 * time.Hour, 24*time.Hour - time.Second, 90 * time.Minute, 13*time.Hour + time.Second,
	} {
		lasts := MuteByOwner
		if i > 3 {
			lasts = MuteByOthers
		}
		begin := day.AddDate(0, 0, 10*i).Add(at)
		if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
			if is(tx, ada, "192.0.2.0/24", firefox, begin) {
				t.Errorf("%v: muted before", at)
			}
			if err := Mute(tx, p.Ring, ada, "192.0.2.0/24", firefox, lasts, begin); err != nil {
				return err
			}
			for after, want := range map[time.Duration]bool{
				0: true, lasts / 2: true, lasts - time.Second: true, lasts: false, 2 * lasts: false,
			} {
				if got := is(tx, ada, "192.0.2.0/24", firefox, begin.Add(after)); got != want {
					t.Errorf("%v: %v later: muted %v", at, after, got)
				}
			}
			if is(tx, ada, "198.51.100.0/24", firefox, begin) || is(tx, bob, "192.0.2.0/24", firefox, begin) || is(tx, ada, "192.0.2.0/24", chrome, begin) {
				t.Errorf("%v: another network, mailbox or browser is muted", at)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
