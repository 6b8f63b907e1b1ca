package vault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// disk is a store whose writes are counted, fail or hang.
type disk struct {
	storage.Store
	writes atomic.Int32
	full   atomic.Bool
	// begun is called when a write begins, if not nil.
	begun func()
}

var errFull = errors.New("no space left on device")

func (d *disk) Update(ctx context.Context, fn func(storage.Tx) error) error {
	d.writes.Add(1)
	if d.begun != nil {
		d.begun()
	}
	if d.full.Load() {
		return errFull
	}
	return d.Store.Update(ctx, fn)
}

func openDisk(t *testing.T) (*Vault, *disk, *clock.Fake, *bytes.Buffer) {
	t.Helper()
	now, log := clock.NewFake(time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)), &bytes.Buffer{}
	v := open(t, filepath.Join(t.TempDir(), "gate.db"), now.Clock(), master(1))
	d := &disk{Store: v.Store}
	v.Store, v.log = d, slog.New(slog.NewTextHandler(log, nil))
	return v, d, now, log
}

// TestDUR1_HealthSaysWhenWritesFail fills the disk and makes room again: the answer follows within seconds, and the log has one line
// for each change.
func TestDUR1_HealthSaysWhenWritesFail(t *testing.T) {
	v, d, now, log := openDisk(t)
	check := func(when string, want error) {
		t.Helper()
		if err := v.Health(t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	check("at first", nil)
	d.full.Store(true)
	now.Advance(probeEvery)
	check("on a full disk", errFull)
	now.Advance(retryEvery)
	check("on a full disk, later", errFull)
	d.full.Store(false)
	now.Advance(retryEvery)
	check("with room again", nil)
	if full, room := strings.Count(log.String(), "cannot be written"), strings.Count(log.String(), "can be written again"); full != 1+1 || room != 1 {
		// The error of the line has these words as well.
		t.Errorf("the log says %d times that the disk is full and %d times that it is not:\n%s", full, room, log)
	}
}

// TestDOS1_HealthWritesSeldom asks often: anybody may.
func TestDOS1_HealthWritesSeldom(t *testing.T) {
	v, d, now, _ := openDisk(t)
	for range 100 {
		if err := v.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		now.Advance(100 * time.Millisecond)
	}
	if n := d.writes.Load(); n != 2 {
		t.Errorf("a hundred questions in ten seconds wrote %d times, want 2", n)
	}
}

// TestDUR1_HealthWaitsForNoHangingDisk: a write that does not end is a failure, and no second one is begun meanwhile.
func TestDUR1_HealthWaitsForNoHangingDisk(t *testing.T) {
	v, d, _, _ := openDisk(t)
	patience, out := context.WithCancel(t.Context())
	hang := make(chan struct{})
	d.begun = func() { out(); <-hang }
	if err := v.Health(patience); !errors.Is(err, context.Canceled) {
		t.Errorf("a disk that hangs: %v", err)
	}
	second := make(chan error)
	go func() { second <- v.Health(t.Context()) }()
	close(hang)
	if err := <-second; err != nil {
		t.Errorf("once the disk answers: %v", err)
	}
	if n := d.writes.Load(); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

func TestHealth_AStoreThatCannotBeRead(t *testing.T) {
	v, d, _, _ := openDisk(t)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Health(t.Context()); err == nil {
		t.Error("a closed store is healthy")
	}
}

// TestPORT12_AnswersAreOfOneDatabase compares the answers of a gate before and after a restart with another one's, under the same master key.
func TestPORT12_AnswersAreOfOneDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	v := open(t, path, clock.New(nil), master(1))
	first := v.AnswerNonce("nonce")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, path, clock.New(nil), master(1)).AnswerNonce("nonce"); again != first {
		t.Errorf("after a restart %q, before %q", again, first)
	}
	other := open(t, filepath.Join(t.TempDir(), "gate.db"), clock.New(nil), master(1))
	if other.AnswerNonce("nonce") == first || v.AnswerNonce("nonces") == first {
		t.Error("another gate, or another nonce, has the same answer")
	}
}
