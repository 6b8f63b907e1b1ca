package vault

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// openBoth opens one store twice, as two processes do.
func openBoth(t *testing.T, now *clock.Fake) (a, b *Vault) {
	t.Helper()
	store := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	both := [2]*Vault{}
	for i := range both {
		v, err := Open(t.Context(), Config{Store: store, Masters: masters(master(1)), Clock: now.Clock()})
		if err != nil {
			t.Fatal(err)
		}
		both[i] = v
	}
	return both[0], both[1]
}

func TestKEY1_ARotationReachesTheOther(t *testing.T) {
	now := clock.NewFake(noon)
	a, b := openBoth(t, now)
	kid, err := a.RotateSigningKey(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.RotateSigningKey(t.Context(), nil); !errors.Is(err, keyring.ErrRotating) {
		t.Errorf("a second rotation, by the other: %v", err)
	}
	now.Advance(keyring.SigningLead)
	for _, v := range []*Vault{a, b} {
		if got := v.Signing.Current(now.Clock().Now()).ID; got != kid || len(v.Signing.Listed(now.Clock().Now())) != 2 {
			t.Errorf("it signs with %s and not with %s", got, kid)
		}
	}
}

// deaf is a store whose subscribers hear of nothing.
type deaf struct{ storage.Store }

func (deaf) Subscribe(func(storage.Change)) (stop func()) { return func() {} }

// TestKEY1_SigningKeysAreReadAgain: a node that missed a rotation has the key with the next sweep.
func TestKEY1_SigningKeysAreReadAgain(t *testing.T) {
	now := clock.NewFake(noon)
	a, _ := openBoth(t, now)
	b, err := Open(t.Context(), Config{Store: deaf{a.Store}, Masters: masters(master(1)), Clock: now.Clock()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.RotateSigningKey(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.reloadSigning(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Signing.Listed(now.Clock().Now())); n != 2 {
		t.Errorf("%d keys are listed", n)
	}
}

// TestKEY1_TwoFirstStartsMakeOneDataKey lets another process make the data key between the read and the write.
func TestKEY1_TwoFirstStartsMakeOneDataKey(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	var first *Vault
	load := func(sealed []byte) ([][]byte, error) {
		if first == nil {
			var err error
			if first, err = Open(t.Context(), Config{Store: store, Masters: masters(master(1))}); err != nil {
				t.Fatal(err)
			}
		}
		return [][]byte{master(1)}, nil
	}
	second, err := Open(t.Context(), Config{Store: store, Masters: load})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, second)
	if !bytes.Equal(first.Ring.AudienceKey("app"), second.Ring.AudienceKey("app")) {
		t.Error("two data keys")
	}
}

func TestCLK1_ThePersistedClockNeverRunsBack(t *testing.T) {
	now := clock.NewFake(noon)
	fast, _ := openBoth(t, now)
	slow, err := Open(t.Context(), Config{Store: deaf{fast.Store}, Masters: masters(master(1)), Clock: clock.NewFake(noon).Clock()})
	if err != nil {
		t.Fatal(err)
	}
	now.Advance(4 * time.Minute)
	for _, v := range []*Vault{fast, slow} {
		if err := v.SaveClock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	found, err := read(t.Context(), fast.Store)
	if err != nil || !found.clock.Equal(noon.Add(4*time.Minute)) {
		t.Errorf("persisted is %v, %v", found.clock, err)
	}
}

// moved is a store that says when its place is another one.
type moved struct {
	storage.Store
	incarnation atomic.Pointer[string]
}

func (m *moved) Incarnation(context.Context) (string, error) { return *m.incarnation.Load(), nil }

// TestREST2_AnotherIncarnationWhileItRuns: after a lost connection the vault asks which database it has.
func TestREST2_AnotherIncarnationWhileItRuns(t *testing.T) {
	one, two := "one", "two"
	store := &moved{Store: openStore(t, filepath.Join(t.TempDir(), "test.db"))}
	store.incarnation.Store(&one)
	v, err := Open(t.Context(), Config{Store: store, Masters: masters(master(1)), Clock: clock.NewFake(noon).Clock()})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, v)
	for _, c := range []struct {
		email         string
		incarnation   *string
		doubts, alive bool
	}{{"ada@example.com", &one, true, true}, {"bob@example.com", &two, false, true}, {"eve@example.com", &two, true, false}} {
		cookie, _ := signIn(t, v, c.email)
		store.incarnation.Store(c.incarnation)
		if c.doubts {
			v.changed(storage.Change{Kind: storage.ChangeAll})
		}
		if err := v.checkIncarnation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if alive(t, v, cookie) != c.alive {
			t.Errorf("%s: the session is alive: %v", c.email, !c.alive)
		}
	}
	cookie, _ := signIn(t, v, "zoe@example.com")
	v.changed(storage.Change{Kind: storage.ChangeAll})
	if err := v.checkIncarnation(t.Context()); err != nil || !alive(t, v, cookie) {
		t.Errorf("it ends everything again: %v", err)
	}
}

// TestREST2_AnInterruptedEndIsRepeated: the first step of it has ended the sessions, and the mark makes the next start do the rest.
func TestREST2_AnInterruptedEndIsRepeated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	v := open(t, path, clock.NewFake(noon).Clock(), master(1))
	cookie, _ := signIn(t, v, "ada@example.com")
	mail := storage.Mail{ID: storage.MailID{1}, Due: noon, End: noon.Add(time.Hour), Queued: noon, Sealed: []byte("x")}
	if err := v.Store.Update(t.Context(), func(tx storage.Tx) error { return tx.Outbox().Enqueue(mail) }); err != nil {
		t.Fatal(err)
	}
	store := v.Store
	v.Store = &interrupted{Store: store}
	if _, err := v.EndRestored(t.Context(), nil); !errors.Is(err, errInterrupted) {
		t.Fatal(err)
	}
	v.Store = store
	if alive(t, v, cookie) {
		t.Error("the session is alive")
	}
	closed(t, v)
	v = open(t, path, clock.NewFake(noon).Clock(), master(1))
	defer closed(t, v)
	if waiting, err := waitingMails(t, v); !v.Restored || waiting != 0 || err != nil {
		t.Errorf("restored %v, %d mails wait, %v", v.Restored, waiting, err)
	}
}

func waitingMails(t *testing.T, v *Vault) (n int, err error) {
	t.Helper()
	err = v.Store.View(t.Context(), func(tx storage.Tx) (err error) {
		n, _, err = tx.Outbox().Stats()
		return err
	})
	return n, err
}

var errInterrupted = errors.New("interrupted")

// interrupted is a store that fails after its first step.
type interrupted struct {
	storage.Store
	steps int
}

func (s *interrupted) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if s.steps++; s.steps > 1 {
		return errInterrupted
	}
	return s.Store.Update(ctx, fn)
}

// TestREST2_AnotherIncarnationStartsEmpty opens a database that its server's own tools have put back.
func TestREST2_AnotherIncarnationStartsEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := clock.NewFake(noon)
	var cookie string
	for _, c := range []struct {
		incarnation     string
		restored, alive bool
	}{{"", false, true}, {"one", false, true}, {"one", false, true}, {"two", true, false}, {"two", false, false}} {
		store := &moved{Store: openStore(t, path)}
		store.incarnation.Store(&c.incarnation)
		v, err := Open(t.Context(), Config{Store: store, Masters: masters(master(1)), Clock: now.Clock()})
		if err != nil {
			t.Fatal(err)
		}
		if cookie == "" {
			cookie, _ = signIn(t, v, "ada@example.com")
		}
		if v.Restored != c.restored || alive(t, v, cookie) != c.alive {
			t.Errorf("%q: restored %v, the session is alive: %v", c.incarnation, v.Restored, alive(t, v, cookie))
		}
		closed(t, v)
	}
}

