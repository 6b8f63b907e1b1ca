package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// formatTime returns a time as commands print it.
func formatTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// printJSONLines writes one JSON object a line.
func printJSONLines[T any](out io.Writer, list []T) error {
	enc := json.NewEncoder(out)
	for _, one := range list {
		if err := enc.Encode(one); err != nil {
			return err
		}
	}
	return nil
}

// table writes rows below a header, the columns apart by tabs.
func table(out io.Writer, header string, rows []string) error {
	o, ok := out.(*output)
	if !ok {
		return writeTable(out, header, rows)
	}
	var b strings.Builder
	if err := writeTable(&b, header, rows); err != nil {
		return err
	}
	_, err := o.WriteString(o.decorate(b.String(), len(rows)))
	return err
}

func writeTable(out io.Writer, header string, rows []string) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, header)
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	return w.Flush()
}

func row(cells ...string) string {
	for i, cell := range cells {
		if cell == "" {
			cells[i] = "-"
		}
	}
	return strings.Join(cells, "\t")
}

func (r *root) sessions() *cobra.Command {
	return group("sessions", "Lists and ends sessions", r.sessionsList(), r.sessionsEnd())
}

func (r *root) sessionsList() *cobra.Command {
	var all bool
	var site string
	cmd := r.command("list <email or id> | --all [--site <origin>]", "Lists the sessions of an account, or all",
		"Lists the live sessions of an account, or with --all everybody's, one per line; with --json one object per line.\n\n"+
			"Examples:\n  caddy email-link sessions list you@example.com\n  caddy email-link sessions list --all --site https://app.example.com", 0, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			if all == (len(args) == 1) {
				return errors.New("name one account by its address or id, or say --all")
			}
			if site != "" && !all {
				return errors.New("--site narrows --all: leave it out, or list all")
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				if all {
					return r.printAllSessions(ctx, b, site, out)
				}
				list, err := b.Sessions(ctx, args[0])
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				if len(list) == 0 {
					_, err := fmt.Fprintf(out, "%s has no session\n", printable(args[0]))
					return err
				}
				var rows []string
				for _, s := range list {
					rows = append(rows, sessionRow(s))
				}
				return table(out, "ID\t"+sessionColumns, rows)
			})
		})
	cmd.Flags().BoolVar(&all, "all", false, "The sessions of all accounts")
	cmd.Flags().StringVar(&site, "site", "", "With --all, only the sessions at this origin")
	return cmd
}

const sessionColumns = "SITE\tDEVICE\tNETWORK\tBY\tSIGNED IN\tSEEN\tENDS"

func sessionRow(s operator.Session, more ...string) string {
	cells := append([]string{s.ID}, more...)
	return row(append(cells, s.Site, s.Device, s.Network, strings.Join(s.Methods, ","), formatTime(s.SignedIn), formatTime(s.Seen), formatTime(s.Ends))...)
}

// printAllSessions lists the sessions of all accounts.
func (r *root) printAllSessions(ctx context.Context, b operator.Operations, site string, out io.Writer) error {
	if r.json {
		enc := json.NewEncoder(out)
		return b.AllSessions(ctx, site, func(s operator.Session) error { return enc.Encode(s) })
	}
	var rows []string
	err := b.AllSessions(ctx, site, func(s operator.Session) error {
		rows = append(rows, sessionRow(s, printable(cmp.Or(s.Email, s.Account))))
		return nil
	})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		_, err := io.WriteString(out, "no session is live\n")
		return err
	}
	return table(out, "ID\tACCOUNT\t"+sessionColumns, rows)
}

func (r *root) sessionsEnd() *cobra.Command {
	return r.command("end <email, id or session id>", "Ends the sessions of an account, or one session",
		"Ends every session, link and flow of an account, including open WebSockets and event streams. With the id of a session, which\n"+
			"'sessions list' shows, it ends that one; where a portal signs in for sites, it ends all that the browser has there and at the portal.\n\nExample: caddy email-link sessions end you@example.com", 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				a, err := b.EndSessions(ctx, args[0])
				if err != nil {
					return err
				}
				text := fmt.Sprintf("%s: %s\n", printable(a.Email), sessionsEnded(a.SessionsEnded))
				if a.Session != "" {
					text = fmt.Sprintf("ended the session %s of %s\n", a.Session, printable(cmp.Or(a.Email, a.ID)))
				}
				return r.print(out, a, text)
			})
		})
}

