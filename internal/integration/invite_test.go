package integration

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestINV8_PeopleInviteAtThePortal invites from the account page at a portal, by the code of the mail. The invited person lands at the site, with the role that it
// requires, and the list of the one who invited says "sent" before and "ended" afterwards.
func TestINV8_PeopleInviteAtThePortal(t *testing.T) {
	hosts := ""
	for _, host := range []string{"auth", "photos", "files", "staff"} {
		hosts += " http://" + host + ".localhost:$PORT"
	}
	w := start(t, setup{
		global: several + "\n\t\tinvite by role family gives staff", baseURL: strings.TrimSpace(hosts),
		sites: strings.ReplaceAll(severalSites, "require role staff", "require role staff family"),
	})
	ada := w.visitor()
	ada.signUp("ada@example.com", "")
	form := w.portalAt("auth") + "/email-link/account/invitations/new"
	if res, _ := ada.visit(http.MethodGet, form, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("without the role: %d", res.StatusCode)
	}
	parts, _ := module.Running()
	a, _, err := parts.Accounts.Lookup(context.Background(), "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := parts.Store.Update(context.Background(), func(tx storage.Tx) error { return parts.Accounts.SetRoles(tx, a.ID, []string{"family"}) }); err != nil {
		t.Fatal(err)
	}
	if res, body := ada.visit(http.MethodGet, form, nil); res.StatusCode != http.StatusOK || !strings.Contains(body, `name="role.staff"`) || !strings.Contains(body, ">Photos</option>") {
		t.Fatalf("with it: %d\n%s", res.StatusCode, body)
	}
	_, body := ada.visit(http.MethodPost, form, url.Values{"email": {"bob@example.com"}, "role.staff": {"1"}, "site": {w.portalAt("staff")}})
	m, _ := w.mail()
	code := regexp.MustCompile(`(?m)^ +(\d{4} \d{4})\r?$`).FindStringSubmatch(m.Text)
	if code == nil || !strings.Contains(strings.Join(strings.Fields(m.Text), " "), "invite bob@example.com to staff.localhost:"+w.port+" as staff") || !strings.Contains(body, "bob@example.com") {
		t.Fatalf("the mail says\n%s\nand the page\n%s", m.Text, body)
	}
	if res, body := ada.visit(http.MethodPost, w.portalAt("auth")+"/email-link/account/proof", url.Values{"code": {code[1]}}); res.StatusCode != http.StatusOK || !strings.Contains(body, "is on its way to") {
		t.Fatalf("the code: %d by way of %v\n%s", res.StatusCode, ada.trail, body)
	}
	m, link := w.mail()
	if !strings.Contains(m.Text, "ada@example.com invites you") {
		t.Errorf("the invitation says\n%s", m.Text)
	}
	bob := w.visitor()
	_, page := bob.visit(http.MethodGet, link, nil)
	h := hIn.FindStringSubmatch(page)
	if h == nil {
		t.Fatalf("no form:\n%s", page)
	}
	if res, body := bob.visit(http.MethodPost, w.portalAt("auth")+"/email-link/confirm", url.Values{"h": {h[1]}}); body != "hello" || !strings.HasPrefix(bob.trail[len(bob.trail)-1], "staff.localhost") {
		t.Errorf("the invited person: %d by way of %v", res.StatusCode, bob.trail)
	}
	if _, body := ada.open("auth", "/email-link/account"); !strings.Contains(body, "bob@example.com") || !strings.Contains(body, ", ended") {
		t.Errorf("the list says\n%s", body)
	}
}
