package flow

import (
	"context"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// SubmitCode redeems the code of a mail in the browser that asked for it. An attempt is counted before the code is compared;
// after MaxWrongCodes wrong ones the flow's codes are off, and its links stay.
//
// Until the flow expires it answers alike, whatever happened to the flow or the account elsewhere. Errors: *Invalid
// (code: "syntax" is not counted, "wrong" has Left, "off"), ErrNoFlow, *Limited (redeem_ip), ErrUnavailable.
func (s *Service) SubmitCode(ctx context.Context, site Site, requester Requester, code string) (Done, error) {
	site = site.withDefaults()
	t := codeAttempt{s: s, site: site, requester: requester, now: s.Clock.Now()}
	var (
		done Done
		rec  record
	)
	err := func() error {
		digits, ok := token.NormalizeCode(code)
		if !ok {
			return &Invalid{Field: "code", Code: "syntax"}
		}
		if requester.FlowCookie == "" {
			return ErrNoFlow
		}
		t.digest = token.CodeDigest(s.Ring, requester.FlowCookie, digits)
		return s.update(ctx, func(tx storage.Tx) (err error) {
			done, rec, err = t.run(tx)
			return err
		})
	}()
	s.unanswered.keep(err, t.flow, requester, "", done, t.now)
	s.report(ctx, stepCode, site, requester.Client, rec, err)
	if err != nil {
		return Done{}, err
	}
	s.wake()
	return done, nil
}

type codeAttempt struct {
	s         *Service
	site      Site
	requester Requester
	now       time.Time
	digest    storage.Digest
	// flow is the key of the flow that the step has found.
	flow storage.Key
}

// run is the step.
func (t *codeAttempt) run(tx storage.Tx) (done Done, rec record, err error) {
	s := t.s
	h, found, err := s.current(tx, t.site, t.requester.FlowCookie, t.now)
	if err != nil {
		return done, rec, err
	}
	if !found {
		return done, rec, refuse(ErrNoFlow)
	}
	f, err := s.withAccount(tx, h)
	if err != nil {
		return done, rec, err
	}
	t.flow = f.Key
	rec = record{purpose: f.Purpose, account: f.Account, flow: f.ID}
	if one, found, err := s.unanswered.get(tx, f, t.requester); err != nil || found && f.EndedBy == t.digest {
		return one.done, rec, err
	}
	if !t.site.mailsCode(h.Purpose) || h.WrongCodes >= MaxWrongCodes {
		return done, rec, refuse(codeOff())
	}
	charges := t.site.Limits.LimitsFor(limit.RedeemIP, limit.Subject{Client: t.requester.Client})
	v, err := s.Limiter.Check(tx, t.now, charges...)
	if err != nil {
		return done, rec, err
	}
	if !v.Allowed {
		return done, rec, refuse(limited(v))
	}
	// A wrong code looks no account up, so that its answer takes as long for every address.
	good := slices.Contains(h.Codes, t.digest)
	if good {
		if _, good, err = s.validate(tx, t.site, f, h.Private, t.now, false); err != nil {
			return done, rec, err
		}
	}
	if good && h.Private.Invited && f.Account == "" {
		if _, _, good, err = s.invitedTo(tx, t.site.Origin, f.Mailbox, t.now, false); err != nil {
			return done, rec, err
		}
	}
	if good {
		return t.accept(tx, h, f)
	}
	if _, err := s.Limiter.Spend(tx, t.now, charges...); err != nil {
		return done, rec, err
	}
	return done, rec, t.reject(tx, h)
}

// accept redeems the flow f, which is h with its account. AttemptCode decides: it counts before it compares.
func (t *codeAttempt) accept(tx storage.Tx, h currentFlow, f storage.Flow) (Done, record, error) {
	return t.s.redeem(tx, redemption{
		site: t.site, requester: t.requester, now: t.now, flow: f, unstoredFlow: h.Unstored, private: h.Private, addr: h.Addr,
		method: methodCode, by: t.digest,
		consume: func(tx storage.Tx) error {
			_, result, err := tx.Flows().AttemptCode(h.Key, t.now, t.digest, MaxWrongCodes)
			if err != nil || result != storage.CodeRight {
				return orConflict(err)
			}
			return nil
		},
	})
}

// reject counts an attempt. A code that would have been right is wrong once the flow has ended elsewhere: the digest that is
// counted is then one that no code has.
func (t *codeAttempt) reject(tx storage.Tx, h currentFlow) error {
	if h.Unstored {
		if err := t.s.storeFlow(tx, h.Flow); err != nil {
			return err
		}
	}
	f, result, err := tx.Flows().AttemptCode(h.Key, t.now, storage.Digest{}, MaxWrongCodes)
	if err != nil {
		return err
	}
	switch result {
	case storage.CodeWrong:
		return refuse(wrongCode(f.WrongCodes))
	case storage.CodeOff:
		return refuse(codeOff())
	case storage.CodeRight:
		return errConflict
	}
	if f, _, err = t.s.successor(tx, h, nil); err != nil {
		return err
	}
	f.WrongCodes++
	return orRefuse(tx.Flows().Create(f), wrongCode(f.WrongCodes))
}

func wrongCode(wrong int) *Invalid {
	return &Invalid{Field: "code", Code: "wrong", Left: max(0, MaxWrongCodes-wrong)}
}

func codeOff() *Invalid { return &Invalid{Field: "code", Code: "off"} }
