package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

// serveInput is what `serve` builds a Caddyfile from.
type serveInput struct {
	from, to, mailFrom, smtp, smtpUser, contact string
	signUp, admin, data                         string
}

const (
	// trialOrigin is where a gate without --from listens.
	trialOrigin = "http://localhost:8080"
	// trialMails and trialData are the folders that a trial makes where it is started.
	trialMails = "./mails"
	trialData  = "./email_link_data"
)

func (r *root) serve() *cobra.Command {
	var in serveInput
	var show bool
	var cmd *cobra.Command
	cmd = r.command("serve --to <host:port> [--from <host> --mail-from <address> --smtp <host:port>]", "Runs a gate without a Caddyfile",
		`Runs Caddy with a gate in front of one backend, without a Caddyfile. --print shows the Caddyfile that it runs, as a start for your own.

Without --from it is a trial at `+trialOrigin+`, on this machine only: anyone can sign up, and mails are shown on a page and kept as files
in ./mails. For another port, use --from http://localhost:9080.

The password for --smtp-user is read from the environment variable SMTP_PASSWORD, so that no process list shows it.

Examples:
  caddy email-link serve --to localhost:3000
  caddy email-link serve --from app.example.com --to localhost:3000 \
      --mail-from no-reply@example.com --smtp mail.example.com:587 --smtp-user mailer`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			text, err := in.caddyfile()
			if err != nil {
				return err
			}
			if show {
				_, err := io.WriteString(out, text)
				return err
			}
			return in.run(ctx, text, cmd.OutOrStdout())
		})
	flags := cmd.Flags()
	flags.StringVar(&in.from, "from", "", "The public host or origin, such as app.example.com")
	flags.StringVar(&in.to, "to", "", "The backend, such as localhost:3000")
	flags.StringVar(&in.mailFrom, "mail-from", "", "The sender of mails, such as no-reply@example.com")
	flags.StringVar(&in.smtp, "smtp", "", "The mail server, such as mail.example.com:587 (STARTTLS) or :465 (implicit TLS)")
	flags.StringVar(&in.smtpUser, "smtp-user", "", "The user at the mail server; its password is $SMTP_PASSWORD")
	flags.StringVar(&in.contact, "contact", "", "Whom people can ask when a mail does not arrive")
	flags.StringVar(&in.signUp, "sign-up", "", "Who may sign up: closed or open (default: closed; open in a trial)")
	flags.StringVar(&in.admin, "admin", "", "Caddy's admin address (default: localhost:2019)")
	flags.StringVar(&in.data, "storage", "", "The database file, or a postgres:// URL, with the key in EMAIL_LINK_SECRET (default: a file in Caddy's data directory)")
	flags.BoolVar(&show, "print", false, "Print the Caddyfile and stop")
	return cmd
}

// caddyfile returns the Caddyfile that the flags stand for.
func (in serveInput) caddyfile() (string, error) {
	if in.to == "" {
		return "", errors.New("--to is missing: name the backend, such as --to localhost:3000")
	}
	var err error
	if in.to, err = backendOf(in.to); err != nil {
		return "", err
	}
	origin, trial, err := in.origin()
	if err != nil {
		return "", err
	}
	if err := in.defaults(trial); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("{\n")
	if in.admin != "" {
		fmt.Fprintf(&b, "\tadmin %s\n", quoteWord(in.admin))
	}
	fmt.Fprintf(&b, "\temail_link {\n\t\tbase_url %s\n\t\tfrom %s\n", quoteWord(origin), quoteWord(in.mailFrom))
	switch {
	case in.smtp == "":
		b.WriteString("\t\tmailer file " + trialMails + "\n")
	case in.smtpUser != "":
		fmt.Fprintf(&b, "\t\tmailer smtp %s %s {env.SMTP_PASSWORD}\n", quoteWord(in.smtp), quoteWord(in.smtpUser))
	default:
		fmt.Fprintf(&b, "\t\tmailer smtp %s\n", quoteWord(in.smtp))
	}
	if in.contact != "" {
		fmt.Fprintf(&b, "\t\tcontact %s\n", quoteWord(in.contact))
	}
	switch {
	case in.data == "":
	case strings.HasPrefix(in.data, "postgres://"), strings.HasPrefix(in.data, "postgresql://"):
		fmt.Fprintf(&b, "\t\tstorage postgres %s\n\t\tsecret {env.EMAIL_LINK_SECRET}\n", quoteWord(in.data))
	default:
		fmt.Fprintf(&b, "\t\tstorage bbolt %s\n", quoteWord(in.data))
	}
	fmt.Fprintf(&b, "\t\tsign_up %s\n\t}\n}\n\n%s {\n", quoteWord(in.signUp), quoteWord(origin))
	if trial {
		b.WriteString("\tbind 127.0.0.1\n")
	}
	fmt.Fprintf(&b, "\temail_link\n\treverse_proxy %s\n", quoteWord(in.to))
	if trial {
		fmt.Fprintf(&b, noApp, strings.NewReplacer("{", "", "}", "").Replace(html.EscapeString(in.to)))
	}
	b.WriteString("}\n")
	return b.String(), nil
}

