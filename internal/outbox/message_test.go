package outbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestChoose_WhoGetsWhichLetter(t *testing.T) {
	active, disabled := accounts.Account{ID: "a", Status: accounts.Active}, accounts.Account{ID: "a", Status: accounts.Disabled}
	for _, c := range []struct {
		purpose string
		open    bool
		found   *accounts.Account
		kind    mailer.Kind
		drop    bool
	}{
		{Activation, true, nil, mailer.KindLink, false},
		{Activation, true, &active, mailer.KindAccountExists, false},
		{Activation, true, &disabled, mailer.KindAccountExists, true},
		{SignIn, true, nil, mailer.KindNoAccount, false},
		{SignIn, false, nil, mailer.KindLink, true},
		{SignIn, true, &active, mailer.KindLink, false},
		{SignIn, false, &active, mailer.KindLink, false},
		{SignIn, true, &disabled, mailer.KindLink, true},
		{Reset, true, nil, mailer.KindNoAccount, false},
		{Reset, false, nil, mailer.KindReset, true},
		{Reset, true, &active, mailer.KindReset, false},
		{Reset, false, &active, mailer.KindReset, false},
		{Reset, true, &disabled, mailer.KindReset, true},
	} {
		var a accounts.Account
		if c.found != nil {
			a = *c.found
		}
		kind, drop := chooseKind(c.purpose, Payload{SignUpOpen: c.open}, a, c.found != nil)
		if kind != c.kind || (drop != "") != c.drop {
			t.Errorf("%s, open %v, %q: %s, drop %q; want %s, drop %v", c.purpose, c.open, a.Status, kind, drop, c.kind, c.drop)
		}
	}
}

func TestLetter_AResetHasALinkAndNoCode(t *testing.T) {
	p := newPost(t)
	m := storage.Mail{Purpose: Reset, Site: "https://app.example.com", End: p.Clock.Now().Add(DefaultSendTimeout)}
	l, err := p.message(m, Payload{Base: "https://app.example.com/email-link"}, mailer.KindReset, accounts.Account{}, 0)
	if err != nil || !strings.HasPrefix(l.Link, "https://app.example.com/email-link/link?t=") || l.Cancel == "" || l.Code != "" {
		t.Errorf("the letter says %+v", l)
	}
	if l, err = p.message(m, Payload{}, mailer.KindNoAccount, accounts.Account{}, 0); err != nil || l.Link != "" || l.Code != "" {
		t.Errorf("a letter to nobody says %+v", l)
	}
}

// TestTOK4_TheMailOfAnAccountThatIsThere carries what signs in until a sign-in's time has passed, and says when that is.
func TestTOK4_TheMailOfAnAccountThatIsThere(t *testing.T) {
	now := newPost(t).Clock.Now()
	m := storage.Mail{Purpose: Activation, Site: "https://app.example.com", End: now.Add(24 * time.Hour)}
	ends := newPost(t).Clock.ToWall(now.Add(15 * time.Minute))
	for name, c := range map[string]struct {
		payload    Payload
		wait       time.Duration
		link, code bool
	}{
		"queued by an earlier build": {Payload{}, 0, false, false},
		"at once":                    {Payload{SignInEnds: ends.Unix()}, 0, true, true},
		"a code alone":               {Payload{SignInEnds: ends.Unix(), NoSignInLink: true}, 0, false, true},
		"a link alone":               {Payload{SignInEnds: ends.Unix(), NoCode: true}, 0, true, false},
		"in time":                    {Payload{SignInEnds: ends.Unix()}, 15*time.Minute - time.Second, true, true},
		"too late":                   {Payload{SignInEnds: ends.Unix()}, 15 * time.Minute, false, false},
	} {
		p := newPost(t)
		p.fake.Advance(c.wait)
		c.payload.Base = "https://app.example.com/email-link"
		l, err := p.message(m, c.payload, mailer.KindAccountExists, accounts.Account{ID: "a"}, 0)
		if err != nil || (l.Link != "") != c.link || (l.Code != "") != c.code || l.Cancel == "" || (c.link || c.code) && !l.Ends.Equal(ends) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

func TestFLOW3_ANoticeSaysWhatHappenedAndHasNoLink(t *testing.T) {
	for notice, want := range map[mailer.Kind]mailer.Kind{
		"": mailer.KindNewDevice, mailer.KindNewDevice: mailer.KindNewDevice, mailer.KindPasswordChanged: mailer.KindPasswordChanged,
		// As an older version has queued them.
		"new_device": mailer.KindNewDevice, "password_changed": mailer.KindPasswordChanged,
	} {
		p := newPost(t)
		var got []Message
		p.Use(Delivery{Mailer: p.server, Accounts: p.dir, Render: func(l Message) (mailer.Message, error) {
			got = append(got, l)
			return mailer.Message{From: "no-reply@example.com"}, nil
		}})
		now := p.Clock.Now()
		m := storage.Mail{ID: storage.MailID{1}, Due: now, Queued: now, End: now.Add(DefaultSendTimeout), Purpose: Notice, Site: "https://app.example.com"}
		sealed, err := Payload{
			To: "Ada@example.com", Name: "Ada", Account: "ada", Device: "Firefox on Linux", Network: "203.0.113.0/24", RequestedAt: now.Unix(),
			Base: "https://app.example.com/email-link", Notice: notice,
		}.Seal(p.Ring, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		m.Sealed = sealed
		if err := p.Store.Update(context.Background(), func(tx storage.Tx) error { return tx.Outbox().Enqueue(m) }); err != nil {
			t.Fatal(err)
		}
		p.flush()
		if len(got) != 1 || p.server.count() != 1 {
			t.Fatalf("%d letters, %d mails", len(got), p.server.count())
		}
		l := got[0]
		if l.Kind != want || l.To != "Ada@example.com" || l.Name != "Ada" || l.Device != "Firefox on Linux" ||
			l.Network != "203.0.113.0/24" || !l.RequestedAt.Equal(now) || l.Link+l.Cancel+l.Code != "" || !l.Ends.IsZero() {
			t.Errorf("%q says %+v", notice, l)
		}
	}
}
