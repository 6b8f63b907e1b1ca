package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

func init() {
	caddy.RegisterModule(killer{})
	httpcaddyfile.RegisterHandlerDirective(killDirective, func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return killer{}, nil })
	httpcaddyfile.RegisterDirectiveOrder(killDirective, httpcaddyfile.Before, "redir")
}

// killHeader is sent with requests that are to have no answer.
const (
	killDirective = "kill_before_answer"
	killHeader    = "Kill-Before-Answer"
)

// killer is a handler of these tests before the gate. Where the answer to a request with killHeader is about to be sent, everything that the
// request does has been committed: then it kills its own process.
type killer struct{}

// CaddyModule returns the Caddy module information.
func (killer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers." + killDirective, New: func() caddy.Module { return killer{} }}
}

func (killer) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Header.Get(killHeader) != "" {
		w = killingWriter{w}
	}
	return next.ServeHTTP(w, r)
}

type killingWriter struct{ http.ResponseWriter }

func (w killingWriter) WriteHeader(int)           { killMyself() }
func (w killingWriter) Write([]byte) (int, error) { killMyself(); return 0, nil }

func killMyself() {
	me, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = me.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

// killRounds is the environment variable that makes the tests of kill -9 at each step long: see `make kill-rounds`.
const killRounds = "STEP_KILL_ROUNDS"

// killed is a gate whose process is killed again and again.
type killed struct {
	*place
	mails  *mailertest.Server
	client *adminapi.Client
	// due makes all mails that wait due, without a process: that which was killed with one on its way would be waited for for two minutes.
	due func()
	// backup copies the database as it is, and returns what puts the copy in a place of its own. The gate has been stopped then.
	backup func() (restore func() *place)
}

// newKilled returns the gate of an engine, whose options are given.
func newKilled(t *testing.T, options ...string) *killed {
	t.Helper()
	k := &killed{mails: mailertest.NewServer(t, mailertest.Options{})}
	k.place = newPlace(t, append(options, "sign_up open", "scopes calendar", "scopes self calendar", "invite by role family gives guest", "limit mail_ip 100000-H",
		"limit redeem_ip 100000-H", "limit mail_unknown 100000-H", "limit mail_known 100000-H")...)
	k.edit("mailer file ./mails", "mailer smtp "+k.mails.Addr+" {\n\t\t\ttls none\n\t\t}")
	k.edit("\temail_link\n\trespond", "\t"+killDirective+"\n\temail_link\n\trespond")
	return k
}

// onFile returns a gate whose database is a file.
func onFile(t *testing.T) *killed {
	t.Helper()
	k := newKilled(t, "secret {env.GATE_SECRET}")
	file := filepath.Join(k.dir, "gate.db")
	k.edit("secret", "storage bbolt "+file+"\n\t\tsecret")
	k.due = func() {
		store, err := bolt.Open(t.Context(), bolt.Options{Path: file})
		if err != nil {
			t.Fatal(err)
		}
		err = store.Update(t.Context(), func(tx storage.Tx) error {
			waiting, err := tx.Outbox().List(false, 1000)
			for _, m := range waiting {
				_, one := tx.Outbox().Requeue(m.ID, time.Now())
				err = errors.Join(err, one)
			}
			return err
		})
		if err := errors.Join(err, store.Check(t.Context()), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	k.backup = func() func() *place {
		var copied bytes.Buffer
		if err := k.client.Backup(t.Context(), &copied); err != nil {
			t.Fatal(err)
		}
		return func() *place {
			other := &place{t: t, dir: t.TempDir(), admin: k.admin, site: k.site}
			text, err := os.ReadFile(filepath.Join(k.dir, "Caddyfile"))
			if err != nil {
				t.Fatal(err)
			}
			other.write("Caddyfile", string(text))
			other.edit(k.dir, other.dir)
			other.write("backup.db", copied.String())
			other.must("restore", "backup.db")
			return other
		}
	}
	return k
}

// restart kills the process and starts it again.
func (k *killed) restart() {
	k.t.Helper()
	k.caddy.Kill()
	k.due()
	k.run()
}

// run starts the process, and waits until no mail waits.
func (k *killed) run() {
	k.t.Helper()
	k.start()
	client, err := adminapi.Connect(k.t.Context(), "tcp", k.admin)
	if err != nil {
		k.t.Fatal(err)
	}
	k.client = client
	k.settle()
}

// settle waits until no mail waits.
func (k *killed) settle() {
	k.t.Helper()
	for deadline := time.Now().Add(gatetest.Patience); ; time.Sleep(2 * time.Millisecond) { // polling another process
		list, err := k.client.Mails(k.t.Context())
		if err != nil {
			k.t.Fatalf("%v\n%s", err, k.log)
		}
		if !slices.ContainsFunc(list, func(m operator.Mail) bool { return m.State != "dead" }) {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("mails wait: %+v\n%s", list, k.log)
		}
	}
}

// letter returns the newest mail to an address with a subject.
func (k *killed) letter(to, subject string) mailertest.Mail {
	k.t.Helper()
	for _, m := range slices.Backward(k.mails.Mails()) {
		if m.EnvelopeTo == to && strings.Contains(m.Subject, subject) {
			return m
		}
	}
	k.t.Fatalf("no mail %q to %s", subject, to)
	return mailertest.Mail{}
}

// accounts returns what each account is, by its id.
func (k *killed) accounts(p *place) map[string]string {
	k.t.Helper()
	client, err := adminapi.Connect(k.t.Context(), "tcp", p.admin)
	if err != nil {
		k.t.Fatal(err)
	}
	found := map[string]string{}
	if err := client.Accounts(k.t.Context(), func(a operator.Account) error {
		found[a.ID] = strings.TrimSpace(a.Email + " " + a.Status + " " + strings.Join(a.Roles, ","))
		return nil
	}); err != nil {
		k.t.Fatal(err)
	}
	return found
}

// do sends a form. Where it dies, the process is killed when the step has been committed and before it is answered.
func (k *killed) do(b *browser, path, form string, die bool) reply {
	header := http.Header{}
	if die {
		header.Set(killHeader, "1")
	}
	status, page, err := b.try(http.MethodPost, k.origin()+"/email-link"+path, form, header)
	return reply{status, page, err}
}

// reply is what a browser sees in the end.
type reply struct {
	status int
	page   string
	err    error
}

var heading = regexp.MustCompile(`<h1>([^<]*)`)

// String returns the answer in short.
func (r reply) String() string {
	if h := heading.FindStringSubmatch(r.page); h != nil {
		return fmt.Sprintf("%d %q, %v", r.status, h[1], r.err)
	}
	return fmt.Sprintf("%d %.80q, %v", r.status, r.page, r.err)
}

// press opens a mailed link and presses the button of its page.
func (k *killed) press(b *browser, link string, die bool) reply {
	k.t.Helper()
	status, page, err := b.try(http.MethodGet, link, "", nil)
	h := hidden.FindStringSubmatch(page)
	if err != nil || h == nil {
		return reply{status, page, err}
	}
	return k.do(b, "/confirm", "h="+h[1], die)
}

// browser returns a browser without cookies, each of whose requests has a connection of its own.
func (k *killed) browser() *browser {
	b := newBrowser(k.t)
	b.transport = &http.Transport{DisableKeepAlives: true}
	return b
}

// snapshot is what there was at one time, and what puts it back.
type snapshot struct {
	accounts map[string]string
	cookies  []map[string]string
	mails    int
	restore  func() *place
}

func (k *killed) snapshot(all []*tale) (s snapshot) {
	k.t.Helper()
	s = snapshot{accounts: k.accounts(k.place), mails: len(k.mails.Mails()), restore: k.backup()}
	for _, one := range all {
		s.cookies = append(s.cookies, maps.Clone(one.b.cookies))
	}
	return s
}

// restored starts what was copied: whatever was open then has ended, and the accounts are what they were.
func (k *killed) restored(s snapshot) {
	k.t.Helper()
	p := s.restore()
	stop := p.start()
	defer stop()
	for _, cookies := range s.cookies {
		b := k.browser()
		b.cookies = cookies
		if _, page, _ := b.try(http.MethodGet, k.origin()+"/", "", nil); strings.HasPrefix(page, "hello") {
			k.t.Error("a session of the backup is alive")
		}
	}
	links := map[string]bool{}
	for _, m := range k.mails.Mails()[:s.mails] {
		for _, link := range anyLink.FindAllString(m.Text, -1) {
			links[link] = true
		}
	}
	for link := range links {
		if r := k.press(k.browser(), link, false); r.status != http.StatusGone || !strings.Contains(r.page, "This link does not work any more") {
			k.t.Errorf("a link of the backup, %.40s…, leads to %s", link, r)
		}
	}
	client, err := adminapi.Connect(k.t.Context(), "tcp", p.admin)
	if err != nil {
		k.t.Fatal(err)
	}
	tokens, err := client.Tokens(k.t.Context(), "")
	if err != nil {
		k.t.Fatal(err)
	}
	for _, one := range tokens {
		if one.State == "good" {
			k.t.Errorf("a token of the backup works: %+v", one)
		}
	}
	if now := k.accounts(p); !maps.Equal(now, s.accounts) {
		k.t.Errorf("the accounts are %v, in the backup they were %v", now, s.accounts)
	}
	k.t.Logf("a backup of %d accounts: %d links have ended", len(s.accounts), len(links))
}

// sent returns how many mails have arrived, copies aside.
func (k *killed) sent() int {
	ids := map[string]bool{}
	for _, m := range k.mails.Mails() {
		ids[m.MessageID] = true
	}
	return len(ids)
}

// sentOnce looks at all mails: each was sent once, or twice where the process was killed before it knew.
func (k *killed) sentOnce() {
	k.t.Helper()
	type mail struct {
		links string
		n     int
	}
	sent, twice := map[string]mail{}, 0
	for _, m := range k.mails.Mails() {
		links := strings.Join(anyLink.FindAllString(m.Text, -1), " ") + codeLine.FindString(m.Text)
		if before, found := sent[m.MessageID]; found && before.links != links {
			k.t.Errorf("two copies of a mail have different links: %s", m.Subject)
		}
		one := mail{links, sent[m.MessageID].n + 1}
		if one.n == 2 {
			twice++
		}
		if sent[m.MessageID] = one; one.n > 2 {
			k.t.Errorf("%d copies of %q", one.n, m.Subject)
		}
	}
	k.t.Logf("%d mails, %d of them twice", len(sent), twice)
}
