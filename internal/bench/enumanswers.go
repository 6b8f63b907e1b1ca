package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// enumPrefixes are the kinds of addresses that an attacker who tries them would like to tell apart. The first two are one kind: what they differ by
// is what chance makes.
var enumPrefixes = []string{"nobody-a", "nobody-b", "invited", "active", "disabled"}

// enum is a gate in this process, asked by people who try addresses.
type enum struct {
	*gate
	mails map[string]mailer.Message
	// elapsed are the times of one step for one kind of address, in microseconds.
	elapsed map[string]map[string][]float64
}

// Send implements mailer.Mailer: it keeps the last mail to each address.
func (e *enum) Send(_ context.Context, m mailer.Message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mails[m.To] = m
	return nil
}

// enumRow is how long answers take by which an address could be tried: at the form of a sign-up by invitation, and in a change to it over the
// change's whole life. Every kind of address takes its turn, one after the other.
func enumRow(b *bench) ([]figure, error) {
	g, err := newGateAt(b.path("enum.db"), nil)
	if err != nil {
		return nil, err
	}
	defer os.Remove(g.path) //nolint:errcheck // temporary
	defer g.close()         //nolint:errcheck // read no more
	e := &enum{gate: g, mails: map[string]mailer.Message{}, elapsed: map[string]map[string][]float64{}}
	e.work.Use(outbox.Delivery{
		Mailer: e, Accounts: g.vault.Accounts, Sessions: g.vault.Sessions, Invitations: g.pages.Flows, Limits: g.site.Limits,
		Render: func(l outbox.Message) (mailer.Message, error) {
			return mailer.Message{From: "no-reply@example.com", Subject: string(l.Kind), Text: l.Link + "\n" + l.Code}, nil
		},
	})
	rounds := b.answers + 1 // one to warm up
	if err := e.seed(rounds); err != nil {
		return nil, err
	}
	session, err := e.owner()
	if err != nil {
		return nil, err
	}
	for n := range rounds {
		for i := range enumPrefixes {
			kind := enumPrefixes[(n+i)%len(enumPrefixes)]
			if n%2 == 1 { // so that each comes behind more than one other
				kind = enumPrefixes[(n+len(enumPrefixes)-i)%len(enumPrefixes)]
			}
			if err := errors.Join(e.signUp(n, kind), e.change(n, kind, session)); err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	return e.figures(fmt.Sprintf("%d each", b.answers)), nil
}

// seed makes the accounts and invitations.
func (e *enum) seed(rounds int) error {
	ctx := context.Background()
	for n := range rounds {
		for _, kind := range []string{"active", "disabled"} {
			addr, err := address.Parse(enumAddress(kind, n))
			if err != nil {
				return err
			}
			if err := e.store.Update(ctx, func(tx storage.Tx) error {
				a, err := e.vault.Accounts.Create(tx, accounts.NewAccount{Address: addr})
				if err == nil && kind == "disabled" {
					err = e.vault.Accounts.SetStatus(tx, a.ID, storage.StatusDisabled)
				}
				return err
			}); err != nil {
				return err
			}
		}
		if _, err := e.pages.Flows.Invite(ctx, e.site.Site, flow.InviteInput{Email: enumAddress("invited", n)}); err != nil {
			return err
		}
	}
	return e.work.Flush(ctx)
}

func enumAddress(kind string, n int) string { return fmt.Sprintf("%s-%06d@example.com", kind, n) }

// owner signs an account in whose address is changed.
func (e *enum) owner() (session string, err error) {
	requester := e.requester(1)
	result, err := e.pages.Flows.Request(context.Background(), e.site.Site, requester, flow.RequestInput{Purpose: flow.Activation, Email: enumOwner, ReturnTo: "/"})
	if err == nil {
		err = e.work.Flush(context.Background())
	}
	if err != nil {
		return "", err
	}
	requester.FlowCookie, requester.Navigation = result.FlowCookie, true
	done, err := e.pages.Flows.Confirm(context.Background(), e.site.Site, requester, flow.ConfirmInput{Token: e.token(enumOwner), OneClick: true})
	return done.SessionCookie, err
}

const enumOwner = "owner@example.com"

// token is that of the last mail to an address, code its code.
func (e *enum) token(to string) string {
	link, _, _ := strings.Cut(e.mails[to].Text, "\n")
	_, token, _ := strings.Cut(link, "?t=")
	return token
}

func (e *enum) code(to string) string {
	_, code, _ := strings.Cut(e.mails[to].Text, "\n")
	return code
}

// visitor is a browser that tries an address.
type visitor struct {
	e       *enum
	n       int
	kind    string
	cookies map[string]string
}

// send sends a request and notes how long its answer took under a name, where it has one.
func (v *visitor) send(name, method, path string, form url.Values, want int) (body string, err error) {
	e := v.e
	r := httptest.NewRequestWithContext(context.Background(), method, origin+"/email-link"+path, strings.NewReader(form.Encode()))
	for name, value := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate",
		"Accept": "text/html", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	} {
		r.Header.Set(name, value)
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	visit := web.Visit{Site: e.site, Client: client(int64(v.n)), Cookies: boundary.ExtractCookies(r.Header, true)}
	if visit.Live, err = e.vault.Sessions.Find(r.Context(), visit.Cookies.Session, origin); err != nil {
		return "", err
	}
	w := httptest.NewRecorder()
	began := time.Now()
	e.pages.Serve(w, r, visit)
	elapsed := time.Since(began)
	if w.Code != want {
		return "", fmt.Errorf("%s %s: %d, want %d", method, path, w.Code, want)
	}
	for _, c := range w.Result().Cookies() { //nolint:bodyclose // a recorder's
		if v.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	if name != "" && v.n > 0 {
		if e.elapsed[name] == nil {
			e.elapsed[name] = map[string][]float64{}
		}
		e.elapsed[name][v.kind] = append(e.elapsed[name][v.kind], float64(elapsed.Nanoseconds())/1e3)
	}
	return w.Body.String(), nil
}

// signUp asks at the form of a sign-up by invitation.
func (e *enum) signUp(n int, kind string) error {
	e.site.SignUp.Mode = flow.SignUpInvite
	defer func() { e.site.SignUp.Mode = flow.SignUpOpen }()
	v := &visitor{e, n, kind, map[string]string{}}
	form := url.Values{"email": {enumAddress(kind, n)}}
	if _, err := v.send("sign_up invite: asks", http.MethodPost, "/sign-up", form, http.StatusSeeOther); err != nil {
		return err
	}
	if err := e.work.Flush(context.Background()); err != nil {
		return err
	}
	if _, err := v.send("sign_up invite: looks", http.MethodGet, "/resend", nil, http.StatusOK); err != nil {
		return err
	}
	_, err := v.send("sign_up invite: wrong code", http.MethodPost, "/code", url.Values{"code": {"00000000"}}, http.StatusForbidden)
	return err
}

var hiddenH = regexp.MustCompile(`name="h" value="([^"]+)"`)

// change begins a change to the address, and goes as far as its old mailbox gets.
func (e *enum) change(n int, kind, session string) error {
	v := &visitor{e, n, kind, map[string]string{boundary.CookieName(boundary.SessionCookie, true): session}}
	old := &visitor{e, n, kind, map[string]string{}}
	var page string
	for _, s := range []struct {
		name, method, path string
		form               func() url.Values
		by                 *visitor
		want               int
	}{
		{"change: asks", http.MethodPost, "/account/address", func() url.Values { return url.Values{"email": {enumAddress(kind, n)}} }, v, http.StatusSeeOther},
		{"change: begins", http.MethodPost, "/account/proof", func() url.Values { return url.Values{"code": {e.code(enumOwner)}} }, v, http.StatusSeeOther},
		{"change: looks", http.MethodGet, "/account", func() url.Values { return nil }, v, http.StatusOK},
		{"change: wrong code", http.MethodPost, "/account/address/code", func() url.Values { return url.Values{"code": {"00000000"}} }, v, http.StatusForbidden},
		{"", http.MethodGet, "/link?t=", func() url.Values { return nil }, old, http.StatusSeeOther},
		{"", http.MethodGet, "/confirm", func() url.Values { return nil }, old, http.StatusOK},
		{"change: the old mailbox", http.MethodPost, "/confirm", func() url.Values { return url.Values{"h": {hiddenH.FindStringSubmatch(page)[1]}} }, old, http.StatusSeeOther},
		{"change: stops", http.MethodPost, "/account/address/stop", func() url.Values { return url.Values{"form": {"1"}} }, v, http.StatusSeeOther},
	} {
		if s.path == "/link?t=" {
			s.path += e.token(enumOwner)
		}
		var err error
		if page, err = s.by.send(s.name, s.method, s.path, s.form(), s.want); err != nil {
			return err
		}
		if err := e.work.Flush(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// figures are the median of each step, and how far apart those of the kinds of addresses are beside what chance makes.
func (e *enum) figures(how string) (list []figure) {
	const unit = "µs"
	names := make([]string, 0, len(e.elapsed))
	for name := range e.elapsed {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var medians, all []float64
		for _, kind := range enumPrefixes {
			values := e.elapsed[name][kind]
			medians, all = append(medians, median(values)), append(all, values...)
		}
		list = append(list,
			figure{what: name, floor: how, unit: unit, values: all},
			figure{what: name + ": largest difference of medians", floor: "each other", unit: unit, values: []float64{apart(medians)}},
			figure{what: name + ": difference of the two unknown ones", floor: "each other", unit: unit, values: []float64{apart(medians[:2])}},
		)
	}
	return list
}