// noApp is the part of a trial's site that a person sees who has signed in while no backend answers.
const noApp = `	handle_errors 502 {
		header Content-Type "text/html; charset=utf-8"
		header Content-Security-Policy "default-src 'none'; style-src 'unsafe-inline'"
		header Cache-Control no-store
		respond <<HTML
			<!doctype html>
			<html lang="en">
			<meta charset="utf-8">
			<meta name="viewport" content="width=device-width">
			<meta http-equiv="refresh" content="3">
			<title>Nothing answers yet</title>
			<style>:root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif } body { max-width: 34rem; margin: 15vh auto; padding: 0 1rem }</style>
			<h1>You are signed in</h1>
			<p>Nothing answers at <b>%s</b> yet. Start your app there: this page looks again every three seconds.</p>
			HTML 502
	}
`

// backendOf completes a backend that is a port alone. It returns an error for what reverse_proxy would read as another than is meant: to it
// a name without a port is one at port 80, whatever stands in it.
func backendOf(to string) (string, error) {
	if isPort(to) {
		return "localhost:" + to, nil
	}
	scheme, address, isURL := strings.Cut(strings.TrimSuffix(to, "/"), "://")
	switch {
	case strings.HasPrefix(to, "unix/"):
		return to, nil
	case !isURL:
		address = to
	default:
		to = scheme + "://" + address
	}
	host, port, err := net.SplitHostPort(address)
	if isURL && err != nil && !strings.Contains(address, ":") { // the scheme names the port
		host, port, err = address, "80", nil
	}
	if err != nil || !isPort(port) || strings.ContainsAny(host, " \t/@?#{}") {
		return "", fmt.Errorf("--to %s is no host and port: name the backend, such as --to localhost:3000", to)
	}
	return to, nil
}

func isPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

// origin is where people find the gate. It is a trial on this machine alone where that was not said, or is plain http and nothing
// is said of mail.
func (in serveInput) origin() (text string, trial bool, err error) {
	if in.from == "" {
		return trialOrigin, true, nil
	}
	text, err = originOf(in.from)
	return text, strings.HasPrefix(text, "http://") && in.smtp == "", err
}

func (in *serveInput) defaults(trial bool) error {
	switch {
	case trial:
		if in.mailFrom == "" {
			in.mailFrom = "no-reply@localhost.localdomain"
		}
		if in.data == "" {
			in.data = trialData + "/email_link.db"
		}
		if in.signUp == "" {
			in.signUp = "open"
		}
	case in.mailFrom == "":
		return errors.New("--mail-from is missing: name the sender of mails, such as --mail-from no-reply@example.com")
	case in.smtp == "":
		return errors.New("--smtp is missing: name your provider's mail server, such as --smtp mail.example.com:587")
	}
	if in.signUp == "" {
		in.signUp = "closed"
	}
	if in.smtp == "" && in.smtpUser != "" {
		return errors.New("--smtp is missing: --smtp-user is the user at a mail server")
	}
	if in.smtp != "" {
		if _, _, err := net.SplitHostPort(in.smtp); err != nil {
			return fmt.Errorf("--smtp %s: name host and port, such as mail.example.com:587", in.smtp)
		}
	}
	return nil
}

