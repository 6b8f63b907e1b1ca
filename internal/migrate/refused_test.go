package migrate

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestMOVE2_WhatIsRefusedIsNotTouched(t *testing.T) {
	for name, c := range map[string]struct {
		want   error
		adjust func(o *Options, source, target storage.Store)
	}{
		"no gate in the source": {ErrNoGate, func(o *Options, _, target storage.Store) { o.Source = target }},
		"a source that is not complete": {ErrUnfinished, func(_ *Options, source, _ storage.Store) {
			set(t, source, storage.MetaMigration, "{}")
		}},
		"another key": {keyring.ErrForeignKey, func(o *Options, _, _ storage.Store) {
			o.CheckKey = func(sealed []byte) error {
				_, _, err := keyring.Open([][]byte{[]byte("another key of thirty-two bytes, or more")}, sealed)
				return err
			}
		}},
		"no room": {ErrNoRoom, func(o *Options, _, _ storage.Store) {
			o.Capacity = func() (uint64, bool, error) { return 16 << 20, true, nil }
		}},
		"room that cannot be asked for": {errCut, func(o *Options, _, _ storage.Store) {
			o.Capacity = func() (uint64, bool, error) { return 0, false, errCut }
		}},
		"another migration": {ErrOther, func(_ *Options, _, target storage.Store) {
			set(t, target, storage.MetaMigration, `{"source":"another","kind":1}`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := openBolt(t, "source.db"), openBolt(t, "target.db")
			fill(t, source, small)
			opened := false
			o := options(source, target)
			o.OpenTarget = func(context.Context) (storage.Store, error) {
				opened = true
				return kept{target}, nil
			}
			c.adjust(&o, source, target)
			before := everything(t, target)
			if _, err := Run(t.Context(), o); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if diff := cmp.Diff(before, everything(t, target)); diff != "" || opened && !errors.Is(c.want, ErrOther) {
				t.Errorf("the target was opened: %v, and changed:\n%s", opened, diff)
			}
			if _, marked := meta(t, source, storage.MetaRestored); marked {
				t.Error("the source is marked")
			}
		})
	}
	t.Run("room enough, or not known", func(t *testing.T) {
		for _, known := range []bool{true, false} {
			o := options(openBolt(t, "source.db"), openBolt(t, "target.db"))
			fill(t, o.Source, small)
			o.Capacity = func() (uint64, bool, error) {
				if known {
					return 17 << 20, true, nil
				}
				return 0, false, nil
			}
			if _, err := Run(t.Context(), o); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestMOVE2_ATargetInUseIsRefused, whatever kind of record it has.
func TestMOVE2_ATargetInUseIsRefused(t *testing.T) {
	source := openBolt(t, "source.db")
	fill(t, source, small)
	for _, list := range everything(t, source) {
		target := openBolt(t, "target.db")
		if err := target.Update(t.Context(), func(tx storage.Tx) error { return tx.Records().Put(list[0]) }); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), options(source, target))
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), list[0].RecordKind().String()) {
			t.Errorf("%s in the target: %v", list[0].RecordKind(), err)
		}
	}
}

// TestMOVE2_ADifferenceIsFound: a source that was used between two runs, a target that lost or changed a record.
func TestMOVE2_ADifferenceIsFound(t *testing.T) {
	for name, change := range map[string]func(source, target storage.Tx) error{
		"the source has a new account": func(source, _ storage.Tx) error {
			return source.Records().Put(storage.Account{ID: "a", Mailbox: digest("a"), Version: 1})
		},
		"the source has ended a session": func(source, _ storage.Tx) error {
			list, err := source.Sessions().List(storage.Key{}, 1)
			if err == nil {
				_, err = source.Sessions().Delete(list[0].Key)
			}
			return err
		},
		"the target has changed an epoch": func(_, target storage.Tx) error {
			_, err := target.Epochs().Raise(storage.AccountEpoch("account-00000000"))
			return err
		},
	} {
		source, target := openBolt(t, "source.db"), openBolt(t, "target.db")
		fill(t, source, small)
		left := 20 // in the sessions
		o := options(source, target)
		o.OpenTarget = func(context.Context) (storage.Store, error) { return cut{target, &left, true}, nil }
		if _, err := Run(t.Context(), o); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		err := source.Update(t.Context(), func(a storage.Tx) error {
			return target.Update(t.Context(), func(b storage.Tx) error { return change(a, b) })
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Run(t.Context(), options(source, target))
		if !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: %v", name, err)
		}
		if _, marked := meta(t, target, storage.MetaMigration); !marked {
			t.Errorf("%s: a gate may open the target", name)
		}
		if _, marked := meta(t, source, storage.MetaRestored); marked {
			t.Errorf("%s: the source is marked", name)
		}
	}
}