// openNodes opens the database of two nodes, with a list of master keys each. The nodes have clocks of their own.
func openNodes(t *testing.T, nodes []*enginetest.Node, keys ...[][]byte) (list []*Vault) {
	t.Helper()
	for i, n := range nodes {
		v, err := Open(t.Context(), Config{Store: n, Masters: masters(keys[i]...)})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func newNodes(t *testing.T) []*enginetest.Node {
	t.Helper()
	store := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return enginetest.Nodes(store, 2)
}

// sealedBy returns the fingerprint of the key that a database is sealed by.
func sealedBy(t *testing.T, store storage.Store) string {
	t.Helper()
	found, err := read(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	by, err := keyring.SealedBy(found.sealed)
	if err != nil {
		t.Fatal(err)
	}
	return by
}

// TestNODE3_NoStartSealsTheDatabaseAnew: nodes with the same keys in another order would undo each other's seal.
func TestNODE3_NoStartSealsTheDatabaseAnew(t *testing.T) {
	nodes := newNodes(t)
	openNodes(t, nodes[:1], [][]byte{master(1)})
	before := sealedBy(t, nodes[0])
	both := openNodes(t, nodes, [][]byte{master(2), master(1)}, [][]byte{master(1), master(2)})
	if after := sealedBy(t, nodes[0]); after != before {
		t.Errorf("sealed by %s, before by %s", after, before)
	}
	if !bytes.Equal(both[0].Ring.AudienceKey("app"), both[1].Ring.AudienceKey("app")) {
		t.Error("two data keys")
	}
}

// TestNODE3_NodesGoByTheClockOfTheDatabase, whatever that of their machine says.
func TestNODE3_NodesGoByTheClockOfTheDatabase(t *testing.T) {
	nodes := newNodes(t)
	for _, n := range nodes {
		n.SetOffset(30 * time.Second)
	}
	for _, v := range openNodes(t, nodes, [][]byte{master(1)}, [][]byte{master(1)}) {
		at := v.Clock.Read()
		if ahead := at.Now.Sub(at.Wall); ahead < 25*time.Second {
			t.Errorf("the gate's clock is %s ahead of the machine's", ahead)
		}
	}
}

// TestNODE1_OneNodeSweeps lets a node sweep while another one does.
func TestNODE1_OneNodeSweeps(t *testing.T) {
	nodes := newNodes(t)
	both := openNodes(t, nodes, [][]byte{master(1)}, [][]byte{master(1)})
	before := nodes[1].Updates()
	ran, err := nodes[0].RunExclusive(t.Context(), "sweep", func(ctx context.Context) error { return both[1].sweepOnce(ctx) })
	if err != nil || !ran || nodes[1].Updates() != before {
		t.Errorf("ran %v, %v; the other has written %d times", ran, err, nodes[1].Updates()-before)
	}
	if err := both[1].sweepOnce(t.Context()); err != nil || nodes[1].Updates() == before {
		t.Errorf("alone it does not sweep: %v", err)
	}
}

// TestREST2_OneNodeEndsWhatWasRestored: what is made after that lives on when the other node notices as well.
func TestREST2_OneNodeEndsWhatWasRestored(t *testing.T) {
	one, two := "one", "two"
	store := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	var both [2]*Vault
	var stores [2]*moved
	now := clock.NewFake(noon)
	for i := range both {
		stores[i] = &moved{Store: store}
		stores[i].incarnation.Store(&one)
		v, err := Open(t.Context(), Config{Store: stores[i], Masters: masters(master(1)), Clock: now.Clock()})
		if err != nil {
			t.Fatal(err)
		}
		both[i] = v
	}
	defer closed(t, both[0])
	old, _ := signIn(t, both[0], "ada@example.com")
	for i, v := range both {
		stores[i].incarnation.Store(&two)
		v.doubt.Store(true)
		if err := v.checkIncarnation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if alive(t, v, old) {
				t.Fatal("a session from before is alive")
			}
			old, _ = signIn(t, v, "bob@example.com")
		}
	}
	if !alive(t, both[0], old) {
		t.Error("the second node has ended a session that was opened since")
	}
}

// TestKEY1_AVerifierThatAsksAnyNodeKnowsEachKey rotates the key on one of three nodes again and again while another one signs. Each hears of
// the others once a minute only. Whoever has fetched the keys from any node since the lead began knows the key of each assertion, and so does
// whoever fetches them while an assertion works.
func TestKEY1_AVerifierThatAsksAnyNodeKnowsEachKey(t *testing.T) {
	now := clock.NewFake(noon)
	store := openStore(t, filepath.Join(t.TempDir(), "test.db"))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	nodes := enginetest.Nodes(store, 3)
	var vaults []*Vault
	for _, n := range nodes {
		v, err := Open(t.Context(), Config{Store: n, Masters: masters(master(1)), Clock: now.Clock()})
		if err != nil {
			t.Fatal(err)
		}
		vaults = append(vaults, v)
	}
	const minutes, works = 180, 5
	lead := int(keyring.SigningLead/time.Minute) - 1 // the last minute is that of the poll
	var minted []string
	listed := make([][]map[string]bool, len(nodes))
	for minute := range minutes {
		if minute%40 == 3 {
			if _, err := vaults[0].RotateSigningKey(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		at := now.Clock().Now()
		minted = append(minted, vaults[1].Signing.Current(at).ID)
		for i, v := range vaults {
			ids := map[string]bool{}
			for _, k := range v.Signing.Listed(at) {
				ids[k.ID] = true
			}
			listed[i] = append(listed[i], ids)
			for fetched := max(0, minute-lead); fetched <= minute; fetched++ {
				if !listed[i][fetched][minted[minute]] {
					t.Fatalf("minute %d: who fetched the keys from node %d in minute %d does not know the key of an assertion", minute, i+1, fetched)
				}
			}
			if old := minted[max(0, minute-works)]; !ids[old] {
				t.Fatalf("minute %d: node %d lists the key no more that has signed an assertion which works", minute, i+1)
			}
		}
		now.Advance(time.Minute)
		for _, n := range nodes {
			n.Poll()
		}
	}
	if slices.Compact(minted)[0] == minted[len(minted)-1] {
		t.Error("no other key has come to sign")
	}
}
