package flow

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

var errCut = errors.New("the power is cut")

// cutting is a store whose power is cut in the middle of a step, or between its commit and its answer.
type cutting struct {
	storage.Store
	// before is what a step still does before the cut, where armed is set; lost cuts after the commit.
	armed, lost bool
	before      int
	// cut is set once the power has been cut.
	cut bool
	// things is what steps and looks have done in all.
	things int
}

// do is called before each thing that a step does, and before its commit. What a step does when the power is gone, it does not do.
func (c *cutting) do() {
	c.things++
	if !c.armed {
		return
	}
	if c.before--; c.before < 0 {
		c.cut = true
		panic(errCut)
	}
}

func (c *cutting) Update(ctx context.Context, fn func(storage.Tx) error) (err error) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errCut:
			err = errCut
		default:
			panic(r)
		}
	}()
	err = c.Store.Update(ctx, func(tx storage.Tx) error {
		err := fn(cutTx{tx, c})
		c.do()
		return err
	})
	if err == nil && c.lost {
		c.cut = true
		return errCut
	}
	return err
}

// View is not cut: it changes nothing.
func (c *cutting) View(ctx context.Context, fn func(storage.Tx) error) error {
	armed := c.armed
	c.armed = false
	defer func() { c.armed = armed }()
	return c.Store.View(ctx, func(tx storage.Tx) error { return fn(cutTx{tx, c}) })
}

// cutTx counts what a step does.
type cutTx struct {
	storage.Tx
	c *cutting
}

func (t cutTx) Accounts() storage.Accounts           { t.c.do(); return t.Tx.Accounts() }
func (t cutTx) Epochs() storage.EpochCounters        { t.c.do(); return t.Tx.Epochs() }
func (t cutTx) Flows() storage.Flows                 { t.c.do(); return t.Tx.Flows() }
func (t cutTx) Tokens() storage.Tokens               { t.c.do(); return t.Tx.Tokens() }
func (t cutTx) Sessions() storage.Sessions           { t.c.do(); return t.Tx.Sessions() }
func (t cutTx) MachineTokens() storage.MachineTokens { t.c.do(); return t.Tx.MachineTokens() }
func (t cutTx) Invitations() storage.Invitations     { t.c.do(); return t.Tx.Invitations() }
func (t cutTx) Counters() storage.Counters           { t.c.do(); return t.Tx.Counters() }
func (t cutTx) Outbox() storage.Outbox               { t.c.do(); return t.Tx.Outbox() }
func (t cutTx) Events() storage.Events               { t.c.do(); return t.Tx.Events() }
func (t cutTx) Meta() storage.Meta                   { t.c.do(); return t.Tx.Meta() }
func (t cutTx) Changes() storage.Changes             { t.c.do(); return t.Tx.Changes() }

// cuttable puts a cutting store below everything that has steps, until the next restart.
func (g *gate) cuttable() *cutting {
	c := &cutting{Store: g.bolt}
	g.spy.Store, g.Accounts.Store, g.worker.Store = c, c, c
	g.Sessions = session.NewManager(c, g.Ring, g.Clock, g.Accounts)
	return c
}

// contents returns everything in the database.
func (g *gate) contents() map[string][]storage.Record {
	g.t.Helper()
	all := map[string][]storage.Record{}
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		clear(all)
		for _, kind := range storage.RecordKinds() {
			list, _, err := tx.Records().List(kind, nil, 1000)
			if err != nil {
				return err
			}
			all[kind.String()] = list
		}
		return nil
	}); err != nil {
		g.t.Fatal(err)
	}
	return all
}

// part is one step of something that people do.
type part struct {
	name string
	// prepare is what a browser reads before the step: its mails, mostly.
	prepare func()
	do      func() error
	// again is what trying again answers after the step has been done and its answer was lost. It is nil for what may be done again, such as
	// asking for a mail.
	again error
	// then is what there is afterwards, in words, however the step has ended.
	then func() string
	want string
}

// story is something that people do in several steps.
type story func(g *gate) []part

