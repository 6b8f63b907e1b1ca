package flow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const invited = "bob@example.com"

// setRoles gives an account roles.
func (g *gate) setRoles(id string, roles ...string) {
	g.t.Helper()
	if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error { return g.Accounts.SetRoles(tx, id, roles) }); err != nil {
		g.t.Fatal(err)
	}
}

// roles returns those of the account of an address, and whether there is one.
func (g *gate) roles(email string) (roles []string, found bool) {
	g.t.Helper()
	a, found, err := g.Accounts.Lookup(context.Background(), email)
	if err != nil {
		g.t.Fatal(err)
	}
	return a.Roles, found
}

// invite invites in the name of an operator and returns the link in the mail.
func (g *gate) invite(in InviteInput) (link string, sent Sent) {
	g.t.Helper()
	g.post()
	sent = must[Sent](g.t)(g.Invite(context.Background(), g.site, in))
	g.post()
	return g.browser().newest(in.Email).link, sent
}

// inviteBy invites in the name of a signed-in account.
func (b *browser) inviteBy(in InviteInput) error {
	b.g.t.Helper()
	requester := b.requester()
	return b.g.update(context.Background(), func(tx storage.Tx) error { return b.g.inviteIn(tx, b.g.site, requester, in, &record{}) })
}

// family returns a browser that is signed in to an account which may invite.
func (g *gate) family() (b *browser, id string) {
	g.t.Helper()
	id = g.account("ada@example.com")
	g.setRoles(id, "family")
	return g.signedIn("ada@example.com"), id
}

// invitedBy sends an invitation from a page and returns its link.
func (b *browser) invitedBy(in InviteInput) string {
	b.g.t.Helper()
	b.g.post()
	if err := b.inviteBy(in); err != nil {
		b.g.t.Fatal(err)
	}
	b.g.post()
	return b.newest(in.Email).link
}

// TestINV1_AnInvitationMakesTheAccount accepts one: the page says what it is, no click of its own does it, and it leads where it was sent to.
func TestINV1_AnInvitationMakesTheAccount(t *testing.T) {
	g := newGate(t)
	g.site.SignUp.Mode = SignUpClosed
	link, sent := g.invite(InviteInput{Email: invited, Roles: []string{"photos", "guest", "guest"}, ReturnTo: "/albums", Name: "Bob", Note: "For the trip"})
	m := g.inbox.to(invited)[0]
	if m.kind != mailer.KindInvite || m.code != "" || m.cancel != "" || link == "" || sent.Status != InviteOpen {
		t.Fatalf("the mail is %+v, the invitation %+v", m, sent)
	}
	b := g.browser()
	if _, err := b.click(link); !errors.Is(err, ErrChanged) {
		t.Errorf("one click: %v", err)
	}
	o, err := b.open(link)
	if err != nil || o.Purpose != Invite || o.OneClick || !o.AskName || o.Invitation == nil {
		t.Fatalf("the page says %+v, %v", o, err)
	}
	if i := o.Invitation; !slices.Equal(i.Roles, []string{"guest", "photos"}) || i.Inviter != "" || i.Name != "Bob" || i.Note != "For the trip" || i.Site != g.site.Origin || i.SignIn {
		t.Errorf("the page says %+v", i)
	}
	if _, found := g.roles(invited); found {
		t.Fatal("a look has made the account")
	}
	done, err := b.keep(g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: link, H: o.H, Name: "Robert"}))
	if err != nil || done.ReturnTo != "/albums" || done.Owner.Name != "Robert" || done.SessionCookie == "" {
		t.Fatalf("Confirm = %+v, %v", done, err)
	}
	if roles, _ := g.roles(invited); !slices.Equal(roles, []string{"guest", "photos"}) {
		t.Errorf("the roles are %v", roles)
	}
	if o, err := b.open(link); err != nil || o.Destination != "/albums" {
		t.Errorf("the used link in the browser whose session it opened: %+v, %v", o, err)
	}
	_, err = g.browser().press(link)
	wantErr(t, err, ErrDead)
	if list := must[[]Sent](t)(g.Invitations(context.Background())); len(list) != 1 || list[0].Status != InviteAccepted {
		t.Errorf("the list is %+v", list)
	}
}

