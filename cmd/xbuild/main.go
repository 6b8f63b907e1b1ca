// Command xbuild builds the Caddy that xcaddy.json describes, with xcaddy's library, and checks that the result is what the file says.
//
//	cd cmd/xbuild
//	go run . -f ../../xcaddy.json -o ../../build/caddy        what the file says
//	go run . -f ../../xcaddy.json -o ../../build/caddy -dev   with this module from the working tree
//	go run . -f ../../xcaddy.json -n                          print the equivalent xcaddy command and build nothing
//
// The xcaddy command itself reads no file; the file is the JSON form of its xcaddy.Builder. This is a module of its own, so that
// users of the plugin do not resolve xcaddy.
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
	dry := flags.Bool("n", false, "print the equivalent xcaddy command and stop")
	dev := flags.Bool("dev", false, "take the module whose go.mod is beside the description from there")
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
	if *dry {
		command, err := spec.command(*out)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, command)
		return err
	}
	target, err := filepath.Abs(*out)
	if err != nil {
		return err
	}
	// The versions are those of the file, and not of a workspace around the temporary directory.
	if err := os.Setenv("GOWORK", "off"); err != nil {
		return err
	}
	if err := spec.Build(ctx, target); err != nil {
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
