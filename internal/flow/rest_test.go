package flow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"mime/quotedprintable"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// encodings returns a secret as it might lie somewhere.
func encodings(t *testing.T, secret string) map[string][]byte {
	t.Helper()
	var qp bytes.Buffer
	w := quotedprintable.NewWriter(&qp)
	if _, err := w.Write([]byte(secret)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m := map[string][]byte{
		"raw": []byte(secret), "hex": []byte(hex.EncodeToString([]byte(secret))),
		"HEX":              bytes.ToUpper([]byte(hex.EncodeToString([]byte(secret)))),
		"base64":           bytes.TrimRight([]byte(base64.StdEncoding.EncodeToString([]byte(secret))), "="),
		"quoted-printable": bytes.TrimSpace(qp.Bytes()),
	}
	if p, err := token.Parse(secret); err == nil {
		m["the 32 bytes"] = p.Secret[:]
		m["the 32 bytes in hex"] = []byte(hex.EncodeToString(p.Secret[:]))
		m["the 32 bytes in base64"] = bytes.TrimRight([]byte(base64.StdEncoding.EncodeToString(p.Secret[:])), "=")
	}
	return m
}

func scan(t *testing.T, dir string, secrets map[string]string) {
	t.Helper()
	files := 0
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path) //nolint:gosec // the test's own directory
		if err != nil {
			return err
		}
		for name, secret := range secrets {
			if secret == "" {
				t.Fatalf("no %s to look for", name)
			}
			for form, text := range encodings(t, secret) {
				if bytes.Contains(content, text) {
					t.Errorf("%s holds the %s (%s)", filepath.Base(path), name, form)
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no file to look into")
	}
}

func TestMAIL5_NoFileHoldsATokenOrACode(t *testing.T) {
	enginetest.NeedsFile(t)
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		var seen letter
		g.inbox.refuse = func(m mailer.Message) error {
			seen = read(m)
			return fmt.Errorf("connection refused while sending %s, code %s, to %s", m.Text, seen.code, m.To)
		}
		b := g.browser()
		b.mustAsk(SignIn, "ada@example.com")
		secrets := map[string]string{
			"link": seen.link, "cancel link": seen.cancel, "code": seen.code, "flow cookie": b.flow, "address": "ada@example.com",
		}
		scan(t, g.dir, secrets)
		g.restart()
		scan(t, g.dir, secrets)

		g.inbox.refuse = nil
		g.fake.Advance(2 * time.Minute)
		g.post()
		done := must[Done](t)(b.press(b.newest("ada@example.com").link))
		secrets["session cookie"], secrets["known cookie"] = done.SessionCookie, done.KnownCookie
		g.restart()
		scan(t, g.dir, secrets)
	})
}

func TestMAIL4_AFailingMailerIsInvisibleAndLosesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		var tried []mailer.Message
		g.inbox.refuse = func(m mailer.Message) error {
			tried = append(tried, m)
			return errors.New("451 try again later")
		}
		b := g.browser()
		g.spy.take()
		_, err := b.ask(SignIn, "ada@example.com")
		failing := watch(g, Pending{}, err)
		for range 5 {
			g.post()
			g.fake.Advance(90 * time.Second)
		}
		g.restart()
		g.inbox.refuse = nil
		g.post()
		g.post()
		got := g.inbox.to("ada@example.com")
		if len(got) != 1 || len(tried) < 4 {
			t.Fatalf("%d mails arrived after %d failures, want 1", len(got), len(tried))
		}
		for _, m := range tried {
			if m != got[0].message {
				t.Errorf("a retry differs:\n%+v\n%+v", m, got[0].message)
			}
		}
		must[Done](t)(b.press(got[0].link))

		g = newGate(t)
		g.spy.take()
		_, err = g.browser().ask(SignIn, "ada@example.com")
		if healthy := watch(g, Pending{}, err); healthy.Updates != failing.Updates || healthy.Err != failing.Err {
			t.Errorf("asking shows that the mailer fails: %+v, %+v", healthy, failing)
		}
	})
}

