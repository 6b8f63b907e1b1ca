package flow

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const photos = "https://photos.example.org"

// sites is a portal with the sites that it signs in for.
type sites struct {
	*gate
	at map[string]Site
	// binders and children are the cookies of one browser, by site.
	binders, children map[string]string
	portal            *browser
}

// newSites returns a portal and a browser that is signed in there.
func newSites(t *testing.T) *sites {
	t.Helper()
	s := &sites{gate: newGate(t), at: map[string]Site{}, binders: map[string]string{}, children: map[string]string{}}
	for _, origin := range []string{photos, "https://files.example.com"} {
		s.at[origin] = Site{Origin: origin, Prefix: "/email-link"}
		s.binders[origin] = NewBinder()
	}
	s.portal = s.browser()
	s.account("ada@example.com")
	s.signIn()
	return s
}

// signIn signs in at the portal.
func (s *sites) signIn() {
	s.t.Helper()
	if _, err := s.portal.press(s.portal.mustAsk(SignIn, "ada@example.com").link); err != nil {
		s.t.Fatal(err)
	}
}

// request asks for an entry of a site.
func (s *sites) request(origin, path string) string {
	s.t.Helper()
	return must[string](s.t)(s.SealPortalRequest(s.site.Origin, s.binders[origin], PortalRequest{Site: origin, Path: path}))
}

// entry answers a request in the browser at the portal.
func (s *sites) entry(request string) string {
	s.t.Helper()
	r, ok := s.ReadPortalRequest(s.site, request)
	if !ok {
		s.t.Fatal("the request is not one")
	}
	return must[string](s.t)(s.MakeEntry(context.Background(), r, s.portal.requester().Session))
}

// visitor is the browser at a site.
func (s *sites) visitor(origin string) Requester {
	s.t.Helper()
	r := s.portal.requester()
	live, err := s.Sessions.Find(context.Background(), s.children[origin], origin)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Session = live
	return r
}

// enter uses an entry in the browser at a site.
func (s *sites) enter(origin, text string) (Entered, error) {
	s.t.Helper()
	done, err := s.Enter(context.Background(), s.at[origin], s.visitor(origin), s.binders[origin], text, "")
	if err == nil {
		s.children[origin] = done.SessionCookie
	}
	return done, err
}

// TestPORT1_AnEntryIsForOneBrowser gives an entry to other browsers: the attacker's own to a victim's, and a stolen one to a thief's.
func TestPORT1_AnEntryIsForOneBrowser(t *testing.T) {
	s := newSites(t)
	text := s.entry(s.request(photos, "/album?x=1"))
	for name, binder := range map[string]string{"none": "", "another": NewBinder(), "malformed": s.binders[photos] + "A", "of another site": s.binders["https://files.example.com"]} {
		_, err := s.Enter(context.Background(), s.at[photos], s.visitor(photos), binder, text, "")
		if !errors.Is(err, ErrDead) {
			t.Errorf("a browser whose binder is %s: %v", name, err)
		}
	}
	done, err := s.enter(photos, text)
	if err != nil || done.Path != "/album?x=1" || s.visitor(photos).Session == nil {
		t.Errorf("after them, in its own browser: %+v, %v", done, err)
	}
	if n := s.events(eventSignedIn); n != 2 {
		t.Errorf("%d events", n)
	}
}

