package command

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
	"github.com/caddy-email-link/caddy-email-link/internal/mailpage"
)

// keepOutOfGit makes the folders of a trial with a .gitignore that leaves out everything: they hold people's addresses and links that
// sign in, and a trial is often started in a project's own folder.
func (in serveInput) keepOutOfGit() error {
	var dirs []string
	if in.smtp == "" {
		dirs = append(dirs, trialMails)
	}
	if in.data == "" {
		dirs = append(dirs, trialData)
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, ".gitignore"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = f.WriteString("*\n")
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// mailPorts is how many ports above that of a trial are tried for the page with its mails.
const mailPorts = 10

// serveMails serves the page with a trial's mails on this machine alone until the context ends, and returns its address. Where no port above
// that of the trial is free there is no page, and the address is empty.
func (in serveInput) serveMails(ctx context.Context, origin string) (address string, err error) {
	if in.smtp != "" {
		return "", nil
	}
	u, err := url.Parse(origin)
	if err != nil {
		return "", err
	}
	first, _ := strconv.Atoi(u.Port()) // a trial on port 80 has its mails above that of the default
	if first == 0 {
		first = 8080
	}
	for port := first + 1; port <= first+mailPorts; port++ {
		text := strconv.Itoa(port)
		if in.to == text || strings.HasSuffix(in.to, ":"+text) || strings.HasSuffix(cmp.Or(in.admin, caddy.DefaultAdminListen), ":"+text) {
			continue // the app and Caddy's admin endpoint start later
		}
		if taken, err := freeport.Taken(ctx, text); err != nil || taken {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", text))
		if err != nil {
			continue
		}
		server := &http.Server{
			Handler:           mailpage.Page{Dir: trialMails, Hosts: []string{"localhost:" + text, "127.0.0.1:" + text}},
			ReadHeaderTimeout: 10 * time.Second,
		}
		context.AfterFunc(ctx, func() { _ = server.Close() })
		go func() { _ = server.Serve(l) }() // ends when closed
		return "http://localhost:" + text, nil
	}
	return "", nil
}
