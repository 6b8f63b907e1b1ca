package flow

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// inviteAct is the act of inviting a person as a guest.
func (g *gate) inviteAct(email string, roles ...string) Act {
	return Act{Kind: SendInvitation, Email: email, Invitation: &NewInvitation{Site: g.site.Origin, ReturnTo: "/albums", Roles: roles}}
}

// nothing is what a page does for an act that this package does itself.
func nothing(storage.Tx, Act) error { return nil }

// submit types the code of an act.
func (b *browser) submit(cookie, code string) error {
	b.g.t.Helper()
	return b.g.SubmitProof(context.Background(), b.g.site, b.requester(), cookie, code, nothing)
}

// sentTo returns the addresses that an account has invited, the last one first.
func (g *gate) sentTo(id string) (list []string) {
	g.t.Helper()
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		all, err := g.InvitationsOf(tx, id)
		for _, one := range all {
			list = append(list, one.Email)
		}
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	return list
}

// TestINV8_AnActOverItsLife invites by a code: it is in no list before it, and afterwards once, with the values that were sealed, and leads where it was sent to.
func TestINV8_AnActOverItsLife(t *testing.T) {
	g := newGate(t)
	ada, id := g.family()
	act := g.inviteAct(invited, "guest")
	if err := g.CheckInvitation(context.Background(), g.site, ada.requester(), act); err != nil {
		t.Fatal(err)
	}
	cookie, m := ada.proof(act)
	if m.kind != mailer.KindProof || m.link != "" || m.code == "" || m.cancel == "" {
		t.Fatalf("the mail is %+v", m)
	}
	pending, err := g.PendingProof(context.Background(), g.site, ada.requester(), cookie)
	if err != nil || pending.Act.Email != invited || pending.Act.Invitation == nil || !slices.Equal(pending.Act.Invitation.Roles, []string{"guest"}) || pending.Act.Invitation.Site != g.site.Origin {
		t.Fatalf("the page says %+v, %v", pending.Act, err)
	}
	if list := g.sentTo(id); len(list) != 0 {
		t.Fatalf("before the code there are %v", list)
	}
	g.restart() // with the same code
	if err := ada.submit(cookie, m.code); err != nil {
		t.Fatal(err)
	}
	wantErr(t, ada.submit(cookie, m.code), ErrNoFlow)
	if list := g.sentTo(id); !slices.Equal(list, []string{invited}) {
		t.Fatalf("after it there are %v", list)
	}
	g.post()
	b := g.browser()
	link := b.newest(invited).link
	o := must[LinkPreview](t)(b.open(link))
	if o.Invitation.Inviter != "ada@example.com" || !slices.Equal(o.Invitation.Roles, []string{"guest"}) {
		t.Errorf("the page says %+v", o.Invitation)
	}
	if done, err := b.press(link); err != nil || done.ReturnTo != "/albums" {
		t.Errorf("Confirm = %+v, %v", done, err)
	}
	var names []string
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		events, err := tx.Events().List(storage.EventFilter{Account: id, Match: func(e storage.Event) bool { return e.Purpose == Invite || e.Purpose == Proof }}, 10)
		for _, e := range events {
			names = append(names, e.Name+" "+e.Purpose)
		}
		return err
	}); err != nil || !slices.Contains(names, "invited invite") || !slices.Contains(names, "confirmed proof") {
		t.Errorf("the audit log has %v, %v", names, err)
	}
}