// TestPORT2_AHandoverIsNoProof enters a site long after the sign-in at the portal, and again after a fresh proof.
func TestPORT2_AHandoverIsNoProof(t *testing.T) {
	s := newSites(t)
	proven := s.portal.requester().Session.Session.AuthTime
	s.fake.Advance(time.Hour)
	if _, err := s.enter(photos, s.entry(s.request(photos, "/"))); err != nil {
		t.Fatal(err)
	}
	child := s.visitor(photos).Session.Session
	if !child.AuthTime.Equal(proven) || child.Methods[0] != methodLink {
		t.Errorf("a hand-over makes the proof one of %v by %v", child.AuthTime, child.Methods)
	}
	r := PortalRequest{Fresh: 10 * time.Minute}
	if !s.NeedsProof(r, s.portal.requester().Session) || s.NeedsProof(PortalRequest{}, s.portal.requester().Session) {
		t.Error("the age of the proof is not asked for, or always")
	}
	copied := s.portal.session
	s.signIn()
	if live, err := s.Sessions.Find(context.Background(), copied, s.site.Origin); live != nil || err != nil {
		t.Errorf("a cookie copied before the proof opens %v, %v", live, err)
	}
	if s.NeedsProof(r, s.portal.requester().Session) {
		t.Error("the fresh proof is none")
	}
	if live := s.visitor(photos).Session; live == nil || !live.Session.AuthTime.Equal(proven) {
		t.Errorf("the site's session after a proof at the portal: %+v", live)
	}
	if _, err := s.enter(photos, s.entry(s.request(photos, "/"))); err != nil {
		t.Fatal(err)
	}
	if live := s.visitor(photos).Session; !live.Session.AuthTime.After(proven) {
		t.Errorf("the hand-over after the proof: %v", live.Session.AuthTime)
	}
}

// TestPORT3_AnEntryIsUsedOnce uses entries twice, by 50 at once, after a restart, too late and after the portal's session.
func TestPORT3_AnEntryIsUsedOnce(t *testing.T) {
	s := newSites(t)
	text := s.entry(s.request(photos, "/"))
	visitor, binder := s.visitor(photos), s.binders[photos]
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done []Entered
	)
	for range 50 {
		wg.Go(func() {
			one, err := s.Enter(context.Background(), s.at[photos], visitor, binder, text, "")
			if err != nil && !errors.Is(err, ErrDead) {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				done = append(done, one)
			}
		})
	}
	wg.Wait()
	if len(done) != 1 {
		t.Fatalf("50 at once opened %d sessions", len(done))
	}
	s.children[photos] = done[0].SessionCookie
	if e, err := s.OpenEntry(context.Background(), s.at[photos], s.visitor(photos), binder, text); err != nil || !e.Entered || e.Path != "/" {
		t.Errorf("the browser that has used it: %+v, %v", e, err)
	}
	unused := s.entry(s.request(photos, "/"))
	s.restart()
	if _, err := s.enter(photos, text); !errors.Is(err, ErrDead) {
		t.Errorf("after a restart: %v", err)
	}
	late := s.entry(s.request(photos, "/"))
	if _, err := s.enter(photos, unused); err != nil {
		t.Errorf("an unused one after a restart: %v", err)
	}
	s.fake.Advance(EntryLifetime)
	if _, err := s.enter(photos, late); !errors.Is(err, ErrDead) {
		t.Errorf("a minute later: %v", err)
	}
	after := s.entry(s.request(photos, "/"))
	if err := s.Sessions.End(context.Background(), s.portal.requester().Session); err != nil {
		t.Fatal(err)
	}
	if _, err := s.enter(photos, after); !errors.Is(err, ErrDead) {
		t.Errorf("after the sign-out: %v", err)
	}
}

// TestPORT3_ARestoredBackupHonoursNoEntry uses an entry of before the global epoch was raised.
func TestPORT3_ARestoredBackupHonoursNoEntry(t *testing.T) {
	s := newSites(t)
	text, request := s.entry(s.request(photos, "/")), s.request(photos, "/")
	if err := s.Sessions.EndAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.signIn()
	if _, err := s.enter(photos, text); !errors.Is(err, ErrDead) {
		t.Errorf("an entry of before: %v", err)
	}
	s.fake.Advance(time.Minute)
	if err := s.bolt.Update(context.Background(), func(tx storage.Tx) error {
		return storage.SetMetaTime(tx, storage.MetaCreated, s.Clock.Now())
	}); err != nil {
		t.Fatal(err)
	}
	r, _ := s.ReadPortalRequest(s.site, request)
	if _, err := s.MakeEntry(context.Background(), r, s.portal.requester().Session); !errors.Is(err, ErrDead) {
		t.Errorf("a request of before: %v", err)
	}
	if _, err := s.enter(photos, s.entry(s.request(photos, "/"))); err != nil {
		t.Errorf("a request of after: %v", err)
	}
}

