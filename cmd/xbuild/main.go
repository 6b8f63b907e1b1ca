// Command xbuild builds the Caddy that xcaddy.json describes, with Go alone, and checks that the result is what the file says.
//
//	go run ./cmd/xbuild -o caddy        what the file says
//	go run ./cmd/xbuild -dev -o caddy   with this module as it stands in the working tree
//	go run ./cmd/xbuild -n              the equal xcaddy command, nothing built
//
// xcaddy itself reads no file; the names are those of the JSON form of its Builder type.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "xbuild:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("xbuild", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("f", "xcaddy.json", "the description to build")
	out := flags.String("o", "caddy", "where the binary goes")
	dry := flags.Bool("n", false, "print the equal xcaddy command and stop")
	dev := flags.Bool("dev", false, "take the module whose go.mod lies beside the description from there")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q: see -h", flags.Arg(0))
	}
	spec, err := readSpec(*file)
	if err != nil {
		return err
	}
	if *dev {
		if err := spec.replaceOwn(filepath.Dir(*file)); err != nil {
			return err
		}
	}
	target, err := filepath.Abs(*out)
	if err != nil {
		return err
	}
	if *dry {
		_, err := fmt.Fprintln(stdout, spec.command(*out))
		return err
	}
	if err := spec.build(ctx, target, stderr); err != nil {
		return err
	}
	info, err := buildInfo(ctx, target)
	if err != nil {
		return err
	}
	if err := spec.check(info); err != nil {
		return fmt.Errorf("%s is not what %s says: %w", target, *file, err)
	}
	_, err = fmt.Fprintln(stdout, target)
	return err
}