// TestINV8_OnlyWhatTheMailNames: two copies of one session ask at once, the owner to download and the thief to invite, and with the roles changed. Each code
// does what its mail says and nothing else, and no other code, session or account sends the invitation.
func TestINV8_OnlyWhatTheMailNames(t *testing.T) {
	g := newGate(t)
	owner, id := g.family()
	thief := *owner // a copy of all cookies
	sam := g.account("sam@example.com")
	g.setRoles(sam, "family")
	theirs, stolen := thief.proof(g.inviteAct("thief@example.com", "guest"))
	own, m := owner.proof(g.inviteAct(invited, "guest"))
	download, other := owner.proof(Act{Kind: Export})
	second, stranger := g.signedIn("ada@example.com"), g.signedIn("sam@example.com")
	for name, c := range map[string]struct {
		by           *browser
		cookie, code string
	}{
		"the owner's code in the thief's window":    {&thief, theirs, m.code},
		"the thief's code in the owner's window":    {owner, own, stolen.code},
		"the code of a download for the invitation": {owner, own, other.code},
		"the code of the invitation for a download": {owner, download, m.code},
		"another session of the account":            {second, own, m.code},
		"a session of another account":              {stranger, own, m.code},
		"no session":                                {g.browser(), own, m.code},
	} {
		if err := c.by.submit(c.cookie, c.code); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if list := append(g.sentTo(id), g.sentTo(sam)...); len(list) != 0 {
		t.Fatalf("%v were invited", list)
	}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, submit := range []func() error{
		func() error { return owner.submit(own, m.code) }, func() error { return thief.submit(theirs, m.code) },
	} {
		wg.Go(func() { errs[i] = submit() })
	}
	wg.Wait()
	if errs[0] != nil || errs[1] == nil {
		t.Errorf("at once: %v", errs)
	}
	if list := g.sentTo(id); !slices.Equal(list, []string{invited}) {
		t.Errorf("%v were invited, want the one that the mail named", list)
	}
	g.post()
	if n := len(g.inbox.to("thief@example.com")); n != 0 {
		t.Errorf("%d mails went to the thief's choice", n)
	}
}

// TestINV8_OneOfFiftyInvites submits one code fifty times at once.
func TestINV8_OneOfFiftyInvites(t *testing.T) {
	g := newGate(t)
	ada, id := g.family()
	cookie, m := ada.proof(g.inviteAct(invited, "guest"))
	requester := ada.requester()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_ = g.SubmitProof(context.Background(), g.site, requester, cookie, m.code, nothing) // one succeeds
		})
	}
	wg.Wait()
	if list := g.sentTo(id); !slices.Equal(list, []string{invited}) {
		t.Errorf("%v were invited", list)
	}
}

// TestINV8_TheStepJudgesAnew: what was permitted when the code was mailed is not any more when it is typed, and a failing store sends nothing and keeps the code.
func TestINV8_TheStepJudgesAnew(t *testing.T) {
	g := newGate(t)
	ada, id := g.family()
	cookie, m := ada.proof(g.inviteAct(invited, "guest"))
	g.spy.break_(errors.New("the disk is full"))
	wantErr(t, ada.submit(cookie, m.code), ErrUnavailable)
	g.restart()
	g.setRoles(id, "other")
	var invalid *Invalid
	if err := ada.submit(cookie, m.code); !errors.As(err, &invalid) || invalid.Field != "role" {
		t.Errorf("without the role: %v", err)
	}
	g.setRoles(id, "family")
	wantErr(t, ada.submit(cookie, m.code), ErrNoFlow)
	cookie, m = ada.proof(g.inviteAct(invited, "guest", "admin"))
	if err := ada.submit(cookie, m.code); !errors.As(err, &invalid) || invalid.Field != "role" {
		t.Errorf("a role of others: %v", err)
	}
	g.post()
	if list := g.sentTo(id); len(list) != 0 || len(g.inbox.to(invited)) != 0 {
		t.Errorf("%v were invited", list)
	}
}

// TestENUM1_InvitingReadsAndWritesTheSame invites addresses without an account, with one and with a disabled one by a code each: answers and writes are the same, and no
// step looks the address up.
func TestENUM1_InvitingReadsAndWritesTheSame(t *testing.T) {
	var first []observed
	for name, make := range map[string]func(g *gate){
		"none": func(*gate) {}, "one": func(g *gate) { g.account(invited) }, "disabled": func(g *gate) { g.disable(g.account(invited)) },
		"deleted": func(g *gate) { g.delete(g.account(invited)) },
	} {
		g := newGate(t)
		b, _ := g.family()
		make(g)
		cookie, m := b.proof(g.inviteAct(invited, "guest"))
		g.spy.take()
		var seen []observed
		step := func(err error) { seen = append(seen, watch(g, Pending{}, err)) }
		step(g.CheckInvitation(context.Background(), g.site, b.requester(), g.inviteAct(invited, "guest")))
		step(b.submit(cookie, m.code))
		step(b.submit(cookie, m.code))
		if seen[1].Writes["account look-up"] != 0 || seen[1].Err != "" {
			t.Errorf("%s: %+v", name, seen[1])
		}
		if first == nil {
			first = seen
		}
		if diff := cmp.Diff(first, seen); diff != "" {
			t.Errorf("%s differs:\n%s", name, diff)
		}
	}
}
