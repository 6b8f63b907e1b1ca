package flow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// A stateless flow is not in the store until something has to be counted or marked: its cookie and its links carry it, sealed.
// The first resend, wrong code, cancel or redemption stores it as any other flow, without its private half, in the step that
// has the effect, and from then on the record decides. So the steps are the same for both kinds, but for how a flow is found.

// MaxURL is the longest URL of a link that carries its flow, in bytes. A request whose link would be longer makes a stored
// flow.
const MaxURL = 900

// statelessClaims returns what a new flow is carried by, nil where it is to be stored: the site says so, or it does not fit
// into a link or a cookie. An app says more about its own users, so the browser is not to see which of the two it was: the
// cookie of a flow that is stored here is as long, and as unreadable.
func (r *request) statelessClaims() (*token.Claims, error) {
	if !r.site.Stateless {
		return nil, nil //nolint:nilnil // a stored flow has none
	}
	c := token.Claims{
		Site: r.site.Origin, Purpose: r.purpose, FID: token.NewFID(), Issued: r.now.Unix(),
		Expires: r.now.Add(r.site.lifetime(r.purpose)).Unix(), Resends: *r.site.Resends,
		Wait: r.site.ResendWait.Milliseconds(), Known: r.subject.Known || r.paid,
	}
	if !c.Known { // a known browser takes no slot, nor does solved work
		c.Client = r.requester.Client.Unmap().WithZone("")
	}
	var err error
	if c.Private, err = token.Compact(r.private); err != nil {
		return nil, fmt.Errorf("flow: write the private half: %w", err)
	}
	size, err := c.LinkSize()
	if err != nil || !c.FitsCookie() || len(r.site.base())+len("/cancel?t=")+size > MaxURL {
		return nil, err
	}
	return &c, nil
}

// withEpochs returns the claims of a flow whose epochs have been read.
func withEpochs(c *token.Claims, e storage.Epochs) *token.Claims {
	next := *c
	next.Global, next.Mailbox = e.Global, e.Mailbox
	return &next
}

// fromClaims returns a stateless flow as it is before anything has been stored. The account is the one that the claims name: none
// in a cookie.
func (s *Service) fromClaims(site Site, c *token.Claims, k storage.Key, mailbox storage.Digest) storage.Flow {
	f := storage.Flow{
		Key: k, ID: c.FID.ID(s.Ring), Site: c.Site, Purpose: c.Purpose, Mailbox: mailbox,
		Epochs: storage.Epochs{Global: c.Global, Mailbox: c.Mailbox}, Started: time.Unix(c.Issued, 0).UTC(), ResendsLeft: c.Resends,
		State: storage.FlowOpen,
	}
	f.NextResend = f.Started.Add(time.Duration(c.Wait) * time.Millisecond)
	if !c.Known {
		f.MailIP = s.Limiter.Prepare(f.Started, site.Limits.LimitsFor(limit.MailIP, limit.Subject{Client: c.Client})...).Slots()
	}
	return f
}

// storeFlow stores a stateless flow that is not in the store yet. The step has found it absent.
func (s *Service) storeFlow(tx storage.Tx, f storage.Flow) error {
	if _, found, err := tx.Flows().GetForUpdate(f.Key); err != nil || found {
		return orConflict(err)
	}
	return tx.Flows().Create(f)
}

// acceptable reports whether claims are of a flow that this site may have now: in their time, and not from before the database. A
// database that was put back has forgotten what was used since it was copied. Where no such flows are made any more, and none
// that was can be alive, none is accepted: stolen keys of a gate that stores its flows forge no links.
func (s *Service) acceptable(tx storage.Tx, site Site, c *token.Claims, now time.Time) (bool, error) {
	if !c.Alive(now, site.lifetime(c.Purpose)) {
		return false, nil
	}
	if !site.Stateless {
		until, known, err := storage.MetaTime(tx, storage.MetaStateless)
		if err != nil || !known || !now.Before(until) {
			return false, err
		}
	}
	created, known, err := storage.MetaTime(tx, storage.MetaCreated)
	return err == nil && (!known || c.Issued >= created.Unix()), err
}

// announceStateless notes how long there may be stateless flows. It writes once a day.
func announceStateless(tx storage.Tx, c *token.Claims) error {
	ends := time.Unix(c.Expires, 0)
	until, known, err := storage.MetaTime(tx, storage.MetaStateless)
	if err != nil || known && !until.Before(ends) {
		return err
	}
	return storage.SetMetaTime(tx, storage.MetaStateless, ends.Add(24*time.Hour))
}

// readCookie returns what finds the flow of a cookie, and the claims of a stateless one.
func (s *Service) readCookie(site Site, text string) (cookie token.Parsed, c *token.Claims, ok bool) {
	if cookie, err := token.Parse(text); err == nil {
		return cookie, nil, true
	}
	if cookie, err := token.Unpad(s.Ring, site.Origin, text); err == nil {
		return cookie, nil, true
	}
	claims, err := token.ReadCookie(s.Ring, site.Origin, text)
	if err != nil {
		return token.Parsed{}, nil, false
	}
	return claims.FID.Cookie(s.Ring, claims.Expires), &claims, true
}

