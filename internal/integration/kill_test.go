package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

// rounds returns how often a test repeats itself: a few times, or what an environment variable says.
func rounds(t *testing.T, name string, few int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return few
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// unlimited are limits that no load of a test reaches.
const unlimited = "limit mail_ip 10000000-H\nlimit mail_address 10000000-H\nlimit mail_mailbox 10000000-D\nlimit mail_known 10000000-H\n" +
	"limit mail_unknown 10000000-H\nlimit redeem_ip 10000000-H"

// person is one sign-up as the client knows it: what was answered, and what was sent without an answer.
type person struct {
	email, cookie, link string
	client              *client
	// asked, confirmed and out were acknowledged.
	asked, confirmed, out bool
	// maybe says that the last step of the person has had no answer.
	maybe bool
}

// crowd is the load: people who sign up, look around and sign out, without end.
type crowd struct {
	p    *process
	ctx  context.Context
	acks atomic.Int64
	// told is sent to at each acknowledgement.
	told   chan struct{}
	inbox  *inboxes
	mu     sync.Mutex
	people []*person
}

// inboxes finds mails by their recipient.
type inboxes struct {
	server *mailertest.Server
	mu     sync.Mutex
	read   int
	links  map[string][]string
}

func (b *inboxes) of(email string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	mails := b.server.Mails()
	for _, m := range mails[b.read:] {
		b.links[m.EnvelopeTo] = append(b.links[m.EnvelopeTo], linkIn.FindString(m.Text))
	}
	b.read = len(mails)
	return b.links[email]
}

// wait returns the first link that was mailed to somebody, or none when ctx ends before it.
func (b *inboxes) wait(ctx context.Context, email string) string {
	for {
		if links := b.of(email); len(links) > 0 {
			return links[0]
		}
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(time.Millisecond): // polling the mail server
		}
	}
}

// try is do for a server that may be gone; status 0 is no answer.
func (c *client) try(method, path string, form url.Values) (int, http.Header) {
	target := path
	if strings.HasPrefix(path, "/") {
		target = c.w.origin() + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		return 0, nil
	}
	for _, header := range []http.Header{navigation, c.header} {
		for name, values := range header {
			r.Header[name] = values
		}
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, nil
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, res.Header
}

// live lets one person after the other come until the server is gone.
func (l *crowd) live(name string) {
	for n := 0; l.ctx.Err() == nil; n++ {
		one := &person{email: fmt.Sprintf("%s-%d@example.com", name, n), client: l.p.client()}
		l.mu.Lock()
		l.people = append(l.people, one)
		l.mu.Unlock()
		if !l.walk(one, n%3 == 0) {
			return
		}
	}
}

// walk is the way of one person. Each step is noted before it is sent and when it is answered.
func (l *crowd) walk(one *person, leaves bool) bool {
	ack := func(done *bool, status int) bool {
		if status == 0 {
			return false
		}
		if status != http.StatusSeeOther {
			l.p.t.Errorf("%s: %d", one.email, status)
			return false
		}
		*done, one.maybe = true, false
		l.acks.Add(1)
		select {
		case l.told <- struct{}{}:
		default:
		}
		return true
	}
	one.maybe = true
	status, _ := one.client.try(http.MethodPost, "/email-link/sign-up", url.Values{"email": {one.email}})
	if !ack(&one.asked, status) {
		return false
	}
	if one.link = l.inbox.wait(l.ctx, one.email); one.link == "" {
		return false
	}
	one.maybe = true
	status, _ = one.client.try(http.MethodGet, one.link, nil)
	if !ack(&one.confirmed, status) {
		return false
	}
	one.cookie = one.client.cookie()
	if !leaves {
		return true
	}
	one.maybe = true
	status, _ = one.client.try(http.MethodPost, "/email-link/sign-out", url.Values{})
	return ack(&one.out, status)
}

// TestDUR1_KilledGate kills the whole gate under load, again and again: it starts again, the database has no damage, each
// acknowledged effect holds, none is there in part, and no used link is alive.
func TestDUR1_KilledGate(t *testing.T) {
	bothModes(t, func(t *testing.T, links string) {
		t.Parallel()
		p := startProcess(t, setup{global: "sign_up open\n" + links + "\n" + unlimited})
		inbox := &inboxes{server: p.mails, links: map[string][]string{}}
		for round := range rounds(t, "GATE_KILL_ROUNDS", 3) {
			ctx, cancel := context.WithCancel(t.Context())
			l := &crowd{p: p, ctx: ctx, inbox: inbox, told: make(chan struct{}, 1)}
			until := 20 + rand.Int64N(300) //nolint:gosec // a moment, no secret
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() { l.live(fmt.Sprintf("r%d-w%d", round, worker)) })
			}
			for l.acks.Load() < until && !t.Failed() {
				select {
				case <-l.told:
				case <-p.ended:
					t.Fatalf("Caddy ended by itself:\n%s", p.out)
				}
			}
			p.kill()
			cancel()
			wg.Wait()
			accounts := p.inspect(t, l.people)
			started := time.Now()
			p.start()
			took := time.Since(started)
			l.verify(t, accounts)
			t.Logf("round %d: %d acknowledgements, %d people, serves again after %s", round, l.acks.Load(), len(l.people), took.Round(time.Millisecond))
			if t.Failed() {
				t.Log(p.out)
				return
			}
		}
	})
}

