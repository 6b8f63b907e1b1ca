package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// origin is the site of the gates in this process.
const origin = "https://app.example.com"

// gate is all of the core on a database of its own, behind its pages, in this process.
type gate struct {
	path  string
	bolt  *bolt.Store
	store *switchStore
	vault *vault.Vault
	clock *clock.Fake
	pages *web.Pages
	site  *web.Site
	work  *outbox.Worker
	disk  *disk

	mu    sync.Mutex
	links []string // tokens of the mails that were sent; guarded by mu
	// sent are the tokens by their recipients, where that is wanted; guarded by mu.
	sent map[string]string
	seq  atomic.Int64
}

// Send implements mailer.Mailer: it keeps the link.
func (g *gate) Send(_ context.Context, m mailer.Message) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.links = append(g.links, m.Text)
	if g.sent != nil {
		g.sent[m.To] = m.Text
	}
	return nil
}

// Close implements mailer.Mailer.
func (g *gate) Close(context.Context) error { return nil }

// newGate makes a gate on a new database, whose time stands still.
func newGate(path string) (*gate, error) {
	return newGateAt(path, clock.NewFake(time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)))
}

// newGateAt is newGate with another time; nil is the system's.
func newGateAt(path string, fake *clock.Fake) (*gate, error) {
	ctx := context.Background()
	store, err := bolt.Open(ctx, bolt.Options{Path: path})
	if err != nil {
		return nil, err
	}
	disk := newDisk(store)
	g, err := newGateOn(store, fake)
	if err != nil {
		return nil, err
	}
	g.path, g.bolt, g.disk = path, store, disk
	return g, nil
}

// newGateOn makes a gate on a store, which it closes.
func newGateOn(store storage.Store, fake *clock.Fake) (*gate, error) {
	ctx := context.Background()
	g := &gate{store: &switchStore{Store: store}, clock: fake}
	var err error
	var clk *clock.Clock
	if fake != nil {
		clk = fake.Clock()
	}
	if g.vault, err = openState(ctx, g.store, clk); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	limits := limit.Table{}
	for _, name := range limit.Names() {
		// As many rates as by default, none of which is reached.
		rates := limit.Defaults()
		n := len(rates[name])
		if err := limits.Set(name, []string{"100000000-H", "100000000-D"}[:n]...); err != nil {
			return nil, err
		}
	}
	g.site = &web.Site{
		Site: flow.Site{Origin: origin, Prefix: "/email-link", SignUp: flow.SignUp{Mode: flow.SignUpOpen}, Limits: limits},
		Name: "Bench", Secure: true,
	}
	set, err := templates.Load(templates.Options{Location: time.UTC})
	if err != nil {
		return nil, err
	}
	limiter := &limit.Limiter{Ring: g.vault.Ring}
	flows := &flow.Service{
		Store: g.store, Ring: g.vault.Ring, Clock: g.vault.Clock, Limiter: limiter, Sessions: g.vault.Sessions, Accounts: g.vault.Accounts,
	}
	g.pages = &web.Pages{
		Flows: flows, Sessions: g.vault.Sessions, Self: g.vault.SelfService(flows, nil), Templates: set, Clock: g.vault.Clock,
	}
	g.work = &outbox.Worker{Store: g.store, Ring: g.vault.Ring, Clock: g.vault.Clock, Limiter: limiter, Concurrency: 64}
	g.work.Use(outbox.Delivery{
		Mailer: g, Accounts: g.vault.Accounts, Sessions: g.vault.Sessions, Limits: limits,
		Render: func(l outbox.Message) (mailer.Message, error) {
			_, text, _ := strings.Cut(l.Link, "?t=")
			return mailer.Message{From: "no-reply@example.com", Subject: "x", Text: text}, nil
		},
	})
	return g, nil
}

func (g *gate) close() error { return g.vault.Close() }

// limits replaces the limits that nobody reaches by the default ones.
func (g *gate) usualLimits() { g.site.Limits = limit.Defaults() }

// requester is the n-th browser.
func (g *gate) requester(n int64) flow.Requester {
	return flow.Requester{Client: client(n), Device: "Firefox on Linux", Locale: "en", Origin: true}
}

// client is the n-th address. Those that follow each other are in networks of their own, which limits count as well.
func client(n int64) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(11 + n>>24&63), byte(n), byte(n >> 8), byte(n >> 16)})
}

// emailOf is the address of the n-th person.
func emailOf(n int64) string { return fmt.Sprintf("person%d@example.com", n) }

// ask asks for a link, as the n-th of all who ever asked.
func (g *gate) ask(n int64) (flow.RequestResult, error) { return g.askFrom(n, client(n)) }

