package machinetoken

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	siteA = "https://a.example.com"
	siteB = "https://b.example.com"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// spy is a store that counts, fails where told, and calls afterView when a View has read and not yet answered.
type spy struct {
	storage.Store
	views, updates       atomic.Int64
	afterView            atomic.Pointer[func()]
	failView, failUpdate atomic.Pointer[error]
}

func (s *spy) View(ctx context.Context, fn func(storage.Tx) error) error {
	s.views.Add(1)
	if err := s.failView.Load(); err != nil {
		return *err
	}
	err := s.Store.View(ctx, fn)
	if f := s.afterView.Load(); f != nil {
		(*f)()
	}
	return err
}

func (s *spy) Update(ctx context.Context, fn func(storage.Tx) error) error {
	s.updates.Add(1)
	if err := s.failUpdate.Load(); err != nil {
		if errors.Is(*err, storage.ErrUnknown) {
			_ = s.Store.Update(ctx, fn)
		}
		return *err
	}
	return s.Store.Update(ctx, fn)
}

// rig is a manager over a real store.
type rig struct {
	*Manager
	t        testing.TB
	spy      *spy
	time     *clock.Fake
	accounts *accounts.Service
	log      *bytes.Buffer
}

func newRig(t testing.TB) *rig {
	t.Helper()
	store := enginetest.Open(t, t.TempDir())
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, spy: &spy{Store: store}, time: clock.NewFake(noon), log: new(bytes.Buffer)}
	ring := newRing(t)
	r.accounts = &accounts.Service{Store: r.spy, Ring: ring, Clock: r.time.Clock()}
	r.start(ring)
	return r
}

