package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) explain() *cobra.Command {
	q := operator.ExplainQuery{}
	cmd := r.command("why <email> <url> [--method <method>]", "Tells why a person can or cannot open a page",
		`Judges a request to a page as the gate would, and prints each rule that has a say with its line in the Caddyfile: public paths, require,
max_age, the portal, and the account, its session, spent limits and waiting mails. An arrow marks what decides. The app gets no request, and the
person need not be signed in. The reference is what a refused page and its line in the log show.

Exit code 0 whatever the answer is, 1 if no site answers for the address.

Examples:
  caddy email-link why you@example.com https://app.example.com/admin
  caddy email-link why you@example.com https://app.example.com/upload --method PUT`, 2, 2,
		func(ctx context.Context, args []string, out io.Writer) error {
			q.Email, q.URL = args[0], args[1]
			return r.withOperations(ctx, func(b operator.Operations) error {
				w, err := b.Explain(ctx, q)
				if err != nil {
					return err
				}
				if r.json {
					return r.print(out, w, "")
				}
				return printExplanation(out, w)
			})
		})
	cmd.Flags().StringVar(&q.Method, "method", http.MethodGet, "The method of the request")
	return cmd
}

// printExplanation prints the rules, and what comes of them.
func printExplanation(out io.Writer, w operator.Explanation) error {
	var rows []string
	for _, one := range w.Rules {
		mark := ""
		if one.Decides {
			mark = "→ "
		}
		rows = append(rows, mark+printable(row(one.Rule, one.Says, one.At)))
	}
	if err := writeTable(out, "RULE\tSAYS\tLINE", rows); err != nil {
		return err
	}
	text := "the request goes on to the app"
	switch {
	case w.Status == 0 && slices.ContainsFunc(w.Rules, func(r operator.Rule) bool { return r.Decides }):
		text = "the answer is a page of the gate's own"
	case w.Status == http.StatusSeeOther:
		text = "the browser is led to the sign-in page"
	case w.Status == http.StatusUnauthorized:
		text = "the answer is 401 Unauthorized; only a GET is led to the sign-in page"
	case w.Status != 0:
		text = fmt.Sprintf("the answer is %d %s", w.Status, http.StatusText(w.Status))
	}
	if w.Reference != "" {
		text += ", reference " + w.Reference
	}
	_, err := fmt.Fprintf(out, "\n%s %s, %s: %s\n", w.Method, printable(w.URL), printable(w.Email), text)
	return err
}
