package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) mail() *cobra.Command {
	return group("mail", "Tests the mailer, and lists and retries queued mails", r.mailTest(), r.mailList(), r.mailRetry())
}

func (r *root) mailTest() *cobra.Command {
	return r.command("test <address>", "Sends a test mail",
		`Sends a test mail through the configured mailer and waits for the answer. The mail holds no link. If no Caddy is running, it uses the
mailer of the configuration file.

Example: caddy email-link mail test you@example.com`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			return r.withDiagnostics(ctx, func(b operator.Diagnostics) error {
				sent, err := b.SendTest(ctx, operator.TestMail{To: args[0]})
				if err != nil {
					return err
				}
				return r.print(out, sent, fmt.Sprintf("%s took the mail for %s, from %s\n"+
					"if it does not arrive: look into the spam folder, then 'caddy email-link doctor'\n", sent.Via, sent.To, sent.From))
			})
		})
}

func (r *root) mailList() *cobra.Command {
	return r.command("list", "Lists waiting mails and dead letters",
		`Lists the waiting mails, then dead letters with the reason they were given up; with --json one object per line.
Addresses are masked: anybody can ask for mails. A dead letter has no address any more once its link has expired.

Example: caddy email-link mail list`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.Mails(ctx)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				if len(list) == 0 {
					_, err := io.WriteString(out, "no mail waits, and there are no dead letters\n")
					return err
				}
				var rows []string
				for _, m := range list {
					due := ""
					if m.Due != nil {
						due = formatTime(*m.Due)
					}
					rows = append(rows, row(m.ID, m.State, m.To, m.Purpose, formatTime(m.Queued), due, strconv.Itoa(m.Attempts), printable(m.Reason)))
				}
				return table(out, "ID\tSTATE\tTO\tPURPOSE\tQUEUED\tDUE\tATTEMPTS\tREASON", rows)
			})
		})
}

func (r *root) mailRetry() *cobra.Command {
	var all bool
	cmd := r.command("retry <id> | --all", "Sends waiting mails and dead letters now",
		`Sends waiting mails now instead of when they are due, and dead letters once more, for use when the mailer is fixed. If no Caddy is
running, they go out when it starts. A dead letter can be sent only while its link works: afterwards neither address nor link is kept.

Example: caddy email-link mail retry --all`, 0, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			if all == (len(args) == 1) {
				return errors.New("name one mail by its id, or say --all")
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				done, err := b.RetryMail(ctx, strings.Join(args, ""))
				if err != nil {
					return err
				}
				return r.print(out, done, describeRetried(done))
			})
		})
	cmd.Flags().BoolVar(&all, "all", false, "All waiting mails and all dead letters")
	return cmd
}

// describeRetried returns one line for what is due now, and one for each reason why dead letters are not.
func describeRetried(done operator.Retried) string {
	text := "no mail waits\n"
	if n := len(done.IDs); n == 1 {
		text = "mail " + done.IDs[0] + " is due now\n"
	} else if n > 1 {
		text = fmt.Sprintf("%d mails are due now\n", n)
	}
	counts := map[string]int{}
	for _, refused := range done.Refused {
		counts[refused.Reason]++
	}
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		text += fmt.Sprintf("cannot be sent again: %d, %s\n", counts[reason], reason)
	}
	return text
}

// withDiagnostics runs do against the running Caddy, else on the configuration alone.
func (r *root) withDiagnostics(ctx context.Context, do func(operator.Diagnostics) error) error {
	err := r.askRunning(ctx, func(c *adminapi.Client) error { return do(c) })
	if !r.mayRunOffline(err) {
		return err
	}
	b, err := r.offlineDiagnostics(ctx)
	if err != nil {
		return err
	}
	return do(b)
}

func (r *root) offlineDiagnostics(ctx context.Context) (operator.Diagnostics, error) {
	configuration, err := r.load()
	if err != nil {
		return nil, err
	}
	if len(configuration) == 0 {
		return nil, errors.New("no Caddy answers and there is no Caddyfile here: name the configuration with --config")
	}
	return r.host.Diagnose(ctx, configuration)
}

func (r *root) doctor() *cobra.Command {
	var to string
	cmd := r.command("doctor [--to <address>]", "Finds what is wrong with the configuration, mail, DNS, clock and files",
		`Checks the configuration, the files, the mail server, the DNS records of the sender's domain, the clock, and whether the sites can be
reached, and says what to write where something is wrong. It sends nothing: the dialogue with the mail server ends before the mail. If no
Caddy is running, it checks the configuration file.

Exit code 1 if a check fails. A warning, or a check that could not be made, is not a failure.

Example: caddy email-link doctor --to you@example.com`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			list, err := r.diagnose(ctx, to)
			if err != nil {
				return err
			}
			if r.json {
				err = printJSONLines(out, list)
			} else {
				err = printFindings(out, list)
			}
			if err == nil && doctor.Failed(list) {
				err = errors.New("a check failed; what to do is written above")
			}
			return err
		})
	cmd.Flags().StringVar(&to, "to", "", "The address that the mail server is asked for (default: the sender's own)")
	return cmd
}

// diagnose says as its first finding what was looked at. A configuration that cannot be used is a finding as well.
func (r *root) diagnose(ctx context.Context, to string) ([]doctor.Finding, error) {
	var list []doctor.Finding
	err := r.askRunning(ctx, func(c *adminapi.Client) (err error) {
		list, err = c.Diagnose(ctx, to)
		return err
	})
	if err == nil {
		return append([]doctor.Finding{{Check: "caddy", Result: doctor.OK, Text: "Caddy runs; this is what it runs with"}}, list...), nil
	}
	if r.configuration.err == nil && !r.mayRunOffline(err) {
		return nil, err
	}
	b, err := r.offlineDiagnostics(ctx)
	if err == nil {
		list, err = b.Diagnose(ctx, to)
	}
	var refusal *operator.Error
	switch {
	case errors.As(err, &refusal):
		return nil, err // what was asked for, not the configuration
	case err != nil:
		list = []doctor.Finding{{Check: "configuration", Result: doctor.Fail, Text: err.Error()}}
	}
	first := doctor.Finding{Check: "caddy", Result: doctor.Skip, Text: "no Caddy with email_link answers; this is what its configuration file says"}
	return append([]doctor.Finding{first}, list...), nil
}

// printFindings writes one line for each check, and below it what to do.
func printFindings(out io.Writer, list []doctor.Finding) error {
	wide := 0
	for _, f := range list {
		wide = max(wide, len(f.Check))
	}
	for _, f := range list {
		indent := strings.Repeat(" ", wide+8)
		text := strings.ReplaceAll(f.Text, "\n", "\n"+indent)
		if f.Fix != "" {
			text += "\n" + indent + strings.ReplaceAll(f.Fix, "\n", "\n"+indent)
		}
		if _, err := fmt.Fprintf(out, "%-4s  %-*s  %s\n", f.Result, wide, f.Check, printable(text)); err != nil {
			return err
		}
	}
	return nil
}
