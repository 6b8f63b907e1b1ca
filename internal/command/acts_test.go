package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

// gateOf are the operations of a gate that a command opens itself, and what it was asked for.
type gateOf struct {
	operator.Operations
	asked    []string
	report   operator.ImportReport
	findings []doctor.Finding
	broken   error
}

func (g *gateOf) BackupInfo(context.Context) (operator.BackupInfo, error) {
	return operator.BackupInfo{Fingerprint: "0123456789abcdef"}, nil
}

func (g *gateOf) MasterKeys(context.Context) (string, error) {
	g.asked = append(g.asked, "MasterKeys")
	return "the key\n", nil
}

func (g *gateOf) Backup(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, "half of the database")
	return errors.Join(err, g.broken)
}

func (g *gateOf) Events(_ context.Context, q operator.EventQuery) ([]operator.Event, error) {
	g.asked = append(g.asked, fmt.Sprintf("Events %d", q.N))
	return nil, g.broken
}

func (g *gateOf) DeleteAccount(_ context.Context, who string) (operator.ChangedAccount, error) {
	g.asked = append(g.asked, "DeleteAccount "+who)
	return operator.ChangedAccount{}, g.broken
}

func (g *gateOf) RetryMail(_ context.Context, id string) (operator.Retried, error) {
	g.asked = append(g.asked, "RetryMail "+id)
	return operator.Retried{}, nil
}

func (g *gateOf) Import(_ context.Context, in io.Reader, _ operator.ImportOptions) (operator.ImportReport, error) {
	_, err := io.Copy(io.Discard, in)
	return g.report, err
}

func (g *gateOf) Export(_ context.Context, _ bool, each func(transfer.Row) error) error {
	return each(transfer.Row{Email: "ada@example.com"})
}

func (g *gateOf) Diagnose(context.Context, string) ([]doctor.Finding, error) { return g.findings, nil }

// run runs a command where no Caddy runs: what it does, it does to g.
func (g *gateOf) run(t *testing.T, command func(r *root) *cobra.Command, input string, args ...string) (out, errs string, err error) {
	t.Helper()
	r := &root{host: Host{
		Open: func(context.Context, []byte, bool) (Opened, error) {
			return Opened{Operations: g, Close: func() error { return nil }}, nil
		},
		Diagnose: func(context.Context, []byte) (operator.Diagnostics, error) { return g, nil },
	}}
	socket := filepath.Join(t.TempDir(), "nothing listens")
	r.configuration = configuration{read: true, text: fmt.Appendf(nil, `{"admin":{"listen":"unix/%s"}}`, socket)}
	cmd := command(r)
	var o, e strings.Builder
	cmd.SetArgs(append([]string{}, args...)) // cobra takes those of the test for nil
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

// TestREST1_AFileIsWrittenForItsOwnerWholeOrNotAtAll writes a backup, its key and an export: each is readable by its owner alone, replaces
// nothing, and leaves nothing behind where it fails.
func TestREST1_AFileIsWrittenForItsOwnerWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	backup := func(r *root) *cobra.Command { return r.backup() }
	export := func(r *root) *cobra.Command { return r.accountsExport() }
	for name, c := range map[string]struct {
		command func(r *root) *cobra.Command
		args    []string
		written []string
		fails   error
	}{
		"a backup":           {command: backup, written: []string{"file.db"}},
		"a backup, its key":  {command: backup, args: []string{"--with-key"}, written: []string{"file.db", "file.db.key"}},
		"a backup that ends": {command: backup, fails: errors.New("the database failed")},
		"an export":          {command: export, args: []string{"--format", "csv"}, written: []string{"file.db"}},
	} {
		dir := t.TempDir()
		g := &gateOf{broken: c.fails}
		file := filepath.Join(dir, "file.db")
		_, _, err := g.run(t, c.command, "", append([]string{file}, c.args...)...)
		if (err != nil) != (c.fails != nil) {
			t.Errorf("%s: %v", name, err)
		}
		entries, _ := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
			if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %s has the mode %v, %v", name, e.Name(), info.Mode(), err)
			}
		}
		if strings.Join(names, " ") != strings.Join(c.written, " ") {
			t.Errorf("%s: there are %q", name, names)
		}
		if asked := len(g.asked) > 0; asked != (len(c.written) == 2) {
			t.Errorf("%s: the gate was asked for %q", name, g.asked)
		}
		if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err = g.run(t, c.command, "", append([]string{file}, c.args...)...)
		if text, _ := os.ReadFile(file); err == nil || string(text) != "kept" {
			t.Errorf("%s: a file that is there becomes %q, %v", name, text, err)
		}
	}
}

