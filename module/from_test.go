package module

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestSenderOfAnotherScriptIsWrittenInASCII(t *testing.T) {
	ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: caddy.ModuleMap{"email_link": []byte(`{
		"base_url": ["https://app.example.com"], "mailer": {"transport": "none"},
		"from": "\"Bücher\" <no-reply@bücher.example>", "reply_to": "hilfe@bücher.example"
	}`)}})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := ctx.App("email_link")
	if err != nil {
		t.Fatal(err)
	}
	app := loaded.(*App)
	if want := "=?utf-8?q?B=C3=BCcher?= <no-reply@xn--bcher-kva.example>"; app.policy.from != want {
		t.Errorf("from %q, want %q", app.policy.from, want)
	}
	if want := "<hilfe@xn--bcher-kva.example>"; app.policy.replyTo != want {
		t.Errorf("reply_to %q, want %q", app.policy.replyTo, want)
	}
}
