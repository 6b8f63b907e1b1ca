//go:build postgres

package flow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// TestREST1_NothingUsableInADumpOrTheServersLog takes people and programs through every main path over a server that writes each statement
// with its parameters to its log: neither that log nor a dump holds anything that opens a door or names somebody, however it is spelled.
func TestREST1_NothingUsableInADumpOrTheServersLog(t *testing.T) {
	server := pgtest.StartFor(t, "log_statement=all", "log_parameter_max_length=-1", "log_parameter_max_length_on_error=-1")
	enginetest.Use(t, server.DSN()+" password=pw-of-the-database")
	secrets := map[string]string{"password of the database": "pw-of-the-database", "master key": enginetest.Master}
	bothModes(t, func(t *testing.T) { mainPaths(newSites(t), secrets) })
	dump := server.Tool(t, "pg_dump", "postgres", nil)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	places := map[string][]byte{"the dump": dump, "the server's log": []byte(server.Log())}
	for place, text := range places {
		for _, shown := range []string{".sessions (", ".machine_tokens (", "signed_in"} {
			if !bytes.Contains(text, []byte(shown)) {
				t.Errorf("%s lacks %q: nothing of the gate is looked through", place, shown)
			}
		}
		for name, secret := range secrets {
			for form, spelled := range spellings(t, name, secret) {
				if within(text, spelled) {
					t.Errorf("%s holds the %s (%s)", place, name, form)
				}
			}
		}
	}
}

// spellings are the forms in which a secret, or the bytes that it stands for, might be written.
func spellings(t *testing.T, name, secret string) map[string][]byte {
	t.Helper()
	if secret == "" {
		t.Fatalf("no %s to look for", name)
	}
	all := encodings(t, secret)
	for form, raw := range map[string][]byte{"": []byte(secret), " decoded": decoded(secret)} {
		for _, part := range [][]byte{raw, raw[max(0, len(raw)-32):]} {
			if len(part) < 8 {
				continue
			}
			all["base64url"+form+string(rune('0'+len(part)%10))] = []byte(base64.RawURLEncoding.EncodeToString(part))
			all["hex"+form+string(rune('0'+len(part)%10))] = []byte(hex.EncodeToString(part))
		}
	}
	return all
}

// decoded returns the bytes that a text in base64 or base64url stands for, nil where it is none.
func decoded(text string) []byte {
	for _, e := range []*base64.Encoding{base64.RawURLEncoding, base64.StdEncoding} {
		if raw, err := e.DecodeString(text); err == nil {
			return raw
		}
	}
	return nil
}

// within reports whether a text holds a word. One of digits alone is no part of a longer number or of bytes in hex.
func within(text, word []byte) bool {
	if !bytes.Contains(text, word) {
		return false
	}
	return !regexp.MustCompile(`^\d+$`).Match(word) || regexp.MustCompile(`(^|[^0-9a-f.])`+string(word)+`($|[^0-9a-f])`).Match(text)
}

// mainPaths signs up, signs in by link, code and password, resets and changes the password, pays with work, enters another site from the portal,
// hands over to an app, makes and uses a machine token, and signs out. It notes what was handed out and what was typed.
func mainPaths(s *sites, secrets map[string]string) {
	t, ctx := s.t, context.Background()
	mode := "stored "
	if s.site.Stateless {
		mode = "stateless "
	}
	note := func(name, secret string) { secrets[mode+name] = secret }
	s.passwords(password.Options{})
	b := s.browser()
	note("address", "grace.h@example.com")

	mail := b.mustAsk(Activation, "grace.h@example.com")
	note("link of a sign-up", mail.link)
	note("flow cookie", b.flow)
	done := must[Done](t)(b.set(mail.link, oldWords))
	note("session", done.SessionCookie)
	note("known browser", done.KnownCookie)
	note("password", oldWords)

	s.fake.Advance(time.Hour)
	mail = b.mustAsk(SignIn, "grace.h@example.com")
	note("unused link", mail.link)
	note("cancel link", mail.cancel)
	note("code", mail.code)
	note("session by code", must[Done](t)(b.type_(mail.code)).SessionCookie)
	mail = b.mustAsk(Reset, "grace.h@example.com")
	note("link of a reset", mail.link)
	must[Done](t)(b.set(mail.link, newWords))
	note("new password", newWords)
	if _, err := s.browser().signIn("grace.h@example.com", "a wrong guess of words"); err == nil {
		t.Error("a wrong password was right")
	}
	note("wrong password", "a wrong guess of words")
	note("session by password", must[Done](t)(b.signIn("grace.h@example.com", newWords)).SessionCookie)
	account := b.requester().Session.Session.Account
	if err := s.Sessions.End(ctx, b.requester().Session); err != nil {
		t.Fatal(err)
	}

	var err error
	for i := 0; err == nil; i++ {
		_, err = s.stranger(i).ask(SignIn, "flooded@example.com")
	}
	note("flooded address", "flooded@example.com")
	payer := s.stranger(1000)
	solution := payer.solve(limitOf(t, err))
	note("solution", solution)
	must[RequestResult](t)(payer.pay(SignIn, "flooded@example.com", solution))

	request := s.request(photos, "/album?x=1")
	entry := s.entry(request)
	note("request of a portal", request)
	note("entry", entry)
	note("binder", s.binders[photos])
	note("session at another site", must[Entered](t)(s.enter(photos, entry)).SessionCookie)
	app := s.browser()
	app.handedOver(app.press(app.mustStart(s.starts(SignIn, "grace.h@example.com")).link))
	note("hand-over", app.handover)

	tokens := machinetoken.NewManager(s.Store, s.Ring, s.Clock, s.Accounts)
	tokens.SetScopes([]string{"calendar"})
	if err := tokens.Load(ctx); err != nil {
		t.Fatal(err)
	}
	text, _, err := tokens.Create(ctx, machinetoken.Input{Account: account, Site: s.site.Origin, Scopes: []string{"calendar"}, TTL: 24 * time.Hour, Name: "phone"})
	if err != nil {
		t.Fatal(err)
	}
	note("machine token", text)
	if l, err := tokens.Find(ctx, text, s.site.Origin); err != nil || l == nil {
		t.Fatalf("the machine token: %v, %v", l, err)
	}
	s.post()
}
