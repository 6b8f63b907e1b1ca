// Command quickstart runs the whole on one machine: Caddy with email_link and the Caddyfile beside it, a demo backend that
// verifies the assertion, and a page with the mails.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
	"github.com/caddy-email-link/caddy-email-link/internal/mailpage"
)

//go:embed Caddyfile
var caddyfile string

const (
	mailDir = "mails"
	dataDir = "build/quickstart"
)

func main() {
	port := flag.Int("port", 8080, "port of the gate; the backend and the mails take the next two")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *port, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts everything, says where it is, and ends with ctx.
func run(ctx context.Context, port int, out io.Writer) error {
	gate, backend, page := port, port+1, port+2
	for _, p := range []int{gate, backend, page} {
		if err := free(ctx, p); err != nil {
			return err
		}
	}
	if err := prepare(); err != nil {
		return err
	}
	origin := "http://localhost:" + strconv.Itoa(gate)
	app, err := newBackend(origin, os.Getenv("EMAIL_LINK_KEY"))
	if err != nil {
		return err
	}
	stopApp, err := serve(ctx, backend, app)
	if err != nil {
		return err
	}
	defer stopApp()
	stopMails, err := serve(ctx, page, mailpage.Page{Dir: mailDir, Hosts: hosts(page)})
	if err != nil {
		return err
	}
	defer stopMails()

	text := strings.NewReplacer("localhost:8080", "localhost:"+strconv.Itoa(gate), "127.0.0.1:8081", "127.0.0.1:"+strconv.Itoa(backend)).Replace(caddyfile)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "examples/quickstart/Caddyfile"})
	if err != nil {
		return err
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	defer func() { _ = caddy.Stop() }() // the process ends either way
	if err := healthy(ctx, origin); err != nil {
		return err
	}
	dir, err := filepath.Abs(mailDir)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, `
  Open      %s/email-link/sign-up
            and type any address; no mail leaves this machine
  Mails     http://localhost:%d
            and as files in %s
  You see   at the backend, after the link: who the gate says you are, and that a forged, an
            expired and a foreign assertion are refused
  Stop      Ctrl-C; from zero again: rm -rf %s %s

`, origin, page, dir, mailDir, dataDir); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// prepare makes the folder and, for this run, the key that gate and backend share. In earnest the key comes from
// `caddy email-link keys audience <name>`.
func prepare() error {
	data, err := filepath.Abs(dataDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return errors.Join(
		os.Setenv("EMAIL_LINK_KEY", base64.RawURLEncoding.EncodeToString(key)),
		os.Setenv("XDG_DATA_HOME", filepath.Join(data, "data")), // the gate's key file
		os.Setenv("XDG_CONFIG_HOME", filepath.Join(data, "config")),
	)
}

// free returns an error if a port is taken.
func free(ctx context.Context, port int) error {
	if taken, err := freeport.Taken(ctx, strconv.Itoa(port)); err != nil || !taken {
		return err
	}
	return fmt.Errorf("port %d is taken by %s: stop it, or take other ports: go run ./examples/quickstart -port 9080", port, owner(port))
}

// serve runs a handler on a loopback port until stop is called.
func serve(ctx context.Context, port int, h http.Handler) (stop func(), err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends when closed
	}()
	return func() {
		_ = server.Close() // nothing of worth is under way
		<-done
	}, nil
}

// healthy waits until the gate answers.
func healthy(ctx context.Context, origin string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/email-link/health", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close() // only the status matters
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the gate does not answer; its log is above")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// hosts are the names under which a page answers, so that no other site can read it by pointing its own name here.
func hosts(port int) []string {
	p := strconv.Itoa(port)
	return []string{"localhost:" + p, "127.0.0.1:" + p}
}