// TestINV1_FiftyAtOnceMakeOneAccount presses the button of one invitation fifty times at once.
func TestINV1_FiftyAtOnceMakeOneAccount(t *testing.T) {
	g := newGate(t)
	link, _ := g.invite(InviteInput{Email: invited, Roles: []string{"guest"}})
	o := must[LinkPreview](t)(g.browser().open(link))
	var wg sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for range 50 {
		wg.Go(func() {
			_, err := g.Confirm(context.Background(), g.site, g.browser().requester(), ConfirmInput{Token: link, H: o.H})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				good++
			} else if !errors.Is(err, ErrDead) && !errors.Is(err, ErrChanged) { // the account is there already, the end of the invitation was read before
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := g.accounts(); good != 1 || n != 1 {
		t.Errorf("%d presses succeeded and made %d accounts, want 1 of each", good, n)
	}
}

// TestINV2_WhatEndsAnInvitation ends each in another way: the link is as dead as any other.
func TestINV2_WhatEndsAnInvitation(t *testing.T) {
	for name, end := range map[string]func(g *gate, ada *browser, id string){
		"revoked": func(g *gate, _ *browser, _ string) {
			if list := must[[]Sent](g.t)(g.Revoke(context.Background(), invited, storage.Operator{Command: "invite revoke"})); len(list) != 1 {
				g.t.Errorf("revoked %+v", list)
			}
		},
		"revoked by the inviter": func(g *gate, _ *browser, id string) {
			list := must[[]Sent](g.t)(g.Invitations(context.Background()))
			if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
				ok, err := g.RevokeIn(tx, id, list[0].ID, storage.Event{})
				if !ok {
					g.t.Error("it was not revoked")
				}
				return err
			}); err != nil {
				g.t.Fatal(err)
			}
		},
		"expired":          func(g *gate, _ *browser, _ string) { g.fake.Advance(DefaultInvite) },
		"inviter disabled": func(g *gate, _ *browser, id string) { g.disable(id) },
		"inviter deleted":  func(g *gate, _ *browser, id string) { g.delete(id) },
		"without the role": func(g *gate, _ *browser, id string) { g.setRoles(id, "other") },
		"the rule is gone": func(g *gate, _ *browser, _ string) { g.Invites = g.Invites[1:] },
		"reset by the inviter": func(g *gate, _ *browser, id string) {
			if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
				return g.Accounts.SetPassword(tx, id, password.Record{}, password.Policy{})
			}); err != nil {
				g.t.Fatal(err)
			}
		},
		"this wasn't me": func(g *gate, ada *browser, _ string) {
			_, m := ada.proof(Act{Kind: Export})
			if err := g.browser().cancel(m.cancel); err != nil {
				g.t.Fatal(err)
			}
		},
		"a restored backup": func(g *gate, _ *browser, _ string) {
			if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
				_, err := tx.Epochs().Raise(storage.GlobalEpoch)
				return err
			}); err != nil {
				g.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			ada, id := g.family()
			link := ada.invitedBy(InviteInput{Email: invited, Roles: []string{"guest"}})
			b := g.browser()
			o := must[LinkPreview](t)(b.open(link))
			if o.Invitation.Inviter != "ada@example.com" {
				t.Errorf("the page says %+v", o.Invitation)
			}
			end(g, ada, id)
			_, err := b.open(link)
			wantErr(t, err, ErrDead)
			_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: link, H: o.H})
			wantErr(t, err, ErrDead)
			if _, found := g.roles(invited); found {
				t.Error("there is an account")
			}
			for _, one := range must[[]Sent](t)(g.Invitations(context.Background())) {
				if one.Status == InviteOpen {
					t.Errorf("it is open: %+v", one)
				}
			}
		})
	}
}

// TestINV2_WhatDoesNotEndAnInvitation: the sign-out of one browser, and what others do.
func TestINV2_WhatDoesNotEndAnInvitation(t *testing.T) {
	g := newGate(t)
	ada, _ := g.family()
	link := ada.invitedBy(InviteInput{Email: invited, Roles: []string{"guest"}})
	if err := g.Sessions.End(context.Background(), ada.requester().Session); err != nil {
		t.Fatal(err)
	}
	g.restart()
	g.fake.Advance(DefaultInvite - time.Hour)
	if _, err := g.browser().press(link); err != nil {
		t.Errorf("the link after it: %v", err)
	}
}

