package flow

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// HandoffLifetime is how long an app gets back what it started a flow with, unless it says earlier that it is done.
	HandoffLifetime = 15 * time.Minute

	labelHandoff      = "hand-over"
	labelHandoffMark  = "hand-over mark"
	handoffSecretSize = 16 // bytes
	// maxHandoff is the longest cookie that is looked at, in bytes.
	maxHandoff = 4096
)

// Handoff is what an app gets back of a flow that it started and that has ended well. It is held by the browser, in a cookie
// under seal.
type Handoff struct {
	// Audience is the app, Purpose what the flow was for.
	Audience, Purpose string
	// Subject and State are the app's own words; Email is the address whose mailbox has been proven.
	Subject, State, Email string
	// Continue is the path that the app gets them at.
	Continue string
	// ID is the one jti of this hand-over, Flow names the flow in logs.
	ID, Flow string
	// Methods is how the mailbox was proven, AuthTime when, by the system's clock.
	Methods  []string
	AuthTime time.Time
	// End is its last time, by clock.Now.
	End time.Time

	// secret finds the record of this hand-over: no other part of it does, so none is made from database and keys.
	secret string
	global uint64
}

// handoffWire is the JSON form of a Handoff.
type handoffWire struct {
	Audience string   `json:"aud"`
	Purpose  string   `json:"purpose"`
	Subject  string   `json:"sub,omitempty"`
	State    string   `json:"state,omitempty"`
	Email    string   `json:"email"`
	Continue string   `json:"continue"`
	ID       string   `json:"jti"`
	Flow     string   `json:"flow"`
	Methods  []string `json:"amr"`
	AuthTime int64    `json:"auth_time"`
	End      int64    `json:"end"`
	Secret   string   `json:"secret"`
	Global   uint64   `json:"global"`
}

// openHandoff ends a flow that an app has started: with a hand-over, and without account or session. Its record is made in the
// step that uses the link or code up.
func (s *Service) openHandoff(tx storage.Tx, done *Done, r redemption) error {
	app := r.private.App
	done.HandoffEnd = r.now.Add(HandoffLifetime).Truncate(time.Second)
	var secret [handoffSecretSize]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	w := handoffWire{
		Audience: app.Audience, Purpose: r.flow.Purpose, Subject: app.Subject, State: app.State, Email: r.private.Email,
		Continue: r.private.ReturnTo, ID: token.NewID(), Flow: r.flow.ID, Methods: []string{r.method},
		AuthTime: s.Clock.ToWall(r.now).Unix(), End: done.HandoffEnd.Unix(), Global: r.flow.Epochs.Global,
		Secret: base64.RawURLEncoding.EncodeToString(secret[:]),
	}
	plain, err := token.Compact(w)
	if err != nil {
		return fmt.Errorf("flow: write the hand-over: %w", err)
	}
	done.HandoffCookie = base64.RawURLEncoding.EncodeToString(s.Ring.Seal(labelHandoff, []byte(r.flow.Site), plain))
	done.KnownCookie = s.rememberBrowser(r.site, r.requester.KnownCookie, r.flow.Mailbox, r.now)
	return tx.Tokens().Create(s.handoffMark(r.flow.Site, w.End, w.Secret))
}

// ReadHandoff reads the cookie of a hand-over at this site. It reads no store: whether the app is done with it says
// HandoffActive.
func (s *Service) ReadHandoff(site Site, cookie string) (h Handoff, ok bool) {
	if cookie == "" || len(cookie) > maxHandoff {
		return h, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil {
		return h, false
	}
	plain, err := s.Ring.Open(labelHandoff, []byte(site.Origin), sealed)
	if err != nil {
		return h, false
	}
	var w handoffWire
	if json.Unmarshal(plain, &w) != nil {
		return h, false
	}
	h = Handoff{
		Audience: w.Audience, Purpose: w.Purpose, Subject: w.Subject, State: w.State, Email: w.Email, Continue: w.Continue,
		ID: w.ID, Flow: w.Flow, Methods: w.Methods, AuthTime: time.Unix(w.AuthTime, 0).UTC(), End: time.Unix(w.End, 0).UTC(),
		secret: w.Secret, global: w.Global,
	}
	return h, s.Clock.Now().Before(h.End)
}

// handoffMark is the record of a hand-over. It is used up when the app is done.
func (s *Service) handoffMark(site string, end int64, secret string) storage.Token {
	return s.mark(labelHandoffMark, time.Unix(end, 0), site, secret)
}

// HandoffActive reports whether the app is still to get this hand-over: there is its record, the app is not done with it, and no
// backup has been restored since. The only error is ErrUnavailable.
func (s *Service) HandoffActive(ctx context.Context, site Site, h Handoff) (alive bool, err error) {
	err = s.view(ctx, func(tx storage.Tx) error {
		global, err := tx.Epochs().Get(storage.GlobalEpoch)
		if err != nil {
			return err
		}
		t, found, err := tx.Tokens().Get(s.handoffMark(site.Origin, h.End.Unix(), h.secret).Key)
		alive = found && t.Kind == storage.TokenMark && t.Used.IsZero() && global == h.global
		return err
	})
	return alive && err == nil, err
}

// FinishHandoff notes that the app is done with a hand-over: no copy of its cookie is of use any more. Doing it twice is no
// error. The only error is ErrUnavailable.
func (s *Service) FinishHandoff(ctx context.Context, site Site, requester Requester, h Handoff) error {
	key, rec := s.handoffMark(site.Origin, h.End.Unix(), h.secret).Key, record{purpose: h.Purpose, flow: h.Flow}
	err := s.update(ctx, func(tx storage.Tx) error {
		rec.events = nil
		if _, result, err := tx.Tokens().Consume(key, s.Clock.Now()); err != nil || result != storage.TokenConsumed {
			return err
		}
		return rec.add(tx, storage.Event{
			Time: s.Clock.Now(), Name: eventDone, Purpose: h.Purpose, Outcome: outcomeOK, Flow: h.Flow, Site: site.Origin,
			Client: boundary.NetworkText(requester.Client),
		}, s.Clock.Now().Add(storage.EventLifetime))
	})
	s.report(ctx, stepDone, site, requester.Client, rec, err)
	return err
}

// holdsHandoff reports whether this browser holds the hand-over of a flow.
func (s *Service) holdsHandoff(site Site, requester Requester, f storage.Flow, p private) bool {
	if p.App == nil || f.State != storage.FlowRedeemed {
		return false
	}
	h, ok := s.ReadHandoff(site, requester.HandoffCookie)
	return ok && h.Flow == f.ID
}

// alreadyDone answers a used link in the browser that holds what it led to.
func alreadyDone(l linkTarget, o LinkPreview, requester Requester) Done {
	d := Done{Purpose: l.flow.Purpose, ReturnTo: o.Destination, AlreadySignedIn: true, App: l.private.App != nil}
	if !d.App {
		d.Account, d.Owner, d.Session = requester.Session.Session.Account, requester.Session.Account, requester.Session.Session
	}
	return d
}