// askFrom does so from an address.
func (g *gate) askFrom(n int64, from netip.Addr) (flow.RequestResult, error) {
	requester := g.requester(n)
	requester.Client = from
	return g.pages.Flows.Request(context.Background(), g.site.Site, requester, flow.RequestInput{
		Purpose: flow.Activation, Email: emailOf(n), ReturnTo: "/",
	})
}

// askHTTP does the same over HTTP, as the module hands it to the pages.
func (g *gate) askHTTP(n int64) (status int) {
	form := url.Values{"email": {emailOf(n)}}.Encode()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, origin+"/email-link/sign-up", strings.NewReader(form))
	for name, value := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate",
		"Accept": "text/html", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.pages.Serve(w, r, web.Visit{Site: g.site, Client: client(n), Cookies: boundary.ExtractCookies(r.Header, true)})
	return w.Code
}

// pending is a flow that its link can end with one click.
type pending struct {
	token, cookie string
	n             int64
}

// prepareChunk is how many flows one transaction of prepare makes. A large transaction leaves as many free pages behind as it
// has changed, and bbolt writes the list of those with each commit that follows.
const prepareChunk = 100

// prepare asks for many links and has their mails sent, many in one transaction. Mails that others have asked for go first.
func (g *gate) prepare(many int) ([]pending, error) {
	if err := g.work.Flush(context.Background()); err != nil {
		return nil, err
	}
	list := make([]pending, 0, many)
	for len(list) < many {
		n := min(prepareChunk, many-len(list))
		if err := g.store.bulk(func() error { return g.prepareSome(n, &list) }); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (g *gate) prepareSome(many int, list *[]pending) error {
	for range many {
		n := g.seq.Add(1)
		result, err := g.ask(n)
		if err != nil {
			return err
		}
		g.links = g.links[:0]
		if err := g.work.Flush(context.Background()); err != nil {
			return err
		}
		if len(g.links) != 1 {
			return fmt.Errorf("%d mails for one request", len(g.links))
		}
		*list = append(*list, pending{token: g.links[0], cookie: result.FlowCookie, n: n})
	}
	return nil
}

// redeem follows a link.
func (g *gate) redeem(p pending) error {
	requester := g.requester(p.n)
	requester.FlowCookie, requester.Navigation = p.cookie, true
	_, err := g.pages.Flows.Confirm(context.Background(), g.site.Site, requester, flow.ConfirmInput{Token: p.token, OneClick: true})
	return err
}

// switchStore is a store that can be made to work in other ways.
type switchStore struct {
	storage.Store
	// alone makes each step a transaction of its own, one after the other, as bbolt's Update does.
	alone bool
	mu    sync.Mutex
	// open is the transaction that bulk has open; guarded by mu.
	open storage.Tx
}

// Update implements storage.Store.
func (s *switchStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if s.alone || s.open != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open != nil {
			return fn(s.open)
		}
	}
	return s.Store.Update(ctx, fn)
}

// View implements storage.Store.
func (s *switchStore) View(ctx context.Context, fn func(storage.Tx) error) error {
	if s.open != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return fn(s.open)
	}
	return s.Store.View(ctx, fn)
}

// bulk makes one transaction of all steps that fn takes. It fills databases: a step that fails undoes all of them.
func (s *switchStore) bulk(fn func() error) error {
	return s.Store.Update(context.Background(), func(tx storage.Tx) error {
		s.open = tx
		defer func() { s.open = nil }()
		return fn()
	})
}

// disk stands between the engine and its file.
type disk struct {
	// delay makes each sync take longer.
	delay atomic.Int64
	// commits counts the transactions that were written.
	commits atomic.Int64
	// longest is the longest time of one commit, in nanoseconds.
	longest atomic.Int64
}

// newDisk goes between by the engine's own seam for tests, which is not exported: nobody else shall have it.
func newDisk(store *bolt.Store) *disk {
	d := &disk{}
	seam := reflect.ValueOf(store).Elem().FieldByName("commit")
	commit := reflect.MakeFunc(seam.Type(), func(in []reflect.Value) []reflect.Value {
		began := time.Now()
		if delay := d.delay.Load(); delay > 0 {
			time.Sleep(time.Duration(delay))
		}
		out := in[0].MethodByName("Commit").Call(nil)
		d.commits.Add(1)
		if elapsed := int64(time.Since(began)); elapsed > d.longest.Load() {
			d.longest.Store(elapsed)
		}
		return out
	})
	reflect.NewAt(seam.Type(), seam.Addr().UnsafePointer()).Elem().Set(commit)
	return d
}
