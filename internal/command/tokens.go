package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) tokens() *cobra.Command {
	return group("tokens", "Makes, lists and revokes machine tokens", r.tokensCreate(), r.tokensList(), r.tokensRevoke())
}

func (r *root) tokensCreate() *cobra.Command {
	var in operator.MachineTokenInput
	var ttl string
	cmd := r.command("create <email or id> --scope <name>… [--ttl <duration>] [--site <origin>] [--name <text>]", "Creates a machine token",
		`Creates a token with which a program acts for an account where 'require scope' names one of the token's scopes, and prints it. It is
not shown again. The program sends it as 'Authorization: Bearer …', in the header Email-Link-Token, or as the password with any user name,
which is what calendar and file clients ask for. It ends at its time, when you revoke it, and with everything else of its account.

Example: caddy email-link tokens create you@example.com --scope calendar --ttl 90d --name "phone"`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) (err error) {
			in.Who = args[0]
			if in.TTL, err = caddy.ParseDuration(ttl); err != nil || in.TTL <= 0 {
				return fmt.Errorf("--ttl: %q must be a positive duration, such as 12h or 90d", ttl)
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				t, err := b.CreateToken(ctx, in)
				if err != nil {
					return err
				}
				return r.print(out, t, fmt.Sprintf("%s\ntoken %s works at %s until %s; it is not shown again\n", t.Token, t.ID, t.Site, formatTime(t.Ends)))
			})
		})
	cmd.Flags().StringArrayVar(&in.Scopes, "scope", nil, "What it is for, one of the option 'scopes'; may be given more than once")
	cmd.Flags().StringVar(&ttl, "ttl", "90d", "How long it works, 90d at most")
	cmd.Flags().StringVar(&in.Site, "site", "", "The site's origin, such as https://app.example.com (default: the only one)")
	cmd.Flags().StringVar(&in.Name, "name", "", "A name to recognize it by in the list")
	return cmd
}

func (r *root) tokensList() *cobra.Command {
	return r.command("list [<email or id>]", "Lists machine tokens",
		`Lists the machine tokens that have not expired, of one account or of all, one per line; with --json one object per line. The tokens
themselves are never shown. A scope in parentheses is no longer in the configuration.

Example: caddy email-link tokens list you@example.com`, 0, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			who := ""
			if len(args) == 1 {
				who = args[0]
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.Tokens(ctx, who)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				if len(list) == 0 {
					_, err := io.WriteString(out, "there are no machine tokens\n")
					return err
				}
				var rows []string
				for _, t := range list {
					scopes := ""
					for i, s := range t.Scopes {
						if slices.Contains(t.Lost, s) {
							s = "(" + s + ")"
						}
						if i > 0 {
							scopes += ","
						}
						scopes += s
					}
					rows = append(rows, row(t.ID, t.Email, t.Name, t.Site, scopes, formatTime(t.Created), formatTime(t.Ends), t.State))
				}
				return table(out, "ID\tACCOUNT\tNAME\tSITE\tSCOPES\tCREATED\tENDS\tSTATE", rows)
			})
		})
}

func (r *root) tokensRevoke() *cobra.Command {
	return r.command("revoke <id>", "Revokes a machine token",
		"Ends a machine token at once, including the connections it holds open. 'tokens list' shows the ids.\n\n"+
			"Example: caddy email-link tokens revoke dGhpcyBpcyBhbiBp", 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				t, err := b.RevokeToken(ctx, args[0])
				if err != nil {
					return err
				}
				return r.print(out, t, "revoked "+t.ID+"\n")
			})
		})
}
