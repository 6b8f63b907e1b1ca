package integration

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestMACH2_EndsAtOnce tries what ends a token, also after a reload and after the last configuration with email_link is gone.
func TestMACH2_EndsAtOnce(t *testing.T) {
	s := setup{global: "sign_up open\nscopes calendar", site: scoped}
	for name, end := range map[string]func(w *world, p *module.Parts, account, token string) error{
		"revoked": func(_ *world, p *module.Parts, _, token string) error {
			_, _, err := p.Machines.Revoke(context.Background(), token, storage.Operator{})
			return err
		},
		"disabled": func(_ *world, p *module.Parts, account, _ string) error {
			return change(p, account, func(tx storage.Tx) error { return p.Accounts.SetStatus(tx, account, storage.StatusDisabled) })
		},
		"deleted": func(_ *world, p *module.Parts, account, _ string) error {
			return change(p, account, func(tx storage.Tx) error { return p.Accounts.Delete(tx, account) })
		},
		"ended everywhere": func(_ *world, p *module.Parts, account, _ string) error {
			return p.Sessions.EndEverywhere(context.Background(), account)
		},
		"everything of everybody": func(_ *world, p *module.Parts, _, _ string) error { return p.Sessions.EndAll(context.Background()) },
		"its scope has left the list": func(w *world, _ *module.Parts, _, _ string) error {
			w.load(setup{global: "sign_up open\nscopes files", site: "require scope files session"})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s)
			c := w.client()
			text, id := w.token(c, "ada@example.com", "calendar")
			program, header := w.client(), ways(text)["bearer"]
			w.load(s) // right after a reload
			if status := program.soon("/x", header); status != http.StatusOK {
				t.Fatalf("before: %d", status)
			}
			conn, r, res := w.upgradeWith("Authorization: Bearer " + text)
			if res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("a socket: %d", res.StatusCode)
			}
			defer func() { _ = conn.Close() }()
			parts, _ := module.Running()
			list, err := parts.Machines.List(t.Context(), "")
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			if err := end(w, parts, list[0].Account, id); err != nil {
				t.Fatal(err)
			}
			want := http.StatusUnauthorized
			if strings.HasPrefix(name, "its scope") {
				want = http.StatusForbidden
			}
			if status := program.soon("/x", header); status != want {
				t.Errorf("after: %d", status)
			}
			if n, err := r.Read(make([]byte, 1)); err == nil || n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the socket: %d bytes, %v", n, err)
			}
			if want == http.StatusForbidden {
				return
			}
			w.load(s)
			if status := program.soon("/x", header); status != want {
				t.Errorf("after a reload: %d", status)
			}
			w.load(setup{sites: "$ADDR {\n respond /email-link/health ok\n}\n"})
			w.load(s)
			if status := program.soon("/x", header); status != want {
				t.Errorf("after a restart: %d", status)
			}
		})
	}
}

// soon asks again while Caddy resets the connections of the configuration before.
func (c *client) soon(path string, header http.Header) (status int) {
	c.header = header
	for range 50 {
		if status, _ = c.try(http.MethodGet, path, nil); status != 0 {
			break
		}
	}
	return status
}

func change(p *module.Parts, account string, f func(storage.Tx) error) error {
	return p.Store.Update(context.Background(), func(tx storage.Tx) error {
		return errors.Join(f(tx), tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: account}))
	})
}

// TestMACH2_EndsWithThePassword changes a password, and sets another by mail: either ends the tokens of before.
func TestMACH2_EndsWithThePassword(t *testing.T) {
	for name, end := range map[string]func(w *world, c *client){
		"a change": func(w *world, c *client) {
			status, _, body := c.post("/email-link/password", url.Values{"current": {oldWords}, "password": {newWords}})
			if status != http.StatusOK && status != http.StatusSeeOther {
				w.t.Fatalf("changing: %d\n%s", status, body)
			}
		},
		"a reset": func(w *world, _ *client) {
			asker := w.client()
			if status, _, _ := asker.post("/email-link/reset", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
				w.t.Fatalf("asking for a reset: %d", status)
			}
			_, link := w.mail()
			asker.choose(link, newWords)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{global: "sign_up open\nsign_in link code password\nscopes calendar", site: scoped})
			c := w.client()
			if status, _, _ := c.post("/email-link/sign-up", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
				t.Fatalf("sign-up: %d", status)
			}
			_, link := w.mail()
			c.choose(link, oldWords)
			text, _ := w.tokenOf("ada@example.com", "calendar")
			program, header := w.client(), ways(text)["bearer"]
			if status, _, _ := program.do(http.MethodGet, "/x", nil, header); status != http.StatusOK {
				t.Fatalf("before: %d", status)
			}
			end(w, c)
			if status, _, _ := program.do(http.MethodGet, "/x", nil, header); status != http.StatusUnauthorized {
				t.Errorf("after: %d", status)
			}
		})
	}
}

// upgradeWith asks for the echo protocol with one more line and without an Origin: no browser sends a token by itself.
func (w *world) upgradeWith(line string) (io.Closer, io.Reader, *http.Response) {
	conn, r, res := w.upgrade("", "", line)
	return conn, r, res
}
