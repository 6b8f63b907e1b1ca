package flow

import (
	"context"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TypeCode redeems the code of a mail in the browser that asked for it. An attempt is counted before the code is compared;
// after MaxWrongCodes wrong ones the flow's codes are off, and its links stay.
//
// Until the flow's time is over it answers alike, whatever happened to the flow or the account elsewhere. Errors: *Invalid
// (code: "syntax" is not counted, "wrong" has Left, "off"), ErrNoFlow, *Limited (redeem_ip), ErrUnavailable.
func (s *Service) TypeCode(ctx context.Context, site Site, asker Asker, code string) (Done, error) {
	site = site.withDefaults()
	t := typing{s: s, site: site, asker: asker, now: s.Clock.Now()}
	var (
		done Done
		rec  record
	)
	err := func() error {
		digits, ok := token.NormalizeCode(code)
		if !ok {
			return &Invalid{Field: "code", Code: "syntax"}
		}
		if asker.FlowCookie == "" {
			return ErrNoFlow
		}
		t.digest = token.CodeDigest(s.Ring, asker.FlowCookie, digits)
		return s.update(ctx, func(tx storage.Tx) (refused, err error) {
			done, rec, refused, err = t.run(tx)
			return refused, err
		})
	}()
	s.settle(asker, done, rec, err)
	s.tell(ctx, stepCode, site, boundary.NetworkText(asker.Client), rec, err)
	if err != nil {
		return Done{}, err
	}
	s.wake()
	return done, nil
}

type typing struct {
	s      *Service
	site   Site
	asker  Asker
	now    time.Time
	digest storage.Digest
}

// run is the step.
func (t *typing) run(tx storage.Tx) (done Done, rec record, refused, err error) {
	s := t.s
	h, found, err := s.current(tx, t.site, t.asker.FlowCookie, t.now)
	if err != nil {
		return done, rec, nil, err
	}
	if !found {
		return done, rec, ErrNoFlow, nil
	}
	f, err := s.withAccount(tx, h)
	if err != nil {
		return done, rec, nil, err
	}
	rec = record{purpose: f.Purpose, account: f.Account, flow: f.ID}
	if !t.site.mailsCode(h.Purpose) || h.WrongCodes >= MaxWrongCodes {
		return done, rec, codeOff(), nil
	}
	asks := t.site.Limits.Asks(limit.RedeemIP, limit.Subject{Client: t.asker.Client})
	v, err := s.Limiter.PeekAll(tx, t.now, asks...)
	if err != nil {
		return done, rec, nil, err
	}
	if !v.OK {
		return done, rec, limited(v), nil
	}
	_, good, err := s.judge(tx, t.site, f, h.Private.App, t.now, false)
	if err != nil {
		return done, rec, nil, err
	}
	if good && slices.Contains(h.Codes, t.digest) {
		done, rec, err = t.right(tx, h, f)
		return done, rec, nil, err
	}
	if _, err := s.Limiter.TakeAll(tx, t.now, asks...); err != nil {
		return done, rec, nil, err
	}
	refused, err = t.wrong(tx, h)
	return done, rec, refused, err
}

// right redeems the flow f, which is h with its account. AttemptCode is the judge: it counts before it compares.
func (t *typing) right(tx storage.Tx, h held, f storage.Flow) (Done, record, error) {
	return t.s.redeem(tx, redemption{
		site: t.site, asker: t.asker, now: t.now, flow: f, absent: h.Absent, private: h.Private, addr: h.Addr,
		method: methodCode, by: t.digest,
		consume: func(tx storage.Tx) error {
			_, result, err := tx.Flows().AttemptCode(h.Key, t.now, t.digest, MaxWrongCodes)
			if err != nil || result != storage.CodeRight {
				return orMoved(err)
			}
			return nil
		},
	})
}

// wrong counts an attempt. A code that would have been right is wrong once the flow has ended elsewhere: the digest that is
// counted is then one that no code has.
func (t *typing) wrong(tx storage.Tx, h held) (refused, err error) {
	if h.Absent {
		if err := t.s.store(tx, h.Flow); err != nil {
			return nil, err
		}
	}
	f, result, err := tx.Flows().AttemptCode(h.Key, t.now, storage.Digest{}, MaxWrongCodes)
	if err != nil {
		return nil, err
	}
	switch result {
	case storage.CodeWrong:
		return wrongCode(f.WrongCodes), nil
	case storage.CodeOff:
		return codeOff(), nil
	case storage.CodeRight:
		return nil, errMoved
	}
	if f, _, err = t.s.successor(tx, h, nil); err != nil {
		return nil, err
	}
	f.WrongCodes++
	return wrongCode(f.WrongCodes), tx.Flows().Create(f)
}

func wrongCode(wrong int) *Invalid {
	return &Invalid{Field: "code", Code: "wrong", Left: max(0, MaxWrongCodes-wrong)}
}

func codeOff() *Invalid { return &Invalid{Field: "code", Code: "off"} }
