package bolt

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// codecs read a record and write it again.
var codecs = map[string]func([]byte) ([]byte, error){
	"account": func(b []byte) ([]byte, error) { v, err := decodeAccount("id", b); return encodeAccount(v), err },
	"flow":    func(b []byte) ([]byte, error) { v, err := decodeFlow(storage.Key{}, b); return encodeFlow(v), err },
	"token":   func(b []byte) ([]byte, error) { v, err := decodeToken(storage.Key{}, b); return encodeToken(v), err },
	"session": func(b []byte) ([]byte, error) {
		v, err := decodeSession(storage.Key{}, b)
		return encodeSession(v), err
	},
	"machine token": func(b []byte) ([]byte, error) {
		v, err := decodeMachineToken(storage.Key{}, b)
		return encodeMachineToken(v), err
	},
	"invitation": func(b []byte) ([]byte, error) {
		v, err := decodeInvitation(storage.Key{}, b)
		return encodeInvitation(v), err
	},
	"mail":  func(b []byte) ([]byte, error) { v, err := decodeMail(storage.MailID{}, b); return encodeMail(v), err },
	"event": func(b []byte) ([]byte, error) { v, err := decodeEvent(b); return encodeEvent(v), err },
}

// samples are one full and one empty record of each kind.
func samples() map[string][][]byte {
	at := time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
	k := storage.Key{End: 1 << 31, Digest: storage.Digest{1, 2, 3}}
	return map[string][][]byte{
		"account": {
			encodeAccount(storage.Account{}),
			encodeAccount(storage.Account{
				Mailbox: k.Digest, Status: 1, Roles: []string{"a", "b"}, Private: []byte("p"), Password: []byte("q"), Created: at, Version: 9,
			}),
		},
		"flow": {
			encodeFlow(storage.Flow{}),
			encodeFlow(storage.Flow{
				ID: "i", Site: "s", Purpose: "p", Mailbox: k.Digest, Epochs: storage.Epochs{Global: 1, Mailbox: 2, Account: 3},
				Account: "a", Bound: true, MailIP: []storage.Key{k, {}}, Started: at, ResendsLeft: -1, NextResend: at,
				Codes: []storage.Digest{k.Digest}, WrongCodes: 3, State: 2, EndedBy: k.Digest, Session: k, Private: []byte("p"),
			}),
		},
		"token": {
			encodeToken(storage.Token{}),
			encodeToken(storage.Token{Kind: 1, Flow: k, Used: at, Replayed: true}),
		},
		"session": {
			encodeSession(storage.Session{}),
			encodeSession(storage.Session{
				ID: "i", Account: "a", Mailbox: k.Digest, Site: "s", Methods: []string{"link"}, AuthTime: at, Created: at, Seen: at,
				IdleEnd: at, Parent: k, Device: "d", Network: "n",
			}),
		},
		"machine token": {
			encodeMachineToken(storage.MachineToken{}),
			encodeMachineToken(storage.MachineToken{
				ID: "i", Account: "a", Mailbox: k.Digest, Epochs: storage.Epochs{Global: 1, Mailbox: 2, Account: 3}, Site: "s",
				Scopes: []string{"a", "b"}, Created: at, Revoked: at, Private: []byte("p"),
			}),
		},
		"invitation": {
			encodeInvitation(storage.Invitation{}),
			encodeInvitation(storage.Invitation{ID: "i", Inviter: "a", Mailbox: k.Digest}),
		},
		"mail": {
			encodeMail(storage.Mail{}),
			encodeMail(storage.Mail{
				Due: at, End: at, Queued: at, Attempts: 2, Flow: k, Purpose: "p", Site: "s", Sealed: []byte("x"), Dead: true, Reason: "r",
				Lane: storage.LaneLine, Position: 1 << 40, Empty: true,
			}),
		},
		"event": {
			encodeEvent(storage.Event{}),
			encodeEvent(storage.Event{Time: at, Name: "n", Purpose: "p", Outcome: "o", Account: "a", Flow: "f", Site: "s", Client: "c"}),
			encodeEvent(storage.Event{Time: at, Name: "n", Operator: storage.Operator{Command: "x", User: "u", Host: "h"}}),
		},
	}
}

func TestRecordsReadBackAsWritten(t *testing.T) {
	for kind, records := range samples() {
		for _, b := range records {
			got, err := codecs[kind](b)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s: %v\n%s", kind, err, cmp.Diff(b, got))
			}
		}
	}
}

func TestDUR1_DamagedRecordsAreRefused(t *testing.T) {
	for kind, records := range samples() {
		for _, b := range records {
			for n := range b {
				if _, err := codecs[kind](b[:n]); !errors.Is(err, storage.ErrDamaged) {
					t.Errorf("%s cut to %d bytes of %d: %v", kind, n, len(b), err)
				}
			}
			for name, bad := range map[string][]byte{
				"a byte more":     append(bytes.Clone(b), 0),
				"another version": append([]byte{b[0] + 1}, b[1:]...),
			} {
				if _, err := codecs[kind](bad); !errors.Is(err, storage.ErrDamaged) {
					t.Errorf("%s with %s: %v", kind, name, err)
				}
			}
		}
	}
}

func TestTimesOutsideTheFormatAreBroughtIntoIt(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		{},
		time.Unix(0, 0), time.Date(2026, 3, 1, 1, 2, 3, 4, time.Local),
		time.Date(200000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		w := &writer{}
		w.time(at)
		r := &reader{b: w.b}
		got := r.time()
		if r.bad || len(r.b) != 0 {
			t.Errorf("%v cannot be read", at)
		}
		if inside := at.Year() >= 1 && at.Year() < 36812; inside && !got.Equal(at) {
			t.Errorf("%v reads back as %v", at, got)
		}
		stamp, err := readStamp(appendStamp(nil, at))
		if err != nil || at.Year() >= 1 && at.Year() < 36812 && !stamp.Equal(at) {
			t.Errorf("the stamp of %v reads back as %v, %v", at, stamp, err)
		}
	}
}

// FuzzRecords feeds every decoder: none panics, none asks for much memory, and what one accepts it writes in one form that it
// reads back the same.
func FuzzRecords(f *testing.F) {
	for _, records := range samples() {
		for _, b := range records {
			f.Add(b)
		}
	}
	f.Add([]byte{recordVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for kind, codec := range codecs {
			first, err := codec(b)
			if err != nil {
				if !errors.Is(err, storage.ErrDamaged) {
					t.Errorf("%s: %v", kind, err)
				}
				continue
			}
			second, err := codec(first)
			if err != nil || !bytes.Equal(first, second) {
				t.Errorf("%s: %x reads back as %x, %v", kind, first, second, err)
			}
		}
	})
}

// FuzzIndexEntries feeds the parsers of keys.
func FuzzIndexEntries(f *testing.F) {
	f.Add(make([]byte, keyLen))
	f.Add(appendStamp(nil, time.Unix(1<<31, 5)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := parseKey(b); err == nil {
			if again, ok := keyOf(k); !ok || !bytes.Equal(again, b) {
				t.Errorf("key %x reads back as %x", b, again)
			}
		}
		if at, err := readStamp(b); err == nil {
			if again := appendStamp(nil, at); binaryOrder(again, b) {
				t.Errorf("stamp %x reads back as %x", b, again)
			}
		}
		_, _ = readNumber(b)
	})
}

// binaryOrder reports whether two stamps differ although the nanoseconds of the second were in range.
func binaryOrder(a, b []byte) bool {
	return !bytes.Equal(a, b) && bytes.Compare(b[8:], []byte{0x3b, 0x9a, 0xca, 0x00}) < 0
}
