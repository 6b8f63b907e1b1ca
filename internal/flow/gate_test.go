package flow

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

var start = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// counting is a store that counts steps and what they write.
type inbox struct {
	mu    sync.Mutex
	mails []mailer.Message
	// refuse decides what becomes of a message; nil: all arrive.
	refuse func(mailer.Message) error
}

func (b *inbox) Send(_ context.Context, m mailer.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		if err := b.refuse(m); err != nil {
			return err
		}
	}
	b.mails = append(b.mails, m)
	return nil
}

func (b *inbox) Close(context.Context) error { return nil }

// to returns all mails to an address, oldest first.
func (b *inbox) to(addr string) (list []letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.mails {
		if m.To == addr {
			list = append(list, read(m))
		}
	}
	return list
}

func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mails)
}

// letter is a mail as its reader takes it apart.
type letter struct {
	kind               mailer.Kind
	link, cancel, code string
	message            mailer.Message
}

func render(l outbox.Message) (mailer.Message, error) {
	text := strings.Join([]string{string(l.Kind), l.Link, l.Cancel, l.Code, l.Name, l.Device, l.Network, l.Timezone}, "\n")
	return mailer.Message{From: `"Example" <no-reply@example.com>`, Subject: string(l.Kind), Text: text, HTML: text}, nil
}

func read(m mailer.Message) letter {
	lines := strings.Split(m.Text, "\n")
	token := func(link string) string {
		_, t, _ := strings.Cut(link, "?t=")
		return t
	}
	return letter{kind: mailer.Kind(lines[0]), link: token(lines[1]), cancel: token(lines[2]), code: lines[3], message: m}
}

// gate is everything a flow needs, over a real database.
type gate struct {
	*Service
	t       *testing.T
	dir     string
	fake    *clock.Fake
	spy     *counting
	bolt    storage.Store
	masters [][]byte
	worker  *outbox.Worker
	inbox   *inbox
	site    Site
	// started counts what apps have started.
	started int
}

// bothModes runs a test over stored and over stateless flows.
func bothModes(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("stored", test)
	t.Run(stateless, test)
}

const stateless = "stateless"

// newGate returns a gate whose flows are those that the test runs over.
func newGate(t *testing.T) *gate {
	t.Helper()
	return newGateUnder(t, enginetest.Master)
}

// newForeignGate returns a gate with another key, whose tokens mean nothing to others.
func newForeignGate(t *testing.T) *gate {
	t.Helper()
	return newGateUnder(t, "a master key of another gate's own")
}

func newGateUnder(t *testing.T, master string) *gate {
	t.Helper()
	g := &gate{
		t: t, dir: t.TempDir(), fake: clock.NewFake(start), masters: [][]byte{[]byte(master)}, inbox: &inbox{},
		site: Site{Origin: "https://app.example.com", Prefix: "/email-link", SignUp: SignUp{Mode: SignUpOpen}, Limits: limit.Defaults()},
	}
	g.site.Stateless = strings.Contains(t.Name(), "/"+stateless)
	g.open(g.fake.Clock())
	t.Cleanup(func() {
		if err := g.bolt.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// target ends a request by its context alone.
type target context.CancelCauseFunc

func (end target) End(cause error, _ bool) { end(cause) }

// track registers a request of a session and returns its context.
func (g *gate) track(l *session.Live) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	q := &credential.Request{Credential: l, Target: target(cancel), Since: start}
	g.Sessions.Track(q)
	g.t.Cleanup(func() {
		g.Sessions.Untrack(q)
		cancel(nil)
	})
	return ctx
}

// open does what a start of the process does.
func (g *gate) open(clk *clock.Clock) {
	g.t.Helper()
	store := enginetest.Open(g.t, g.dir)
	if string(g.masters[0]) == enginetest.Master {
		enginetest.SetDataKey(g.t, store)
	}
	g.bolt, g.spy = store, &counting{Store: store, writes: map[string]int{}}
	var ring *keyring.Ring
	if err := store.Update(context.Background(), func(tx storage.Tx) error {
		sealed, _, err := tx.Meta().Get(storage.MetaDataKey)
		if err != nil {
			return err
		}
		r, resealed, err := keyring.Open(g.masters, sealed)
		if err != nil {
			return err
		}
		ring = r
		if resealed != nil {
			return tx.Meta().Put(storage.MetaDataKey, resealed)
		}
		return nil
	}); err != nil {
		g.t.Fatal(err)
	}
	accounts := &accounts.Service{Store: store, Ring: ring, Clock: clk}
	limiter := &limit.Limiter{Ring: ring}
	g.worker = &outbox.Worker{Store: store, Ring: ring, Clock: clk, Limiter: limiter}
	sessions := session.NewManager(store, ring, clk, accounts)
	g.Service = &Service{
		Store: g.spy, Ring: ring, Clock: clk, Limiter: limiter, Accounts: accounts, Sessions: sessions, Wake: g.worker.Wake,
		Invites: []InviteRule{{By: "family", Gives: []string{"guest", "photos"}}, {By: "admin", Gives: []string{"family"}}},
	}
	g.worker.Use(outbox.Delivery{
		Mailer: g.inbox, Render: render, Accounts: accounts, Sessions: sessions, Invitations: g.Service, Limits: g.site.Limits,
	})
}

// restart closes the database and opens it as a new process does.
func (g *gate) restart() {
	g.t.Helper()
	if err := g.bolt.Close(); err != nil {
		g.t.Fatal(err)
	}
	g.open(g.fake.Restarted())
}

// post lets the worker do all that is due.
func (g *gate) post() {
	g.t.Helper()
	if err := g.worker.Flush(context.Background()); err != nil {
		g.t.Fatal(err)
	}
}

// account makes an account and lets a minute pass, so that flows are younger than it.
func (g *gate) account(email string) string {
	g.t.Helper()
	a := parseAddress(g.t, email)
	var id string
	if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
		link, err := g.Accounts.Create(tx, accounts.NewAccount{Address: a, Name: "Ada"})
		id = link.ID
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	g.fake.Advance(time.Minute)
	return id
}

func (g *gate) disable(id string) {
	g.t.Helper()
	if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
		return g.Accounts.SetStatus(tx, id, storage.StatusDisabled)
	}); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gate) accounts() (n int) {
	g.t.Helper()
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		list, err := tx.Accounts().List("", 100)
		n = len(list)
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	return n
}

