package flow

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestDUR1_ARefusalIsAnsweredWithWhatItCountedCommitted takes each way in which a step can end.
func TestDUR1_ARefusalIsAnsweredWithWhatItCountedCommitted(t *testing.T) {
	errBroken := errors.New("broken")
	for name, c := range map[string]struct {
		ends      []error // one for each run of the step
		unknown   bool
		want      error
		refuses   bool
		committed bool
	}{
		"success":                          {ends: []error{nil}, committed: true},
		"a refusal":                        {ends: []error{refuse(ErrDead)}, want: ErrDead, refuses: true, committed: true},
		"a refusal once all is written":    {ends: []error{orRefuse(nil, ErrDead)}, want: ErrDead, refuses: true, committed: true},
		"a write that fails":               {ends: []error{orRefuse(errBroken, ErrDead)}, want: errBroken},
		"a failure":                        {ends: []error{errBroken}, want: errBroken},
		"a reason that is no refusal":      {ends: []error{ErrDead}, want: ErrUnavailable},
		"a failure joined with a refusal":  {ends: []error{errors.Join(refuse(ErrDead), errBroken)}, want: errBroken},
		"a failure that wraps a refusal":   {ends: []error{fmt.Errorf("%w: %w", errBroken, refuse(ErrDead))}, want: errBroken},
		"a refusal, run again":             {ends: []error{errConflict, refuse(ErrDead)}, want: ErrDead, refuses: true, committed: true},
		"a refusal of an unknown commit":   {ends: []error{refuse(ErrDead)}, unknown: true, want: storage.ErrUnknown, committed: true},
		"a success of an unknown commit":   {ends: []error{nil}, unknown: true, want: storage.ErrUnknown, committed: true},
		"records that move at every run":   {ends: []error{errConflict, errConflict, errConflict, errConflict, errConflict}, want: errConflict},
		"a failure after a conflict":       {ends: []error{errConflict, errBroken}, want: errBroken},
		"a success after a conflict alone": {ends: []error{errConflict, nil}, committed: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			if c.unknown {
				g.Store = unknown{g.Store}
			}
			runs := 0
			err := g.update(context.Background(), func(tx storage.Tx) error {
				if err := tx.Meta().Put("counted", []byte{1}); err != nil {
					return err
				}
				runs++
				return c.ends[runs-1]
			})
			if !errors.Is(err, c.want) || runs != len(c.ends) {
				t.Errorf("%v after %d runs, want %v after %d", err, runs, c.want, len(c.ends))
			}
			if c.refuses != (err == ErrDead) || !c.refuses && err != nil && !errors.Is(err, ErrUnavailable) { //nolint:errorlint // the reason itself
				t.Errorf("%#v, which is no plain reason and no ErrUnavailable", err)
			}
			if c.unknown && errors.Is(err, ErrDead) {
				t.Errorf("%v tells what may not have been committed", err)
			}
			var committed bool
			if err := g.bolt.View(context.Background(), func(tx storage.Tx) (err error) {
				_, committed, err = tx.Meta().Get("counted")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if committed != c.committed {
				t.Errorf("committed is %v, want %v", committed, c.committed)
			}
		})
	}
}

// TestDUR1_AReadThatRefusesReturnsTheReason tells a refusal of a read from its failure.
func TestDUR1_AReadThatRefusesReturnsTheReason(t *testing.T) {
	g := newGate(t)
	read := func(end error) error { return g.view(context.Background(), func(storage.Tx) error { return end }) }
	if err := read(refuse(ErrDead)); err != ErrDead { //nolint:errorlint // the reason itself
		t.Errorf("a refusal: %#v", err)
	}
	if err := read(errors.Join(refuse(ErrDead), errConflict)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a failure: %v", err)
	}
	if err := read(nil); err != nil {
		t.Errorf("a success: %v", err)
	}
}
