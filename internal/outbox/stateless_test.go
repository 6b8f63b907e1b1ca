package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// queueStateless queues the nth mail of a flow that is not in the store.
func (p *post) queueStateless(to string, nth int) storage.Mail {
	p.t.Helper()
	now := p.Clock.Now()
	end := now.Add(15 * time.Minute)
	c := token.Claims{
		Site: "https://app.example.com", Purpose: SignIn, FID: token.NewFID(), Issued: now.Unix(), Expires: end.Unix(), Mail: nth,
		Private: json.RawMessage(`{"email":"` + to + `"}`),
	}
	id := token.NewFID()
	m := storage.Mail{ID: storage.MailID(id), Due: now, Queued: now, End: end, Purpose: SignIn, Site: c.Site}
	m.Flow = storage.Key{End: end.Unix(), Digest: p.Ring.MAC("flow", id[:])}
	sealed, err := Payload{
		To: to, Seed: c.FID.Seed(p.Ring, 0, nth), Base: "https://app.example.com/email-link", FlowID: "flow",
		LimitKey: p.Ring.MAC("limit", []byte(to)), Mailbox: p.Ring.MAC("mailbox", []byte(to)), Claims: &c,
		RequestedAt: now.Unix(), Ends: end.Unix(), SignUpOpen: true,
	}.Seal(p.Ring, m.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	m.Sealed = sealed
	p.update(func(tx storage.Tx) error { return tx.Outbox().Enqueue(m) })
	return m
}

func (p *post) update(fn func(tx storage.Tx) error) {
	p.t.Helper()
	if err := p.Store.Update(context.Background(), fn); err != nil {
		p.t.Fatal(err)
	}
}

func TestMAIL4_EachAttemptAtAStatelessMailSaysTheSame(t *testing.T) {
	p := newPost(t)
	var tried []mailer.Message
	p.server.script(func(_ context.Context, m mailer.Message) error {
		if tried = append(tried, m); len(tried) < 3 {
			return errors.New("451 try again later")
		}
		return nil
	})
	p.queueStateless("ada@example.com", 0)
	for range 3 {
		p.flush()
		p.fake.Advance(2 * time.Minute)
	}
	if len(tried) != 3 || tried[0] != tried[1] || tried[1] != tried[2] || p.server.count() != 1 {
		t.Fatalf("%d attempts: %+v", len(tried), tried)
	}
	_, link, _ := strings.Cut(strings.Split(tried[0].Text, "\n")[0], "?t=")
	c, cancel, err := token.ReadLink(p.Ring, "https://app.example.com", link)
	if err != nil || cancel || c.Account != "ada" {
		t.Errorf("mailed a link of %+v, %v, %v", c, cancel, err)
	}
	if len(p.list(false))+len(p.list(true)) != 0 {
		t.Error("a sent mail is still queued")
	}
	p.update(func(tx storage.Tx) error {
		events, err := tx.Events().List(storage.EventFilter{}, 10)
		if len(events) != 0 {
			t.Errorf("left behind: %+v", events)
		}
		return err
	})
}

func TestTOK5_AStatelessMailOfAFlowThatIsOverDoesNotLeave(t *testing.T) {
	for name, end := range map[string]func(p *post) (left int){
		"later mail of nothing": func(p *post) int {
			p.queueStateless("ada@example.com", 1)
			return 0
		},
		"a stored flow": func(p *post) int {
			m := p.queueStateless("ada@example.com", 1)
			p.update(func(tx storage.Tx) error {
				return tx.Flows().Create(storage.Flow{Key: m.Flow, State: storage.FlowOpen})
			})
			return 1
		},
		"a finished flow": func(p *post) int {
			m := p.queueStateless("ada@example.com", 0)
			p.update(func(tx storage.Tx) error {
				if err := tx.Flows().Create(storage.Flow{Key: m.Flow, State: storage.FlowOpen}); err != nil {
					return err
				}
				_, err := tx.Flows().Finish(m.Flow, storage.FlowCancelled, storage.Digest{}, storage.Key{})
				return err
			})
			return 0
		},
		"another epoch of the mailbox": func(p *post) int {
			p.queueStateless("ada@example.com", 0)
			p.update(func(tx storage.Tx) error {
				_, err := tx.Epochs().Raise(storage.MailboxEpoch(p.Ring.MAC("mailbox", []byte("ada@example.com"))))
				return err
			})
			return 0
		},
		"another epoch of all": func(p *post) int {
			p.queueStateless("ada@example.com", 0)
			p.update(func(tx storage.Tx) error {
				_, err := tx.Epochs().Raise(storage.GlobalEpoch)
				return err
			})
			return 0
		},
		"disabled": func(p *post) int {
			p.dir["ada@example.com"] = accounts.Account{ID: "ada", Email: "ada@example.com", Status: accounts.Disabled}
			p.queueStateless("ada@example.com", 0)
			return 0
		},
	} {
		p := newPost(t)
		want := end(p)
		p.flush()
		if n := p.server.count(); n != want || len(p.list(false)) != 0 {
			t.Errorf("%s: %d mails left, want %d", name, n, want)
		}
	}
}