// changeOfAddress returns the story of a change of the address, in one order.
func changeOfAddress(newFirst bool) story {
	return func(g *gate) []part {
		id := g.account(ada)
		b := g.signedIn(ada)
		r := func() Requester { return b.requester() }
		var proof, code, cookie string
		var toNew, toOld, back letter
		now := func() string { return g.addressOf(id) }
		first := part{"the new mailbox", nil, func() error { _, err := g.browser().confirms(toNew.link); return err }, ErrDead, now, ada}
		second := part{"the old mailbox", nil, func() error { _, err := b.confirms(toOld.link); return err }, ErrDead, now, newAda}
		if !newFirst {
			first = part{"the old mailbox", nil, func() error { _, err := g.browser().confirms(toOld.link); return err }, ErrDead, now, ada}
			second = part{"the new mailbox", nil, func() error { _, err := g.browser().confirms(toNew.link); return err }, ErrDead, now, newAda}
		}
		first.prepare = func() { toNew, toOld = g.last(newAda), g.last(ada) }
		return []part{
			{"asks for a code", nil, func() (err error) {
				proof, _, err = g.RequestProof(context.Background(), g.site, r(), Act{Kind: NewAddress, Email: newAda})
				return err
			}, nil, now, ada},
			{"types the code", func() { code = g.last(ada).code }, func() error {
				return g.SubmitProof(context.Background(), g.site, r(), proof, code, func(tx storage.Tx, act Act) (err error) {
					cookie, _, err = g.BeginAddressChange(tx, g.site, r(), act.Email)
					return err
				})
			}, ErrNoFlow, func() string {
				p, err := g.PendingAddressChange(context.Background(), g.site, r(), cookie)
				if err != nil || p.New || p.Present {
					return "the page says otherwise"
				}
				return now()
			}, ada},
			first, second,
			{"takes it back", func() { back = g.last(ada) }, func() error { _, err := g.browser().confirms(back.link); return err }, ErrDead, now, ada},
		}
	}
}

// deletion returns the story of a deletion: it is undone, or its time comes.
func deletion(undone bool) story {
	return func(g *gate) []part {
		id := g.account(ada)
		b := g.signedIn(ada)
		var proof, code, undo string
		var done acts
		now := func() string { return string(g.status(id)) }
		list := []part{
			{"asks for a code", nil, func() (err error) {
				proof, _, err = g.RequestProof(context.Background(), g.site, b.requester(), Act{Kind: Delete})
				return err
			}, nil, now, "active"},
			{"types the code", func() { code = g.last(ada).code }, func() error {
				return g.SubmitProof(context.Background(), g.site, b.requester(), proof, code, done.perform)
			}, ErrSignedOut, now, "disabled"},
		}
		if undone {
			return append(list, part{"undoes it", func() { undo = g.last(ada).link }, func() error { return g.browser().undo(undo) }, ErrDead, now, "active"})
		}
		return append(list, part{"its time comes", func() { g.fake.Advance(accounts.DeletionGrace) }, func() error {
			_, err := g.Accounts.DeleteDue(context.Background(), g.Clock.Now())
			return err
		}, nil, now, ""})
	}
}

// stories are what people do with their accounts, and how they let others in.
var stories = map[string]story{
	"a change of the address, the new mailbox first": changeOfAddress(true),
	"a change of the address, the old mailbox first": changeOfAddress(false),
	"a deletion that is undone":                      deletion(true),
	"a deletion":                                     deletion(false),
	"an export": func(g *gate) []part {
		g.account(ada)
		b := g.signedIn(ada)
		var proof, code string
		then := func() string { return strings.Repeat("exported ", g.events(eventExported)) }
		return []part{
			{"asks for a code", nil, func() (err error) {
				proof, _, err = g.RequestProof(context.Background(), g.site, b.requester(), Act{Kind: Export})
				return err
			}, nil, then, ""},
			{"types the code", func() { code = g.last(ada).code }, func() error {
				return g.SubmitProof(context.Background(), g.site, b.requester(), proof, code, new(acts).perform)
			}, ErrNoFlow, then, "exported "},
		}
	},
	"an invitation of an account": func(g *gate) []part {
		b, _ := g.family()
		var link, proof, code string
		then := func() string { roles, _ := g.roles(invited); return strings.Join(roles, " ") }
		return []part{
			{"asks for a code", nil, func() (err error) {
				proof, _, err = g.RequestProof(context.Background(), g.site, b.requester(), g.inviteAct(invited, "guest"))
				return err
			}, nil, then, ""},
			{"types the code", func() { code = g.last(ada).code }, func() error { return b.submit(proof, code) }, ErrNoFlow, then, ""},
			{"accepts", func() { link = g.last(invited).link }, func() error { _, err := g.browser().press(link); return err }, ErrDead, then, "guest"},
		}
	},
	"an invitation that is revoked": func(g *gate) []part {
		link := ""
		then := func() string { roles, _ := g.roles(invited); return strings.Join(roles, " ") }
		return []part{
			{"invites", nil, func() error {
				_, err := g.Invite(context.Background(), g.site, InviteInput{Email: invited, Roles: []string{"guest"}})
				return err
			}, nil, then, ""},
			{"revokes", func() { link = g.last(invited).link }, func() error {
				_, err := g.Revoke(context.Background(), invited, storage.Operator{Command: "invite revoke"})
				return err
			}, nil, func() string {
				if _, err := g.browser().press(link); !errors.Is(err, ErrDead) {
					return "the link is alive"
				}
				return then()
			}, ""},
		}
	},
	"a sign-up by invitation": func(g *gate) []part {
		g.site.SignUp.Mode = SignUpInvite
		g.invite(InviteInput{Email: invited, Roles: []string{"guest"}})
		b := g.browser()
		var link string
		then := func() string { roles, _ := g.roles(invited); return strings.Join(roles, " ") }
		return []part{
			{"asks for a mail", nil, func() error { _, err := b.ask(Activation, invited); return err }, nil, then, ""},
			{"opens it", func() { link = g.last(invited).link }, func() error { _, err := g.browser().press(link); return err }, ErrDead, then, "guest"},
		}
	},
	"a new device": func(g *gate) []part {
		g.account(ada)
		asks, opens := g.signedIn(ada), g.stranger(1)
		var link, cancel string
		in := func() string {
			return strings.Repeat("session ", enginetest.CountRecords(g.t, g.bolt)[storage.KindSessions])
		}
		return []part{
			{"asks for a mail", nil, func() error { _, err := asks.ask(SignIn, ada); return err }, nil, in, "session "},
			{"opens it elsewhere", func() { link = g.last(ada).link }, func() error { _, err := opens.press(link); return err }, ErrDead, in, "session session "},
			{"it wasn't me", func() {
				g.post()
				cancel = g.browser().newest(ada).cancel
			}, func() error { return g.browser().cancel(cancel) }, ErrDead, in, "session "},
		}
	},
}