// TestENUM1_DecoysWalkTheWorkersPath: an account's mail costs one step more, in which the empty mail in its place ends.
func TestENUM1_DecoysWalkTheWorkersPath(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		steps := func(purpose, email string) (updates, rendered, parsed int) {
			g := newPasswordGate(t)
			g.site.SignUp = SignUp{}
			g.account("ada@example.com")
			spy := &counting{Store: g.bolt, writes: map[string]int{}}
			w := &outbox.Worker{Store: spy, Ring: g.Ring, Clock: g.Clock, Limiter: g.Limiter}
			w.Use(outbox.Delivery{Mailer: g.inbox, Accounts: g.Accounts, Sessions: g.Sessions, Render: func(l outbox.Message) (mailer.Message, error) {
				rendered++
				return render(l)
			}})
			if _, err := g.browser().ask(purpose, email); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			updates, _ = spy.take()
			return updates, rendered, g.inbox.count()
		}
		for _, purpose := range []string{SignIn, Reset} {
			updates, rendered, parsed := steps(purpose, "ada@example.com")
			decoyUpdates, decoyRendered, decoySent := steps(purpose, "bob@example.com")
			if updates != decoyUpdates+1 || rendered != 1 || decoyRendered != 1 || parsed != 1 || decoySent != 0 {
				t.Errorf("%s: updates %d and %d, rendered %d and %d, sent %d and %d",
					purpose, updates, decoyUpdates, rendered, decoyRendered, parsed, decoySent)
			}
		}
	})
}

func TestREST1_RecordsInTheClearNameNobody(t *testing.T) {
	enginetest.NeedsFile(t)
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		b.device = "Firefox on Linux"
		must[Done](t)(b.press(b.mustAsk(SignIn, "ada@example.com").link))
		if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
			list, err := tx.Events().List(storage.EventFilter{}, 100)
			for _, e := range list {
				if bytes.Contains(fmt.Append(nil, e), []byte("ada")) {
					t.Errorf("an event names an address: %+v", e)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		scan(t, g.dir, map[string]string{"address": "ada@example.com", "path": "/private?x=1"})
	})
}

// tally is an observer that keeps what it counts.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *tally) add(words ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[strings.Join(words, " ")]++
}

func (c *tally) Flow(purpose, step, outcome string) { c.add("flow", purpose, step, outcome) }
func (c *tally) Denied(limit string)                { c.add("denied", limit) }
func (c *tally) Requested(_ netip.Addr, _ storage.Digest, masked string) {
	c.add("requested", masked)
}
func (c *tally) Mailed(purpose, outcome string) { c.add("mailed", purpose, outcome) }

func TestLOG1_LogLinesHoldNoSecretAndNoAddress(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		var out bytes.Buffer
		counted := &tally{seen: map[string]int{}}
		logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		g.Log, g.Observer, g.worker.Log, g.worker.Observer = logger, counted, logger, counted
		g.account("ada@example.com")
		b := g.browser()
		g.inbox.refuse = func(m mailer.Message) error { return fmt.Errorf("451 <%s> later: %s", m.To, m.Text) }
		if _, err := b.ask(SignIn, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		g.post()
		g.inbox.refuse = nil
		g.fake.Advance(5 * time.Minute)
		g.post()
		mail := b.newest("ada@example.com")
		_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link})
		wantErr(t, err, ErrChanged)
		flowCookie := b.flow
		done := must[Done](t)(b.press(mail.link))
		_, err = g.Confirm(context.Background(), g.site, g.stranger(1).requester(), ConfirmInput{Token: mail.link})
		wantErr(t, err, ErrDead)
		for range 7 {
			_, _ = g.stranger(1).ask(SignIn, "ada@example.com")
		}
		g.spy.break_(errors.New("disk full"))
		_, err = b.ask(SignIn, "ada@example.com")
		wantErr(t, err, ErrUnavailable)
		text := out.String()
		for name, secret := range map[string]string{
			"link": mail.link, "cancel link": mail.cancel, "code": mail.code, "flow cookie": flowCookie, "address": "ada@example.com",
			"session cookie": done.SessionCookie, "known cookie": done.KnownCookie,
		} {
			if secret == "" || strings.Contains(text, secret) {
				t.Errorf("the log holds the %s:\n%s", name, text)
			}
		}
		for _, want := range []string{
			"flow sign_in request ok", "flow sign_in confirm changed", "flow sign_in confirm ok", "flow sign_in confirm dead",
			"flow sign_in request limited", "denied mail_address", "mailed sign_in retry", "mailed sign_in sent",
		} {
			if counted.seen[want] == 0 {
				t.Errorf("not counted: %s (%v)", want, counted.seen)
			}
		}
		for _, event := range []string{"requested", "mailed", "confirmed", "signed_in", "replayed", "denied"} {
			if !strings.Contains(text, `"event":"`+event+`"`) {
				t.Errorf("no line for %s", event)
			}
		}
	})
}