// inspect looks for damage in the database of a process that was killed, and says who has an account.
func (p *process) inspect(t *testing.T, people []*person) map[string]bool {
	t.Helper()
	store, err := bolt.Open(t.Context(), bolt.Options{Path: p.db})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("the database has damage: %v", err)
	}
	s, err := vault.Open(t.Context(), vault.Config{Store: store, Masters: func([]byte) ([][]byte, error) {
		return keyring.ParseMasters([]string{os.Getenv("EMAIL_LINK_TEST_SECRET")})
	}})
	if err != nil {
		_ = store.Close()
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	found := map[string]bool{}
	for _, one := range people {
		_, has, err := s.Accounts.Lookup(t.Context(), one.email)
		if err != nil {
			t.Errorf("%s: %v", one.email, err)
		}
		found[one.email] = has
	}
	// A mail that was on its way when its process died is tried again within two minutes. The test does not wait for them.
	if err := store.Update(t.Context(), func(tx storage.Tx) error {
		waiting, err := tx.Outbox().List(false, 1000)
		for _, m := range waiting {
			_, one := tx.Outbox().Requeue(m.ID, s.Clock.Now())
			err = errors.Join(err, one)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	return found
}

// verify compares what was acknowledged with what there is after the restart.
func (l *crowd) verify(t *testing.T, accounts map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, one := range l.people {
		switch {
		case one.confirmed:
			if !accounts[one.email] {
				t.Errorf("%s: the confirmation was acknowledged and the account is lost", one.email)
			}
			l.session(t, one)
			l.used(t, one)
		case one.asked:
			link := l.inbox.wait(ctx, one.email)
			if link == "" {
				t.Errorf("%s: asking was acknowledged and no mail came", one.email)
				continue
			}
			l.open(t, one, link, accounts[one.email])
		case accounts[one.email]:
			t.Errorf("%s: an account that nobody has confirmed", one.email)
		}
	}
}

// session looks at somebody whose sign-in was acknowledged.
func (l *crowd) session(t *testing.T, one *person) {
	t.Helper()
	status, _, _ := l.p.client().do(http.MethodGet, "/email-link/session", nil, http.Header{"Cookie": {one.cookie}})
	switch {
	case one.out && status != http.StatusUnauthorized:
		t.Errorf("%s: signed out, and the session is alive: %d", one.email, status)
	case !one.out && !one.maybe && status != http.StatusOK:
		t.Errorf("%s: the sign-in was acknowledged and the session is lost: %d", one.email, status)
	}
}

// used opens the link of somebody who has used it, in another browser.
func (l *crowd) used(t *testing.T, one *person) {
	t.Helper()
	c := l.p.client()
	if c.press(one.link) == http.StatusSeeOther || c.session() != nil {
		t.Errorf("%s: the used link is alive", one.email)
	}
}

// open uses the link of somebody who has asked, and perhaps confirmed without hearing of it: it works once when there is no
// account, and is dead when there is one.
func (l *crowd) open(t *testing.T, one *person, link string, confirmed bool) {
	t.Helper()
	c := l.p.client()
	status := c.press(link)
	if confirmed && (!one.maybe || status != http.StatusGone) || !confirmed && status != http.StatusSeeOther {
		t.Errorf("%s: account %v, and the link says %d", one.email, confirmed, status)
	}
	if in := c.session() != nil; in == confirmed {
		t.Errorf("%s: account %v, and signed in %v", one.email, confirmed, in)
	}
	if l.p.client().press(link) != http.StatusGone {
		t.Errorf("%s: the link works twice", one.email)
	}
}

// press opens a link in a browser that has not asked for it and presses the button.
func (c *client) press(link string) int {
	c.w.t.Helper()
	status, header, _ := c.visit(link)
	if status != http.StatusSeeOther || header.Get("Location") != "/email-link/confirm" {
		return status
	}
	status, _, page := c.visit("/email-link/confirm")
	h := hiddenIn(page)
	if h == "" {
		return status
	}
	status, _, _ = c.post("/email-link/confirm", url.Values{"h": {h}})
	return status
}

// hiddenIn returns the hidden field of a confirmation page.
func hiddenIn(page string) string {
	_, rest, _ := strings.Cut(page, `name="h" value="`)
	h, _, _ := strings.Cut(rest, `"`)
	return h
}