func newRing(t testing.TB) *keyring.Ring {
	t.Helper()
	master := make([]byte, 32)
	_, _ = rand.Read(master)
	ring, _, err := keyring.Open([][]byte{master}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// start is a new process over the same store.
func (r *rig) start(ring *keyring.Ring) {
	r.t.Helper()
	r.Manager = NewManager(r.spy, ring, r.time.Clock(), r.accounts)
	r.Log = slog.New(slog.NewTextHandler(r.log, nil))
	r.SetScopes([]string{"calendar", "contacts"})
	if err := r.Load(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) update(fn func(storage.Tx) error) {
	r.t.Helper()
	if err := r.spy.Update(context.Background(), fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) account(email string) (a accounts.Account) {
	r.t.Helper()
	addr, err := address.Parse(email)
	if err != nil {
		r.t.Fatal(err)
	}
	r.update(func(tx storage.Tx) (err error) {
		a, err = r.accounts.Create(tx, accounts.NewAccount{Address: addr, Roles: []string{"user"}})
		return err
	})
	return a
}

// make makes a token of site A with the scope calendar, for a day.
func (r *rig) make(accountID string) (string, Token) {
	r.t.Helper()
	text, tok, err := r.Create(context.Background(), Input{
		Account: accountID, Site: siteA, Scopes: []string{"calendar"}, TTL: 24 * time.Hour, Name: "phone",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return text, tok
}

func (r *rig) mustFind(text string) *Live {
	r.t.Helper()
	l, err := r.Find(context.Background(), text, siteA)
	if err != nil || l == nil {
		r.t.Fatalf("Find = %v, %v", l, err)
	}
	return l
}

func (r *rig) mustBeDead(text string) {
	r.t.Helper()
	for range 2 {
		if l, err := r.Find(context.Background(), text, siteA); l != nil || err != nil {
			r.t.Fatalf("Find = %v, %v", l, err)
		}
	}
}

// target ends a request by its context alone.
type target context.CancelCauseFunc

func (end target) End(cause error, _ bool) { end(cause) }

func (r *rig) track(l *Live) (cause func() error, unregister func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	q := &credential.Request{Credential: l, Target: target(cancel), Since: r.time.Clock().Now().Add(-time.Minute)}
	r.Track(q)
	return func() error { return context.Cause(ctx) }, func() { r.Untrack(q) }
}

func TestMACH1_ATokenIsWhatItSays(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	text, tok := r.make(a.ID)
	if !strings.HasPrefix(text, Prefix) || len(text) > MaxText {
		t.Errorf("%d bytes: %.8s", len(text), text)
	}
	l := r.mustFind(text)
	if l.ID != tok.ID || l.Site != siteA || !slices.Equal(l.Scopes, []string{"calendar"}) || l.Account.Email != "ada@example.com" ||
		!l.Issued.Equal(noon) || !l.Ends.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("%+v", l)
	}
	if l, err := r.Find(t.Context(), text, siteB); l != nil || err != nil {
		t.Errorf("at another site: %v, %v", l, err)
	}
	list, err := r.List(t.Context(), a.ID)
	if err != nil || len(list) != 1 || list[0].Name != "phone" || list[0].Ended {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if other, err := r.List(t.Context(), "somebody"); len(other) != 0 || err != nil {
		t.Errorf("listed: %+v, %v", other, err)
	}
	if strings.Contains(r.log.String(), text) || !strings.Contains(r.log.String(), tok.ID) {
		t.Errorf("the log: %s", r.log)
	}
}

// TestMACH4_AHitReadsNothing also holds for a flood of texts that are no tokens: they cost no write either.
func TestMACH4_AHitReadsNothing(t *testing.T) {
	r := newRig(t)
	text, _ := r.make(r.account("ada@example.com").ID)
	r.mustFind(text)
	views, updates := r.spy.views.Load(), r.spy.updates.Load()
	for range 100 {
		r.mustFind(text)
		r.mustBeDead(text + "x")
		r.mustBeDead(Prefix + "x")
	}
	if v, u := r.spy.views.Load()-views, r.spy.updates.Load()-updates; v != 0 || u != 0 {
		t.Errorf("%d reads, %d writes", v, u)
	}
	if n := testing.AllocsPerRun(100, func() { r.mustFind(text) }); n > 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

func TestMACH1_TamperedWithEveryByte(t *testing.T) {
	r := newRig(t)
	text, _ := r.make(r.account("ada@example.com").ID)
	for i := range len(text) {
		for _, c := range []byte{text[i] ^ 1, text[i] ^ 0x20, 'A', '.', '\n', '='} {
			if c == text[i] {
				continue
			}
			r.mustBeDead(text[:i] + string(rune(c)) + text[i+1:])
		}
		r.mustBeDead(text[:i])
		r.mustBeDead(text[:i] + "\n" + text[i:])
	}
	for _, s := range []string{"", Prefix, text + "=", text + ".", " " + text, strings.ToUpper(text), strings.Repeat(text, 20)} {
		r.mustBeDead(s)
	}
	r.mustFind(text)
}

// TestMACH1_ClaimsThatNobodyMade seals what this program never does, with the right key.
func TestMACH1_ClaimsThatNobodyMade(t *testing.T) {
	r := newRig(t)
	good, tok := r.make(r.account("ada@example.com").ID)
	c, ok := r.open(good, noon)
	if !ok {
		t.Fatal("a good token does not open")
	}
	for name, change := range map[string]func(*storage.MachineToken){
		"over 90 days":    func(t *storage.MachineToken) { t.Created = t.Key.Ends().Add(-MaxTTL - time.Second) },
		"from the future": func(t *storage.MachineToken) { t.Created = noon.Add(time.Hour) },
		"another end":     func(t *storage.MachineToken) { t.Key.End++ },
		"over":            func(t *storage.MachineToken) { t.Key.End, t.Created = noon.Unix(), noon.Add(-time.Hour) },
		"another account": func(t *storage.MachineToken) { t.Account = "x" },
		"another site":    func(t *storage.MachineToken) { t.Site = siteB },
		"another id":      func(t *storage.MachineToken) { t.ID = "x" },
		"without an id":   func(t *storage.MachineToken) { t.ID = "" },
		"another scope":   func(t *storage.MachineToken) { t.Scopes = []string{"contacts"} },
		"more scopes":     func(t *storage.MachineToken) { t.Scopes = []string{"calendar", "contacts"} },
		"another epoch":   func(t *storage.MachineToken) { t.Epochs.Account++ },
	} {
		rec := tok.MachineToken
		change(&rec)
		text, err := r.seal(rec, c.Secret)
		if err != nil {
			t.Fatal(err)
		}
		for _, site := range []string{siteA, siteB} {
			if l, err := r.Find(t.Context(), text, site); l != nil || err != nil {
				t.Errorf("%s at %s: %v, %v", name, site, l, err)
			}
		}
	}
	for _, secret := range [][]byte{nil, make([]byte, secretSize), c.Secret[1:]} {
		text, err := r.seal(tok.MachineToken, secret)
		if err != nil {
			t.Fatal(err)
		}
		r.mustBeDead(text)
	}
	same, err := r.seal(tok.MachineToken, c.Secret)
	if err != nil {
		t.Fatal(err)
	}
	r.mustFind(same)
}

func TestMACH1_AnotherKey(t *testing.T) {
	r, other := newRig(t), newRig(t)
	text, _ := other.make(other.account("ada@example.com").ID)
	r.mustBeDead(text)
}

func TestMACH1_TheEndIsExact(t *testing.T) {
	r := newRig(t)
	text, _ := r.make(r.account("ada@example.com").ID)
	l := r.mustFind(text)
	cause, unregister := r.track(l)
	defer unregister()
	r.time.Advance(24*time.Hour - 1)
	r.mustFind(text)
	if err := r.Tick(t.Context(), r.time.Clock().Now()); err != nil || cause() != nil {
		t.Errorf("%v, %v", err, cause())
	}
	r.time.Advance(1)
	r.mustBeDead(text)
	if err := r.Tick(t.Context(), r.time.Clock().Now()); err != nil || !errors.Is(cause(), ErrEnded) {
		t.Errorf("%v, %v", err, cause())
	}
	for range max(cleanEvery, credential.Shards) { // each tick cleans one shard of the cache
		_ = r.Tick(t.Context(), r.time.Clock().Now())
	}
	if s := r.Stats(); s.Issued != 0 || s.Cached != 0 {
		t.Errorf("in memory: %+v", s)
	}
	if list, err := r.List(t.Context(), ""); len(list) != 0 || err != nil {
		t.Errorf("listed: %v, %v", list, err)
	}
}

func TestMACH2_Revoked(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	text, tok := r.make(a.ID)
	other, _ := r.make(a.ID)
	l := r.mustFind(text)
	cause, unregister := r.track(l)
	defer unregister()
	otherCause, otherUnregister := r.track(r.mustFind(other))
	defer otherUnregister()
	got, revoked, err := r.Revoke(t.Context(), tok.ID, storage.Operator{})
	if err != nil || !revoked || got.ID != tok.ID || got.Name != "phone" {
		t.Fatalf("Revoke = %+v, %v, %v", got, revoked, err)
	}
	r.mustBeDead(text)
	r.mustFind(other)
	if !l.Ended() || !errors.Is(cause(), ErrEnded) || otherCause() != nil {
		t.Errorf("ended %v, causes %v and %v", l.Ended(), cause(), otherCause())
	}
	if _, revoked, err := r.Revoke(t.Context(), tok.ID, storage.Operator{}); revoked || err != nil {
		t.Errorf("again: %v, %v", revoked, err)
	}
	if _, _, err := r.Revoke(t.Context(), "nobody", storage.Operator{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown one: %v", err)
	}
	r.start(r.ring)
	r.mustBeDead(text)
	r.mustFind(other)
	list, err := r.List(t.Context(), "")
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for _, one := range list {
		if one.Ended != (one.ID == tok.ID) {
			t.Errorf("listed %+v", one)
		}
	}
}

// TestMACH2_RevokedWithAnUnknownOutcome: the commit happened, but nobody knows.
func TestMACH2_RevokedWithAnUnknownOutcome(t *testing.T) {
	r := newRig(t)
	text, tok := r.make(r.account("ada@example.com").ID)
	r.mustFind(text)
	unknown := storage.ErrUnknown
	r.spy.failUpdate.Store(&unknown)
	if _, _, err := r.Revoke(t.Context(), tok.ID, storage.Operator{}); !errors.Is(err, storage.ErrUnknown) {
		t.Fatal(err)
	}
	r.mustBeDead(text)
}

func TestMACH2_DiesWithWhatItsAccountHad(t *testing.T) {
	for name, step := range map[string]func(*rig, storage.Tx, string) error{
		"disabled": func(r *rig, tx storage.Tx, id string) error {
			return r.accounts.SetStatus(tx, id, storage.StatusDisabled)
		},
		"disabled and enabled": func(r *rig, tx storage.Tx, id string) error {
			return errors.Join(r.accounts.SetStatus(tx, id, storage.StatusDisabled), r.accounts.SetStatus(tx, id, storage.StatusActive))
		},
		"deleted": func(r *rig, tx storage.Tx, id string) error { return r.accounts.Delete(tx, id) },
		"ended everywhere": func(_ *rig, tx storage.Tx, id string) error {
			_, err := tx.Epochs().Raise(storage.AccountEpoch(id))
			return errors.Join(err, tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: id}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.account("ada@example.com")
			text, _ := r.make(a.ID)
			other, _ := r.make(r.account("grace@example.com").ID)
			l := r.mustFind(text)
			cause, unregister := r.track(l)
			defer unregister()
			r.update(func(tx storage.Tx) error { return step(r, tx, a.ID) })
			r.mustBeDead(text)
			if !l.Ended() || !errors.Is(cause(), ErrEnded) {
				t.Errorf("ended %v, cause %v", l.Ended(), cause())
			}
			r.mustFind(other)
			r.start(r.ring)
			r.mustBeDead(text)
			r.mustFind(other)
		})
	}
}

func TestMACH2_DiesWithEverythingOfEverybody(t *testing.T) {
	r := newRig(t)
	text, _ := r.make(r.account("ada@example.com").ID)
	r.mustFind(text)
	r.update(func(tx storage.Tx) error {
		_, err := tx.Epochs().Raise(storage.GlobalEpoch)
		return errors.Join(err, tx.Changes().Publish(storage.Change{Kind: storage.ChangeAll}))
	})
	r.mustBeDead(text)
	r.start(r.ring)
	r.mustBeDead(text)
}

func TestRolesChangeWithTheNextRequest(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	text, _ := r.make(a.ID)
	l := r.mustFind(text)
	mint := func() (string, time.Time, error) { return "old", r.time.Clock().Wall().Add(time.Minute), nil }
	for range 2 {
		if got, err := l.Assertion(l.m.clock.Wall(), "aud", mint); got != "old" || err != nil {
			t.Fatal(got, err)
		}
	}
	cause, unregister := r.track(l)
	defer unregister()
	r.update(func(tx storage.Tx) error { return r.accounts.SetRoles(tx, a.ID, []string{"admin"}) })
	if l.Ended() || !errors.Is(cause(), ErrChanged) {
		t.Errorf("ended %v, cause %v", l.Ended(), cause())
	}
	now := r.mustFind(text)
	if !slices.Equal(now.Account.Roles, []string{"admin"}) {
		t.Errorf("roles are %q", now.Account.Roles)
	}
	if got, err := now.Assertion(now.m.clock.Wall(), "aud", func() (string, time.Time, error) { return "new", time.Time{}, nil }); got != "new" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMACH3_AScopeThatLeavesTheListIsLost(t *testing.T) {
	r := newRig(t)
	text, _ := r.make(r.account("ada@example.com").ID)
	cause, unregister := r.track(r.mustFind(text))
	defer unregister()
	r.SetScopes([]string{"contacts", "calendar"}) // the same list
	if err := r.Tick(t.Context(), r.time.Clock().Now()); err != nil || cause() != nil {
		t.Errorf("%v, %v", err, cause())
	}
	r.SetScopes([]string{"contacts"})
	if got := r.mustFind(text).Scopes; len(got) != 0 {
		t.Errorf("scopes are %q", got)
	}
	if err := r.Tick(t.Context(), r.time.Clock().Now()); err != nil || !errors.Is(cause(), ErrChanged) {
		t.Errorf("%v, %v", err, cause())
	}
	r.SetScopes([]string{"calendar"})
	if got := r.mustFind(text).Scopes; !slices.Equal(got, []string{"calendar"}) {
		t.Errorf("scopes are %q", got)
	}
}

func TestMACH4_NotLoadedIsAnError(t *testing.T) {
	r := newRig(t)
	text, tok := r.make(r.account("ada@example.com").ID)
	broken := errors.New("broken")
	r.Manager = NewManager(r.spy, r.ring, r.time.Clock(), r.accounts)
	r.SetScopes([]string{"calendar"})
	r.spy.failView.Store(&broken)
	if err := r.Load(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	for range 2 {
		if l, err := r.Find(t.Context(), text, siteA); l != nil || !errors.Is(err, ErrNotLoaded) {
			t.Errorf("Find = %v, %v", l, err)
		}
	}
	if _, _, err := r.Revoke(t.Context(), tok.ID, storage.Operator{}); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("Revoke: %v", err)
	}
	r.mustBeDead("elt_nonsense")
	if err := r.Tick(t.Context(), r.time.Clock().Now()); !errors.Is(err, broken) {
		t.Errorf("Tick: %v", err)
	}
	r.spy.failView.Store(nil)
	if err := r.Tick(t.Context(), r.time.Clock().Now()); err != nil {
		t.Fatal(err)
	}
	r.mustFind(text)
	r.spy.failView.Store(&broken)
	r.mustFind(text) // what was read stays good
	r.changed(storage.Change{Kind: storage.ChangeAccount, Account: tok.Account})
	if l, err := r.Find(t.Context(), text, siteA); l != nil || !errors.Is(err, broken) {
		t.Errorf("with a store that cannot be read: %v, %v", l, err)
	}
}

// TestMACH2_SlowLoaderAgainstEnd stops a load between its read and the cache while the token ends.
func TestMACH2_SlowLoaderAgainstEnd(t *testing.T) {
	for name, end := range map[string]func(*rig, Token) error{
		"revoked": func(r *rig, tok Token) error {
			_, _, err := r.Revoke(context.Background(), tok.ID, storage.Operator{})
			return err
		},
		"changed": func(r *rig, tok Token) error {
			return r.spy.Update(context.Background(), func(tx storage.Tx) error {
				_, err := tx.Epochs().Raise(storage.AccountEpoch(tok.Account))
				return errors.Join(err, tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: tok.Account}))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			text, tok := r.make(r.account("ada@example.com").ID)
			read, goOn := make(chan struct{}), make(chan struct{})
			var stopped atomic.Bool
			slow := func() {
				if stopped.CompareAndSwap(false, true) {
					close(read)
					<-goOn
				}
			}
			r.spy.afterView.Store(&slow)
			found := make(chan *Live)
			go func() {
				l, err := r.Find(context.Background(), text, siteA)
				if err != nil {
					t.Error(err)
				}
				found <- l
			}()
			<-read
			if err := end(r, tok); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			if l := <-found; l != nil {
				t.Error("the slow loader let the request in")
			}
			r.mustBeDead(text)
		})
	}
}

// TestMACH2_NothingIsLetInAfterTheAnswer runs finders against a revocation: a Find that begins after it has returned finds
// nothing, and no tracked request stays open.
func TestMACH2_NothingIsLetInAfterTheAnswer(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	for range 30 {
		text, tok := r.make(a.ID)
		l := r.mustFind(text)
		var ended atomic.Bool
		var wg sync.WaitGroup
		begin := make(chan struct{})
		causes := make([]func() error, 4)
		for i := range causes {
			wg.Go(func() {
				<-begin
				causes[i], _ = r.track(l)
				for range 20 {
					after := ended.Load()
					if l, err := r.Find(context.Background(), text, siteA); err != nil || after && l != nil {
						t.Errorf("after %v: %v, %v", after, l, err)
					}
				}
			})
		}
		close(begin)
		if _, _, err := r.Revoke(t.Context(), tok.ID, storage.Operator{}); err != nil {
			t.Fatal(err)
		}
		ended.Store(true)
		wg.Wait()
		for _, cause := range causes {
			if !errors.Is(cause(), ErrEnded) {
				t.Fatalf("a request goes on: %v", cause())
			}
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	good := Input{Account: a.ID, Site: siteA, Scopes: []string{"calendar"}, TTL: time.Hour}
	for name, change := range map[string]func(*Input){
		"no account":     func(in *Input) { in.Account = "" },
		"no site":        func(in *Input) { in.Site = "" },
		"no scope":       func(in *Input) { in.Scopes = nil },
		"too many":       func(in *Input) { in.Scopes = slices.Repeat([]string{"calendar"}, MaxScopes+1) },
		"people's scope": func(in *Input) { in.Scopes = []string{People} },
		"no life":        func(in *Input) { in.TTL = 0 },
		"over 90 days":   func(in *Input) { in.TTL = MaxTTL + 1 },
		"a long name":    func(in *Input) { in.Name = strings.Repeat("x", maxName+1) },
		"an unknown one": func(in *Input) { in.Account = "nobody" },
	} {
		in := good
		change(&in)
		if text, _, err := r.Create(t.Context(), in); err == nil || text != "" {
			t.Errorf("%s: made", name)
		}
	}
	good.TTL = MaxTTL
	if _, _, err := r.Create(t.Context(), good); err != nil {
		t.Error(err)
	}
	r.update(func(tx storage.Tx) error { return r.accounts.SetStatus(tx, a.ID, storage.StatusDisabled) })
	if _, _, err := r.Create(t.Context(), good); !errors.Is(err, ErrNoAccount) {
		t.Errorf("of a disabled account: %v", err)
	}
}

func TestCheckScope(t *testing.T) {
	for scope, want := range map[string]bool{
		"calendar": true, "files:read": true, "a": true, "a-b_c.d:9": true, strings.Repeat("a", MaxScope): true,
		"": false, "9a": false, "-a": false, "Calendar": false, "a b": false, "a,b": false, "é": false, "a\x00": false, "a{b}": false,
		People: false, strings.Repeat("a", MaxScope+1): false,
	} {
		if err := CheckScope(scope); (err == nil) != want {
			t.Errorf("%q: %v", scope, err)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	text, _ := r.make(a.ID)
	l := r.mustFind(text)
	for i := range 3 * cacheBytes / l.cacheSize() {
		var id [32]byte
		id[0], id[1], id[2] = byte(i), byte(i>>8), byte(i>>16)
		r.cache.Put(id, l, l.cacheSize(), r.clock.Now())
	}
	if n, bytes := r.cache.Count(); bytes > cacheBytes || n != bytes/l.cacheSize() {
		t.Errorf("%d are cached, in %d bytes", n, bytes)
	}
	r.mustFind(text)
}

func TestMACH3_AScopeThatIsGivenBackIsThereAgainWhileAStreamIsOpen(t *testing.T) {
	r := newRig(t)
	in := Input{Account: r.account("ada@example.com").ID, Site: siteA, Scopes: []string{"calendar", "contacts"}, TTL: time.Hour}
	text, _, err := r.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	find := func(want ...string) *Live {
		t.Helper()
		l, err := r.Find(t.Context(), text, siteA)
		if err != nil || l == nil || !slices.Equal(l.Scopes, want) {
			t.Fatalf("found %+v, %v; want the scopes %v", l, err, want)
		}
		return l
	}
	r.SetScopes([]string{"calendar"})
	_, unregister := r.track(find("calendar"))
	defer unregister()
	r.SetScopes([]string{"calendar", "contacts"})
	if err := r.Tick(t.Context(), r.time.Clock().Now()); err != nil {
		t.Fatal(err)
	}
	find("calendar", "contacts")
}

// TestMACH2_AnEndThatCouldNotBeReadIsAnEnd: where the store fails while memory is brought up to date, a token from before a new password is
// compared with the store by the next request.
func TestMACH2_AnEndThatCouldNotBeReadIsAnEnd(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	text, _ := r.make(a.ID)
	r.mustFind(text)
	broken := errors.New("the disk is gone")
	defer r.spy.Subscribe(func(storage.Change) { r.spy.failView.Store(nil) })() // behind the manager
	r.spy.failView.Store(&broken)
	if err := r.spy.Store.Update(t.Context(), func(tx storage.Tx) error {
		_, err := tx.Epochs().Raise(storage.AccountEpoch(a.ID))
		return errors.Join(err, tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: a.ID}))
	}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.log.String(), "could not be read") {
		t.Errorf("the log: %s", r.log)
	}
	r.mustBeDead(text)
}