const subjectHelp = `Give an IP address, an email address, or both: what is counted for a mailbox together with a network (mail_address) appears only with
both. The word shared stands for the counters that everybody shares (mail_unknown, and clients whose address is unknown).`

func (r *root) limits() *cobra.Command {
	show := r.command("show <ip or email>… | shared", "Shows what is counted for a client or a mailbox",
		"Shows what is counted against the limits.\n\n"+subjectHelp+"\n\nExample: caddy email-link limits show you@example.com 203.0.113.7", 1, 2,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.Limits(ctx, args)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				var rows []string
				for _, l := range list {
					rows = append(rows, limitRow(l))
				}
				return table(out, "LIMIT\tRATE\tCOUNT\tENDS\t", rows)
			})
		})
	reset := r.command("reset <ip or email>… | shared", "Resets what is counted for a client or a mailbox",
		"Resets what is counted against the limits, for a person who is locked out.\n\n"+subjectHelp+
			"\n\nExample: caddy email-link limits reset you@example.com", 1, 2,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				done, err := b.ResetLimits(ctx, args)
				if err != nil {
					return err
				}
				text := fmt.Sprintf("forgot %d counters of %s\n", done.Reset, strings.Join(args, " and "))
				if done.Reset == 0 {
					text = "nothing was counted for " + strings.Join(args, " and ") + "\n"
				}
				return r.print(out, done, text)
			})
		})
	return group("limits", "Shows and resets what is counted against the limits", show, reset)
}

func limitRow(l operator.Limit) string {
	var notes []string
	if l.Count >= l.Limit {
		notes = append(notes, "spent")
	}
	if l.Wide {
		notes = append(notes, "the wider network")
	}
	if l.Known {
		notes = append(notes, "known browsers")
	}
	ends := ""
	if l.Count > 0 {
		ends = formatTime(l.Ends)
	}
	return row(l.Name, l.Rate, fmt.Sprintf("%d of %d", l.Count, l.Limit), ends) + "\t" + strings.Join(notes, ", ")
}

func (r *root) keys() *cobra.Command {
	var sign bool
	audience := r.command("audience <name> [--sign]", "Prints the key of an audience",
		`Prints the key with which an app decrypts the assertion: 32 bytes as base64url. The audience is the site's host, with its port unless that
is the default one, or the name that the configuration gives. The key only decrypts assertions; it cannot create them. With --sign it is
the key with which an app that has its own users signs what it sends to the gate. The key is the 32 bytes that the text encodes, not the text.

Example: caddy email-link keys audience app.example.com`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				k, err := b.AudienceKey(ctx, args[0], sign)
				if err != nil {
					return err
				}
				if k.Warning != "" {
					fmt.Fprintln(os.Stderr, "caddy email-link: warning: "+printable(k.Warning))
				}
				return r.print(out, k, k.Key+"\n")
			})
		})
	audience.Flags().BoolVar(&sign, "sign", false, "The key with which an app signs what it sends to the gate")
	return group("keys", "Shows the keys that apps need, and rotates the signing key", audience, r.keysShow(), r.keysRotate())
}

func (r *root) keysShow() *cobra.Command {
	return r.command("show", "Lists the keys that sign assertions",
		"Lists the keys that sign assertions, as the site's /jwks.json does. Private keys are never shown.\n\nExample: caddy email-link keys show", 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.SigningKeys(ctx)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				for _, k := range list {
					state := "listed"
					if k.InUse {
						state = "in use"
					}
					fmt.Fprintln(out, k.ID+"  "+state)
				}
				return nil
			})
		})
}

func (r *root) keysRotate() *cobra.Command {
	return r.command("rotate", "Creates a new key to sign assertions",
		`Creates a new key to sign assertions. It is published at once and used 15 minutes later, when verifiers know it; the old one stays
published for as long after its last use. Everybody stays signed in.

Example: caddy email-link keys rotate`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				done, err := b.RotateKey(ctx)
				if err != nil {
					return err
				}
				return r.print(out, done, fmt.Sprintf("made the key %s, which signs from %s on\n", done.ID, formatTime(done.UsedFrom)))
			})
		})
}
