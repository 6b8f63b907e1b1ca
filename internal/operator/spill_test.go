package operator

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

func TestKept_NothingCanBeReadInTheFile(t *testing.T) {
	t.Parallel()
	var k kept
	defer k.close()
	var want, got []transfer.Row
	for i := range importWhole + 3 {
		want = append(want, transfer.Row{Line: i + 1, Email: fmt.Sprintf("p%d@example.com", i), Password: "$2b$04$abcdefghijklmnopqrstuuWZgYFnZpIqA7uYq8rJzqfG4DKPEPJlW", Created: time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)})
	}
	for i := range want {
		if err := k.add(want[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		got = nil
		if err := k.each(func(rows []transfer.Row) error { got = append(got, rows...); return nil }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" || k.count != len(want) {
			t.Fatal(d)
		}
	}
	if _, err := k.file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(k.file)
	if err != nil || len(text) < 1000 || bytes.Contains(text, []byte("example")) || bytes.Contains(text, []byte("$2b$")) {
		t.Errorf("%v, %d bytes", err, len(text))
	}
	info, err := k.file.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", err, info.Mode())
	}
}
