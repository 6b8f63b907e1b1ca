package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// auditLog answers queries as a gate does: the newest first, N at most.
type auditLog struct {
	events []operator.Event
	asked  []operator.EventQuery
	fails  error
}

func (l *auditLog) list(q operator.EventQuery) (list []operator.Event, err error) {
	l.asked = append(l.asked, q)
	for _, e := range l.events {
		if !e.Time.Before(q.Since) {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b operator.Event) int { return b.Time.Compare(a.Time) })
	return list[:min(len(list), q.N)], l.fails
}

// following runs a follower over a log. tick lets it ask once more and returns what it has printed since.
func following(t *testing.T, l *auditLog, q operator.EventQuery, start time.Time) (tick func() []string, end func() error) {
	t.Helper()
	lines := make(chan string, 5000)
	drain := func() (list []string) {
		for {
			select {
			case line := <-lines:
				list = append(list, line)
			default:
				return list
			}
		}
	}
	ticks, ready := make(chan time.Time), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	f := follower{
		query: q, start: start,
		ask: func(q operator.EventQuery) ([]operator.Event, error) {
			defer func() { ready <- struct{}{} }()
			return l.list(q)
		},
		print: func(e operator.Event) error { lines <- e.Event; return nil },
		warn:  func(text string) { lines <- "warning: " + text },
	}
	result := make(chan error, 1)
	go func() { result <- f.run(ctx, ticks) }()
	<-ready
	// A tick is taken only after the answer before has been printed; the second of two asks for nothing new.
	tick = func() []string {
		ticks <- time.Time{}
		<-ready
		ticks <- time.Time{}
		<-ready
		return drain()
	}
	return tick, func() error { cancel(); return <-result }
}

func TestEvents_FollowPrintsEachLineOnceTheOldestFirst(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(name string, seconds int) operator.Event {
		return operator.Event{Event: name, Time: start.Add(time.Duration(seconds) * time.Second)}
	}
	l := &auditLog{events: []operator.Event{at("left out", -3), at("b", -1), at("a", -2)}}
	tick, end := following(t, l, operator.EventQuery{N: 2}, start)
	for i, step := range []struct {
		add  []operator.Event
		want string
	}{
		{nil, "a b"},
		{[]operator.Event{at("c", 1)}, "c"},
		{nil, ""},
		{[]operator.Event{at("late", 0), at("d", 2)}, "late d"}, // a step that began earlier and ended later
		{[]operator.Event{at("d", 2), at("e", 40)}, "d e"},      // the same line twice is two events
		{[]operator.Event{at("f", 41), at("g", 40)}, "g f"},
	} {
		l.events = append(l.events, step.add...)
		if got := strings.Join(tick(), " "); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if err := end(); err != nil {
		t.Errorf("the end: %v", err)
	}
	if q := l.asked[len(l.asked)-1]; q.N != operator.MaxListed || !q.Since.Equal(start.Add(31*time.Second)) {
		t.Errorf("the last question: %+v", q)
	}
}

// TestEvents_FollowDoesNotReadTheWholeLogEachTime: a filter may match nothing for months.
func TestEvents_FollowDoesNotReadTheWholeLogEachTime(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for name, l := range map[string]*auditLog{
		"nothing":      {},
		"long ago":     {events: []operator.Event{{Event: "a", Time: start.AddDate(0, -2, 0)}}},
		"since before": {events: []operator.Event{{Event: "a", Time: start.AddDate(0, 0, -1)}}},
	} {
		tick, end := following(t, l, operator.EventQuery{N: 50, Since: start.AddDate(0, 0, -3)}, start)
		tick()
		if err := end(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, q := range l.asked[1:] {
			if !q.Since.Equal(start.Add(-time.Hour)) {
				t.Errorf("%s: asks since %v", name, q.Since)
			}
		}
	}
}

func TestEvents_FollowWaitsForACaddyThatStartsAnew(t *testing.T) {
	t.Parallel()
	l := &auditLog{}
	tick, end := following(t, l, operator.EventQuery{N: 2}, time.Unix(1_800_000_000, 0))
	tick()
	l.fails = fmt.Errorf("%w at localhost:2019", adminapi.ErrUnreachable)
	if got := tick(); len(got) != 1 || !strings.Contains(got[0], "waiting for it") {
		t.Errorf("without a gate: %q", got)
	}
	l.events, l.fails = []operator.Event{{Event: "a", Time: time.Unix(1_800_000_001, 0)}}, nil
	if got := tick(); len(got) != 2 || got[0] != "a" || !strings.Contains(got[1], "answers again") {
		t.Errorf("with a gate: %q", got)
	}
	if err := end(); err != nil {
		t.Errorf("the end: %v", err)
	}
}

func TestEvents_FollowEndsWithAnError(t *testing.T) {
	t.Parallel()
	for when, polls := range map[string]int{"at once": 0, "later": 1} {
		refused := errors.New("refused")
		ticks := make(chan time.Time, 1)
		ticks <- time.Time{}
		f := follower{
			query: operator.EventQuery{N: 1},
			ask: func(operator.EventQuery) ([]operator.Event, error) {
				if polls--; polls < 0 {
					return nil, refused
				}
				return nil, nil
			},
		}
		if err := f.run(t.Context(), ticks); !errors.Is(err, refused) {
			t.Errorf("%s: %v", when, err)
		}
	}
}

// TestEvents_FollowNeedsARunningGate: a database that this command held open would keep Caddy from starting.
func TestEvents_FollowNeedsARunningGate(t *testing.T) {
	t.Parallel()
	r := &root{address: "127.0.0.1:1"}
	err := r.followEvents(t.Context(), operator.EventQuery{N: 1}, time.Unix(0, 0), new(strings.Builder))
	if err == nil || !strings.Contains(err.Error(), "--follow asks the running gate") {
		t.Errorf("got %v", err)
	}
}

func TestEvents_RowsNameTheOperator(t *testing.T) {
	t.Parallel()
	e := operator.Event{Event: "changed", Command: "accounts disable", User: "ann", Host: "nas\x1b[2J"}
	if got := eventRow(e); !strings.HasSuffix(got, "\tann@nas\uFFFD[2J: accounts disable") {
		t.Errorf("%q", got)
	}
	if got := eventRow(operator.Event{Event: "mailed"}); !strings.HasSuffix(got, "\t-") {
		t.Errorf("%q", got)
	}
}

// TestEvents_AValueThatIsNoneSaysWhatToWrite gives options values of another kind, and then does as the message says.
func TestEvents_AValueThatIsNoneSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	command := func(r *root) *cobra.Command {
		cmd := r.events()
		r.prepare(cmd)
		return cmd
	}
	for value, want := range map[string]string{
		"-n=abc":                     `"-n, --number": write a whole number, such as 100; `,
		"--number=1.5":               `"-n, --number": write a whole number, such as 100; `,
		"-n=99999999999999999999999": `"-n, --number": write a whole number, such as 100; `,
		"--operators=maybe":          `"--operators": write the option without a value; `,
	} {
		g := &gateOf{}
		_, errs, err := g.run(t, command, "", value)
		if err == nil || !strings.Contains(errs, want) || strings.Contains(errs, "strconv") || len(g.asked) > 0 {
			t.Errorf("%s: %v, %q, asked %v", value, err, errs, g.asked)
		}
	}
	g := &gateOf{}
	if _, errs, err := g.run(t, command, "", "-n", "100", "--operators"); err != nil || errs != "" || !slices.Equal(g.asked, []string{"Events 100"}) {
		t.Errorf("as the messages say: %v, %q, asked %v", err, errs, g.asked)
	}
}
