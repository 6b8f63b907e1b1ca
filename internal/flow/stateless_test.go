package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func statelessGate(t *testing.T) *gate {
	g := newGate(t)
	g.site.Stateless = true
	return g
}

// size returns the size of the database's file.
func (g *gate) size() int64 {
	g.t.Helper()
	enginetest.NeedsFile(g.t)
	info, err := os.Stat(filepath.Join(g.dir, enginetest.File))
	if err != nil {
		g.t.Fatal(err)
	}
	return info.Size()
}

func (g *gate) sweep() (n int) {
	g.t.Helper()
	n, err := g.bolt.Sweep(context.Background(), g.Clock.Now(), 1_000_000)
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// watchWorker lets a worker whose writes are counted send the mails.
func (g *gate) watchWorker() *counting {
	spy := &counting{Store: g.bolt, writes: map[string]int{}}
	g.worker = &outbox.Worker{Store: spy, Ring: g.Ring, Clock: g.Clock, Limiter: g.Limiter, Concurrency: 100}
	g.worker.Use(outbox.Delivery{Mailer: g.inbox, Render: render, Accounts: g.Accounts, Sessions: g.Sessions})
	return spy
}

func TestFLOW2_TenThousandAbandonedSignUpsLeaveNothingBehind(t *testing.T) {
	g := statelessGate(t)
	worker := g.watchWorker()
	g.site.Limits[limit.MailMailbox] = nil
	result := 0
	atOnce := 1000
	if testing.Short() { // the race detector makes them dear and sees no more in them
		atOnce = 200
	}
	counted := 10 * atOnce
	round := func(n int) {
		for range n / atOnce {
			together(atOnce, func(i int) {
				if _, err := g.stranger(result+i).ask(Activation, fmt.Sprintf("u%d@example.com", result+i)); err != nil {
					t.Error(err)
				}
			})
			result += atOnce
			g.post()
			g.fake.Advance(3 * time.Hour)
			g.sweep()
		}
	}
	round(counted) // the first growth, until as many counters expire as are made
	g.spy.take()
	worker.take()
	before, mails := g.size(), g.inbox.count()
	round(counted)
	_, writes := g.spy.take()
	_, parsed := worker.take()
	if n := g.inbox.count() - mails; n != counted {
		t.Errorf("%d mails", n)
	}
	for _, kind := range []string{"flow", "token", "event"} {
		if writes[kind]+parsed[kind] != 0 {
			t.Errorf("%d records of %s were written", writes[kind]+parsed[kind], kind)
		}
	}
	if writes["mail"] != counted || writes["counter"] == 0 {
		t.Errorf("asking wrote %v", writes)
	}
	g.fake.Advance(49 * time.Hour)
	swept := g.sweep()
	if n := g.sweep(); n != 0 || g.accounts() != 0 {
		t.Errorf("%d records and %d accounts are left", n, g.accounts())
	}
	if after := g.size(); after > before+before/4 { // how requests share commits moves it a little
		t.Errorf("the file has %d bytes after %d", after, before)
	}
	t.Logf("%d sign-ups: wrote %v, the worker %v, the last sweep took %d counters, the file has %d bytes", counted, writes, parsed, swept, before)
}

func TestTOK6_StatelessLinksFitIntoMails(t *testing.T) {
	g := statelessGate(t)
	for _, email := range []string{"a@b.example", "ada@example.com", strings.Repeat("a", 64) + "@" + strings.Repeat("b", 60) + ".example.com"} {
		for _, path := range []string{"/", "/private?x=1", "/?" + strings.Repeat("&", 100), "/" + strings.Repeat("p", 100), "/" + strings.Repeat("p", 400), "/" + strings.Repeat("p", 2000)} {
			b := g.browser()
			b.client = netip.MustParseAddr("2001:db8:1:2:3:4:5:6")
			result, err := g.Request(context.Background(), g.site, b.requester(), RequestInput{Purpose: Activation, Email: email, ReturnTo: path})
			if err != nil {
				t.Fatal(err)
			}
			g.post()
			mail := b.newest(email)
			text := strings.Split(mail.message.Text, "\n")
			size := max(len(text[1]), len(text[2]))
			t.Logf("address %d, path %d: URL %d, cookie %d", len(email), len(path), size, len(result.FlowCookie))
			if size > MaxURL || len(result.FlowCookie) != len(must[string](t)((&token.Claims{Private: json.RawMessage("{}")}).Cookie(g.Ring))) {
				t.Errorf("address %d, path %d: URL %d, cookie %d", len(email), len(path), size, len(result.FlowCookie))
			}
			if !token.IsLink(mail.link) && len(path) < 200 && len(email) < 100 {
				t.Errorf("address %d, path %d was stored", len(email), len(path))
			}
			b.flow = result.FlowCookie
			done := must[Done](t)(b.type_(mail.code))
			if done.ReturnTo != path {
				t.Errorf("leads to %.20s, want %.20s", done.ReturnTo, path)
			}
			g.delete(done.Account)
			g.fake.Advance(24 * time.Hour)
		}
	}
}

func TestTOK6_EveryChangedByteOfAStatelessLinkOrCookieIsDead(t *testing.T) {
	g := statelessGate(t)
	g.account("ada@example.com")
	g.site.Limits[limit.RedeemIP] = nil
	b := g.browser()
	mail := b.mustAsk(SignIn, "ada@example.com")
	for _, text := range []string{mail.link, mail.cancel} {
		for i := range len(text) {
			_, err := g.Open(context.Background(), g.site, b.requester(), text[:i]+string(text[i]^1)+text[i+1:])
			wantErr(t, err, ErrDead)
		}
	}
	cookie := b.flow
	for i := range len(cookie) {
		b.flow = cookie[:i] + string(cookie[i]^1) + cookie[i+1:]
		if _, found, err := g.Status(context.Background(), g.site, b.requester()); found || err != nil {
			t.Fatalf("byte %d: a flow, %v", i, err)
		}
	}
	b.flow = mail.link
	if _, found, _ := g.Status(context.Background(), g.site, b.requester()); found {
		t.Error("a link is a cookie")
	}
	_, err := b.open(cookie)
	wantErr(t, err, ErrDead)
	b.flow = cookie
	must[Done](t)(b.click(mail.link))
}

func TestTOK3_AStatelessLinkOfAnotherSitePurposeOrKeyIsDead(t *testing.T) { changedClaimsAreDead(t) }

func TestTOK6_AStatelessLinkWithOtherClaimsIsDead(t *testing.T) { changedClaimsAreDead(t) }

func changedClaimsAreDead(t *testing.T) {
	t.Helper()
	g := statelessGate(t)
	id := g.account("ada@example.com")
	b := g.browser()
	mail := b.mustAsk(SignIn, "ada@example.com")
	foreign := statelessGate(t)
	foreign.account("ada@example.com")
	wantDead := func(text string) {
		t.Helper()
		_, err := b.open(text)
		wantErr(t, err, ErrDead)
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: text})
		wantErr(t, err, ErrDead)
	}
	wantDead(foreign.browser().mustAsk(SignIn, "ada@example.com").link)
	c, _, err := token.ReadLink(g.Ring, g.site.Origin, mail.link)
	if err != nil || c.Account != id {
		t.Fatalf("%+v, %v", c, err)
	}
	for name, change := range map[string]func(c *token.Claims){
		"site":             func(c *token.Claims) { c.Site = "https://other.example.com" },
		"purpose":          func(c *token.Claims) { c.Purpose = Reset },
		"activation":       func(c *token.Claims) { c.Purpose, c.Account = Activation, "" },
		"unknown purpose":  func(c *token.Claims) { c.Purpose = "invite" },
		"no account":       func(c *token.Claims) { c.Account = "" },
		"another account":  func(c *token.Claims) { c.Account = "AAAAAAAAAAAAAAAA" },
		"global epoch":     func(c *token.Claims) { c.Global++ },
		"mailbox epoch":    func(c *token.Claims) { c.Mailbox++ },
		"account epoch":    func(c *token.Claims) { c.AccountEpoch++ },
		"exp far away":     func(c *token.Claims) { c.Expires += 10 * 365 * 86400; c.Issued -= 86400 },
		"over":             func(c *token.Claims) { c.Expires = g.Clock.Now().Unix() },
		"from the future":  func(c *token.Claims) { c.Issued += 3600; c.Expires += 3600 },
		"never born":       func(c *token.Claims) { c.Issued = 0 },
		"a later mail":     func(c *token.Claims) { c.Mail = 1 },
		"a later flow":     func(c *token.Claims) { c.Private = json.RawMessage(`{"email":"ada@example.com","generation":1}`) },
		"another mailbox":  func(c *token.Claims) { c.Private = json.RawMessage(`{"email":"eve@example.com"}`) },
		"no private half":  func(c *token.Claims) { c.Private = json.RawMessage(`{}`) },
		"another language": func(c *token.Claims) { c.Private = json.RawMessage(`[]`) },
	} {
		forged := c
		change(&forged)
		text := must[string](t)(forged.Link(g.Ring, [32]byte{1}, false))
		if _, err := b.open(text); !errors.Is(err, ErrDead) && !errors.Is(err, ErrUnavailable) || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	must[Done](t)(b.press(mail.link))
}

