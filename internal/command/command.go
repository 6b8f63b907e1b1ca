// Package command is the command `caddy email-link`: what it reads, prints and exits with.
//
// A command asks the running Caddy; only when nothing answers and the database is free does it open the file itself.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/nearest"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Opener opens the gate of a configuration without a running Caddy. create permits it to create a missing database.
type Opener func(ctx context.Context, configuration []byte, create bool) (Opened, error)

// Opened is a gate that a command has opened itself.
type Opened struct {
	operator.Operations
	// Close closes it again.
	Close func() error
	// Restored says that this was the first opening of a restored backup, which ends everything from before.
	Restored bool
}

// Restorer puts a backup where a configuration keeps its database, which must not exist yet. keyFile is the text of the key
// that came with the backup, empty if no key came with it.
type Restorer func(ctx context.Context, configuration []byte, backup, keyText string) (Restored, error)

// Restored says what a restore did.
type Restored struct {
	Database    string `json:"database"`
	Fingerprint string `json:"fingerprint"`
	// KeyFile is the key file it wrote, empty when the key was there.
	KeyFile string `json:"key_file,omitempty"`
}

// Host is what the program gives to the commands that work without a running Caddy.
type Host struct {
	Open    Opener
	Restore Restorer
	// Schema returns the statements that make the schema of a configuration's database.
	Schema func(configuration []byte) (string, error)
	// Migrate copies everything from one storage to another.
	Migrate Migrator
	// Diagnose reads a configuration and opens nothing.
	Diagnose func(ctx context.Context, configuration []byte) (operator.Diagnostics, error)
}

// Register adds the command `caddy email-link`.
func Register(host Host) {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "email-link",
		Usage: "<command>",
		Short: "Manages the gate: accounts, links, tokens, mail, keys, backups",
		Long: `Manages the gate that the email_link module runs.

Commands ask the running Caddy through its admin API, which they find as 'caddy reload' does: by --address, else by the "admin" option of
--config or of ./Caddyfile, else at localhost:2019. If no Caddy answers and the database is free, they open it themselves. A database in
PostgreSQL they open beside the Caddys that use it, which learn of what a command changes.

Exit codes: 0 for success, 1 if a command was refused or failed. The reason goes to standard error, like everything that is not the answer.
On a terminal lists have a bold header, unless NO_COLOR is set, and their total.`,
		CobraFunc: func(cmd *cobra.Command) {
			r := &root{host: host}
			r.prepare(cmd)
			cmd.Args = onlyCommands
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.AddCommand(r.commands()...)
		},
	})
	if caddy.CustomBinaryName == packaged {
		registerTopLevel(host)
	}
}

// packaged is the name of the program in the packages: there `caddy-email-link accounts list` is the same as
// `caddy-email-link email-link accounts list`.
const packaged = "caddy-email-link"

// asCalled returns a text that names commands as this program is called.
func asCalled(text string) string {
	if caddy.CustomBinaryName != packaged {
		return text
	}
	return strings.ReplaceAll(text, "caddy email-link", packaged)
}

// registerTopLevel adds each command beside those of Caddy, whose names are others.
func registerTopLevel(host Host) {
	for i, one := range (&root{host: host}).commands() {
		caddycmd.RegisterCommand(caddycmd.Command{Name: one.Name(), Short: one.Short, CobraFunc: func(cmd *cobra.Command) {
			r := &root{host: host}
			own := r.commands()[i]
			*cmd = cobra.Command{
				Use: own.Use, Short: own.Short, Long: own.Long, Args: own.Args, RunE: own.RunE,
				DisableFlagsInUseLine: own.DisableFlagsInUseLine, SilenceUsage: own.SilenceUsage,
			}
			cmd.Flags().AddFlagSet(own.Flags())
			cmd.AddCommand(own.Commands()...)
			r.prepare(cmd)
		}})
	}
}

// commands returns all commands.
func (r *root) commands() []*cobra.Command { return append(r.gateCommands(), r.migrate()) }

// gateCommands returns those that are about one gate.
func (r *root) gateCommands() []*cobra.Command {
	return []*cobra.Command{
		r.accounts(), r.explain(), r.link(), r.invite(), r.sessions(), r.tokens(), r.mail(), r.doctor(), r.events(), r.limits(), r.keys(), r.backup(), r.restore(), r.restored(), r.nodes(), r.reseal(), r.schema(), r.serve(),
	}
}

// prepare gives cmd the flags that all commands share, the words of their errors, and the end of their help.
func (r *root) prepare(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(flagError)
	flags := cmd.PersistentFlags()
	flags.StringVar(&r.address, "address", "", "The admin address of the running Caddy")
	flags.StringVarP(&r.config, "config", "c", "", "The configuration file (default: ./Caddyfile if there is one)")
	flags.StringVar(&r.adapter, "adapter", "", "The name of the configuration's adapter")
	flags.BoolVar(&r.json, "json", false, "Print the answer as JSON")
	flags.BoolVar(&r.create, "create", false, "Create the database if it is missing and no Caddy runs")
	// Caddy's own ends with the address of Caddy's documentation, which knows none of these.
	cmd.SetHelpTemplate(cmd.HelpTemplate() + "\nAll commands and options: " + reference + "\n")
}

// reference is where everything that the help does not say is written.
const reference = "https://github.com/caddy-email-link/caddy-email-link/blob/main/docs/reference.md#command-line"