// readPrivate reads the private half that claims carry.
func readPrivate(c *token.Claims) (p private, addr address.Address, err error) {
	if err := json.Unmarshal(c.Private, &p); err != nil {
		return p, addr, fmt.Errorf("flow: read the private half: %w", err)
	}
	if addr, err = address.Parse(p.Email); err != nil {
		return p, addr, fmt.Errorf("flow: an address that was accepted: %w", err)
	}
	return p, addr, nil
}

// currentStateless returns the flow of a browser whose cookie carries it: the last of its generations, or the first one while
// there is nothing in the store.
func (s *Service) currentStateless(tx storage.Tx, site Site, h currentFlow, now time.Time) (currentFlow, bool, error) {
	if ok, err := s.acceptable(tx, site, h.Claims, now); err != nil || !ok {
		return currentFlow{}, false, err
	}
	p, addr, err := readPrivate(h.Claims)
	if err != nil {
		return currentFlow{}, false, err
	}
	found, err := s.lastGeneration(tx, site, &h, now)
	if err != nil {
		return currentFlow{}, false, err
	}
	if !found {
		k := s.flowKey(h.Cookie, site.Origin, 0)
		h.Flow, h.Unstored = s.fromClaims(site, h.Claims, k, addr.Mailbox(s.Ring)), true
		h.Codes = []storage.Digest{s.codeOf(h, 0)}
	}
	h.Private, h.Addr = p, addr
	h.Private.Generation = h.Generation
	return h, true, nil
}

// codeOf returns the digest of the code in one mail of a stateless flow.
func (s *Service) codeOf(h currentFlow, mail int) storage.Digest {
	seed := h.Claims.FID.Seed(s.Ring, h.Generation, mail)
	return token.CodeDigest(s.Ring, h.Text, token.Code(s.Ring, seed, h.Purpose, h.Site))
}

// withAccount returns a flow with the account that a typed code would sign in. That of a stateless flow is looked up now: its
// mailbox's epoch says that it is the one whom the mail worker found.
func (s *Service) withAccount(tx storage.Tx, h currentFlow) (f storage.Flow, err error) {
	if f = h.Flow; h.Claims == nil {
		return f, nil
	}
	if h.Private.App != nil {
		f.Bound = true // no account is looked up
		return f, nil
	}
	a, found, err := tx.Accounts().ByMailbox(f.Mailbox)
	if err != nil {
		return f, err
	}
	epoch, err := tx.Epochs().Get(storage.AccountEpoch(a.ID)) // that of none is read as well: both take as long
	f.Bound, f.Account, f.Epochs.Account = true, "", 0
	if found {
		f.Account, f.Epochs.Account = a.ID, epoch
	}
	return f, err
}

// findStateless finds the flow of a link that carries it. What the store holds decides; the account is the link's own.
func (s *Service) findStateless(tx storage.Tx, site Site, p parsedToken, now time.Time) (l linkTarget, found bool, err error) {
	c := p.claims
	if ok, err := s.acceptable(tx, site, c, now); err != nil || !ok {
		return l, false, err
	}
	if l.private, l.addr, err = readPrivate(c); err != nil {
		return l, false, err
	}
	generation := l.private.Generation
	k := s.flowKey(c.FID.Cookie(s.Ring, c.Expires), site.Origin, generation)
	if l.flow, found, err = tx.Flows().Get(k); err != nil {
		return l, false, err
	}
	if !found {
		if c.Mail > 0 || generation > 0 { // what it followed was stored
			return l, false, nil
		}
		l.flow, l.unstoredFlow = s.fromClaims(site, c, k, l.addr.Mailbox(s.Ring)), true
	}
	l.flow.Bound, l.flow.Account = true, c.Account
	l.flow.Epochs = storage.Epochs{Global: c.Global, Mailbox: c.Mailbox, Account: c.AccountEpoch}
	l.token = storage.Token{Key: c.Key(s.Ring, generation, p.cancel), Kind: storage.TokenLink, Flow: k}
	if p.cancel {
		l.token.Kind = storage.TokenCancel
	}
	used, marked, err := tx.Tokens().Get(l.token.Key)
	if err != nil {
		return l, false, err
	}
	if l.unstoredToken = !marked; marked {
		l.token = used
	}
	return l, true, nil
}

// consumeToken marks the token of a link as used, once.
func (s *Service) consumeToken(tx storage.Tx, l linkTarget, now time.Time) error {
	if l.unstoredToken {
		if err := tx.Tokens().Create(l.token); err != nil {
			return err
		}
	}
	_, result, err := tx.Tokens().Consume(l.token.Key, now)
	if err != nil || result != storage.TokenConsumed {
		return orConflict(err)
	}
	return nil
}
