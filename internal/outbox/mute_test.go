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
	is := func(tx storage.Tx, of storage.Digest, network string, at time.Time) bool {
		t.Helper()
		held, err := muted(tx, p.Ring, of, network, at)
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	day := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	for i, at := range []time.Duration{0, time.Second, 12 * time.Hour, 24*time.Hour - time.Second} {
		begin := day.AddDate(0, 0, 10*i).Add(at)
		if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
			if is(tx, ada, "192.0.2.0/24", begin) {
				t.Errorf("%v: muted before", at)
			}
			if err := Mute(tx, p.Ring, ada, "192.0.2.0/24", begin); err != nil {
				return err
			}
			for after, want := range map[time.Duration]bool{
				0: true, time.Hour: true, MuteDuration - time.Second: true, MuteDuration: false, 2 * MuteDuration: false,
			} {
				if got := is(tx, ada, "192.0.2.0/24", begin.Add(after)); got != want {
					t.Errorf("%v: %v later: muted %v", at, after, got)
				}
			}
			if is(tx, ada, "198.51.100.0/24", begin) || is(tx, bob, "192.0.2.0/24", begin) {
				t.Errorf("%v: another network or mailbox is muted", at)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
