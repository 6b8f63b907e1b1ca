package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// ExplainQuery asks what a person gets who opens a page.
type ExplainQuery struct {
	Email string `json:"email"`
	URL   string `json:"url"`
	// Method is that of the request. Default: GET.
	Method string `json:"method,omitempty"`
}

// Statuses of the gate's answers, as HTTP has them.
const (
	statusSignIn       = 303 // a page that is opened is led to the form
	statusUnauthorized = 401
	statusForbidden    = 403
)

// Rule is one thing that has a say, and where it is written.
type Rule struct {
	Rule string `json:"rule"`
	// At is file and line in the Caddyfile, empty for what is in no file.
	At   string `json:"at,omitempty"`
	Says string `json:"says"`
	// Decides marks the one that decides.
	Decides bool `json:"decides,omitempty"`
}

// Explanation is what a person gets who opens a page.
type Explanation struct {
	Email   string `json:"email"`
	Account string `json:"account,omitempty"`
	URL     string `json:"url"`
	Method  string `json:"method"`
	Rules   []Rule `json:"rules"`
	// Status is that of the gate's answer to the person's browser, 0 if the request goes on to the app or to a page of the gate's own.
	Status int `json:"status,omitempty"`
	// Reference is what the page and the log show of a refusal.
	Reference string `json:"reference,omitempty"`
}

// RouteQuestion asks which gates judge a request, and how.
type RouteQuestion struct {
	URL, Method string
	// Account is nil for an anonymous request; Proven is when it was last proven.
	Account *accounts.Account
	Proven  time.Time
}

// RouteAnswer is what the gates on the way say to a request.
type RouteAnswer struct {
	Rules []Rule
	// NeedsSession is set when an anonymous request does not go on.
	NeedsSession bool
	// Refused is the status of the refusal, 0 if the request goes on; Reference is what page and log show of it.
	Refused   int
	Reference string
	// Origin is the site of the request, Portal the origin at which people sign in for it, empty: at the site itself.
	Origin, Portal string
}

// Add adds a rule.
func (a *RouteAnswer) Add(rule, at, says string, decides bool) {
	a.Rules = append(a.Rules, Rule{rule, at, says, decides})
}

// Refuse notes a refusal.
func (a *RouteAnswer) Refuse(status int, reference string) {
	a.Refused, a.Reference = status, reference
}

// Decided reports whether a rule decides.
func (a *RouteAnswer) Decided() bool {
	for _, r := range a.Rules {
		if r.Decides {
			return true
		}
	}
	return false
}

// Explain implements Operations.
func (svc *Service) Explain(ctx context.Context, q ExplainQuery) (w Explanation, err error) {
	if svc.Route == nil {
		return w, errNotAvailable
	}
	addr, err := address.Parse(q.Email)
	if err != nil {
		return w, invalid("%q is not an email address: %v", q.Email, err)
	}
	w = Explanation{Email: addr.Display(), URL: q.URL, Method: strings.ToUpper(q.Method)}
	if w.Method == "" {
		w.Method = "GET"
	}
	account, found, err := svc.accountOfMailbox(ctx, addr)
	if err != nil {
		return w, err
	}
	question := RouteQuestion{URL: q.URL, Method: w.Method, Proven: svc.Vault.Clock.Now()}
	var sessions []storage.Session
	if found {
		w.Account = account.ID
		if sessions, err = svc.Vault.Sessions.List(ctx, account.ID); err != nil {
			return w, err
		}
		question.Account = &account
	}
	answer, err := svc.Route(question)
	if err != nil {
		return w, err
	}
	last := newestAt(sessions, answer.Origin, answer.Portal != "")
	if last == nil && answer.Portal != "" {
		last = newestAt(sessions, answer.Portal, false)
	}
	if last != nil {
		question.Proven = last.AuthTime
		if answer, err = svc.Route(question); err != nil {
			return w, err
		}
	}
	w.Rules, w.Status, w.Reference = answer.Rules, answer.Refused, answer.Reference
	if answer.Refused != 0 && answer.Refused != statusSignIn && answer.Refused != statusForbidden || answer.Decided() && answer.Refused == 0 {
		return w, nil // what decides has to do with no account
	}
	return w, svc.explainPerson(ctx, &w, addr, account, found, last, answer)
}