// TestINV3_AnAccountAcceptsSignedIn invites an address that has an account: only a browser that is signed in to it gets the roles for it.
func TestINV3_AnAccountAcceptsSignedIn(t *testing.T) {
	g := newGate(t)
	bob := g.account(invited)
	g.setRoles(bob, "staff")
	g.account("eve@example.com")
	link, _ := g.invite(InviteInput{Email: invited, Roles: []string{"guest"}})
	for name, b := range map[string]*browser{"signed out": g.browser(), "another mailbox": g.signedIn("eve@example.com")} {
		o, err := b.open(link)
		if err != nil || !o.Invitation.SignIn || !o.Invitation.Account || o.AskName || o.AskPassword {
			t.Fatalf("%s: the page says %+v, %v", name, o, err)
		}
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: link, H: o.H})
		wantErr(t, err, ErrSignedOut)
	}
	if roles, _ := g.roles(invited); !slices.Equal(roles, []string{"staff"}) {
		t.Fatalf("the roles are %v", roles)
	}
	if roles, _ := g.roles("eve@example.com"); len(roles) != 0 {
		t.Fatalf("another mailbox has the roles %v", roles)
	}
	b := g.signedIn(invited)
	session := b.session
	done, err := b.press(link)
	if err != nil || !done.AlreadySignedIn || b.session != session || !slices.Equal(done.Owner.Roles, []string{"guest", "staff"}) {
		t.Fatalf("Confirm = %+v, %v", done, err)
	}
	if n := g.accounts(); n != 2 {
		t.Errorf("there are %d accounts", n)
	}
	_, err = g.signedIn(invited).press(link)
	wantErr(t, err, ErrDead)
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		events, err := tx.Events().List(storage.EventFilter{Account: bob, Match: func(e storage.Event) bool { return e.Name == eventChanged }}, 10)
		if len(events) != 1 || events[0].Purpose != Invite || events[0].Outcome != outcomeChanged {
			t.Errorf("the audit log has %+v", events)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestINV3_ThePageConfirmsWhatItShowed: between the page and the press of its button the address gets an account.
func TestINV3_ThePageConfirmsWhatItShowed(t *testing.T) {
	g := newGate(t)
	link, _ := g.invite(InviteInput{Email: invited, Roles: []string{"guest"}})
	b := g.browser()
	o := must[LinkPreview](t)(b.open(link))
	g.account(invited)
	_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: link, H: o.H})
	wantErr(t, err, ErrChanged)
	g.disable(g.accountID(invited))
	_, err = b.open(link)
	wantErr(t, err, ErrDead)
}

func (g *gate) accountID(email string) string {
	g.t.Helper()
	a, _, err := g.Accounts.Lookup(context.Background(), email)
	if err != nil {
		g.t.Fatal(err)
	}
	return a.ID
}

// TestINV5_WhatAnAccountMayInvite refuses what an account may not give, its own address, more than one address, and one open invitation too many.
func TestINV5_WhatAnAccountMayInvite(t *testing.T) {
	g := newGate(t)
	g.site.Limits[limit.MailInvite] = nil
	ada, _ := g.family()
	for name, c := range map[string]struct {
		in          InviteInput
		field, code string
	}{
		"a role of others":     {InviteInput{Email: invited, Roles: []string{"family"}}, "role", "not_given"},
		"one of both":          {InviteInput{Email: invited, Roles: []string{"guest", "admin"}}, "role", "not_given"},
		"no role":              {InviteInput{Email: invited}, "role", "not_given"},
		"two addresses":        {InviteInput{Email: "bob@example.com, eve@example.com", Roles: []string{"guest"}}, "email", "several"},
		"no address":           {InviteInput{Email: "bob@", Roles: []string{"guest"}}, "email", "syntax"},
		"the own address":      {InviteInput{Email: "ADA@example.com", Roles: []string{"guest"}}, "email", "own"},
		"longer than 30 days":  {InviteInput{Email: invited, Roles: []string{"guest"}, TTL: MaxInviteTTL + 1}, "ttl", "too_long"},
		"a malformed role":     {InviteInput{Email: invited, Roles: []string{"a,b"}}, "role", "syntax"},
		"a name with controls": {InviteInput{Email: invited, Roles: []string{"guest"}, Name: "\x1b[31m"}, "name", "syntax"},
	} {
		var invalid *Invalid
		if err := ada.inviteBy(c.in); !errors.As(err, &invalid) || invalid.Field != c.field || invalid.Code != c.code {
			t.Errorf("%s: %v, want %s %s", name, err, c.field, c.code)
		}
	}
	stranger := g.account("eve@example.com")
	if err := g.signedIn("eve@example.com").inviteBy(InviteInput{Email: invited, Roles: []string{"guest"}}); err == nil {
		t.Errorf("%s invites without a role for it", stranger)
	}
	if n := len(g.inbox.to(invited)); n != 0 {
		t.Fatalf("%d mails have left", n)
	}
	for i := range MaxOpenInvitations {
		if err := ada.inviteBy(InviteInput{Email: strings.Repeat("b", i+1) + "@example.com", Roles: []string{"guest"}}); err != nil {
			t.Fatal(i, err)
		}
	}
	var invalid *Invalid
	if err := ada.inviteBy(InviteInput{Email: "one.more@example.com", Roles: []string{"guest"}}); !errors.As(err, &invalid) || invalid.Code != "too_many" {
		t.Errorf("one open invitation too many: %v", err)
	}
	if err := g.CheckInvitation(context.Background(), g.site, ada.requester(), g.inviteAct("one.more@example.com", "guest")); !errors.As(err, &invalid) || invalid.Code != "too_many" {
		t.Errorf("before a code is mailed for it: %v", err)
	}
	must[[]Sent](t)(g.Revoke(context.Background(), "b@example.com", storage.Operator{}))
	if err := ada.inviteBy(InviteInput{Email: "one.more@example.com", Roles: []string{"guest"}}); err != nil {
		t.Errorf("after one was revoked: %v", err)
	}
}

