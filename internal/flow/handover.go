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
	// HandoverLife is how long an app gets back what it started a flow with, unless it says earlier that it is done.
	HandoverLife = 15 * time.Minute

	labelHandover     = "hand-over"
	labelHandoverMark = "hand-over mark"
	handoverSecret    = 16 // bytes
	// maxHandover is the longest cookie that is looked at, in bytes.
	maxHandover = 4096
)

// Handover is what an app gets back of a flow that it started and that has ended well. It is held by the browser, in a cookie
// under seal.
type Handover struct {
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
	// End is its last moment, by clock.Now.
	End time.Time

	// secret finds the record of this hand-over: no other part of it does, so none is made from database and keys.
	secret string
	global uint64
}

// handoverWire is the JSON form of a Handover.
type handoverWire struct {
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

// handOver ends a flow that an app has started: with a hand-over, and without account or session. Its record is made in the
// step that uses the link or code up.
func (s *Service) handOver(tx storage.Tx, done *Done, r redemption) error {
	app := r.private.App
	done.HandoverEnd = r.now.Add(HandoverLife).Truncate(time.Second)
	var secret [handoverSecret]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	w := handoverWire{
		Audience: app.Audience, Purpose: r.flow.Purpose, Subject: app.Subject, State: app.State, Email: r.private.Email,
		Continue: r.private.ReturnTo, ID: token.NewID(), Flow: r.flow.ID, Methods: []string{r.method},
		AuthTime: s.Clock.ShownAs(r.now).Unix(), End: done.HandoverEnd.Unix(), Global: r.flow.Epochs.Global,
		Secret: base64.RawURLEncoding.EncodeToString(secret[:]),
	}
	plain, err := token.Compact(w)
	if err != nil {
		return fmt.Errorf("flow: write the hand-over: %w", err)
	}
	done.HandoverCookie = base64.RawURLEncoding.EncodeToString(s.Ring.Seal(labelHandover, []byte(r.flow.Site), plain))
	done.KnownCookie = s.remember(r.site, r.asker.KnownCookie, r.flow.Mailbox, r.now)
	return tx.Tokens().Create(s.handoverMark(r.flow.Site, w.End, w.Secret))
}

// ReadHandover reads the cookie of a hand-over at this site. It reads no store: whether the app is done with it says
// HandoverAlive.
func (s *Service) ReadHandover(site Site, cookie string) (h Handover, ok bool) {
	if cookie == "" || len(cookie) > maxHandover {
		return h, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil {
		return h, false
	}
	plain, err := s.Ring.Open(labelHandover, []byte(site.Origin), sealed)
	if err != nil {
		return h, false
	}
	var w handoverWire
	if json.Unmarshal(plain, &w) != nil {
		return h, false
	}
	h = Handover{
		Audience: w.Audience, Purpose: w.Purpose, Subject: w.Subject, State: w.State, Email: w.Email, Continue: w.Continue,
		ID: w.ID, Flow: w.Flow, Methods: w.Methods, AuthTime: time.Unix(w.AuthTime, 0).UTC(), End: time.Unix(w.End, 0).UTC(),
		secret: w.Secret, global: w.Global,
	}
	return h, s.Clock.Now().Before(h.End)
}

// handoverMark is the record of a hand-over. It is used up when the app is done.
func (s *Service) handoverMark(site string, end int64, secret string) storage.Token {
	return s.mark(labelHandoverMark, time.Unix(end, 0), site, secret)
}

// HandoverAlive says whether the app is still to get this hand-over: there is its record, the app is not done with it, and no
// backup has been restored since. The only error is ErrUnavailable.
func (s *Service) HandoverAlive(ctx context.Context, site Site, h Handover) (alive bool, err error) {
	err = s.view(ctx, func(tx storage.Tx) (refused, err error) {
		global, err := tx.Epochs().Get(storage.GlobalEpoch)
		if err != nil {
			return nil, err
		}
		t, found, err := tx.Tokens().Get(s.handoverMark(site.Origin, h.End.Unix(), h.secret).Key)
		alive = found && t.Kind == storage.TokenMark && t.Used.IsZero() && global == h.global
		return nil, err
	})
	return alive && err == nil, err
}

// FinishHandover notes that the app is done with a hand-over: no copy of its cookie is of use any more. Doing it twice is no
// error. The only error is ErrUnavailable.
func (s *Service) FinishHandover(ctx context.Context, site Site, asker Asker, h Handover) error {
	key, rec := s.handoverMark(site.Origin, h.End.Unix(), h.secret).Key, record{purpose: h.Purpose, flow: h.Flow}
	err := s.update(ctx, func(tx storage.Tx) (refused, err error) {
		rec.events = nil
		if _, result, err := tx.Tokens().Consume(key, s.Clock.Now()); err != nil || result != storage.TokenConsumed {
			return nil, err
		}
		return nil, rec.add(tx, storage.Event{
			Time: s.Clock.Now(), Name: eventDone, Purpose: h.Purpose, Outcome: outcomeOK, Flow: h.Flow, Site: site.Origin,
			Client: boundary.NetworkText(asker.Client),
		}, s.Clock.Now().Add(EventLife))
	})
	s.tell(ctx, stepDone, site, boundary.NetworkText(asker.Client), rec, err)
	return err
}

// handedOver says whether this browser holds the hand-over of a flow.
func (s *Service) handedOver(site Site, asker Asker, f storage.Flow, p private) bool {
	if p.App == nil || f.State != storage.FlowRedeemed {
		return false
	}
	h, ok := s.ReadHandover(site, asker.HandoverCookie)
	return ok && h.Flow == f.ID
}

// arrivedAgain answers a used link in the browser that holds what it led to.
func arrivedAgain(l linked, o Opened, asker Asker) Done {
	d := Done{Purpose: l.flow.Purpose, ReturnTo: o.Destination, Already: true, App: l.private.App != nil}
	if !d.App {
		d.Account, d.Session = asker.Session.Session.Account, asker.Session.Session
	}
	return d
}
