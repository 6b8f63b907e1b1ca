package flow

import (
	"cmp"
	"context"
	"encoding/base64"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Open says what a mailed token would do. It changes nothing, however often it is called.
//
// Errors: ErrDead for every token that does nothing, malformed ones of any size included; ErrUnavailable. A used link whose
// session this browser holds is no error: see LinkPreview.Destination.
func (s *Service) Open(ctx context.Context, site Site, requester Requester, text string) (LinkPreview, error) {
	site = site.withDefaults()
	now := s.Clock.Now()
	parsed, err := s.read(site, text, now)
	if err != nil {
		return LinkPreview{}, err
	}
	var preview LinkPreview
	err = s.view(ctx, func(tx storage.Tx) error {
		l, found, err := s.find(tx, site, parsed, now)
		if err != nil {
			return err
		}
		if !found {
			return refuse(ErrDead)
		}
		if preview, err = s.preview(tx, site, requester, &l, text, now); err != nil {
			return err
		}
		if !l.valid && preview.Destination == "" {
			return refuse(ErrDead)
		}
		return nil
	})
	if err != nil {
		return LinkPreview{}, err
	}
	return preview, nil
}

// parsedToken is a token as it was sent.
type parsedToken struct {
	// keys are where a token of a stored flow may be: for each purpose that of its link, then that of its "this wasn't me". They
	// are found before the transaction, since only one runs at a time.
	keys []storage.Key
	// stateless is set when the text has the form of a link that carries its flow, claims what it carries, nil when it is not one
	// of ours; cancel is set when it is the link "this wasn't me".
	stateless, cancel bool
	claims            *token.Claims
}

// read reads a token's text. One that is malformed or over needs no look at the store, so it costs no count either.
func (s *Service) read(site Site, text string, now time.Time) (parsedToken, error) {
	if token.IsLink(text) {
		c, cancel, err := token.ReadLink(s.Ring, site.Origin, text)
		if err != nil {
			return parsedToken{stateless: true}, nil //nolint:nilerr // as a token that is not in the store: a guess
		}
		if c.Expires <= now.Unix() {
			return parsedToken{}, ErrDead
		}
		return parsedToken{stateless: true, cancel: cancel, claims: &c}, nil
	}
	p, err := token.Parse(text)
	if err != nil || p.End <= now.Unix() {
		return parsedToken{}, ErrDead
	}
	keys := make([]storage.Key, 0, 2*len(purposes))
	for _, purpose := range purposes {
		keys = append(keys, p.Key(s.Ring, purpose, site.Origin), p.Key(s.Ring, token.CancelPurpose(purpose), site.Origin))
	}
	return parsedToken{keys: keys}, nil
}

// CleanToken returns the mailed token in the value of a query, see [token.Clean], and when it stops working if it is one of this site's.
// ok is false where there is none; only Open and Confirm find out whether a token of that form exists.
func (s *Service) CleanToken(site Site, value string) (text string, ends time.Time, ok bool) {
	now := s.Clock.Now()
	if text, ok = token.Clean(value, now); !ok {
		return "", time.Time{}, false
	}
	if token.IsLink(text) {
		if c, _, err := token.ReadLink(s.Ring, site.Origin, text); err == nil {
			return text, time.Unix(c.Expires, 0), true
		}
		return text, now.Add(MaxLinkTTL), true
	}
	p, err := token.Parse(text)
	return text, time.Unix(p.End, 0), err == nil
}

// linkTarget is a token that was found, and its flow.
type linkTarget struct {
	token storage.Token
	// purpose is the token's own, which differs from that of its flow for AddressConsent.
	purpose string
	flow    storage.Flow
	private private
	addr    address.Address
	// account is the flow's, when valid; an activation has none.
	account accounts.Account
	// valid is set when the token does something now.
	valid bool
	// unanswered is set when the token has done it, and this browser was not told: a press of the button is answered now.
	unanswered *unansweredOf
	// unstoredFlow is set when the flow is not in the store yet, unstoredToken when the token is not.
	unstoredFlow, unstoredToken bool
}

// find finds a token at this site under whatever purpose it was made for. The text does not say the purpose; the digest is
// bound to it.
func (s *Service) find(tx storage.Tx, site Site, parsed parsedToken, now time.Time) (l linkTarget, found bool, err error) {
	if parsed.stateless {
		if parsed.claims == nil {
			return l, false, nil
		}
		return s.findStateless(tx, site, parsed, now)
	}
	if err := tx.Prefetch(storage.Lookups{Tokens: parsed.keys}); err != nil {
		return l, false, err
	}
	for i, key := range parsed.keys {
		if l.token, found, err = tx.Tokens().Get(key); err != nil {
			return l, false, err
		}
		if !found {
			continue
		}
		purpose, cancel := purposes[i/2], i%2 == 1
		l.flow, found, err = tx.Flows().Get(l.token.Flow)
		if l.purpose = purpose; purpose == AddressConsent { // the second token of a change of the address
			purpose = Address
		}
		if err != nil || !found || l.flow.Purpose != purpose || l.flow.Site != site.Origin ||
			cancel != (l.token.Kind == storage.TokenCancel) {
			return l, false, err
		}
		l.private, l.addr, err = s.openPrivate(l.flow)
		return l, err == nil, err
	}
	return l, false, nil
}

// preview fills what the page of a token says, and judges whether the token is good.
func (s *Service) preview(tx storage.Tx, site Site, requester Requester, l *linkTarget, text string, now time.Time) (LinkPreview, error) {
	f, p := l.flow, l.private
	if IsAddressPurpose(l.purpose) {
		return s.previewAddress(tx, site, requester, l, text, now)
	}
	o := LinkPreview{
		Purpose: effect(f), Cancel: l.token.Kind == storage.TokenCancel, Site: f.Site, Device: p.Device, Network: p.Network,
		Started: f.Started, End: f.Key.Ends(), ReturnTo: p.ReturnTo, SameBrowser: s.ownsFlow(site, requester.FlowCookie, f, p),
		CodeOff: !site.mailsCode(f.Purpose) || p.Operator || f.WrongCodes >= MaxWrongCodes,
	}
	o.App = p.App != nil
	signedIn := p.App == nil && f.State == storage.FlowRedeemed && requester.Session != nil && requester.Session.Session.Key == f.Session
	if !o.Cancel && (signedIn || s.holdsHandoff(site, requester, f, p)) {
		o.Destination = p.ReturnTo
		return o, nil
	}
	if !l.token.Used.IsZero() {
		return o, s.previewUnanswered(tx, site, requester, l, &o, text)
	}
	var err error
	if o.Cancel {
		o.Mute = muteFor(requester, f)
		l.valid, err = mayCancel(tx, f, now)
	} else {
		l.account, l.valid, err = s.validate(tx, site, f, p, now, false)
	}
	if err != nil {
		return o, err
	}
	shown := l.addr
	if l.valid && l.account.Email != "" {
		if shown, err = address.Parse(l.account.Email); err != nil {
			return o, err
		}
	}
	o.Address, o.Masked = shown.Display(), shown.Masked()
	o.OtherAccount = otherAccount(requester, f)
	if o.Invitation, err = s.previewInvitation(tx, requester, l, p, now); err != nil {
		return o, err
	}
	f = l.flow
	o.AskName = !o.Cancel && o.makesAccount() && (site.AskName || o.Invitation != nil && o.Invitation.Name != "") && !o.App
	if !o.Cancel && (o.makesAccount() || o.Purpose == Reset) && s.OffersPasswords(site) && !o.App {
		o.AskPassword, o.Username, o.MinLength = true, cmp.Or(l.account.Email, p.Email), site.Passwords.Min()
	}
	o.OneClick = l.valid && !o.Cancel && requester.Navigation && o.SameBrowser && p.Origin && o.OtherAccount == "" && !o.AskName &&
		!o.AskPassword && f.Purpose != UndoDeletion && (!o.App || f.Purpose != Reset) && o.Invitation == nil
	o.H = s.previewBinding(text, o.Cancel, f, requester)
	return o, nil
}

// makesAccount reports whether the press of the button makes an account.
func (o *LinkPreview) makesAccount() bool {
	return o.Purpose == Activation || o.Purpose == Invite && o.Invitation != nil && !o.Invitation.Account
}

// previewUnanswered shows the button of a used link once more to the browser that has pressed it and was not told what came of it.
func (s *Service) previewUnanswered(tx storage.Tx, site Site, requester Requester, l *linkTarget, o *LinkPreview, text string) error {
	if o.Cancel {
		return nil
	}
	one, found, err := s.unanswered.get(tx, l.flow, requester)
	if err != nil || !found || l.flow.EndedBy != l.token.Key.Digest {
		return err
	}
	l.valid, l.unanswered = true, &one
	o.Address, o.Masked, o.H = l.addr.Display(), l.addr.Masked(), s.previewBinding(text, false, l.flow, requester)
	o.AskPassword, o.Username, o.MinLength = one.done.PasswordSet, l.private.Email, site.Passwords.Min()
	return nil
}

// otherAccount returns the masked address of the account this browser is signed in to, when it is not the flow's.
func otherAccount(requester Requester, f storage.Flow) string {
	if requester.Session == nil || requester.Session.Session.Mailbox == f.Mailbox {
		return ""
	}
	a, err := address.Parse(requester.Session.Account.Email)
	if err != nil {
		return "•••"
	}
	return a.Masked()
}

// previewBinding returns what binds a press of the button to the page that had it: the token, what it does, the account shown and
// the session of the browser.
func (s *Service) previewBinding(text string, cancel bool, f storage.Flow, requester Requester) string {
	act := []byte{0}
	if cancel {
		act[0] = 1
	}
	var session, of []byte
	if requester.Session != nil {
		session, of = keyBytes(requester.Session.Session.Key), []byte(requester.Session.Session.Account)
	}
	d := s.Ring.MAC(labelConfirm, []byte(text), act, []byte(f.Site), []byte(f.Purpose), []byte(f.Account), f.Mailbox[:],
		session, of)
	return base64.RawURLEncoding.EncodeToString(d[:])
}