// TestAccountsDelete_DeletesAfterAYes, or where scripts say so, and exits with what came of it.
func TestAccountsDelete_DeletesAfterAYes(t *testing.T) {
	t.Parallel()
	del := func(r *root) *cobra.Command { return r.accountsDelete() }
	for name, c := range map[string]struct {
		args          []string
		input         string
		asks, deletes bool
		fails         error
	}{
		"yes":            {args: []string{"ann@example.com"}, input: "y\n", asks: true, deletes: true},
		"no":             {args: []string{"ann@example.com"}, input: "n\n", asks: true},
		"an empty line":  {args: []string{"ann@example.com"}, input: "\n", asks: true},
		"said before":    {args: []string{"ann@example.com", "--yes"}, deletes: true},
		"what fails":     {args: []string{"ann@example.com", "--yes"}, deletes: true, fails: errors.New("no such account \x1b[2J")},
		"nobody":         {args: []string{"--yes"}},
		"two":            {args: []string{"ann@example.com", "bob@example.com", "--yes"}},
		"a file as well": {args: []string{"ann@example.com", "x", "--yes"}},
	} {
		g := &gateOf{broken: c.fails}
		out, errs, err := g.run(t, del, c.input, c.args...)
		if strings.Contains(errs, "[y/N]") != c.asks || (len(g.asked) == 1) != c.deletes || (err == nil) != (c.deletes && c.fails == nil) {
			t.Errorf("%s: the gate was asked for %q; %q, %q, %v", name, g.asked, out, errs, err)
		}
		if strings.ContainsRune(errs, '\x1b') {
			t.Errorf("%s: it steers the terminal: %q", name, errs)
		}
	}
}

// TestMailRetry_NamesWhat: one mail by its id, or all where that is said.
func TestMailRetry_NamesWhat(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"": "", "--all": "RetryMail ", "m1": "RetryMail m1", "m1 --all": "", "m1 m2": ""} {
		g := &gateOf{}
		_, _, err := g.run(t, func(r *root) *cobra.Command { return r.mailRetry() }, "", strings.Fields(args)...)
		if (err == nil) != (want != "") || strings.Join(g.asked, ",") != want {
			t.Errorf("%q: the gate was asked for %q, %v", args, g.asked, err)
		}
	}
}

// TestAccountsImport_ExitsWithWhatCameOfIt, and prints nothing of a file that steers the terminal.
func TestAccountsImport_ExitsWithWhatCameOfIt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(file, []byte("email\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := []operator.BadLine{{Line: 2, Email: "a\x1b@example.com", Reason: "the name \x1b[2J\u202e holds"}}
	for name, c := range map[string]struct {
		report operator.ImportReport
		args   []string
		fails  bool
	}{
		"all lines are good":     {report: operator.ImportReport{Lines: 1, Added: 1, Done: true}},
		"a bad line":             {report: operator.ImportReport{Lines: 2, Bad: bad}, fails: true},
		"a bad line, dry":        {report: operator.ImportReport{Lines: 2, Bad: bad, DryRun: true}, args: []string{"--dry-run"}, fails: true},
		"a bad line, to be left": {report: operator.ImportReport{Lines: 2, Added: 1, Bad: bad, Done: true}, args: []string{"--skip-bad"}},
		"stopped in the middle":  {report: operator.ImportReport{Lines: 2, Added: 1, Bad: bad}, fails: true},
	} {
		g := &gateOf{report: c.report}
		out, errs, err := g.run(t, func(r *root) *cobra.Command { return r.accountsImport() }, "", append([]string{file}, c.args...)...)
		if (err != nil) != c.fails || strings.ContainsAny(out+errs, "\x1b\u202e") {
			t.Errorf("%s: %q, %q, %v", name, out, errs, err)
		}
	}
}

// TestDoctor_ExitsWithAFailure, not with a warning.
func TestDoctor_ExitsWithAFailure(t *testing.T) {
	t.Parallel()
	for result, fails := range map[doctor.Result]bool{doctor.OK: false, doctor.Warn: false, doctor.Skip: false, doctor.Fail: true} {
		g := &gateOf{findings: []doctor.Finding{{Check: "smtp", Result: doctor.OK}, {Check: "dkim", Result: result, Text: "this one"}}}
		out, _, err := g.run(t, func(r *root) *cobra.Command { return r.doctor() }, "")
		if (err != nil) != fails || !strings.Contains(out, "this one") {
			t.Errorf("%s: %q, %v", result, out, err)
		}
	}
}

// TestDUR1_ANamedGateIsNotOpened: where an operator has named the Caddy to ask, its database is left alone.
func TestDUR1_ANamedGateIsNotOpened(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address string
		err     error
		opens   bool
	}{
		{"", fmt.Errorf("%w at x", adminapi.ErrUnreachable), true},
		{"", adminapi.ErrNotRunning, true},
		{"", errors.New("refused"), false},
		{"", nil, false},
		{"localhost:2019", fmt.Errorf("%w at x", adminapi.ErrUnreachable), false},
		{"localhost:2019", adminapi.ErrNotRunning, false},
	} {
		if got := (&root{address: c.address}).mayRunOffline(c.err); got != c.opens {
			t.Errorf("--address %q, %v: opens the database: %v", c.address, c.err, got)
		}
	}
}
