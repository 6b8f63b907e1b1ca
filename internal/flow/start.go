package flow

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	labelStart = "app start"
	// startMarkLifetime is how long it is remembered at least, after its end, that a start was obeyed. Apps read the system's clock,
	// and marks are swept by ours: this is how far the two may be apart. Marks are kept by the day, so that they are found by
	// the app's id alone.
	startMarkLifetime = 24 * time.Hour
)

// ErrReplayed reports that a start has been obeyed before. Nothing happened.
var ErrReplayed = errors.New("flow: this start has been obeyed before")

// appFlow is what an app has said about a flow that it started, and gets back when the flow ends. It means nothing here: no
// account is looked up by it.
type appFlow struct {
	Audience string `json:"aud"`
	Subject  string `json:"sub,omitempty"`
	State    string `json:"state,omitempty"`
	// NoAccount is set when the app has no user for the address. Such a flow has a mail and no end.
	NoAccount bool `json:"no_account,omitempty"`
	// Form is the path of the app's page where the person asked.
	Form string `json:"form,omitempty"`
}

// equal reports whether two flows were started for the same: both by a browser, or both by one app in the same words, on any page.
func (a *appFlow) equal(b *appFlow) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Audience == b.Audience && a.Subject == b.Subject && a.State == b.State && a.NoAccount == b.NoAccount
}

// StartInput is what an app with users of its own starts a flow with. The caller of Start has verified that the app has sent
// it, for this site.
type StartInput struct {
	// Audience is the app, ID what it calls this start, and Expiry when the start ends, by the system's clock.
	Audience, ID string
	Expiry       time.Time
	// Purpose is Activation, SignIn or Reset, Email where the mail goes.
	Purpose, Email string
	// Subject and State are the app's own, and are handed back to it.
	Subject, State string
	// Continue is the path of the app that the flow leads to, judged by boundary.ReturnTo.
	Continue string
	// Form is the path of the page on which the person has asked, judged in the same way; empty: not known.
	Form string
	// NoAccount is set when the app has no user for the address: the mail says so.
	NoAccount bool
}

// Start begins a flow in the name of an app, for the browser whose request the app has answered. It is a Request in everything
// that limits, mails and codes are about; but no account is looked up, and the flow ends in a hand-over to the app, not in a
// session. The same start has an effect once. One for the same purpose, mailbox and words as this browser's live flow continues
// that flow and counts as a resend.
//
// Errors: those of Request but ErrClosed, and ErrReplayed.
func (s *Service) Start(ctx context.Context, site Site, requester Requester, in StartInput) (RequestResult, error) {
	site = site.withDefaults()
	var (
		result RequestResult
		rec    record
	)
	err := func() error {
		rec.purpose = in.Purpose
		r, err := s.newRequest(site, requester, RequestInput{
			Purpose: in.Purpose, Email: in.Email, ReturnTo: in.Continue,
			app: &appFlow{Audience: in.Audience, Subject: in.Subject, State: in.State, NoAccount: in.NoAccount, Form: in.Form},
		})
		if err != nil {
			return err
		}
		return s.update(ctx, func(tx storage.Tx) (err error) {
			result, rec = RequestResult{}, record{purpose: in.Purpose}
			if seen, err := s.startSeen(tx, site, in); err != nil || seen {
				return orRefuse(err, ErrReplayed)
			}
			if result, rec, err = r.run(tx); err != nil {
				return err
			}
			return tx.Tokens().Create(s.startMark(site, in, 0))
		})
	}()
	s.report(ctx, stepStart, site, requester.Client, rec, err)
	if err != nil {
		return RequestResult{}, err
	}
	s.wake()
	return result, nil
}

// startMark returns the record that a start was obeyed whose end lies so many days after that of in.
func (s *Service) startMark(site Site, in StartInput, days int) storage.Token {
	const day = 24 * time.Hour
	end := in.Expiry.UTC().Truncate(day).Add(day + startMarkLifetime + time.Duration(days)*day)
	return s.mark(labelStart, end, in.Audience, site.Origin, in.ID)
}

// startSeen reports whether a start of this id was obeyed. One that is signed anew has another end, at midnight on another day.
func (s *Service) startSeen(tx storage.Tx, site Site, in StartInput) (bool, error) {
	for _, days := range [...]int{0, -1, 1} {
		if _, seen, err := tx.Tokens().Get(s.startMark(site, in, days).Key); err != nil || seen {
			return seen, err
		}
	}
	return false, nil
}

// mark returns the record that something has happened which happens once.
func (s *Service) mark(label string, end time.Time, parts ...string) storage.Token {
	of := make([][]byte, len(parts))
	for i, p := range parts {
		of[i] = []byte(p)
	}
	return storage.Token{Key: storage.Key{End: end.Unix(), Digest: s.Ring.MAC(label, of...)}, Kind: storage.TokenMark}
}

// continues reports whether asking for p in a browser that holds a flow of before goes on with that flow. An app that leads elsewhere
// or has another word for it begins anew, and so does a person who has changed how long to stay signed in; where a person wants to go
// afterwards is what was said first. A flow whose mails may have been held back is never continued: who asks again is told again.
func (p private) continues(before private) bool {
	return !before.Reserve && p.App.equal(before.App) && (p.App == nil || p.ReturnTo == before.ReturnTo) && p.Ephemeral == before.Ephemeral
}
