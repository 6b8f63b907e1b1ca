package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/nearest"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) accounts() *cobra.Command {
	return group("accounts", "Adds, lists and changes accounts",
		r.accountsAdd(), r.accountsList(), r.accountsShow(), r.accountsHistory(), r.accountsSet(),
		r.accountsStatus("disable", "disabled", "Disables an account: its sessions, links and flows end at once, and nobody can sign in to it."),
		r.accountsStatus("enable", "active", "Enables a disabled account: its owner can sign in again."),
		r.accountsDelete(), r.accountsImport(), r.accountsExport())
}

func (r *root) accountsAdd() *cobra.Command {
	var in operator.AccountInput
	cmd := r.command("add <email> [--role <role>]… [--name <name>] [--language <tag>] [--timezone <zone>]", "Adds an account",
		`Adds an account. No mail is sent: its owner signs in at the site, or you print a link with 'caddy email-link link'.

Example: caddy email-link accounts add you@example.com --role admin`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			in.Email = args[0]
			return r.withOperations(ctx, func(b operator.Operations) error {
				a, err := b.AddAccount(ctx, in)
				if err != nil {
					return err
				}
				return r.print(out, a, r.addedText(a))
			})
		})
	cmd.Flags().StringArrayVar(&in.Roles, "role", nil, "A role; may be given more than once")
	cmd.Flags().StringVar(&in.Name, "name", "", "The person's name")
	cmd.Flags().StringVar(&in.Language, "language", "", "The language of mails, such as de")
	cmd.Flags().StringVar(&in.Timezone, "timezone", "", "The person's time zone, such as Europe/Berlin")
	return cmd
}

func (r *root) accountsList() *cobra.Command {
	var f accountFilter
	cmd := r.command("list [<part of address, name or id>] [--role <role>] [--status active|disabled]", "Lists the accounts",
		`Lists the accounts, one per line; with --json one object per line. With several filters, an account has to pass all of them.

Examples:
  caddy email-link accounts list
  caddy email-link accounts list @example.com --status disabled`, 0, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			f.text = strings.ToLower(strings.Join(args, ""))
			if err := f.check(); err != nil {
				return err
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				if r.json {
					enc := json.NewEncoder(out)
					return b.Accounts(ctx, func(a operator.Account) error {
						if !f.passes(a) {
							return nil
						}
						return enc.Encode(a)
					})
				}
				table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tEMAIL\tSTATUS\tROLES\tNAME\tCREATED")
				some := false
				err := b.Accounts(ctx, func(a operator.Account) error {
					if !f.passes(a) {
						return nil
					}
					some = true
					_, err := fmt.Fprintln(table, accountLine(a))
					return err
				})
				switch {
				case some:
					return errors.Join(err, table.Flush())
				case err != nil:
					return err
				}
				if f != (accountFilter{}) {
					_, err = fmt.Fprintln(out, "no account passes these filters")
					return err
				}
				_, err = fmt.Fprintln(out, "there are no accounts; add one with "+r.again("accounts add you@example.com --role admin"))
				return err
			})
		})
	cmd.Flags().StringVar(&f.role, "role", "", "Only accounts with this role")
	cmd.Flags().StringVar(&f.status, "status", "", "Only accounts of this status: active or disabled")
	return cmd
}

// accountFilter selects accounts. An empty field selects all.
type accountFilter struct {
	// text is a part of the address, the name or the id, in lower case.
	text, role, status string
}

// check returns an error for a status that no account has.
func (f accountFilter) check() error {
	statuses := []string{"active", "disabled"}
	if f.status == "" || slices.Contains(statuses, f.status) {
		return nil
	}
	text := fmt.Sprintf("--status %q: ", f.status)
	if meant := nearest.Word(f.status, statuses); meant != "" {
		text += "did you mean " + meant + "? "
	}
	return errors.New(text + "write one of " + strings.Join(statuses, ", "))
}

// passes reports whether the filter selects an account.
func (f accountFilter) passes(a operator.Account) bool {
	contains := func(field string) bool { return strings.Contains(strings.ToLower(field), f.text) }
	return (contains(a.Email) || contains(a.Name) || contains(a.ID)) &&
		(f.role == "" || slices.Contains(a.Roles, f.role)) && (f.status == "" || a.Status == f.status)
}

