package flow

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// A portal is a site that signs in for others. A site leads a browser without a session to it with a sealed [PortalRequest], and the
// portal leads it back with a sealed entry, which opens a session at the site once:
//
//	site /sign-in ── r ──► portal /open ── sign-in, if need be ──► portal /open ── t ──► site /enter
//
// Both are bound to the browser by a cookie of the site's, the binder, of which they hold a keyed digest. So an entry that another person
// has asked for opens nothing in this browser, and neither does one that was read off a screen. Nothing is stored before a sign-in.
const (
	// PortalRequestLifetime is how long a site's request may be opened at the portal.
	PortalRequestLifetime = time.Hour
	// EntryLifetime is how long an entry may be used.
	EntryLifetime = time.Minute
	// MaxEntries is how many entries of one session at the portal are unused at a time.
	MaxEntries = 20
	// BinderLifetime is how long a site remembers the browser that it has led to the portal; each request begins it anew.
	BinderLifetime = time.Hour

	labelPortalRequest = "portal request"
	labelEntry         = "portal hand-over"
	labelEntryMark     = "portal hand-over mark"
	labelEntryCount    = "portal hand-over count"

	// maxPortalPath is the longest path that a request keeps, and maxPortalRequest the longest text of one, in bytes: as a path to return to
	// it has to fit into MaxReturnTo.
	maxPortalPath, maxPortalRequest = 1200, 1950
	// maxEntry is the longest text that is looked at as an entry, in bytes.
	maxEntry = 3000
	// entryWindow is the length of the windows in which entries are counted. One lives through at most entryWindows of them.
	entryWindow, entryWindows = 20 * time.Second, 4

	viaPortal = "portal"
)

// PortalRequest is what a site asks the portal for.
type PortalRequest struct {
	// Site is the origin of the site, and Path where to go there.
	Site, Path string
	// Fresh is how old the proof may be at most, zero for any age.
	Fresh time.Duration
	// Retry is set when an entry has failed in this browser already.
	Retry bool

	binder string
	issued int64
}

// requestWire is the JSON form of a PortalRequest.
type requestWire struct {
	Site   string `json:"s"`
	Path   string `json:"p"`
	Binder string `json:"b"`
	Fresh  int64  `json:"f,omitempty"` // milliseconds
	Retry  bool   `json:"a,omitempty"`
	Issued int64  `json:"i"`
}

// entryWire is the JSON form of an entry. Whose it is and when they have proven it is in the record of the parent, which is read in the step
// that uses the entry.
type entryWire struct {
	Parent storage.Key `json:"k"`
	Path   string      `json:"p"`
	Binder string      `json:"b"`
	Retry  bool        `json:"a,omitempty"`
	Issued int64       `json:"i"`
	Global uint64      `json:"g"`
	// Secret finds the record of the entry: no other part of it does, so none is made from database and keys.
	Secret string `json:"x"`
}

// SealPortalRequest returns the text by which a browser with a binder asks at a portal, an origin. A path that is too long becomes "/".
func (s *Service) SealPortalRequest(portal, binder string, in PortalRequest) (string, error) {
	w := requestWire{
		Site: in.Site, Path: in.Path, Binder: s.binderDigest(in.Site, binder), Fresh: in.Fresh.Milliseconds(), Retry: in.Retry,
		Issued: s.Clock.Now().Unix(),
	}
	if in.Fresh > 0 {
		w.Fresh = max(w.Fresh, 1) // zero is any age
	}
	if len(w.Path) > maxPortalPath {
		w.Path = "/"
	}
	text, err := s.sealText(labelPortalRequest, portal, w)
	if err == nil && len(text) > maxPortalRequest {
		w.Path = "/"
		text, err = s.sealText(labelPortalRequest, portal, w)
	}
	return text, err
}

func (s *Service) sealText(label, site string, content any) (string, error) {
	plain, err := token.Compact(content)
	if err != nil {
		return "", fmt.Errorf("flow: write for %s: %w", label, err)
	}
	return base64.RawURLEncoding.EncodeToString(s.Ring.Seal(label, []byte(site), plain)), nil
}

