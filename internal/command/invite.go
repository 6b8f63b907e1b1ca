package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) invite() *cobra.Command {
	var in operator.InvitationInput
	var ttl string
	cmd := r.command("invite <email> [--role <role>]… [--site <origin>] [--ttl <duration>] [--name <name>] [--note <text>] [--print]", "Invites somebody",
		`Mails an invitation. The link in it opens a page that says what it is for; the account is made there, with the roles given, when the person
accepts. Where the address has an account, that account gets the roles when its owner accepts, signed in. With --print the link is printed and
no mail is sent. The mail names the site and the roles; --name and --note are shown on the page alone.

Example: caddy email-link invite friend@example.com --role family --site https://photos.example.com`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) (err error) {
			in.Email = args[0]
			if ttl != "" {
				if in.TTL, err = caddy.ParseDuration(ttl); err != nil || in.TTL <= 0 {
					return fmt.Errorf("--ttl: %q must be a positive duration, such as 12h or 7d", ttl)
				}
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				i, err := b.Invite(ctx, in)
				if err != nil {
					return err
				}
				for _, w := range i.Warnings {
					fmt.Fprintln(os.Stderr, "caddy email-link: warning: "+printable(w))
				}
				return r.print(out, i, r.invitedText(i))
			})
		})
	cmd.Flags().StringArrayVar(&in.Roles, "role", nil, "A role that the account gets; may be given more than once")
	cmd.Flags().StringVar(&in.Site, "site", "", "The site that it is an invitation to, such as https://app.example.com (default: the portal, or the only one)")
	cmd.Flags().StringVar(&ttl, "ttl", "", fmt.Sprintf("How long it may be accepted, %.0fd at most (default: the lifetime of invitations, 7d)", flow.MaxInviteTTL.Hours()/24))
	cmd.Flags().StringVar(&in.Name, "name", "", "The name that the page suggests for the account")
	cmd.Flags().StringVar(&in.Note, "note", "", "A line that the page shows")
	cmd.Flags().BoolVar(&in.Print, "print", false, "Print the link in the place of mailing it")
	cmd.AddCommand(r.inviteList(), r.inviteRevoke())
	return cmd
}

func (r *root) invitedText(i operator.Invitation) string {
	until := formatTime(i.Ends)
	if i.URL != "" {
		return fmt.Sprintf("%s\nit invites %s to %s until %s, once\n", i.URL, printable(i.Email), i.Site, until)
	}
	return fmt.Sprintf("invited %s to %s until %s; to take it back: %s\n", printable(i.Email), i.Site, until, r.again("invite revoke "+i.ID))
}

func (r *root) inviteList() *cobra.Command {
	return r.command("list", "Lists invitations",
		`Lists the invitations that have not expired, the last one first, one per line; with --json one object per line. An invitation is void where
the account that has sent it may not give it any more.

Example: caddy email-link invite list`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.Invitations(ctx)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				if len(list) == 0 {
					_, err := io.WriteString(out, "there are no invitations\n")
					return err
				}
				var rows []string
				for _, i := range list {
					rows = append(rows, row(i.ID, i.Email, strings.Join(i.Roles, ","), i.Site, i.By, i.Name, formatTime(i.Sent), formatTime(i.Ends), i.Status))
				}
				return table(out, "ID\tADDRESS\tROLES\tSITE\tBY\tNAME\tSENT\tENDS\tSTATE", rows)
			})
		})
}

func (r *root) inviteRevoke() *cobra.Command {
	return r.command("revoke <id or email>", "Revokes an invitation",
		"Ends an open invitation, or all for an address: the link stops working. 'invite list' shows the ids.\n\n"+
			"Example: caddy email-link invite revoke friend@example.com", 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.RevokeInvitations(ctx, args[0])
				if err != nil {
					return err
				}
				var text strings.Builder
				for _, i := range list {
					fmt.Fprintf(&text, "revoked %s for %s\n", i.ID, printable(i.Email))
				}
				return r.print(out, list, text.String())
			})
		})
}
