package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// followEvery is how often the running gate is asked for new events.
const followEvery = time.Second

func (r *root) events() *cobra.Command {
	var q operator.EventQuery
	var since string
	var follow bool
	cmd := r.command("events [-n <number>] [--since <time>] [--account <email or id>] [--event <name>] [--client <ip>] [--operators] [--follow]",
		"Lists the newest lines of the audit log",
		`Lists the newest lines of the audit log, newest first; with --json one object per line. They name accounts and flows by their ids, as
Caddy's log does, and hold no address, link or code. With several filters, a line has to pass all of them.

Lines about an operator's command name the command, user and host as the command reported them. Nothing verifies them.

With --follow the newest line comes last, and new lines are added until you press Ctrl-C. It asks the running Caddy: while none is
running, there is nothing to follow.

Examples:
  caddy email-link events --since 2h --event mailed
  caddy email-link events --follow --operators`, 0, 0,
		func(ctx context.Context, _ []string, out io.Writer) (err error) {
			now := time.Now() //nolint:forbidigo // a command runs beside the gate and has no clock of it
			if q.Since, err = parseSince(since, now); err != nil {
				return err
			}
			if follow {
				return r.followEvents(ctx, q, now, out)
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				list, err := b.Events(ctx, q)
				if err != nil || r.json {
					return errors.Join(err, printJSONLines(out, list))
				}
				if len(list) == 0 {
					_, err := io.WriteString(out, noEvents(q)+"\n")
					return err
				}
				var rows []string
				for _, e := range list {
					rows = append(rows, eventRow(e))
				}
				return table(out, "TIME\tEVENT\tPURPOSE\tOUTCOME\tACCOUNT\tFLOW\tSITE\tCLIENT\tOPERATOR", rows)
			})
		})
	cmd.Flags().IntVarP(&q.N, "number", "n", 50, fmt.Sprintf("How many, %d at most", operator.MaxListed))
	cmd.Flags().StringVar(&since, "since", "", `Only lines from this time on: a duration such as 2h or 3d, or a time such as 2026-11-28 or "2026-11-28 14:00"`)
	cmd.Flags().StringVar(&q.Account, "account", "", "Only lines about this account; the id of a deleted one works too")
	cmd.Flags().StringVar(&q.Event, "event", "", "Only lines with this event, such as mailed, denied or signed_in")
	cmd.Flags().StringVar(&q.Client, "client", "", "Only lines about the network of this IP address")
	cmd.Flags().BoolVar(&q.Operators, "operators", false, "Only what operators' commands did")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "Add new lines as they come")
	return cmd
}

// noEvents says that a query selects nothing.
func noEvents(q operator.EventQuery) string {
	if q == (operator.EventQuery{N: q.N}) {
		return "the audit log is empty: nobody has asked for a mail or signed in yet"
	}
	return "no line of the audit log passes these filters"
}

func eventRow(e operator.Event) string {
	return row(formatTime(e.Time), e.Event, e.Purpose, e.Outcome, e.Account, e.Flow, e.Site, e.Client, operatorCell(e))
}

// operatorCell returns who did it with which command, empty if no command did.
func operatorCell(e operator.Event) string {
	if e.Command == "" && e.User == "" && e.Host == "" {
		return ""
	}
	return printable(fmt.Sprintf("%s@%s: %s", e.User, e.Host, e.Command))
}

// followEvents prints events as they come until the context ends or the user presses Ctrl-C.
func (r *root) followEvents(ctx context.Context, q operator.EventQuery, now time.Time, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	f := follower{
		query: q,
		start: now,
		ask: func(q operator.EventQuery) (list []operator.Event, err error) {
			err = r.askRunning(ctx, func(c *adminapi.Client) error {
				list, err = c.Events(ctx, q)
				return err
			})
			return list, err
		},
		print: func(e operator.Event) error { return r.printFollowed(out, e) },
		warn:  func(text string) { fmt.Fprintln(os.Stderr, "caddy email-link: "+printable(text)) },
	}
	err := f.run(ctx, ticker.C)
	if errors.Is(err, adminapi.ErrUnreachable) || errors.Is(err, adminapi.ErrNotRunning) {
		return fmt.Errorf("%w\n--follow asks the running gate; without it 'caddy email-link events' lists what the database holds", err)
	}
	return err
}