// openText reads what sealText has written under the same label and site.
func (s *Service) openText(label, site, text string, longest int, content any) bool {
	if text == "" || len(text) > longest || strings.ContainsAny(text, "\r\n") {
		return false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return false
	}
	plain, err := s.Ring.Open(label, []byte(site), sealed)
	return err == nil && json.Unmarshal(plain, content) == nil
}

// portalSkew is by how much the gate's clock may be behind where it has been: it is persisted once a minute.
const portalSkew = 5 * time.Minute

// inTime reports whether something that was issued at a time, in seconds since 1970, may be used now.
func (s *Service) inTime(issued int64, lifetime time.Duration) bool {
	now, at := s.Clock.Now(), time.Unix(issued, 0)
	return now.Before(at.Add(lifetime)) && !at.After(now.Add(portalSkew))
}

// ReadPortalRequest reads the text of a request at the portal; ok is false for everything else, and for one that is too old.
func (s *Service) ReadPortalRequest(portal Site, text string) (r PortalRequest, ok bool) {
	var w requestWire
	if !s.openText(labelPortalRequest, portal.Origin, text, maxPortalRequest, &w) || !s.inTime(w.Issued, PortalRequestLifetime) {
		return r, false
	}
	return PortalRequest{Site: w.Site, Path: w.Path, Fresh: time.Duration(w.Fresh) * time.Millisecond, Retry: w.Retry, binder: w.Binder, issued: w.Issued}, true
}

// NeedsProof reports whether the proof of a session is older than the request permits.
func (s *Service) NeedsProof(r PortalRequest, live *session.Live) bool {
	return r.Fresh > 0 && s.Clock.Now().Sub(live.Session.AuthTime) > r.Fresh
}