// TestINV5_TwoAtOnceCountEachOther sends more invitations at once than may be open.
func TestINV5_TwoAtOnceCountEachOther(t *testing.T) {
	g := newGate(t)
	g.site.Limits[limit.MailInvite] = nil
	ada, id := g.family()
	requester := ada.requester()
	var wg sync.WaitGroup
	for i := range 2 * MaxOpenInvitations {
		wg.Go(func() {
			in := InviteInput{Email: strings.Repeat("b", i+1) + "@example.com", Roles: []string{"guest"}}
			_ = g.update(context.Background(), func(tx storage.Tx) error { return g.inviteIn(tx, g.site, requester, in, &record{}) }) // some are refused
		})
	}
	wg.Wait()
	var open int
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) (err error) {
		open, err = g.countOpen(tx, id)
		return err
	}); err != nil || open != MaxOpenInvitations {
		t.Errorf("%d are open, %v", open, err)
	}
}

// TestINV5_LimitsOfTheInviterAndOfTheMailbox sends twenty in a day, and more to one mailbox than it gets.
func TestINV5_LimitsOfTheInviterAndOfTheMailbox(t *testing.T) {
	g := newGate(t)
	ada, _ := g.family()
	other := g.account("eve@example.com")
	g.setRoles(other, "family")
	var limited *Limited
	for range 20 {
		if err := ada.inviteBy(InviteInput{Email: invited, Roles: []string{"guest"}}); err != nil {
			t.Fatal(err)
		}
		must[[]Sent](t)(g.Revoke(context.Background(), invited, storage.Operator{}))
	}
	if err := ada.inviteBy(InviteInput{Email: "carol@example.com", Roles: []string{"guest"}}); !errors.As(err, &limited) || limited.Name != limit.MailInvite {
		t.Errorf("the twenty-first of a day: %v", err)
	}
	eve := g.signedIn("eve@example.com")
	if err := eve.inviteBy(InviteInput{Email: invited, Roles: []string{"guest"}}); !errors.As(err, &limited) || limited.Name != limit.MailMailbox {
		t.Errorf("the twenty-first to a mailbox: %v", err)
	}
	if err := eve.inviteBy(InviteInput{Email: "carol@example.com", Roles: []string{"guest"}}); err != nil {
		t.Errorf("to another mailbox: %v", err)
	}
}

// TestINV4_ARevokedInvitationDoesNotLeave revokes one before its mail has left.
func TestINV4_ARevokedInvitationDoesNotLeave(t *testing.T) {
	g := newGate(t)
	must[Sent](t)(g.Invite(context.Background(), g.site, InviteInput{Email: invited}))
	must[[]Sent](t)(g.Revoke(context.Background(), invited, storage.Operator{}))
	g.post()
	if n := len(g.inbox.to(invited)); n != 0 {
		t.Errorf("%d mails have left", n)
	}
}

// TestINV1_APrintedInvitation is handed over in another way than by mail, and works once.
func TestINV1_APrintedInvitation(t *testing.T) {
	g := newGate(t)
	g.site.NoMail = true
	sent := must[Sent](t)(g.Invite(context.Background(), g.site, InviteInput{Email: invited, Roles: []string{"guest"}, Print: true, TTL: time.Hour}))
	_, link, _ := strings.Cut(sent.URL, "?t=")
	g.post()
	if n := g.inbox.count(); n != 0 {
		t.Errorf("%d mails have left", n)
	}
	if _, err := g.browser().press(link); err != nil {
		t.Error(err)
	}
	_, err := g.Invite(context.Background(), g.site, InviteInput{Email: invited})
	wantErr(t, err, ErrNoMail)
}

