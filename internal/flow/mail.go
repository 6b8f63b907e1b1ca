package flow

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// draft is one mail of a flow with the digests of what it will say. It is made outside the transaction.
type draft struct {
	link, cancel storage.Token
	mail         storage.Mail
	code         storage.Digest
}

// mailInput is what a mail of a flow is made of.
type mailInput struct {
	site    Site
	flow    storage.Flow
	private private
	addr    address.Address
	// cookie is the raw value of the flow cookie, which the code's digest is keyed by.
	cookie string
	// claims are what the links of a stateless flow carry, nil for a stored one.
	claims *token.Claims
	known  bool
	// reserve is set when the mailbox's limit was spent: the mail leaves for a network of the account's sessions only.
	reserve bool
	now     time.Time
	// newAddress is what a mail about a change of the address tells, empty where the mailbox may not know it.
	newAddress string
	// timezone is the account's, where the mail worker does not look it up by the address.
	timezone string
	// invite is what the mail of an invitation says.
	invite *outbox.Invitation
}

// nextMail returns the claims of one more mail of a stateless flow, before its resend is taken.
func nextMail(c *token.Claims, f storage.Flow, p private) (*token.Claims, error) {
	next := withEpochs(c, f.Epochs)
	next.Mail = c.Resends - f.ResendsLeft + 1
	var err error
	next.Private, err = token.Compact(p)
	return next, err
}

// newDraft makes a mail. The links of a stored flow have records from the start, those of a stateless one carry the flow.
func (s *Service) newDraft(m mailInput) (d draft, err error) {
	f, p, addr := m.flow, m.private, m.addr
	seed, end := token.NewSeed(), f.Key.Ends()
	if m.claims != nil {
		seed = m.claims.FID.Seed(s.Ring, p.Generation, m.claims.Mail)
	} else {
		end = token.Ends(f.Key)
		if f.Purpose != Proof { // which no link proves
			if d.link, err = s.storedToken(token.New(s.Ring, seed, f.Purpose, f.Site, end), storage.TokenLink, f); err != nil {
				return d, err
			}
		}
		if f.Purpose != TakeBack && f.Purpose != Invite { // which have nothing to cancel
			if d.cancel, err = s.storedToken(token.NewCancel(s.Ring, seed, f.Purpose, f.Site, end), storage.TokenCancel, f); err != nil {
				return d, err
			}
		}
	}
	codeEnd := end
	if p.CodeEnds != 0 {
		codeEnd = p.codeEnd(f)
	}
	d.code = token.CodeDigest(s.Ring, m.cookie, token.Code(s.Ring, seed, f.Purpose, f.Site))
	payload := outbox.Payload{
		To: addr.Typed(), Seed: seed, Base: m.site.base(), Locale: p.Locale, Device: p.Device, Network: p.Network, FlowID: f.ID,
		LimitKey: addr.LimitKey(s.Ring), RequestedAt: s.Clock.ToWall(m.now).Unix(), Ends: s.Clock.ToWall(codeEnd).Unix(),
		SignUpOpen: m.site.SignUp.Admits(addr), Known: m.known, Reserve: m.reserve, NoLink: !m.site.mailsLink(f.Purpose), NoCode: !m.site.mailsCode(f.Purpose) || f.WrongCodes >= MaxWrongCodes,
		Address: m.newAddress, Timezone: m.timezone, Act: p.Act, App: p.App != nil, NoAccount: p.App != nil && p.App.NoAccount,
	}
	if payload.Invited, payload.Invitation = p.Invited, m.invite; p.Invited {
		payload.Mailbox = f.Mailbox
	}
	payload.SignInEnds = min(payload.Ends, s.Clock.ToWall(m.now.Add(m.site.Lifetimes.SignIn)).Unix())
	payload.NoSignInLink = !m.site.mailsLink(SignIn)
	if f.Purpose == TakeBack {
		payload.Account = f.Account
	}
	if m.claims != nil {
		payload.Mailbox, payload.Claims = f.Mailbox, m.claims
	}
	d.mail, err = s.newMail(payload, m.now, end)
	d.mail.Flow, d.mail.Purpose, d.mail.Site = f.Key, f.Purpose, f.Site
	return d, err
}

// storedToken returns the stored half of a token's text.
func (s *Service) storedToken(text string, kind storage.TokenKind, f storage.Flow) (storage.Token, error) {
	p, err := token.Parse(text)
	if err != nil {
		return storage.Token{}, err
	}
	purpose := f.Purpose
	if kind == storage.TokenCancel {
		purpose = token.CancelPurpose(purpose)
	}
	return storage.Token{Key: p.Key(s.Ring, purpose, f.Site), Kind: kind, Flow: f.Key}, nil
}

// newMail returns a mail that is due now.
func (s *Service) newMail(p outbox.Payload, now, end time.Time) (m storage.Mail, err error) {
	m.ID, m.Due, m.Queued, m.End = outbox.NewID(now), now, now, end
	m.Sealed, err = p.Seal(s.Ring, m.ID)
	return m, err
}

// write stores the tokens, if there are any, and queues the mail. The flow has been written before.
func (d draft) write(tx storage.Tx) error {
	for _, t := range [...]storage.Token{d.link, d.cancel} {
		if t.Key.IsZero() {
			continue
		}
		if err := tx.Tokens().Create(t); err != nil {
			return err
		}
	}
	return tx.Outbox().Enqueue(d.mail)
}

func limited(v limit.Decision) *Limited {
	return &Limited{Name: v.Name, RetryAt: v.RetryAt, ByMailbox: v.ByMailbox}
}

// queueUp gives a mail its place among those that wait. A known browser's does not: it goes to the mailbox that the browser has signed
// in to.
func (d *draft) queueUp(known bool, share limit.Share) {
	if d.mail.Lane = storage.LaneNew; known {
		d.mail.Lane = storage.LaneDirect
		return
	}
	d.mail.Position = outbox.Position(share)
}