// onlyCommands refuses a word that is no command, and names those there are.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, one := range cmd.Commands() {
		if one.IsAvailableCommand() {
			names = append(names, one.Name())
		}
	}
	text := fmt.Sprintf("unknown command %q of '%s'; ", args[0], cmd.CommandPath())
	if meant := nearest.Word(args[0], names); meant != "" {
		text += "did you mean " + meant + "? "
	}
	return refuse(cmd, errors.New(text+"there are "+strings.Join(names, ", ")))
}

// flagError words the error of an option: with what to write instead, or the option that was probably meant, and where all are listed.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error() + "; "
	var malformed *strconv.NumError
	if errors.As(err, &malformed) {
		text = strings.TrimSuffix(err.Error(), " flag: "+malformed.Error()) + ": write a whole number, such as 100; "
		if malformed.Func == "ParseBool" {
			text = strings.TrimSuffix(err.Error(), " flag: "+malformed.Error()) + ": write the option without a value; "
		}
	}
	if mistyped, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var names []string
		for _, word := range strings.Fields(cmd.Flags().FlagUsages()) {
			if name, ok := strings.CutPrefix(word, "--"); ok {
				names = append(names, name)
			}
		}
		if meant := nearest.Word(mistyped, names); meant != "" {
			text += "did you mean --" + meant + "? "
		}
	}
	return refuse(cmd, errors.New(text+"'"+cmd.CommandPath()+" --help' lists what there is"))
}

// refuse prints an error as all commands print theirs, in the place of cobra, and returns it for the exit code.
func refuse(cmd *cobra.Command, err error) error {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	fmt.Fprintln(cmd.ErrOrStderr(), asCalled("caddy email-link: "+printable(err.Error())))
	return err
}

// root holds the flags that all commands share.
type root struct {
	host                     Host
	address, config, adapter string
	json, create             bool

	configuration configuration
}

// withOperations runs do against the running Caddy, else against the database itself.
func (r *root) withOperations(ctx context.Context, do func(operator.Operations) error) error {
	err := r.askRunning(ctx, func(c *adminapi.Client) error { return do(c) })
	if !r.mayRunOffline(err) {
		return err
	}
	configuration, err := r.load()
	if err != nil {
		return err
	}
	b, err := r.host.Open(ctx, configuration, r.create)
	if errors.Is(err, storage.ErrLocked) {
		address, _ := r.adminAddress() // the one that askRunning has found
		return fmt.Errorf("%w\nif that is Caddy, it does not answer at %s: name its admin address with --address, or its configuration with --config", err, address)
	}
	if err != nil {
		return err
	}
	if b.Restored {
		fmt.Fprintln(os.Stderr, "caddy email-link: this was the first opening of a restored backup: every session, link and queued mail from before has been ended")
	}
	err = errors.Join(do(b), b.Close())
	if errors.Is(err, storage.ErrLocked) {
		return fmt.Errorf("%w\nonly that process changes this database: run the command on its machine, or name its admin endpoint with --address", err)
	}
	return err
}

// askRunning runs do against the running Caddy.
func (r *root) askRunning(ctx context.Context, do func(*adminapi.Client) error) error {
	address, err := r.adminAddress()
	if err != nil {
		return err
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return fmt.Errorf("%q is not an admin address", address)
	}
	network, target := "tcp", parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() {
		network = "unix"
		target, _, _ = strings.Cut(parsed.Host, "|") // permissions may follow the path
	}
	c, err := adminapi.Connect(ctx, network, target)
	if err != nil {
		return err
	}
	return do(c)
}

// mayRunOffline reports whether an error of askRunning allows the command to open the database itself. It does not if the operator
// has named an admin address.
func (r *root) mayRunOffline(err error) bool {
	return r.address == "" && (errors.Is(err, adminapi.ErrUnreachable) || errors.Is(err, adminapi.ErrNotRunning))
}

// command makes a leaf that takes between least and most arguments.
func (r *root) command(use, short, long string, least, most int, run func(ctx context.Context, args []string, out io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: asCalled(long),
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < least:
				return refuse(cmd, fmt.Errorf("missing argument; usage: %s", cmd.UseLine()))
			case len(args) > most:
				return refuse(cmd, fmt.Errorf("unexpected argument %q; usage: %s", args[most], cmd.UseLine()))
			}
			return nil
		},
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		RunE: func(cmd *cobra.Command, args []string) error {
			out := newOutput(cmd.OutOrStdout(), os.Getenv)
			err := errors.Join(run(operator.WithCaller(cmd.Context(), caller(cmd)), args, out), out.Flush())
			if err != nil {
				return refuse(cmd, err)
			}
			return nil
		},
	}
}

// again returns the words of another command that asks the same gate.
func (r *root) again(words string) string {
	text := "caddy email-link " + words
	for _, flag := range [...]struct{ name, value string }{{"address", r.address}, {"config", r.config}, {"adapter", r.adapter}} {
		if flag.value != "" {
			text += " --" + flag.name + " " + flag.value
		}
	}
	return text
}

// printable keeps what others have written, such as the names in a mail server's certificate, from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// group makes a command that only has commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use + " <command>", Short: short,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(below...)
	return g
}

// print writes v as JSON where that was asked for, else as text.
func (r *root) print(out io.Writer, v any, text string) error {
	if !r.json {
		_, err := io.WriteString(out, asCalled(text))
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