func TestTOK4_ALifetimeThatWasShortenedHoldsForLinksOnTheirWay(t *testing.T) {
	g := statelessGate(t)
	g.account("ada@example.com")
	b := g.browser()
	mail := b.mustAsk(SignIn, "ada@example.com")
	g.site.Lifetimes.SignIn = 5 * time.Minute
	g.fake.Advance(5*time.Minute - time.Second)
	must[LinkPreview](t)(b.open(mail.link))
	g.fake.Advance(time.Second)
	_, err := b.open(mail.link)
	wantErr(t, err, ErrDead)
	if _, found, _ := g.Status(context.Background(), g.site, b.requester()); found {
		t.Error("the cookie outlives the link")
	}
}

func TestREST2_ADatabaseYoungerThanALinkRefusesIt(t *testing.T) {
	g := statelessGate(t)
	g.account("ada@example.com")
	b := g.browser()
	mail := b.mustAsk(SignIn, "ada@example.com")
	bear := func(at time.Time) {
		if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error { return storage.SetMetaTime(tx, storage.MetaCreated, at) }); err != nil {
			t.Fatal(err)
		}
	}
	bear(g.Clock.Now()) // the same second
	must[LinkPreview](t)(b.open(mail.link))
	bear(g.Clock.Now().Add(time.Second))
	_, err := b.open(mail.link)
	wantErr(t, err, ErrDead)
	_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link})
	wantErr(t, err, ErrDead)
	_, err = b.type_(mail.code)
	wantErr(t, err, ErrNoFlow)
	g.fake.Advance(time.Minute)
	must[Done](t)(b.press(b.mustAsk(SignIn, "ada@example.com").link))
}

