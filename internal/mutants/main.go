// Command mutants measures what the tests notice. Its list names small removals of something that somebody outside can see or
// rely on: a check, a sync, a limit, a header, a comparison, an order, an arm of an enumeration. It applies each of them alone,
// in an overlay of the compiler's, so the tree stays as it is, and runs the tests that must fail then: those of the package, and
// those of the promise that the removal breaks.
//
//	make mutants                       # all of them, going on where the last run was interrupted
//	make mutants MUTANTS=-fresh        # from the start
//	make mutants MUTANTS='-only flow'  # those whose id or file contains a word
//	make mutants MUTANTS=-quick        # with the tests of their own packages alone
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stateFile holds the outcomes so far, so that an interrupted run goes on where it was.
const stateFile = "build/mutants.json"

// outcome is what came of one mutant.
type outcome struct {
	// Mutant is the digest of the mutant that was tried.
	Mutant string
	// Result is one of the constants below.
	Result string
	// By names the tests that failed.
	By      string `json:",omitempty"`
	Seconds float64
}

// Results of trying a mutant.
const (
	noticed    = "noticed"
	notNoticed = "NOT NOTICED"
	broken     = "does not build"
	notApplied = "does not apply"
	equivalent = "equivalent"
)

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "try the mutants whose id or file contains this `word`")
	flag.BoolVar(&o.quick, "quick", false, "run the tests of the mutant's own package alone")
	flag.BoolVar(&o.fresh, "fresh", false, "forget the outcomes of earlier runs")
	flag.BoolVar(&o.again, "again", false, "try again what was not noticed, did not build or did not apply")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

type options struct {
	only                string
	quick, fresh, again bool
}

func run(ctx context.Context, o options) error {
	list, err := readList("internal/mutants/list")
	if err != nil {
		return err
	}
	state := map[string]outcome{}
	if !o.fresh {
		if state, err = load(); err != nil {
			return err
		}
	}
	t, err := newTester(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	for i, m := range list {
		if o.only != "" && !strings.Contains(m.ID+" "+m.File, o.only) {
			continue
		}
		before, tried := state[m.ID]
		if tried && before.Mutant == m.digest() && (!o.again || before.Result == noticed || before.Result == equivalent) {
			continue
		}
		begin := time.Now() //nolint:forbidigo // how long a tool takes
		result := t.try(ctx, m, o.quick)
		if ctx.Err() != nil {
			break // what was under way is tried again by the next run
		}
		result.Seconds = time.Since(begin).Seconds() //nolint:forbidigo // how long a tool takes
		state[m.ID] = result
		fmt.Fprintf(os.Stdout, "%3d/%d %-14s %-28s %4.0fs  %s\n", i+1, len(list), result.Result, m.ID, result.Seconds, result.By)
		if err := save(state); err != nil {
			return err
		}
	}
	report(list, state)
	return nil
}

// report prints the figures over the whole list.
func report(list []mutant, state map[string]outcome) {
	counts, minutes, left := map[string]int{}, 0.0, 0
	for _, m := range list {
		result, tried := state[m.ID]
		if !tried || result.Mutant != m.digest() {
			left++
			continue
		}
		counts[result.Result]++
		minutes += result.Seconds / 60
		if result.Result != noticed && result.Result != equivalent {
			fmt.Fprintf(os.Stdout, "%s: %s (%s, %s)\n", result.Result, m.ID, m.File, m.What)
		}
	}
	fmt.Fprintf(os.Stdout, "%d mutants", len(list))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(os.Stdout, ", %d %s", counts[name], name)
	}
	fmt.Fprintf(os.Stdout, ", %d not tried; %.0f minutes\n", left, minutes)
	if tried := counts[noticed] + counts[notNoticed]; tried > 0 {
		fmt.Fprintf(os.Stdout, "noticed: %.1f %%\n", 100*float64(counts[noticed])/float64(tried))
	}
}

func load() (map[string]outcome, error) {
	state := map[string]outcome{}
	text, err := os.ReadFile(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return nil, err
	}
	return state, json.Unmarshal(text, &state)
}

func save(state map[string]outcome) error {
	text, err := json.MarshalIndent(state, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(stateFile), 0o750); err != nil {
		return err
	}
	// A run that is interrupted here leaves the file before or the file after.
	if err := os.WriteFile(stateFile+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(stateFile+".new", stateFile)
}