// TestINV6_SignUpByInvitation asks at the form of a site where invitations alone make accounts: only the invited address gets a mail, which
// makes the account with the roles of the invitation and leads where that leads.
func TestINV6_SignUpByInvitation(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.site.SignUp.Mode = SignUpInvite
		link, _ := g.invite(InviteInput{Email: invited, Roles: []string{"guest"}, ReturnTo: "/albums"})
		if m := g.browser().mustAsk(Activation, "eve@example.com"); m.link != "" {
			t.Fatalf("an address that was not invited gets %+v", m)
		}
		for _, how := range []string{"link", "code"} {
			b := g.browser()
			result := must[RequestResult](t)(b.g.Request(context.Background(), g.site, b.requester(), RequestInput{Purpose: Activation, Email: invited}))
			b.flow = result.FlowCookie
			g.post()
			m := b.newest(invited)
			if m.kind != mailer.KindInvite || m.link == "" || m.code == "" || m.cancel == "" {
				t.Fatalf("the mail is %+v", m)
			}
			if _, err := b.click(m.link); !errors.Is(err, ErrChanged) {
				t.Errorf("one click: %v", err)
			}
			o, err := b.open(m.link)
			if err != nil || o.Invitation == nil || !slices.Equal(o.Invitation.Roles, []string{"guest"}) {
				t.Fatalf("the page says %+v, %v", o.Invitation, err)
			}
			var done Done
			if how == "link" {
				done, err = b.press(m.link)
			} else {
				done, err = b.type_(m.code)
			}
			if err != nil || done.ReturnTo != "/albums" {
				t.Fatalf("by %s: %+v, %v", how, done, err)
			}
			if roles, _ := g.roles(invited); !slices.Equal(roles, []string{"guest"}) {
				t.Errorf("the roles are %v", roles)
			}
			_, err = g.browser().press(link)
			wantErr(t, err, ErrDead)
			g.delete(g.accountID(invited))
			g.fake.Advance(time.Minute)
			link, _ = g.invite(InviteInput{Email: invited, Roles: []string{"guest"}, ReturnTo: "/albums"})
		}
	})
}

// TestINV6_ARevokedInvitationMakesNoAccount revokes the invitation between the mail of a sign-up and its link.
func TestINV6_ARevokedInvitationMakesNoAccount(t *testing.T) {
	g := newGate(t)
	g.site.SignUp.Mode = SignUpInvite
	g.invite(InviteInput{Email: invited, Roles: []string{"guest"}})
	b := g.browser()
	m := b.mustAsk(Activation, invited)
	must[[]Sent](t)(g.Revoke(context.Background(), invited, storage.Operator{}))
	_, err := b.press(m.link)
	wantErr(t, err, ErrDead)
	if _, err := b.type_(m.code); err == nil {
		t.Error("the code makes an account")
	}
	if g.accounts() != 0 {
		t.Error("there is an account")
	}
}

// TestENUM1_InvitedOrNot asks for mails at the form for an address that was invited, and for others: answers and writes are the same.
func TestENUM1_InvitedOrNot(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		var first []observed
		for _, email := range []string{"eve@example.com", invited, "ada@example.com"} {
			g := newGate(t)
			g.site.SignUp.Mode = SignUpInvite
			g.account("ada@example.com")
			g.invite(InviteInput{Email: invited, Roles: []string{"guest"}})
			g.fake.Advance(time.Minute)
			g.spy.take()
			seen := neutralRun(g, Activation, email)
			if first == nil {
				first = seen
				continue
			}
			if len(seen) != len(first) {
				t.Fatal(len(seen), len(first))
			}
			for i := range seen {
				if diff := cmp.Diff(first[i], seen[i]); diff != "" {
					t.Errorf("%s: step %d differs:\n%s", email, i, diff)
				}
			}
		}
	})
}

// TestINV2_AnInvitationOutlivesTheProcess accepts one after a kill: there is the invitation with its link and its mail, or none of them.
func TestINV2_AnInvitationOutlivesTheProcess(t *testing.T) {
	g := newGate(t)
	must[Sent](t)(g.Invite(context.Background(), g.site, InviteInput{Email: invited, Roles: []string{"guest"}}))
	g.restart()
	g.post()
	link := g.browser().newest(invited).link
	o := must[LinkPreview](t)(g.browser().open(link))
	g.spy.break_(errors.New("the disk is full"))
	if _, err := g.Confirm(context.Background(), g.site, g.browser().requester(), ConfirmInput{Token: link, H: o.H}); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	g.restart()
	if _, found := g.roles(invited); found {
		t.Fatal("a step that failed has made the account")
	}
	if _, err := g.browser().press(link); err != nil {
		t.Fatal(err)
	}
	g.restart()
	_, err := g.browser().press(link)
	wantErr(t, err, ErrDead)
	if g.accounts() != 1 {
		t.Errorf("there are %d accounts", g.accounts())
	}
}
