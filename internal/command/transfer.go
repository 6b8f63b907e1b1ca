package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

func (r *root) accountsImport() *cobra.Command {
	var o operator.ImportOptions
	cmd := r.command("import <file> [--format <jsonl or csv>] [--dry-run] [--skip-bad]", "Adds the accounts in a file",
		`Adds the accounts in a file from another program: JSON Lines (.jsonl) or CSV with a header (.csv); - reads standard input. Each has an
email and, where known, name, roles, password, verified, created, status and language. The password is a hash such as $2b$12$… or
$argon2id$…, never the password itself; name and password are used only where verified is true.

The whole file is checked first. If a line is bad, nothing is written and every bad line is listed; --skip-bad writes the others.
An account that already exists exactly as in the file is left alone, so you can run the same import again, even after a crash.

Exit code 1: a line is bad and --skip-bad was not given.

Example: caddy email-link accounts import users.csv --dry-run`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			if o.Format == "" {
				o.Format = transfer.FormatOf(args[0])
			}
			if o.Format != transfer.JSONL && o.Format != transfer.CSV {
				return errors.New("say what the file is: --format jsonl or --format csv")
			}
			if args[0] == "-" && r.config == "-" {
				return errors.New("standard input cannot be both the configuration and the accounts")
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				report, err := importFile(ctx, b, args[0], o)
				if err != nil {
					return err
				}
				if err := r.print(out, report, reportText(report)); err != nil {
					return err
				}
				return importError(report, o)
			})
		})
	cmd.Flags().StringVar(&o.Format, "format", "", "jsonl or csv (default: by the file's extension)")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "Check everything and write nothing")
	cmd.Flags().BoolVar(&o.SkipBad, "skip-bad", false, "Write the valid lines even if others are bad")
	return cmd
}

func importFile(ctx context.Context, b operator.Operations, name string, o operator.ImportOptions) (operator.ImportReport, error) {
	// Whether a gate is there is asked before anything is read of what can be read only once.
	if _, err := b.BackupInfo(ctx); err != nil {
		return operator.ImportReport{}, err
	}
	if name == "-" {
		return b.Import(ctx, io.NopCloser(os.Stdin), o)
	}
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return operator.ImportReport{}, err
	}
	defer func() { _ = f.Close() }()
	return b.Import(ctx, f, o)
}

// importError refuses a file with bad lines, unless they were to be skipped.
func importError(report operator.ImportReport, o operator.ImportOptions) error {
	switch n := len(report.Bad); {
	case n == 0 || o.SkipBad:
		return nil
	case report.Added > 0 && !o.DryRun:
		return fmt.Errorf("stopped at a line that has become bad while the import ran, with %d accounts written; the same import with --skip-bad goes on", report.Added)
	case n == 1:
		return errors.New("1 line is bad, so nothing is written; --skip-bad writes the others")
	default:
		return fmt.Errorf("%d lines are bad, so nothing is written; --skip-bad writes the others", n)
	}
}

func reportText(report operator.ImportReport) string {
	var b strings.Builder
	for _, bad := range report.Bad {
		fmt.Fprintf(&b, "line %d: ", bad.Line)
		if bad.Email != "" {
			fmt.Fprintf(&b, "%s: ", printable(bad.Email))
		}
		fmt.Fprintln(&b, printable(bad.Reason))
	}
	verb := "added"
	if report.DryRun {
		verb = "would add"
	}
	fmt.Fprintf(&b, "%d accounts in the file: %s %d, %d there already, %d bad\n", report.Lines, verb, report.Added, report.Existing, len(report.Bad))
	if report.LeftOut > 0 {
		fmt.Fprintf(&b, "%d of them without name and password, because the file does not say that their mailbox is verified\n", report.LeftOut)
	}
	return b.String()
}

func (r *root) accountsExport() *cobra.Command {
	var format string
	var passwords bool
	cmd := r.command("export [<file>] [--format <jsonl or csv>] [--with-passwords]", "Writes all accounts to a file",
		`Writes all accounts in the format that 'accounts import' reads, to standard output or to a new file with mode 0600. Password hashes
are written only with --with-passwords: with them, passwords can be guessed offline.

Example: caddy email-link accounts export accounts.jsonl`, 0, 1,
		func(ctx context.Context, args []string, out io.Writer) error {
			if format == "" && len(args) == 1 {
				format = transfer.FormatOf(args[0])
			}
			if format == "" {
				format = transfer.JSONL
			}
			count := 0
			write := func(w io.Writer) error {
				return r.withOperations(ctx, func(b operator.Operations) (err error) {
					count, err = writeAccounts(ctx, b, w, format, passwords)
					return err
				})
			}
			if len(args) == 0 {
				return write(out)
			}
			if err := writeNew(args[0], write); err != nil {
				return err
			}
			return r.print(out, map[string]any{"file": args[0], "accounts": count}, fmt.Sprintf("wrote %d accounts to %s\n", count, args[0]))
		})
	cmd.Flags().StringVar(&format, "format", "", "jsonl or csv (default: by the file's extension, else jsonl)")
	cmd.Flags().BoolVar(&passwords, "with-passwords", false, "Write the password hashes too")
	return cmd
}

func writeAccounts(ctx context.Context, b operator.Operations, out io.Writer, format string, passwords bool) (count int, err error) {
	w, err := transfer.NewWriter(out, format, passwords)
	if err != nil {
		return 0, err
	}
	err = b.Export(ctx, passwords, func(row transfer.Row) error {
		count++
		return w.Write(row)
	})
	return count, errors.Join(err, w.Flush())
}