// TestDUR1_AStepIsWholeOrNot cuts the power in each step of what people do with their accounts: before each thing that the step does, and
// before its commit. Nothing has changed then; after a restart the step is done, and what people do goes on.
func TestDUR1_AStepIsWholeOrNot(t *testing.T) {
	for name, of := range stories {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			cuts := 0
			for _, p := range of(g) {
				if p.prepare != nil {
					p.prepare()
				}
				g.post()
				g.restart()
				c := g.cuttable()
				was := g.contents()
				for n := 0; ; n++ {
					c.armed, c.before, c.cut = true, n, false
					err := p.do()
					c.armed = false
					if !c.cut {
						if err != nil {
							t.Fatalf("%s: %v", p.name, err)
						}
						break
					}
					cuts++
					if !errors.Is(err, ErrUnavailable) && !errors.Is(err, errCut) {
						t.Errorf("%s, cut before the %dth thing: %v", p.name, n+1, err)
					}
					if is := g.contents(); !reflect.DeepEqual(was, is) {
						t.Fatalf("%s, cut before the %dth thing, has left:\n%s", p.name, n+1, cmp.Diff(was, is))
					}
				}
				g.restart()
				if is := p.then(); is != p.want {
					t.Fatalf("%s: %q, want %q", p.name, is, p.want)
				}
			}
			if t.Logf("%d cuts", cuts); cuts < 10 {
				t.Error("the steps are not watched")
			}
		})
	}
}

// TestDUR1_ALostAnswerIsNoSecondEffect cuts the power between the commit of each step and its answer. After a restart the step has been done; who
// tries again is told so, or gets another mail, and nothing is done twice.
func TestDUR1_ALostAnswerIsNoSecondEffect(t *testing.T) {
	for name, of := range stories {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			for _, p := range of(g) {
				if p.prepare != nil {
					p.prepare()
				}
				g.post()
				c := g.cuttable()
				c.lost = true
				if err := p.do(); !c.cut || !errors.Is(err, ErrUnavailable) && !errors.Is(err, errCut) {
					t.Fatalf("%s: %v, cut %v", p.name, err, c.cut)
				}
				g.restart()
				g.post()
				done := g.contents()
				if err := p.do(); !errors.Is(err, p.again) {
					t.Fatalf("%s, again: %v, want %v", p.name, err, p.again)
				}
				now := g.contents()
				for _, one := range []map[string][]storage.Record{done, now} { // the replay of a link is written down
					delete(one, storage.KindEvents.String())
					delete(one, storage.KindTokens.String())
				}
				if diff := cmp.Diff(done, now); p.again != nil && diff != "" {
					t.Errorf("%s, again, has changed:\n%s", p.name, diff)
				}
				if is := p.then(); is != p.want {
					t.Fatalf("%s: %q, want %q", p.name, is, p.want)
				}
			}
		})
	}
}
