package integration

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

var cancelIn = regexp.MustCompile(`https?://\S+/cancel\?t=[A-Za-z0-9_.-]+`)

// code types a code.
func (c *client) code(code string) int {
	c.w.t.Helper()
	status, _, _ := c.post("/email-link/code", url.Values{"code": {code}})
	return status
}

// asks asks for a mail of sign-in and returns its code, link and cancel link.
func (c *client) asks(email string) (code, link, cancel string) {
	c.w.t.Helper()
	if status, _, body := c.post("/email-link/sign-in", url.Values{"email": {email}, "return_to": {"/there?x=1"}}); status != http.StatusSeeOther {
		c.w.t.Fatalf("asking: %d\n%s", status, body)
	}
	mail, link := c.w.mail()
	return codeIn.FindString(mail.Text), link, cancelIn.FindString(mail.Text)
}

// TestFLOW2_StatelessOnARunningGate goes all ways of a flow whose links carry it, with a restart after each.
func TestFLOW2_StatelessOnARunningGate(t *testing.T) {
	const caps = "sign_up open\nresend 2 1ms\nlimit mail_address 100-H\nlimit mail_mailbox 100-H\n"
	s := setup{global: caps + "links stateless"}
	w := start(t, s)
	restart := func() {
		t.Helper()
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		w.load(s)
		w.up()
	}
	ada := w.client()
	w.signUp(ada, "ada@example.com")
	restart()
	if ada.session() == nil {
		t.Fatal("not signed in")
	}

	// The mails of one flow, up to the cap; each of them works, and the first that is used ends it.
	b := w.client()
	code, link, _ := b.asks("ada@example.com")
	codes, links := []string{code}, []string{link}
	for range 2 {
		restart()
		if status, _, _ := b.post("/email-link/resend", url.Values{}); status != http.StatusSeeOther {
			t.Fatalf("the mail again: %d", status)
		}
		mail, link := w.mail()
		codes, links = append(codes, codeIn.FindString(mail.Text)), append(links, link)
	}
	if status, _, page := b.post("/email-link/resend", url.Values{}); status != http.StatusTooManyRequests {
		t.Errorf("above the cap: %d\n%s", status, page)
	}
	if codes[0] == codes[1] || codes[1] == codes[2] || links[0] == links[1] {
		t.Error("two mails with the same secrets")
	}
	if status := b.code("00000000"); status != http.StatusForbidden {
		t.Errorf("a wrong code: %d", status)
	}
	if status := b.code(codes[1]); status != http.StatusSeeOther || b.session() == nil {
		t.Errorf("the code of the second mail: %d", status)
	}
	restart()
	for _, used := range links {
		if status := w.client().press(used); status != http.StatusGone {
			t.Errorf("a link after the code: %d", status)
		}
	}

	// The first code of a flow that has no record yet.
	b = w.client()
	code, _, _ = b.asks("ada@example.com")
	if status := b.code(code); status != http.StatusSeeOther {
		t.Errorf("the first code: %d", status)
	}

	// "This wasn't me", then the links of that flow.
	b = w.client()
	_, link, cancel := b.asks("ada@example.com")
	owner := w.client()
	if status, header, _ := owner.visit(cancel); status != http.StatusSeeOther || header.Get("Location") != "/email-link/confirm" {
		t.Fatalf("the cancel link: %d", status)
	}
	_, _, page := owner.visit("/email-link/confirm")
	if status, _, _ := owner.post("/email-link/confirm", url.Values{"h": {hiddenIn(page)}}); status != http.StatusSeeOther {
		t.Errorf("cancelling: %d\n%s", status, page)
	}
	restart()
	if status := w.client().press(link); status != http.StatusGone {
		t.Errorf("a cancelled link: %d", status)
	}
}

// TestCFG2_LinksOfBothModesAreHonoured switches the mode with mails on their way, both ways.
func TestCFG2_LinksOfBothModesAreHonoured(t *testing.T) {
	const caps = "sign_up open\nlimit mail_address 100-H\nlimit mail_mailbox 100-D\n"
	setups := []setup{{global: caps + "links stored"}, {global: caps + "links stateless"}}
	w := start(t, setups[0])
	first := w.client()
	w.signUp(first, "ada@example.com")
	for i := range 4 {
		byLink, byCode := w.client(), w.client()
		_, link, _ := byLink.asks("ada@example.com")
		if dots := strings.Count(link[strings.Index(link, "?t="):], "."); dots != 4*(i%2) {
			t.Fatalf("round %d mailed %s", i, link)
		}
		code, _, _ := byCode.asks("ada@example.com")
		w.load(setups[(i+1)%2])
		byLink.Transport.(*http.Transport).CloseIdleConnections()
		status, header, _ := byLink.visit(link)
		if status != http.StatusSeeOther || header.Get("Location") != "/there?x=1" || byLink.session() == nil {
			t.Errorf("round %d: the link: %d to %q", i, status, header.Get("Location"))
		}
		if status := byCode.code(code); status != http.StatusSeeOther || byCode.session() == nil {
			t.Errorf("round %d: the code: %d", i, status)
		}
		if status := w.client().press(link); status != http.StatusGone {
			t.Errorf("round %d: a used link: %d", i, status)
		}
	}
}

// TestREST2_ARestoredBackupHonoursNoStatelessLink restores one backup twice. Both times the global epoch becomes the same number,
// so that number alone would revive what was asked for, and used, after the first restore.
func TestREST2_ARestoredBackupHonoursNoStatelessLink(t *testing.T) {
	s := setup{global: "sign_up open\nlinks stateless"}
	w := start(t, s)
	w.signUp(w.client(), "ada@example.com")
	before := w.client()
	_, early, _ := before.asks("ada@example.com")
	var backup bytes.Buffer
	parts, _ := module.Running()
	if err := parts.Store.(storage.Backuper).Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		t.Helper()
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		for asked := time.Now().Unix(); time.Now().Unix() == asked; { // births are known to the second
			time.Sleep(10 * time.Millisecond)
		}
		if err := os.WriteFile(w.db, backup.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		w.load(s)
		w.up()
	}
	restore()
	if status := w.client().press(early); status != http.StatusGone {
		t.Errorf("a link from before the restore: %d", status)
	}
	between := w.client()
	code, used, _ := between.asks("ada@example.com")
	cookie := between.cookie()
	if status := w.client().press(used); status != http.StatusSeeOther {
		t.Errorf("a link from after the restore: %d", status)
	}
	w.mail() // the notice of a new device
	restore()
	if status := w.client().press(used); status != http.StatusGone {
		t.Errorf("a link that was used before the second restore: %d", status)
	}
	again := w.client()
	again.header = http.Header{"Cookie": {cookie}}
	if status := again.code(code); status == http.StatusSeeOther || again.session() != nil {
		t.Errorf("its code: %d", status)
	}
	_, link, _ := w.client().asks("ada@example.com")
	if status := w.client().press(link); status != http.StatusSeeOther {
		t.Errorf("a new link: %d", status)
	}
}