func (g *gate) events(name string) (n int) {
	g.t.Helper()
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		list, err := tx.Events().List(storage.EventFilter{}, 1000)
		for _, e := range list {
			if e.Name == name {
				n++
			}
		}
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	return n
}

func parseAddress(t *testing.T, s string) address.Address {
	t.Helper()
	a, err := address.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// browser is one cookie jar.
type browser struct {
	g                    *gate
	client               netip.Addr
	device               string
	flow, known, session string
	handover             string
	// header reports whether the next request has the headers of a navigation.
	navigation bool
}

func (g *gate) browser() *browser {
	return &browser{g: g, client: netip.MustParseAddr("203.0.113.7"), device: "Firefox on Linux"}
}

func (g *gate) stranger(i int) *browser {
	return &browser{g: g, client: netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 9}), device: "Chrome on Windows"}
}

func (b *browser) requester() Requester {
	b.g.t.Helper()
	a := Requester{
		Client: b.client, Device: b.device, Locale: "en", FlowCookie: b.flow, KnownCookie: b.known, Origin: true,
		Navigation: b.navigation, HandoffCookie: b.handover,
	}
	if b.session != "" {
		live, err := b.g.Sessions.Find(context.Background(), b.session, b.g.site.Origin)
		if err != nil {
			b.g.t.Fatal(err)
		}
		a.Session = live
	}
	return a
}

func (b *browser) ask(purpose, email string) (RequestResult, error) {
	result, err := b.g.Request(context.Background(), b.g.site, b.requester(), RequestInput{Purpose: purpose, Email: email, ReturnTo: "/private?x=1"})
	if err == nil {
		b.flow = result.FlowCookie
	}
	return result, err
}

// mustAsk asks and lets the worker do its work, and returns the newest mail to the address, if there is one.
func (b *browser) mustAsk(purpose, email string) letter {
	b.g.t.Helper()
	b.g.post() // mails leave in no order, so what was queued before goes first
	if _, err := b.ask(purpose, email); err != nil {
		b.g.t.Fatalf("ask for %s: %v", purpose, err)
	}
	b.g.post()
	return b.newest(email)
}

func (b *browser) newest(email string) letter {
	list := b.g.inbox.to(email)
	if len(list) == 0 {
		return letter{}
	}
	return list[len(list)-1]
}

func (b *browser) open(token string) (LinkPreview, error) {
	return b.g.Open(context.Background(), b.g.site, b.requester(), token)
}

func (b *browser) keep(done Done, err error) (Done, error) {
	if err == nil && !done.AlreadySignedIn {
		b.session, b.known, b.flow = done.SessionCookie, done.KnownCookie, ""
	}
	return done, err
}

// press opens a link and presses the button.
func (b *browser) press(token string) (Done, error) {
	o, err := b.open(token)
	if err != nil {
		return Done{}, err
	}
	return b.keep(b.g.Confirm(context.Background(), b.g.site, b.requester(), ConfirmInput{Token: token, H: o.H}))
}

func (b *browser) click(token string) (Done, error) {
	b.navigation = true
	defer func() { b.navigation = false }()
	return b.keep(b.g.Confirm(context.Background(), b.g.site, b.requester(), ConfirmInput{Token: token, OneClick: true}))
}

func (b *browser) type_(code string) (Done, error) {
	return b.keep(b.g.SubmitCode(context.Background(), b.g.site, b.requester(), code))
}

func (b *browser) cancel(token string) error {
	o, err := b.open(token)
	if err != nil {
		return err
	}
	_, err = b.g.Cancel(context.Background(), b.g.site, b.requester(), token, o.H)
	return err
}

func (b *browser) resend() (Pending, error) {
	return b.g.Resend(context.Background(), b.g.site, b.requester())
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// deliverBy replaces the mailer.
func (g *gate) deliverBy(m mailer.Mailer) {
	g.worker.Use(outbox.Delivery{Mailer: m, Render: render, Accounts: g.Accounts, Sessions: g.Sessions, Limits: g.site.Limits})
}
