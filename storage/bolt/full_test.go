//go:build linux || darwin

package bolt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// The limit on the size of a file stands for a full disk: the same calls fail at the same places. It belongs to the process,
// so this test is not parallel.
func TestDUR1_DiskFull(t *testing.T) {
	t.Run("ordinary", func(t *testing.T) { diskFull(t, longList) })
	t.Run("without a list of free pages", func(t *testing.T) { diskFull(t, 0) })
}

func diskFull(t *testing.T, longList int) {
	s := open(t)
	s.longList = longList
	defer s.Close() //nolint:errcheck // the end of the test
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 1<<16)
	fill := func(n int) error {
		return s.Update(context.Background(), func(tx storage.Tx) error {
			return tx.Meta().Put("fill"+string(rune('a'+n)), value)
		})
	}
	if err := fill(0); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	limit := old
	limit.Cur = uint64(info.Size())
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceValue(func() error { return unix.Setrlimit(unix.RLIMIT_FSIZE, &old) })
	defer restore() //nolint:errcheck // checked below

	n := 1
	for ; err == nil && n < 500; n++ {
		err = fill(n)
	}
	if err == nil || errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrDamaged) {
		t.Fatalf("Update on a full disk = %v after %d, want a plain failure", err, n)
	}
	failed := n - 1
	if err := fill(failed); err == nil {
		t.Error("a full disk took it the second time")
	}
	if has(t, s, "fill"+string(rune('a'+failed))) || !has(t, s, "filla") {
		t.Error("reads do not go on, or show what was not written")
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	if err := fill(failed); err != nil || !has(t, s, "fill"+string(rune('a'+failed))) {
		t.Errorf("Update with room again: %v", err)
	}
	if err := s.Check(context.Background()); err != nil {
		t.Error(err)
	}
}
