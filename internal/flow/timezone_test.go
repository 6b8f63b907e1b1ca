package flow

import (
	"context"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestTimezone_OfEachMail has every mail to the mailboxes of an account written in its zone, and those to others in that of everybody.
func TestTimezone_OfEachMail(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.site.SignInAfterReset = true
		for limit := range g.site.Limits {
			g.site.Limits[limit] = nil
		}
		const pam = "pam@example.com"
		for _, id := range []string{g.account(ada), g.accountWith(pam, g.record(oldWords))} {
			if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
				return g.Accounts.SetTimezone(tx, id, "Asia/Kathmandu")
			}); err != nil {
				t.Fatal(err)
			}
		}
		b := g.browser()
		b.mustAsk(SignIn, "bob@example.com")
		b.mustAsk(Activation, "eve@example.com")
		must[Done](t)(b.signIn(pam, oldWords))
		must[Done](t)(b.change(oldWords, newWords))
		must[Done](t)(b.set(b.mustAsk(Reset, pam).link, oldWords))
		b = g.browser()
		b.mustAsk(Activation, ada)
		must[Done](t)(b.press(g.stranger(1).mustAsk(SignIn, ada).link))
		b.changesAddress(ada, newAda)
		must[AddressDone](t)(g.browser().confirms(g.last(ada).link))
		b = g.signedIn(ada)
		b.deletes()
		seen := map[mailer.Kind]int{}
		for _, m := range g.inbox.mails {
			want := "Asia/Kathmandu"
			if m.To == "bob@example.com" || m.To == "eve@example.com" {
				want = ""
			}
			lines := strings.Split(m.Text, "\n")
			if zone := lines[len(lines)-1]; zone != want {
				t.Errorf("%s to %s is in %q, want %q", m.Subject, m.To, zone, want)
			}
			seen[mailer.Kind(m.Subject)]++
		}
		for _, kind := range mailer.Kinds {
			if seen[kind] == 0 && kind != mailer.KindInvite {
				t.Errorf("no mail of the kind %s", kind)
			}
		}
	})
}
