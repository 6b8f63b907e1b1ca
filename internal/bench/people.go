package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

const (
	// words are everybody's password, otherWords nobody's.
	words      = "eleven quiet herons over Trondheim"
	otherWords = "a kettle of brass and seven plums"
)

// user is an account with a password.
type user struct {
	email  string
	record password.Record
}

// records returns a record of [words] as we make them, and one as other programs do, with bcrypt of this cost. Every account may have the same: the time
// of a comparison is that of the record's kind.
func records(cost int) (own, imported password.Record, err error) {
	h, err := password.NewHasher(password.Options{})
	if err != nil {
		return own, imported, err
	}
	if own, err = h.Hash(context.Background(), words); err != nil {
		return own, imported, err
	}
	text, err := bcrypt.GenerateFromPassword([]byte(words), cost)
	if err != nil {
		return own, imported, err
	}
	imported, err = password.ParseRecord(string(text))
	return own, imported, err
}

// entrance is a Caddy whose gate takes passwords. Behind it a backend answers; /up is for everybody.
type entrance struct {
	*child
	url string
	// cookie is a session of somebody who has no password.
	cookie string
}

// entrance starts a Caddy with these people, under a limit of memory where there is one.
func (b *bench) entrance(people []user, limit *group) (*entrance, error) {
	full, _, err := b.programs()
	if err != nil {
		return nil, err
	}
	free, err := ports(3)
	if err != nil {
		return nil, err
	}
	e := &entrance{url: "http://127.0.0.1:" + free[0]}
	admin, backend := "127.0.0.1:"+free[1], "127.0.0.1:"+free[2]
	database := b.path("passwords.db")
	if e.cookie, err = settle(database, e.url, people); err != nil {
		return nil, err
	}
	program := self("backend")
	program.env = append(program.env, "EMAIL_LINK_BENCH_ADDR="+backend)
	behind, err := b.start(program, nil)
	if err != nil {
		return nil, err
	}
	if err := behind.await("http://" + backend); err != nil {
		return nil, err
	}
	config := b.path("Caddyfile")
	text := gateConfig(admin, database)
	// Nobody reaches these limits.
	text.Gate = "site_name Bench\n\t\tsign_in link code password\n\t\tlimit password_ip 100000000-H\n\t\tlimit password_mailbox 100000000-H"
	text.Sites = fmt.Sprintf("%s {\n\tbind 127.0.0.1\n\temail_link {\n\t\tbase_url %[1]s\n\t\tpublic /up\n\t}\n\trespond /up ok\n\treverse_proxy %s\n}\n", e.url, backend)
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	q := *full
	q.args = []string{"run", "--config", config, "--adapter", "caddyfile"}
	if e.child, err = b.start(limit.around(&q), nil); err != nil {
		return nil, err
	}
	return e, e.await(e.url + "/up")
}

// settle fills a database with people, and with somebody who is signed in. The session's last use is in an hour, as in signIn
// of the rows about requests.
func settle(database, site string, people []user) (cookie string, err error) {
	ctx := context.Background()
	store, err := bolt.Open(ctx, bolt.Options{Path: database})
	if err != nil {
		return "", err
	}
	st, err := openState(ctx, store, nil)
	if err != nil {
		return "", err
	}
	later := clock.New(func() time.Time { return time.Now().Add(time.Hour) })
	manager := session.NewManager(store, st.Ring, later, st.Accounts)
	err = store.Update(ctx, func(tx storage.Tx) error {
		for _, p := range append([]user{{email: "ada.lovelace@example.com"}}, people...) {
			addr, err := address.Parse(p.email)
			if err != nil {
				return err
			}
			a, err := st.Accounts.Create(tx, accounts.NewAccount{Address: addr, Password: p.record})
			if err != nil {
				return err
			}
			if cookie != "" {
				continue
			}
			cookie, _, err = manager.Open(tx, a, session.OpenInput{
				Site: site, Mailbox: addr.Mailbox(st.Ring), Methods: []string{"link"}, Device: "Firefox on Linux",
				Idle: 7 * 24 * time.Hour, Absolute: 30 * 24 * time.Hour,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return cookie, errors.Join(err, st.Close())
}

// answer is what came back, without what differs from one moment to the next.
type answer struct {
	status     int
	retryAfter int
	// entered says that there is a session now.
	entered bool
	// same is status, header and body, without Date.
	same string
}

// signIn signs in from a browser that nobody knows: as a form, or as a program does with JSON.
func (e *entrance) signIn(t http.RoundTripper, email, typed string, form bool) (a answer, elapsed time.Duration, err error) {
	kind, accept := "application/json", "application/json"
	body, err := json.Marshal(map[string]string{"email": email, "password": typed})
	if err != nil {
		return a, 0, err
	}
	if form {
		kind, accept = "application/x-www-form-urlencoded", "text/html"
		body = []byte(url.Values{"email": {email}, "password": {typed}}.Encode())
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, e.url+"/email-link/sign-in", bytes.NewReader(body))
	if err != nil {
		return a, 0, err
	}
	r.Header = http.Header{
		"Content-Type": {kind}, "Accept": {accept}, "Origin": {e.url}, "Sec-Fetch-Site": {"same-origin"},
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
	began := time.Now()
	res, err := t.RoundTrip(r)
	if err != nil {
		return a, 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	elapsed = time.Since(began)
	if err != nil {
		return a, elapsed, err
	}
	a.status = res.StatusCode
	a.retryAfter, _ = strconv.Atoi(res.Header.Get("Retry-After"))
	for _, c := range res.Cookies() {
		a.entered = a.entered || c.Name == boundary.CookieName("", false) && c.Value != ""
	}
	res.Header.Del("Date")
	var same strings.Builder
	_ = res.Header.Write(&same) // sorted; a builder takes all
	a.same = fmt.Sprintf("%d\n%s\n%s", res.StatusCode, same.String(), text)
	return a, elapsed, nil
}

// right reports whether a request was let in.
func (a answer) right() bool {
	return a.entered && (a.status == http.StatusOK || a.status == http.StatusSeeOther)
}