// accountOfMailbox returns the account of an address.
func (svc *Service) accountOfMailbox(ctx context.Context, addr address.Address) (a accounts.Account, found bool, err error) {
	err = svc.Vault.Store.View(ctx, func(tx storage.Tx) error {
		record, ok, err := tx.Accounts().ByMailbox(addr.Mailbox(svc.Vault.Ring))
		if err != nil || !ok {
			return err
		}
		a, found, err = svc.Vault.Accounts.Get(tx, record.ID)
		return err
	})
	return a, found, err
}

// newestAt returns the session at a site whose proof is the newest, nil if there is none. At a site whose people sign in at a portal only those count
// that the portal has opened.
func newestAt(sessions []storage.Session, origin string, led bool) (last *storage.Session) {
	for i, s := range sessions {
		if s.Site == origin && (!led || !s.Parent.IsZero()) && (last == nil || s.AuthTime.After(last.AuthTime)) {
			last = &sessions[i]
		}
	}
	return last
}

// explainPerson adds what has to do with the account, its sessions, its limits and its mails. What keeps a person from signing in decides where no
// session is there.
func (svc *Service) explainPerson(ctx context.Context, w *Explanation, addr address.Address, account accounts.Account, found bool, last *storage.Session, answer RouteAnswer) error {
	add := func(rule, says string, decides bool) {
		if decides {
			for i := range w.Rules {
				w.Rules[i].Decides = false
			}
		}
		w.Rules = append(w.Rules, Rule{Rule: rule, Says: says, Decides: decides})
	}
	needs, decided := answer.NeedsSession, answer.Decided()
	switch {
	case !found:
		add("account", "there is none for this address", needs)
	case account.Status != accounts.Active:
		add("account", account.ID+" is disabled, and signs in nowhere: 'caddy email-link accounts enable' lets it", needs)
	default:
		add("account", account.ID+" is active", false)
	}
	if needs && (!found || account.Status != accounts.Active) {
		w.Status, w.Reference = signInStatus(w.Method), ""
		return nil
	}
	if !found {
		return nil
	}
	first := needs && !decided && (last == nil || last.Site != answer.Origin)
	switch {
	case last == nil:
		add("session", "not signed in there: the sign-in page comes first", first)
	case last.Site == answer.Origin:
		add("session", svc.signedInAt(last), false)
	default:
		add("session", svc.signedInAt(last)+", which leads there without a mail", first)
	}
	if first { // what is met after signing in, too, has its status already
		w.Status = signInStatus(w.Method)
	}
	return svc.explainSignIn(ctx, addr, last == nil && first, add)
}

func (svc *Service) signedInAt(s *storage.Session) string {
	return fmt.Sprintf("signed in at %s since %s", s.Site, svc.displayTime(s.AuthTime).Format(time.RFC3339))
}

// signInStatus is that of the answer to a browser that has to sign in: only a page that a person opens leads to the form.
func signInStatus(method string) int {
	if method == "GET" {
		return statusSignIn
	}
	return statusUnauthorized
}

// explainSignIn adds what keeps mails from arriving.
func (svc *Service) explainSignIn(ctx context.Context, addr address.Address, decides bool, add func(rule, says string, decides bool)) error {
	spent, err := svc.spentLimits(ctx, addr.Typed())
	if err != nil {
		return err
	}
	for _, l := range spent {
		if strings.HasPrefix(l.Name, "mail_mailbox") && !l.Known {
			add("limit "+l.Name+" "+l.Rate, "is spent until "+l.Ends.Format(time.RFC3339)+": an unknown browser waits, or solves a proof of work", decides)
			decides = false
			continue
		}
		add("limit "+l.Name+" "+l.Rate, "is spent until "+l.Ends.Format(time.RFC3339), false)
	}
	mails, err := svc.mailsTo(ctx, addr.Typed())
	for _, m := range mails {
		says := m.State + ", attempts: " + fmt.Sprint(m.Attempts)
		if m.Reason != "" {
			says += ", " + m.Reason
		}
		add("mail "+m.Purpose, says, decides)
		decides = false
	}
	return err
}