func accountLine(a operator.Account) string {
	status := a.Status
	if !a.Deletes.IsZero() {
		status += ", gone on " + a.Deletes.Format(time.DateOnly)
	}
	return strings.Join([]string{a.ID, a.Email, status, strings.Join(a.Roles, ","), a.Name, a.Created.Format(time.DateOnly)}, "\t")
}

func (r *root) accountsShow() *cobra.Command {
	return r.command("show <email or id>", "Shows an account and everything that belongs to it",
		`Shows an account with its last sign-in, its sessions and machine tokens, the limits it has reached, and the mails that are waiting
for it.

Example: caddy email-link accounts show you@example.com`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				d, err := b.Account(ctx, args[0])
				if err != nil {
					return err
				}
				return r.print(out, d, detailsText(d))
			})
		})
}

func (r *root) accountsSet() *cobra.Command {
	var name, language, zone, email string
	var roles []string
	var cmd *cobra.Command
	cmd = r.command("set <email or id> [--email <address>] [--name <name>] [--role <role>]… [--language <tag>] [--timezone <zone>]",
		"Changes an account's address, name, roles, language or time zone",
		`Changes an account's address, name, roles, language or time zone. A new address ends its sessions, tokens, links and flows, and an email tells both mailboxes. The roles you give replace all it had; --role "" leaves it with none. Without a
language, mails are in that of the browser that asks for them; without a time zone, times are written as for everybody.

Examples:
  caddy email-link accounts set you@example.com --role admin --role family
  caddy email-link accounts set you@example.com --timezone Europe/Berlin`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			var change operator.AccountChange
			if cmd.Flags().Changed("email") {
				change.Email = &email
			}
			if cmd.Flags().Changed("name") {
				change.Name = &name
			}
			if cmd.Flags().Changed("role") {
				if len(roles) == 1 && roles[0] == "" {
					roles = []string{}
				}
				change.Roles = &roles
			}
			if cmd.Flags().Changed("language") {
				change.Language = &language
			}
			if cmd.Flags().Changed("timezone") {
				change.Timezone = &zone
			}
			if change == (operator.AccountChange{}) {
				return errors.New("nothing to change: give --email, --name, --role, --language or --timezone")
			}
			return r.change(ctx, args[0], change, out)
		})
	cmd.Flags().StringVar(&email, "email", "", "The new address; both mailboxes are told")
	cmd.Flags().StringVar(&name, "name", "", "The person's name")
	cmd.Flags().StringArrayVar(&roles, "role", nil, "A role; may be given more than once")
	cmd.Flags().StringVar(&language, "language", "", "The language of mails, such as de")
	cmd.Flags().StringVar(&zone, "timezone", "", `The person's time zone, such as Europe/Berlin; "" for that of everybody`)
	return cmd
}

func (r *root) change(ctx context.Context, who string, change operator.AccountChange, out io.Writer) error {
	return r.withOperations(ctx, func(b operator.Operations) error {
		a, err := b.ChangeAccount(ctx, who, change)
		if err != nil {
			return err
		}
		return r.print(out, a, changedText(a, change))
	})
}

func (r *root) accountsStatus(word, status, what string) *cobra.Command {
	return r.command(word+" <email or id>", strings.ToUpper(word[:1])+word[1:]+"s an account",
		what+"\n\nExample: caddy email-link accounts "+word+" you@example.com", 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.change(ctx, args[0], operator.AccountChange{Status: &status}, out)
		})
}

func (r *root) accountsDelete() *cobra.Command {
	var yes bool
	var cmd *cobra.Command
	cmd = r.command("delete <email or id> [--yes]", "Deletes an account",
		"Deletes an account with its sessions, links and flows. Its id is never reused. The command asks first; use --yes in scripts.\n\n"+
			"Example: caddy email-link accounts delete old@example.com", 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			if !yes {
				if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), "delete the account "+printable(args[0])+" for good"); err != nil {
					return err
				}
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				a, err := b.DeleteAccount(ctx, args[0])
				if err != nil {
					return err
				}
				return r.print(out, a, fmt.Sprintf("deleted %s; %s\n", printable(a.Email), sessionsEnded(a.SessionsEnded)))
			})
		})
	cmd.Flags().BoolVar(&yes, "yes", false, "Delete without asking")
	return cmd
}