// printFollowed prints one event at once. The columns keep their widths, because the lines to come are not known.
func (r *root) printFollowed(out io.Writer, e operator.Event) error {
	var err error
	if r.json {
		err = printJSONLines(out, []operator.Event{e})
	} else {
		cells := strings.Split(eventRow(e), "\t")
		_, err = fmt.Fprintf(out, "%s  %-10s  %-11s  %-10s  %-16s  %-16s  %s  %s  %s\n",
			cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7], cells[8])
	}
	if w, ok := out.(interface{ Flush() error }); ok {
		err = errors.Join(err, w.Flush())
	}
	return err
}

// follower prints what a query selects, the oldest first, and then what is added.
type follower struct {
	query operator.EventQuery
	// start is the present time.
	start time.Time
	ask   func(operator.EventQuery) ([]operator.Event, error)
	print func(operator.Event) error
	warn  func(text string)

	// newest is the latest time of a printed event, oldest the earliest of the first answer, printed is what another answer may hold
	// again.
	newest, oldest time.Time
	printed        map[operator.Event]int
}

const (
	// followOverlap is how far behind the newest event one may still appear: steps end in another order than they begin.
	followOverlap = 10 * time.Second
	// followBack is how far before its start a follower looks at each tick at most: a filter may match nothing for months. It covers
	// a clock of the gate that is late.
	followBack = time.Hour
)

// run prints the events that there are, and at each tick those that have come, until the context ends. It fails if the first question
// does; later ones that find no gate are asked again, because Caddy may be starting anew.
func (f *follower) run(ctx context.Context, ticks <-chan time.Time) error {
	if err := f.poll(f.query); err != nil {
		return err
	}
	earliest := latest(f.query.Since, f.start.Add(-followBack))
	if len(f.printed) == f.query.N { // what came before them was not asked for
		earliest = latest(earliest, f.oldest)
	}
	f.query.N = operator.MaxListed
	waiting := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		}
		f.query.Since = latest(earliest, f.newest.Add(-followOverlap))
		err := f.poll(f.query)
		gone := errors.Is(err, adminapi.ErrUnreachable) || errors.Is(err, adminapi.ErrNotRunning)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !gone:
			return err
		case gone && !waiting:
			f.warn("the gate does not answer; waiting for it")
		case !gone && waiting:
			f.warn("the gate answers again")
		}
		waiting = gone
	}
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// poll prints those events of an answer that have not been printed.
func (f *follower) poll(q operator.EventQuery) error {
	list, err := f.ask(q)
	if err != nil {
		return err
	}
	if len(f.printed) > 0 && len(list) == operator.MaxListed {
		f.warn(fmt.Sprintf("more than %d lines came at once; 'caddy email-link events' lists some that are missing here", operator.MaxListed))
	}
	if f.printed == nil && len(list) > 0 {
		f.oldest = list[len(list)-1].Time
	}
	answered := make(map[operator.Event]int, len(list))
	for _, e := range slices.Backward(list) { // the oldest first
		if answered[e]++; answered[e] <= f.printed[e] {
			continue
		}
		if err := f.print(e); err != nil {
			return err
		}
		if e.Time.After(f.newest) {
			f.newest = e.Time
		}
	}
	f.printed = answered
	return nil
}

// parseSince reads a duration before now, or a time, which is local unless it names its zone. An empty text is the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := caddy.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since: %q is neither a positive duration nor a time; write 2h, 3d, 2026-11-28 or \"2026-11-28 14:00\"", text)
}
