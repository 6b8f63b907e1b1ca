package web

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// randomID matches what names records: it is new in each gate.
var randomID = regexp.MustCompile(`[A-Za-z0-9_-]{16,}`)

// TestENUM1_AChangeToATakenAddressIsAnsweredAlike changes to an address without an account, to that of an active account, of a disabled one, and to
// one that may be taken back, over the whole life of the change: pages, headers, the lengths of cookies, JSON and the download are the same.
func TestENUM1_AChangeToATakenAddressIsAnsweredAlike(t *testing.T) {
	const taken = "sam@example.com"
	var first []string
	for _, kind := range []string{"free", "active", "disabled", "reserved"} {
		g := newGate(t)
		g.site.Limits[limit.RedeemIP] = nil
		g.account(known)
		switch kind {
		case "active":
			g.account(taken)
		case "disabled":
			g.disable(g.account(taken).ID)
		case "reserved":
			g.account(taken)
			g.changesAddress(taken, "sam@elsewhere.example.com")
		}
		g.clock.Advance(time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC).Sub(g.state.Clock.Now())) // all gates are at one time
		var seen []string
		b := g.browser().signsIn(known)
		note := func(what string, a answer) {
			seen = append(seen, what+" "+strings.TrimSpace(randomID.ReplaceAllString(sameForAll(a, taken), "…")))
		}
		look := func() {
			note("page", b.get("/email-link/account"))
			note("JSON", b.json("GET", "/email-link/account", ""))
			note("proof", b.get("/email-link/account/proof"))
		}
		begin := func(asJSON bool) (mails []mailer.Message) {
			g.deliver()
			if asJSON {
				note("ask", b.json("POST", "/email-link/account/address", `{"email":"`+taken+`"}`))
			} else {
				note("ask", b.post("/email-link/account/address", "email", taken))
			}
			look()
			code := g.find(codePattern, g.mailTo(known, "Your code to change your address at Example", g.deliver()).Text)
			if asJSON {
				note("begin", b.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`))
			} else {
				note("begin", b.post("/email-link/account/proof", "code", code))
			}
			note("at once", b.get("/email-link/account"))
			mails = g.deliver()
			look()
			return mails
		}
		mails := begin(false)
		note("not a code", b.post("/email-link/account/address/code", "code", "1"))
		note("wrong code", b.post("/email-link/account/address/code", "code", "00000000"))
		owner := g.browser()
		h := owner.opens(g.find(linkPattern, g.mailTo(known, "A new address for your account at Example", mails).Text))
		note("old", owner.json("POST", "/email-link/confirm", `{"h":"`+h+`"}`))
		look()
		for range 6 {
			note("wrong code", b.json("POST", "/email-link/account/address/code", `{"code":"00000000"}`))
		}
		look()
		note("stop", b.post("/email-link/account/address/stop", "form", "1"))
		look()
		begin(true)
		g.clock.Advance(24*time.Hour - time.Second)
		look()
		g.clock.Advance(time.Second)
		look()
		note("too late", b.post("/email-link/account/address/code", "code", "00000000"))
		note("ask", b.post("/email-link/account/export"))
		note("export", b.post("/email-link/account/proof", "code", g.find(codePattern, g.mailTo(known, "Your code to download your data from Example", g.deliver()).Text)))
		if first == nil {
			first = seen
		}
		for i := range first {
			if seen[i] != first[i] {
				t.Errorf("%s: answer %d, %.8s: %s", kind, i, seen[i], cmp.Diff(first[i], seen[i]))
			}
		}
	}
}

// changesAddress changes the address of an account, as who has both mailboxes does.
func (g *gate) changesAddress(present, email string) {
	g.t.Helper()
	b := g.browser().signsIn(present)
	g.deliver()
	b.post("/email-link/account/address", "email", email)
	b.post("/email-link/account/proof", "code", g.find(codePattern, g.mailTo(present, "Your code to change your address at Example", g.deliver()).Text))
	mails := g.deliver()
	for to, subject := range map[string]string{email: "Confirm this address for Example", present: "A new address for your account at Example"} {
		b := g.browser()
		h := b.opens(g.find(linkPattern, g.mailTo(to, subject, mails).Text))
		b.post("/email-link/confirm", "h", h)
	}
	g.deliver()
}