// TestPORT4_TextsAreForOnePlace presents requests and entries at other sites, portals and gates, in each other's place, too old, from the
// future and with each byte changed.
func TestPORT4_TextsAreForOnePlace(t *testing.T) {
	s := newSites(t)
	request := s.request(photos, "/a")
	text := s.entry(request)
	foreign := newForeignGate(t)
	if _, ok := foreign.ReadPortalRequest(s.site, request); ok {
		t.Error("another gate reads the request")
	}
	for name, r := range map[string]string{"an entry": text, "nothing": "", "a line end": request + "\n", "too much": strings.Repeat("A", 5000)} {
		if _, ok := s.ReadPortalRequest(s.site, r); ok {
			t.Errorf("%s is read as a request", name)
		}
	}
	if _, ok := s.ReadPortalRequest(s.at[photos], request); ok {
		t.Error("another portal reads the request")
	}
	dead := func(name string, site Site, text string) {
		t.Helper()
		if _, err := s.Enter(context.Background(), site, s.visitor(photos), s.binders[photos], text, ""); !errors.Is(err, ErrDead) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dead("at another site", s.at["https://files.example.com"], text)
	dead("a request", s.at[photos], request)
	for i := range len(text) {
		for _, c := range "Az" {
			if changed := text[:i] + string(c) + text[i+1:]; changed != text {
				dead("changed", s.at[photos], changed)
			}
		}
	}
	for i := range len(request) {
		if changed := request[:i] + "A" + request[i+1:]; changed != request {
			if _, ok := s.ReadPortalRequest(s.site, changed); ok {
				t.Errorf("a request with byte %d changed is read", i)
			}
		}
	}
	if _, err := s.enter(photos, text); err != nil {
		t.Errorf("after all of them: %v", err)
	}
	s.fake.Advance(PortalRequestLifetime - time.Second)
	if _, ok := s.ReadPortalRequest(s.site, request); !ok {
		t.Error("a request is too old within its hour")
	}
	s.fake.Advance(time.Second)
	if _, ok := s.ReadPortalRequest(s.site, request); ok {
		t.Error("a request is read after its hour")
	}
	ahead, err := s.sealText(labelPortalRequest, s.site.Origin, requestWire{Site: photos, Path: "/", Issued: s.Clock.Now().Add(portalSkew + 2*time.Second).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.ReadPortalRequest(s.site, ahead); ok {
		t.Error("a request from the future is read")
	}
}

// TestPORT5_ALongPathIsLeftOut asks with paths of all lengths: each request can be a path to return to.
func TestPORT5_ALongPathIsLeftOut(t *testing.T) {
	s := newSites(t)
	for _, n := range []int{1, 1199, 1200, 1201, 2047} {
		path := "/" + strings.Repeat("x", n-1)
		request := s.request(photos, path)
		r, ok := s.ReadPortalRequest(s.site, request)
		if want := map[bool]string{true: path, false: "/"}[n <= 1200]; !ok || r.Path != want {
			t.Errorf("%d bytes: %d bytes of path, %v", n, len(r.Path), ok)
		}
		if to := "/email-link/open?r=" + request; len(to) > MaxReturnTo {
			t.Errorf("%d bytes make a request of %d", n, len(request))
		}
	}
	host := "https://" + strings.Repeat("x.", 120) + "example.com"
	request := must[string](t)(s.SealPortalRequest(s.site.Origin, NewBinder(), PortalRequest{Site: host, Path: "/" + strings.Repeat("x", 1199)}))
	if r, ok := s.ReadPortalRequest(s.site, request); !ok || r.Path != "/" || r.Site != host {
		t.Errorf("the longest host: %+v, %v", r, ok)
	}
}

// TestPORT6_NothingIsStoredForStrangers asks as many strangers do, and opens what is not an entry.
func TestPORT6_NothingIsStoredForStrangers(t *testing.T) {
	s := newSites(t)
	foreign := newForeignGate(t)
	s.spy.take()
	for range 200 {
		s.request(photos, "/")
		wrong := must[string](t)(foreign.SealPortalRequest(s.site.Origin, NewBinder(), PortalRequest{Site: photos, Path: "/"}))
		if _, ok := s.ReadPortalRequest(s.site, wrong); ok {
			t.Fatal("a request under another key is read")
		}
		if _, err := s.enter(photos, wrong); !errors.Is(err, ErrDead) {
			t.Fatal(err)
		}
	}
	if steps, writes := s.spy.take(); steps != 0 {
		t.Errorf("%d steps wrote %v", steps, writes)
	}
}

// TestPORT7_UnusedEntriesAreCounted makes as many entries as there may be, uses some and lets time pass.
func TestPORT7_UnusedEntriesAreCounted(t *testing.T) {
	s := newSites(t)
	r, _ := s.ReadPortalRequest(s.site, s.request(photos, "/"))
	live := s.portal.requester().Session
	entries := make([]string, 0, MaxEntries)
	for i := range MaxEntries {
		s.fake.Advance(time.Duration(i%2) * time.Second)
		entries = append(entries, must[string](t)(s.MakeEntry(context.Background(), r, live)))
	}
	var limited *Limited
	if _, err := s.MakeEntry(context.Background(), r, live); !errors.As(err, &limited) || limited.Name != LimitEntries {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.enter(photos, entries[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MakeEntry(context.Background(), r, live); err != nil {
		t.Errorf("after one was used: %v", err)
	}
	if _, err := s.MakeEntry(context.Background(), r, live); !errors.As(err, &limited) {
		t.Errorf("one more than that: %v", err)
	}
	s.fake.Advance(entryWindow * entryWindows)
	if _, err := s.MakeEntry(context.Background(), r, live); err != nil {
		t.Errorf("when all have expired: %v", err)
	}
}

// TestPORT8_AnotherAccountIsAsked enters where another account is signed in: nothing happens without the press of the button that
// was shown for it.
func TestPORT8_AnotherAccountIsAsked(t *testing.T) {
	s := newSites(t)
	s.account("bob@example.com")
	other := s.browser()
	s.gate.site.Origin = photos
	if _, err := other.press(other.mustAsk(SignIn, "bob@example.com").link); err != nil {
		t.Fatal(err)
	}
	s.gate.site.Origin = "https://app.example.com"
	s.children[photos] = other.session
	text := s.entry(s.request(photos, "/"))
	if _, err := s.enter(photos, text); !errors.Is(err, ErrChanged) {
		t.Errorf("without a button: %v", err)
	}
	e := must[Entry](t)(s.OpenEntry(context.Background(), s.at[photos], s.visitor(photos), s.binders[photos], text))
	if e.OtherAccount == "" || e.OtherAccount == e.Masked {
		t.Errorf("the page names %q and %q", e.Masked, e.OtherAccount)
	}
	enter := func(h string) error {
		_, err := s.Enter(context.Background(), s.at[photos], s.visitor(photos), s.binders[photos], text, h)
		return err
	}
	if err := enter(base64.RawURLEncoding.EncodeToString(make([]byte, 32))); !errors.Is(err, ErrChanged) {
		t.Errorf("with another button: %v", err)
	}
	s.children[photos] = ""
	if err := enter(e.H); !errors.Is(err, ErrChanged) {
		t.Errorf("after a sign-out between page and button: %v", err)
	}
	s.children[photos] = other.session
	if err := enter(e.H); err != nil {
		t.Errorf("with the button: %v", err)
	}
	if live := s.visitor(photos).Session; live != nil {
		t.Error("the other account's session is alive")
	}
}