// originOf makes an origin of a host or an origin.
func originOf(from string) (string, error) {
	if !strings.Contains(from, "://") {
		from = "https://" + from
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("--from %s: name a host or an origin, such as app.example.com", from)
	}
	return u.Scheme + "://" + u.Host, nil
}

// quoteWord quotes s for a Caddyfile where that is needed.
func quoteWord(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\r\n\"`{}#\\") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// run serves a Caddyfile until the process ends, and writes to out what to open.
func (in serveInput) run(ctx context.Context, text string, out io.Writer) error {
	if in.smtpUser != "" && os.Getenv("SMTP_PASSWORD") == "" {
		return errors.New("SMTP_PASSWORD is empty: put the password of --smtp-user into that environment variable")
	}
	origin, trial, err := in.origin()
	if err != nil {
		return err
	}
	if trial {
		if err := checkPort(ctx, origin); err != nil {
			return err
		}
	}
	if err := in.checkAdmin(ctx); err != nil {
		return err
	}
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		return errors.New("this Caddy has no Caddyfile adapter")
	}
	configuration, warnings, err := adapter.Adapt([]byte(text), map[string]any{"filename": "serve"})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		caddy.Log().Warn(w.String())
	}
	mails := ""
	if trial {
		if err := in.keepOutOfGit(); err != nil {
			return err
		}
		if mails, err = in.serveMails(ctx, origin); err != nil {
			return err
		}
	}
	caddy.TrapSignals()
	if err := caddy.Load(configuration, false); err != nil {
		return err
	}
	if _, err := io.WriteString(out, in.notice(origin, trial, mails)); err != nil {
		return err
	}
	<-ctx.Done() // a signal ends the process through Caddy's own handler
	return nil
}

// checkPort returns an error if the port of a trial is taken.
func checkPort(ctx context.Context, origin string) error {
	u, err := url.Parse(origin)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	if taken, err := freeport.Taken(ctx, port); err != nil || !taken {
		return err
	}
	return fmt.Errorf("port %s is taken: stop what listens there, or take another with --from http://localhost:9080", port)
}

// checkAdmin returns an error if Caddy's admin address is taken on this machine. A second Caddy of the same user would share it
// (SO_REUSEPORT), and each of them would get some of the commands.
func (in serveInput) checkAdmin(ctx context.Context) error {
	address := cmp.Or(in.admin, caddy.DefaultAdminListen)
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port) || host != "" && host != "localhost" && host != "127.0.0.1" {
		return nil //nolint:nilerr // a socket, "off" or another interface: Caddy itself judges it
	}
	if taken, err := freeport.Taken(ctx, port); err != nil || !taken {
		return err
	}
	free := "localhost:12019"
	if port == "12019" {
		free = "localhost:22019"
	}
	return fmt.Errorf("the admin address %s is taken, by another Caddy perhaps: stop what listens there, or take another with --admin %s", address, free)
}

// notice says what to open next. mails is the address of the page with the mails of a trial, empty if there is none.
func (in serveInput) notice(origin string, trial bool, mails string) string {
	_, audience, _ := strings.Cut(origin, "://")
	admin := ""
	if in.admin != "" {
		admin = " --address " + in.admin
	}
	text := "\n  Open      " + origin
	if trial {
		text += "/email-link/sign-up" // there is no account yet
	}
	text += "\n"
	switch {
	case !trial:
		text += "  Account   caddy email-link accounts add you@example.com --role admin" + admin + "\n"
	case in.smtp != "":
		text += "            and type your address; mails leave through " + in.smtp + "\n"
	case mails != "":
		text += "            and type any address; no mail leaves this machine\n" +
			"  Mails     " + mails + "\n            and as files in " + trialMails + "\n"
	default:
		text += "            and type any address; no mail leaves this machine\n" +
			"  Mails     files in " + trialMails + ": open the link in the newest .txt\n"
	}
	return text + "  Your app  gets one header, Email-Link-Assertion; the key to it:\n" +
		"            caddy email-link keys audience " + audience + admin + "\n" +
		"  Stop      Ctrl-C; --print shows the Caddyfile that this runs\n\n"
}