func TestTOK1_AReplayAfterAKillIsDead(t *testing.T) {
	g := statelessGate(t)
	g.account("ada@example.com")
	b := g.browser()
	for name, use := range map[string]func(mail letter) error{
		"link": func(m letter) error { _, err := g.stranger(1).press(m.link); return err },
		"code": func(m letter) error { _, err := b.type_(m.code); return err },
		"back": func(m letter) error { return g.stranger(1).cancel(m.cancel) },
	} {
		mail := b.mustAsk(SignIn, "ada@example.com")
		cookie := b.flow
		wantErr(t, use(mail), nil)
		g.restart()
		for _, text := range []string{mail.link, mail.cancel} {
			if _, err := g.stranger(2).open(text); !errors.Is(err, ErrDead) {
				t.Errorf("after the %s: %v", name, err)
			}
		}
		b.flow, b.session = cookie, ""
		_, err := b.type_(mail.code)
		wantInvalid(t, err, "code", "wrong")
		b.flow = ""
		g.fake.Advance(25 * time.Hour)
	}
}

func TestLinks_SwitchingModesHonoursWhatIsOnItsWay(t *testing.T) {
	for _, before := range []bool{false, true} {
		g := newGate(t)
		g.account("ada@example.com")
		g.site.Stateless = before
		byLink, byCode, again, asking := g.browser(), g.stranger(1), g.stranger(2), g.stranger(3)
		link, code := byLink.mustAsk(SignIn, "ada@example.com"), byCode.mustAsk(SignIn, "ada@example.com")
		again.mustAsk(SignIn, "ada@example.com")
		cancelled := asking.mustAsk(SignIn, "ada@example.com")
		g.site.Stateless = !before
		if token.IsLink(link.link) != before {
			t.Fatalf("stateless %v mailed %.20s", before, link.link)
		}
		g.restart()
		must[Done](t)(byLink.click(link.link))
		must[Done](t)(byCode.type_(code.code))
		g.fake.Advance(DefaultResendWait)
		must[Pending](t)(again.resend())
		g.post()
		if mail := again.newest("ada@example.com"); token.IsLink(mail.link) != before {
			t.Errorf("stateless %v: the flow goes on as %.20s", before, mail.link)
		} else {
			must[Done](t)(again.press(mail.link))
		}
		wantErr(t, g.stranger(5).cancel(cancelled.cancel), nil)
		for _, used := range []string{link.link, code.link, cancelled.link} {
			_, err := g.stranger(6).open(used)
			wantErr(t, err, ErrDead)
		}
	}
}

func TestREST1_AGateThatStoresItsFlowsHonoursNoForgedLink(t *testing.T) {
	g := newGate(t)
	id := g.account("ada@example.com")
	forged := func() string {
		now := g.Clock.Now()
		c := token.Claims{
			Site: g.site.Origin, Purpose: SignIn, FID: token.NewFID(), Issued: now.Unix(), Expires: now.Add(DefaultSignIn).Unix(), Mailbox: 1,
			Private: json.RawMessage(`{"email":"ada@example.com"}`), Account: id,
		}
		return must[string](t)(c.Link(g.Ring, token.NewSeed(), false))
	}
	b := g.browser()
	_, err := b.open(forged())
	wantErr(t, err, ErrDead)
	g.site.Stateless = true
	must[LinkPreview](t)(b.open(forged())) // with the keys of a gate that carries its flows anybody can
	must[RequestResult](t)(b.ask(SignIn, "ada@example.com"))
	g.site.Stateless = false
	must[LinkPreview](t)(b.open(forged()))
	g.fake.Advance(24*time.Hour + DefaultSignIn)
	_, err = b.open(forged())
	wantErr(t, err, ErrDead)
}
