package flow

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Confirm redeems a link: it consumes the token, makes the account of an activation, ends the flow and opens a session, all
// in one step. Of any number of calls with the links of one flow exactly one succeeds.
//
// A reset sets the password, ends everything that the account had, and signs in only where the site says so.
//
// Errors: *Invalid (name; password: the codes of password.Reasons, or "not_offered": nothing is used up), *Limited (redeem_ip, and
// password_right),
// ErrDead, ErrChanged (H does not belong to this token, account and session, or the conditions of one click do not hold),
// *password.BusyError, ErrUnavailable, that of ctx.
func (s *Service) Confirm(ctx context.Context, site Site, requester Requester, in ConfirmInput) (Done, error) {
	site = site.withDefaults()
	c := confirmation{s: s, site: site, requester: requester, in: in, now: s.Clock.Now()}
	var (
		done Done
		rec  record
	)
	err := func() (err error) {
		if err := accounts.CheckName(in.Name); err != nil {
			return &Invalid{Field: "name", Code: "syntax", Err: err}
		}
		if c.parsed, err = s.read(site, in.Token, c.now); err != nil {
			return err
		}
		if rec.purpose, err = c.prepare(ctx); err != nil {
			return err
		}
		return s.update(ctx, func(tx storage.Tx) (err error) {
			done, rec, err = c.run(tx)
			return err
		})
	}()
	s.unanswered.keep(err, c.flow, requester, in.Password, done, c.now)
	s.report(ctx, stepConfirm, site, requester.Client, rec, err)
	if err != nil {
		return Done{}, err
	}
	s.wake()
	return done, nil
}

type confirmation struct {
	s         *Service
	site      Site
	requester Requester
	in        ConfirmInput
	now       time.Time
	parsed    parsedToken
	// flow is the key of the flow that the step has found.
	flow storage.Key
	// password is the record of the new password, zero when none is set.
	password password.Record
}

// prepare does what takes too long for a transaction: it judges the new password and hashes it. It does so for a good link
// only, and what makes a link good is judged again in the step. What it refuses uses nothing up; an old password counts as a
// right one does.
func (c *confirmation) prepare(ctx context.Context) (purpose string, err error) {
	if c.in.OneClick || !c.s.OffersPasswords(c.site) {
		return "", nil
	}
	var (
		wanted       bool
		words        password.Words
		history      password.History
		reusedLimits []limit.Charge
	)
	err = c.s.view(ctx, func(tx storage.Tx) error {
		l, found, err := c.s.find(tx, c.site, c.parsed, c.now)
		if err != nil || !found {
			return err
		}
		o, err := c.s.preview(tx, c.site, c.requester, &l, c.in.Token, c.now)
		if err != nil || !l.valid || l.unanswered != nil || !c.matchesPreview(o) || !c.wantsPassword(o) {
			return err
		}
		purpose, wanted, words = o.Purpose, true, c.site.about(o.Username, c.in.Name)
		if o.Purpose == Reset {
			words.Name = l.account.Name
			var of accounts.Credentials
			of, _, err = c.s.Accounts.Credentials(tx, l.account.ID)
			if history = of.Passwords; err == nil {
				reusedLimits = c.site.Limits.ReusedPassword(l.flow.Key.Digest)
				return c.s.checkLimits(tx, c.now, reusedLimits)
			}
		}
		return err
	})
	if err != nil || !wanted {
		return purpose, err
	}
	reason, err := c.s.Passwords.Check(ctx, c.site.Passwords, c.in.Password, words, history)
	if err != nil {
		return purpose, err
	}
	if reason == password.SameAsCurrent || reason == password.Reused {
		// It has been told by hashes, which one who has an account could else ask for without end.
		if err := c.s.update(ctx, func(tx storage.Tx) error { return c.s.spendLimits(tx, c.now, reusedLimits) }); err != nil {
			return purpose, err
		}
	}
	if reason != "" {
		return purpose, &Invalid{Field: "password", Code: string(reason)}
	}
	c.password, err = c.s.Passwords.Hash(ctx, c.in.Password)
	return purpose, err
}

// wantsPassword reports whether this press of the button sets a password.
func (c *confirmation) wantsPassword(o LinkPreview) bool {
	return o.AskPassword && (o.Purpose == Reset || c.in.Password != "")
}

