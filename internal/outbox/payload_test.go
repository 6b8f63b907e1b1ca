package outbox

import (
	"bytes"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestNewIDSortsByTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seen := map[storage.MailID]bool{}
	var before storage.MailID
	for i := range 1000 {
		at := now.Add(time.Duration(i) * time.Millisecond)
		id := NewID(at)
		if bytes.Compare(before[:], id[:]) >= 0 {
			t.Fatalf("%x comes after %x", id, before)
		}
		before = id
		for range 3 {
			if again := NewID(at); seen[again] || !bytes.Equal(again[:6], id[:6]) {
				t.Fatalf("%x beside %x", again, id)
			} else {
				seen[again] = true
			}
		}
	}
}
