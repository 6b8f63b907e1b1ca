package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) accountsHistory() *cobra.Command {
	var n int
	cmd := r.command("history <email or id> [-n <number>]", "Tells what happened to an account, in order",
		`Tells what the audit log knows of an account, the oldest first: mails requested and sent, links opened, sign-ins, changes, and what
operators did; with --json one object per line, as 'events' has them. The id of a deleted account works too.

Example: caddy email-link accounts history you@example.com`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.History(ctx, args[0], n)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				if len(list) == 0 {
					_, err := fmt.Fprintf(out, "the audit log knows nothing of %s\n", printable(args[0]))
					return err
				}
				var rows []string
				for _, e := range list {
					rows = append(rows, row(formatTime(e.Time), historyText(e), e.Client, e.Site))
				}
				return table(out, "TIME\tWHAT\tNETWORK\tSITE", rows)
			})
		})
	cmd.Flags().IntVarP(&n, "number", "n", 200, fmt.Sprintf("How many of the newest, %d at most", operator.MaxListed))
	return cmd
}

// historyText says in words what a line of the audit log is about.
func historyText(e operator.Event) string {
	words := map[string]string{
		"requested": "requested a mail", "resent": "requested the mail again", "mailed": "mail " + e.Outcome, "denied": "was refused",
		"confirmed": "opened the link or typed the code", "signed_in": "signed in", "cancelled": `pressed "this wasn't me"`,
		"replayed": "a used link was tried again", "done": "the app has finished", "signed_out": "signed out " + e.Outcome,
		"changed": "changed: " + e.Purpose + " " + e.Outcome, "exported": "exported: " + e.Purpose,
	}
	text := cmp.Or(strings.TrimSpace(words[e.Event]), e.Event)
	if e.Event == "requested" && e.Command != "" {
		text = "a link was printed" // by an operator: no mail was requested
	}
	if e.Purpose != "" && e.Event != "changed" && e.Event != "exported" {
		text += " (" + e.Purpose + ")"
	}
	if by := operatorCell(e); by != "" {
		text += ", by " + by
	}
	return text
}