// matchesPreview reports whether the button was on the page that would be shown now.
func (c *confirmation) matchesPreview(o LinkPreview) bool {
	return subtle.ConstantTimeCompare([]byte(o.H), []byte(c.in.H)) == 1
}

// run is the step. One click is a GET: unless it succeeds it writes nothing.
func (c *confirmation) run(tx storage.Tx) (done Done, rec record, err error) {
	s := c.s
	l, found, err := s.find(tx, c.site, c.parsed, c.now)
	if err != nil {
		return done, rec, err
	}
	if !found {
		if c.in.OneClick {
			return done, rec, refuse(ErrDead)
		}
		return done, rec, s.refuseGuess(tx, &c.site, c.requester, c.now)
	}
	c.flow = l.flow.Key
	rec = record{purpose: l.flow.Purpose, account: l.flow.Account, flow: l.flow.ID}
	o, err := s.preview(tx, c.site, c.requester, &l, c.in.Token, c.now)
	if err != nil {
		return done, rec, err
	}
	switch {
	case o.Destination != "":
		return alreadyDone(l, o, c.requester), rec, nil
	case !l.valid:
		if !c.in.OneClick {
			err = s.recordReplay(tx, c.site, c.requester, l, c.now, &rec)
		}
		return done, rec, orRefuse(err, ErrDead)
	case o.Purpose == UndoDeletion, IsAddressPurpose(l.purpose):
		return done, rec, refuse(ErrChanged)
	case o.Cancel, c.in.OneClick && !o.OneClick, !c.in.OneClick && !c.matchesPreview(o):
		return done, rec, refuse(ErrChanged)
	case l.unanswered != nil:
		return c.answer(l)
	case c.in.Password != "" && !o.AskPassword:
		return done, rec, refuse(&Invalid{Field: "password", Code: "not_offered"})
	case c.wantsPassword(o) == c.password.IsZero():
		return done, rec, refuse(ErrChanged) // the link has become good since it was looked at
	}
	return s.redeem(tx, redemption{
		site: c.site, requester: c.requester, now: c.now, flow: l.flow, unstoredFlow: l.unstoredFlow, private: l.private, addr: l.addr, name: c.in.Name,
		password: c.password, method: methodLink, by: l.token.Key.Digest,
		consume: func(tx storage.Tx) error { return s.consumeToken(tx, l, c.now) },
	})
}

// answer returns what an earlier press has come to. It set the password of that one.
func (c *confirmation) answer(l linkTarget) (Done, record, error) {
	done := l.unanswered.done
	rec := record{purpose: l.flow.Purpose, account: done.Account, flow: l.flow.ID}
	if done.PasswordSet && !c.s.unanswered.sentPassword(*l.unanswered, c.in.Password) {
		return Done{}, rec, refuse(ErrDead)
	}
	return done, rec, nil
}

// refuseGuess counts a token that was never mailed, or a wrong code, against the client. Links that were are not judged by this
// limit: 32 bytes cannot be guessed, and a neighbour's guesses must not block a link that was mailed.
func (s *Service) refuseGuess(tx storage.Tx, site *Site, requester Requester, now time.Time) error {
	err := s.spendLimits(tx, now, site.Limits.LimitsFor(limit.RedeemIP, limit.Subject{Client: requester.Client}))
	return orRefuse(err, ErrDead)
}

// recordReplay records the first replay of a used token; later ones leave no trace.
func (s *Service) recordReplay(tx storage.Tx, site Site, requester Requester, l linkTarget, now time.Time, rec *record) error {
	if l.token.Used.IsZero() || l.token.Replayed {
		return nil
	}
	_, result, err := tx.Tokens().Consume(l.token.Key, now)
	if err != nil || result != storage.TokenUsed {
		return orConflict(err)
	}
	return rec.add(tx, storage.Event{
		Time: now, Name: eventReplayed, Purpose: l.flow.Purpose, Outcome: outcomeDead, Account: l.flow.Account, Flow: l.flow.ID,
		Site: site.Origin, Client: boundary.NetworkText(requester.Client),
	}, now.Add(storage.EventLifetime))
}
