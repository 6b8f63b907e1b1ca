package templates

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSet_IsReadAnewWhileInUse(t *testing.T) {
	dir := t.TempDir()
	var seconds atomic.Int64
	var reports atomic.Int64
	s := load(t, Options{
		Dir: dir, Now: func() time.Time { return time.Unix(seconds.Add(1), 0) }, Report: func(error) { reports.Add(1) },
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if err := s.Page(io.Discard, Frame{}, Dead{}); err != nil {
					t.Error(err)
				}
				if _, err := s.Mail(MailSamples()[0].Mail, "en"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 5 {
		write(t, dir, "assets/style.css", fmt.Sprintf("a { order: %d }", i))
	}
	wg.Wait()
	if reports.Load() != 0 {
		t.Errorf("%d reports", reports.Load())
	}
}
