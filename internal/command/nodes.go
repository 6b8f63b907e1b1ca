package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) nodes() *cobra.Command {
	return r.command("nodes", "Lists the Caddys that share the database",
		"Lists the Caddys that have used a database in PostgreSQL in the last half minute, and in what each differs from the one that answers: in its\n"+
			"configuration, keys, clock or version.\n\nExample: caddy email-link nodes", 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.Nodes(ctx)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				if len(list) == 0 {
					_, err := io.WriteString(out, "no Caddy uses the database\n")
					return err
				}
				var rows []string
				for _, n := range list {
					name := n.Host
					if n.Self {
						name += " (this one)"
					}
					rows = append(rows, row(printable(name), strconv.Itoa(n.Process), n.Version, formatTime(n.Started), fmt.Sprintf("%+.1fs", n.Skew), strings.Join(n.Differs, "; ")))
				}
				return table(out, "HOST\tPROCESS\tVERSION\tSTARTED\tCLOCK\tDIFFERS", rows)
			})
		})
}

func (r *root) reseal() *cobra.Command {
	return r.command("reseal", "Seals the database with the first key of the option secret",
		"Seals the database with the first key of the option secret, which ends the use of an old key. Where several Caddys share a database none does\n"+
			"that by itself. Write 'secret <old> <new>' into the configuration of each, then 'secret <new> <old>', run this command, and take the old\n"+
			"key away. It is refused while one of the Caddys lacks the new key.\n\n"+
			"Example: caddy email-link reseal", 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) error {
			return r.withOperations(ctx, func(b operator.Operations) error {
				done, err := b.Reseal(ctx)
				if err != nil {
					return err
				}
				text := "sealed the database by the key " + done.Fingerprint + "\n"
				if !done.Changed {
					text = "the database is sealed by the key " + done.Fingerprint + " already\n"
				}
				return r.print(out, done, text)
			})
		})
}
