package web

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestTimezone_TheOwnersChoice chooses a zone on the page, and has every page and mail written in it, in summer and winter, until none is chosen.
func TestTimezone_TheOwnersChoice(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	b := g.browser().signsIn(known)
	b.get("/email-link/account").says(t, "21 November 2026, 14:03 UTC", `<option value="">Automatic (UTC in emails)</option>`, `<option value="Europe/Berlin">Berlin</option>`)
	b.post("/email-link/account/timezone", "timezone", "Europe/Berlin").wants(t, 303, "/email-link/account?timezone")
	b.get("/email-link/account?timezone").says(t, "Your time zone is saved.", "21 November 2026, 15:03 CET", "Time zone changed",
		`<option value="Europe/Berlin" selected>Berlin</option>`).lacks(t, "<time ", "14:03 UTC")
	b.get("/email-link/").says(t, "21 November 2026, 15:03 CET", "21 December 2026, 15:03 CET").lacks(t, "<time ")
	if own := b.own(); own.Timezone != "Europe/Berlin" || own.Sessions[0].SignedIn.Location() != time.UTC {
		t.Errorf("the account is %+v", own)
	}
	g.browser().get("/email-link/account").wants(t, 303, signInForAccount)

	g.clock.Advance(time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC).Sub(g.state.Clock.Now()))
	b.signsIn(known)
	b.get("/email-link/").says(t, "28 March 2027, 03:00 CEST", "27 April 2027, 03:00 CEST")
	other := g.browser()
	other.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/email-link/confirm")
	page := other.get("/email-link/confirm").wants(t, 200, "").says(t, "28 March 2027, 01:00 UTC")
	other.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/")
	if mails := g.deliver(); len(mails) != 1 || !strings.Contains(strings.Join(strings.Fields(mails[0].Text), " "), "28 March 2027, 03:00 CEST") ||
		!strings.Contains(mails[0].HTML, "03:00 CEST") {
		t.Errorf("%+v", mails)
	}

	for _, bad := range []string{"Local", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\n", "\x01", "europe/berlin", strings.Repeat("E", 10<<10)} {
		b.post("/email-link/account/timezone", "timezone", bad).wants(t, 400, "").
			says(t, "There is no time zone of this name", `<option value="Europe/Berlin" selected>Berlin</option>`, `aria-invalid="true"`)
		body, err := json.Marshal(map[string]string{"timezone": bad})
		if err != nil {
			t.Fatal(err)
		}
		b.json("POST", "/email-link/account/timezone", string(body)).wants(t, 400, "").says(t, "invalid_timezone", `"field":"timezone"`)
	}
	b.json("POST", "/email-link/account/timezone", `{"timezone":"Europe/Kiev"}`).wants(t, 200, "").says(t, `"status":"saved"`)
	b.get("/email-link/account").says(t, "28 March 2027, 04:00 EEST", "<option selected>Europe/Kiev</option>")
	b.post("/email-link/account/timezone", "timezone", "").wants(t, 303, "/email-link/account?timezone")
	b.get("/email-link/account").says(t, "28 March 2027, 01:00 UTC", "<time ")
	g.browser().json("POST", "/email-link/account/timezone", `{"timezone":"UTC"}`).wants(t, 401, "")
}

// TestTimezone_ThatNobodyKnowsAnyMore falls back to the zone of everybody, on pages and in mails: the database of zones changes with the machine.
func TestTimezone_ThatNobodyKnowsAnyMore(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a := g.account(known)
	if err := g.state.Store.Update(context.Background(), func(tx storage.Tx) error {
		r, _, err := tx.Accounts().GetForUpdate(a.ID)
		if err != nil {
			return err
		}
		r.Private = g.state.Ring.Seal("account", []byte(a.ID), []byte(`{"email":"`+known+`","timezone":"Europe/Atlantis"}`))
		_, err = tx.Accounts().Replace(r)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b := g.browser()
	mail := b.asks(known)
	if !strings.Contains(mail.Text, "14:18 UTC") {
		t.Errorf("the mail:\n%s", mail.Text)
	}
	b.get(g.find(linkPattern, mail.Text)).wants(t, 303, "/")
	b.get("/email-link/account").wants(t, 200, "").says(t, "14:03 UTC", "<option selected>Europe/Atlantis</option>")
	b.post("/email-link/account/timezone", "timezone", "Europe/Atlantis").wants(t, 400, "")
}
