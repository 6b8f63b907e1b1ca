// Command bench measures the gate: what a signed-in request costs beside the same proxy without us, what the steps cost with
// one and with many callers, on a small and on a large database, and what the process takes beside bare Caddy.
//
// Every ratio is against a floor of the same run. Floor and subject take turns, a pair gives one ratio, and
// the table shows the median of the pairs with the least and the largest. It is no test: it fails when something does not
// answer as it should, never because something is slow.
//
// Everything runs on loopback. Caddy, the backend and the load are processes of their own, made from this one program (see
// roles), so that the operating system accounts for each.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	// runs is how many times the whole table is made; pairs is how many times floor and subject take turns in each; length is
	// how long one turn of a load lasts.
	runs   int
	pairs  int
	length time.Duration
	// parts is in how many turns of each side a pair of loads is taken apart.
	parts int
	// step is how long one turn of a row on the store lasts.
	step time.Duration
	// sizes are the numbers of accounts, sessions, flows and expired records of the rows about growth.
	sizes []int
	// flows is how many flows are issued and expire in the row about the plateau.
	flows int
	// reloads, checks: how many in the rows about reloads and passwords.
	reloads, checks int
	// answers is how many sign-ins with a password there are of each kind, bcrypt the cost of imported records.
	answers, bcrypt int
	// memory is what Caddy may take in the row about many sign-ins at once, in MiB.
	memory int
	// open is how many requests are held open at once.
	open int
	// build says that Caddy and bare Caddy are built; otherwise this program stands for both.
	build bool
	// only are parts of names of rows; empty: all.
	only []string
	// profile is where the CPU profile of Caddy goes, of the last turn of a row's subject; empty: none.
	profile string
	// dir holds databases and logs.
	dir string
}

// usual is the default round: about eight minutes on two cores.
func usual() options {
	return options{
		runs: 1, pairs: 5, length: 1200 * time.Millisecond, parts: 4, step: 200 * time.Millisecond, sizes: []int{1000, 100_000}, flows: 100_000, reloads: 50,
		checks: 200, answers: 60, bcrypt: 10, memory: 400, open: 5000, build: true,
	}
}

// short is a round that shows that everything works, and whose figures mean nothing. Its limit of memory leaves room for the
// race detector, with which the tests run, and its imported records are cheap since bcrypt takes many times as long with it.
func short() options {
	return options{
		runs: 1, pairs: 1, length: 150 * time.Millisecond, parts: 1, step: 30 * time.Millisecond, sizes: []int{100, 1000}, flows: 400, reloads: 3, checks: 6,
		answers: 20, bcrypt: 4, memory: 4000, open: 25,
	}
}

// bigRows are the rows that ask how large a database is, for which a million of everything is made.
var bigRows = []string{"growth", "sweep", "plateau", "cold"}

// big makes a million of everything, in the rows where that matters.
func (o *options) big() {
	o.sizes = append(o.sizes, 1_000_000)
	o.flows = 1_000_000
	o.only = bigRows
}

func main() {
	if run, ok := roles[os.Getenv(roleVar)]; ok {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := command(os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

// command reads the flags and runs the rows.
func command(args []string, out io.Writer) error {
	o := usual()
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	isShort := f.Bool("short", false, "a round of a minute that shows that everything works; its figures mean nothing")
	isBig := f.Bool("big", false, "the rows about large databases, with a million accounts, sessions, expired records and flows as well")
	runs := f.Int("runs", 1, "make the table so many times, and one table of all of them at the end")
	only := f.String("only", "", "only the rows whose names contain one of these words, separated by commas")
	list := f.Bool("list", false, "list the rows and end")
	pairs := f.Int("pairs", 0, "how many times floor and subject take turns (5)")
	answers := f.Int("answers", 0, "how many sign-ins with a password there are of each kind (60)")
	length := f.Duration("length", 0, "how long one turn of a load lasts (1.2s)")
	f.StringVar(&o.profile, "profile", "", "write the CPU profile of Caddy to this file: the last turn of the last row about requests (choose it with -only)")
	f.StringVar(&o.dir, "dir", "", "where databases are made, on the disk to be measured (a temporary directory)")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unrecognized argument %q", f.Arg(0))
	}
	if *list {
		for _, r := range rows {
			fmt.Fprintf(out, "%-14s %s\n", r.name, r.about)
		}
		return nil
	}
	if *isShort {
		profile, dir := o.profile, o.dir
		o = short()
		o.profile, o.dir = profile, dir
	}
	if *isBig {
		o.big()
	}
	o.runs = max(*runs, 1)
	if *pairs > 0 {
		o.pairs = *pairs
	}
	if *answers > 0 {
		o.answers = *answers
	}
	if *length > 0 {
		o.length = *length
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return round(o, out)
}

// round runs the rows and prints the table.
func round(o options, out io.Writer) error {
	chosen := choose(o.only)
	if len(chosen) == 0 {
		return errors.New("no row has such a name; -list lists them")
	}
	dir, err := os.MkdirTemp(o.dir, "email-link-bench-")
	if err != nil {
		return err
	}
	o.dir = dir
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	b := &bench{options: o}
	defer b.close()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-interrupted; ok {
			b.close()
			_ = os.RemoveAll(dir)
			os.Exit(130)
		}
	}()
	defer func() {
		signal.Stop(interrupted)
		close(interrupted)
	}()
	began := time.Now()
	fmt.Fprintf(out, "%d pairs of %v, %d cores, %s, %s\n\n", o.pairs, o.length, runtime.GOMAXPROCS(0), runtime.Version(), load())
	var failed error
	all := newRuns(chosen)
	for n := range o.runs {
		if o.runs > 1 {
			fmt.Fprintf(out, "run %d of %d, %s, %s\n\n", n+1, o.runs, time.Now().UTC().Format(time.TimeOnly), load())
		}
		t := table{out: out}
		t.head()
		for i, r := range chosen {
			figures, err := r.run(b)
			t.add(r, figures, err)
			all.add(i, figures)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", r.name, err))
			}
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%v. A figure is the median of the pairs; beside it stand the least and the largest. %s\n",
		time.Since(began).Round(time.Second), load())
	if o.runs > 1 {
		all.print(out, o.runs)
	}
	return failed
}

// choose returns the rows whose names contain one of the words, all without words.
func choose(words []string) []row {
	if len(words) == 0 {
		return rows
	}
	var some []row
	for _, r := range rows {
		for _, w := range words {
			if strings.Contains(r.name, w) {
				some = append(some, r)
				break
			}
		}
	}
	return some
}