// MakeEntry answers a request in the browser of a session at the portal: with the text that opens a session at the site.
//
// Errors: ErrDead, for a request from before the database was restored; ErrSignedOut, *Limited (MaxEntries), ErrUnavailable.
func (s *Service) MakeEntry(ctx context.Context, r PortalRequest, live *session.Live) (text string, err error) {
	now := s.Clock.Now()
	var secret [handoffSecretSize]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	w := entryWire{
		Parent: live.Session.Key, Path: r.Path, Binder: r.binder, Retry: r.Retry, Issued: now.Unix(), Global: live.Session.Epochs.Global,
		Secret: base64.RawURLEncoding.EncodeToString(secret[:]),
	}
	if text, err = s.sealText(labelEntry, r.Site, w); err != nil {
		return "", unavailable(err)
	}
	err = s.update(ctx, func(tx storage.Tx) error {
		if err := tx.Prefetch(storage.Lookups{Sessions: []storage.Key{w.Parent}, Counters: s.entryCounters(w.Parent, now)}); err != nil {
			return err
		}
		created, known, err := storage.MetaTime(tx, storage.MetaCreated)
		if err != nil || known && r.issued < created.Unix() {
			return orRefuse(err, ErrDead)
		}
		if alive, err := s.Sessions.Alive(tx, live); err != nil || !alive {
			return orRefuse(err, ErrSignedOut)
		}
		if err := s.countEntry(tx, w.Parent, now); err != nil {
			return err
		}
		return tx.Tokens().Create(s.entryMark(r.Site, w))
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// entryMark is the record of an entry, which its use consumes.
func (s *Service) entryMark(site string, w entryWire) storage.Token {
	return s.mark(labelEntryMark, time.Unix(w.Issued, 0).Add(EntryLifetime), site, w.Secret)
}

// entryCounters returns the counters of the entries of a session that may be unused at a time, the present one first.
func (s *Service) entryCounters(parent storage.Key, at time.Time) []storage.Key {
	list := make([]storage.Key, entryWindows)
	length := int64(entryWindow / time.Second)
	for i := range list {
		window := at.Unix()/length - int64(i)
		n := binary.BigEndian.AppendUint64(nil, uint64(window)) //nolint:gosec // a pattern of bits
		list[i] = storage.Key{End: (window + entryWindows) * length, Digest: s.Ring.MAC(labelEntryCount, keyBytes(parent), n)}
	}
	return list
}

// countEntry counts one entry of a session, and refuses it where MaxEntries are unused.
func (s *Service) countEntry(tx storage.Tx, parent storage.Key, now time.Time) error {
	counters := s.entryCounters(parent, now)
	left := int64(MaxEntries)
	for _, k := range counters[1:] {
		n, err := tx.Counters().Peek(k)
		if err != nil {
			return err
		}
		left -= n
	}
	_, counted, err := tx.Counters().Spend(counters[0], 1, left)
	if err != nil || counted {
		return err
	}
	return refuse(&Limited{Name: LimitEntries, RetryAt: now.Add(EntryLifetime)})
}

// Entry is what the text of an entry would do at a site.
type Entry struct {
	// Path is where it leads to, and Retry that one has failed in this browser before.
	Path  string
	Retry bool
	// Masked is the account's address with most of its local part hidden, OtherAccount that of another account that this browser is signed
	// in to at the site; both are empty unless the entry is valid.
	Masked, OtherAccount string
	// Entered is set when it was used in this browser, which has the session that it has opened.
	Entered bool
	// H binds a press of the button to the page that had it.
	H string
}

// Entered is what the use of an entry has led to.
type Entered struct {
	// SessionCookie is the value to set. Ephemeral is set when it is to end with the browser.
	SessionCookie string
	Session       storage.Session
	Ephemeral     bool
	Path          string
}

// OpenEntry says what an entry would do in a browser with this binder. It changes nothing.
//
// Errors: ErrDead, for whatever opens nothing here, with Path and Retry as far as the text is one of this site's; ErrUnavailable.
func (s *Service) OpenEntry(ctx context.Context, site Site, requester Requester, binder, text string) (e Entry, err error) {
	w, bound, ok := s.readEntry(site, binder, text)
	if !ok {
		return Entry{Retry: true}, ErrDead
	}
	e = Entry{Path: w.Path, Retry: w.Retry}
	if !bound {
		return e, ErrDead
	}
	err = s.view(ctx, func(tx storage.Tx) error {
		key := s.entryMark(site.Origin, w).Key
		if err := tx.Prefetch(storage.Lookups{Sessions: []storage.Key{w.Parent}, Tokens: []storage.Key{key}}); err != nil {
			return err
		}
		mark, found, err := tx.Tokens().Get(key)
		if err != nil {
			return err
		}
		if requester.Session != nil && requester.Session.Parent() == w.Parent && found && !mark.Used.IsZero() {
			e.Entered = true
			return nil
		}
		if !found || !mark.Used.IsZero() {
			return refuse(ErrDead)
		}
		parent, account, err := s.entryParent(tx, w)
		if err != nil {
			return err
		}
		return s.describeEntry(&e, site, requester, parent, account, text)
	})
	return e, err
}

// describeEntry fills in whose session an entry opens.
func (s *Service) describeEntry(e *Entry, site Site, requester Requester, parent storage.Session, account accounts.Account, text string) error {
	a, err := address.Parse(account.Email)
	if err != nil {
		return err
	}
	e.Masked = a.Masked()
	var before []byte
	if live := requester.Session; live != nil {
		before = keyBytes(live.Session.Key)
		if live.Session.Account != parent.Account {
			e.OtherAccount = "•••"
			if other, err := address.Parse(live.Account.Email); err == nil {
				e.OtherAccount = other.Masked()
			}
		}
	}
	d := s.Ring.MAC(labelConfirm, []byte(labelEntry), []byte(text), []byte(site.Origin), []byte(parent.Account), before)
	e.H = base64.RawURLEncoding.EncodeToString(d[:])
	return nil
}

// readEntry reads the text of an entry at a site. bound is set when it is for a browser with this binder, and not too old.
func (s *Service) readEntry(site Site, binder, text string) (w entryWire, bound, ok bool) {
	if !s.openText(labelEntry, site.Origin, text, maxEntry, &w) {
		return w, false, false
	}
	digest := s.binderDigest(site.Origin, binder)
	bound = IsBinder(binder) && subtle.ConstantTimeCompare([]byte(digest), []byte(w.Binder)) == 1 && s.inTime(w.Issued, EntryLifetime)
	return w, bound, true
}

// entryParent returns the portal's session of an entry and its account. It refuses with ErrDead if that session has ended.
func (s *Service) entryParent(tx storage.Tx, w entryWire) (parent storage.Session, account accounts.Account, err error) {
	parent, account, alive, err := s.Sessions.ByKey(tx, w.Parent)
	if err != nil || !alive || parent.Epochs.Global != w.Global {
		return parent, account, orRefuse(err, ErrDead)
	}
	return parent, account, nil
}

// Enter uses an entry: it opens the session at the site, with the proof and the end of the portal's, and ends the one that this browser had
// there. Of any number of calls exactly one succeeds. h is Entry.H of the page whose button was pressed; it is empty where there was none,
// and then a browser that is signed in to another account is refused.
//
// Errors: ErrDead, ErrChanged, ErrUnavailable.
func (s *Service) Enter(ctx context.Context, site Site, requester Requester, binder, text, h string) (done Entered, err error) {
	w, bound, ok := s.readEntry(site, binder, text)
	if !ok || !bound {
		return Entered{}, ErrDead
	}
	site = site.withDefaults()
	var rec record
	err = s.update(ctx, func(tx storage.Tx) error {
		rec, done = record{}, Entered{Path: w.Path}
		return s.enter(tx, &rec, &done, site, requester, w, text, h)
	})
	s.report(ctx, stepEnter, site, requester.Client, rec, err)
	if err != nil {
		return Entered{}, err
	}
	return done, nil
}

// enter is the step of Enter.
func (s *Service) enter(tx storage.Tx, rec *record, done *Entered, site Site, requester Requester, w entryWire, text, h string) error {
	now, mark := s.Clock.Now(), s.entryMark(site.Origin, w).Key
	if err := tx.Prefetch(storage.Lookups{Sessions: []storage.Key{w.Parent}, Tokens: []storage.Key{mark}}); err != nil {
		return err
	}
	parent, account, err := s.entryParent(tx, w)
	if err != nil {
		return err
	}
	var e Entry
	if err := s.describeEntry(&e, site, requester, parent, account, text); err != nil {
		return err
	}
	if h == "" && e.OtherAccount != "" || h != "" && subtle.ConstantTimeCompare([]byte(h), []byte(e.H)) != 1 {
		return refuse(ErrChanged)
	}
	if _, result, err := tx.Tokens().Consume(mark, now); err != nil || result != storage.TokenConsumed {
		return orRefuse(err, ErrDead)
	}
	issued := s.entryCounters(w.Parent, time.Unix(w.Issued, 0))[0]
	if _, err := tx.Counters().Refund(issued, 1); err != nil {
		return err
	}
	in := session.OpenInput{
		Site: site.Origin, Mailbox: parent.Mailbox, Device: cutDevice(requester.Device), Client: requester.Client, Idle: site.SessionIdle,
		Parent: &parent,
	}
	if requester.Session != nil {
		in.Replaces = requester.Session.Session.Key
	}
	if done.SessionCookie, done.Session, err = s.Sessions.Open(tx, account, in); err != nil {
		return err
	}
	done.Ephemeral, rec.account = site.isEphemeral(parent), account.ID
	return rec.add(tx, storage.Event{
		Time: now, Name: eventSignedIn, Outcome: viaPortal, Account: account.ID, Site: site.Origin, Client: boundary.NetworkText(requester.Client),
	}, now.Add(storage.EventLifetime))
}
