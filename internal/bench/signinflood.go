package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

const (
	// together is how many sign in at once.
	together = 200
	// pace is the time between two requests of somebody who is signed in.
	pace = 5 * time.Millisecond
)

// signInFloodRow is many sign-ins with the right password at once, in a process with little memory, while somebody who is signed in
// goes on. Each is let in or told to come back.
func signInFloodRow(b *bench) ([]figure, error) {
	against := fmt.Sprintf("a limit of %d MiB", b.memory)
	limit, err := newGroup(fmt.Sprintf("email-link-bench-%d", os.Getpid()), b.memory)
	if err != nil {
		limit, against = nil, "no limit: "+unlimited(err)
	} else {
		b.atEnd(limit.remove)
		defer limit.remove()
	}
	own, _, err := records(b.bcrypt)
	if err != nil {
		return nil, err
	}
	var people []user
	for n := range together {
		people = append(people, user{email: fmt.Sprintf("person%d@example.com", n), record: own})
	}
	e, err := b.entrance(people, limit)
	if e != nil && e.child != nil {
		defer e.Stop()
	}
	if err != nil {
		return nil, errors.Join(err, limit.killed())
	}
	var seen surge
	for range b.options.pairs {
		if err := e.surge(&seen); err != nil {
			return nil, e.fate(errors.Join(err, limit.killed()))
		}
	}
	select {
	case <-e.Ended:
		return nil, e.fate(errors.Join(errors.New("the process has ended"), limit.killed()))
	default:
	}
	if err := limit.killed(); err != nil {
		return nil, e.fate(err)
	}
	return seen.figures(e, limit, against), nil
}

// unlimited says in a few words why there is no limit.
func unlimited(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// surge is what came of the sign-ins: values are one for each time.
type surge struct {
	in, back, others []float64
	// signed are the times of requests of whoever was signed in, in ms.
	signed []float64
}

// surge lets everybody sign in at once: half of them by the form, half by JSON.
func (e *entrance) surge(s *surge) error {
	over, signed := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		s.signed, err = e.goOn(over, s.signed)
		signed <- err
	}()
	t := &http.Transport{ResponseHeaderTimeout: time.Minute}
	defer t.CloseIdleConnections()
	answers, errs := make([]answer, together), make([]error, together)
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(together)
	for n := range together {
		done.Go(func() {
			ready.Done()
			<-begin
			answers[n], _, errs[n] = e.signIn(t, fmt.Sprintf("person%d@example.com", n), words, n%2 == 0)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	close(over)
	err := <-signed
	var in, back, others float64
	for n, a := range answers {
		switch {
		case errs[n] == nil && a.right():
			in++
		case errs[n] == nil && a.status == http.StatusServiceUnavailable && a.retryAfter > 0 && !a.entered:
			back++
		default:
			if others++; others == 1 {
				err = errors.Join(err, fmt.Errorf("status %d, Retry-After %d, signed in: %v: %w", a.status, a.retryAfter, a.entered, errs[n]))
			}
		}
	}
	if others > 0 {
		err = errors.Join(err, fmt.Errorf("%v of %d sign-ins were not answered as they should be", others, together))
	}
	if in == 0 {
		err = errors.Join(err, errors.New("nobody was let in"))
	}
	s.in, s.back, s.others = append(s.in, in), append(s.back, back), append(s.others, others)
	return err
}

// goOn asks the backend again and again, signed in, on a connection of its own, until it is over. At least one answer came
// before that.
func (e *entrance) goOn(over <-chan struct{}, elapsed []float64) ([]float64, error) {
	t := &http.Transport{MaxConnsPerHost: 1, ResponseHeaderTimeout: time.Minute}
	defer t.CloseIdleConnections()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		began := time.Now()
		if err := e.askSignedIn(t); err != nil {
			return elapsed, err
		}
		elapsed = append(elapsed, float64(time.Since(began).Nanoseconds())/1e6)
		select {
		case <-over:
			if n == 0 {
				return elapsed, errors.New("no signed-in request was answered meanwhile")
			}
			return elapsed, nil
		case <-tick.C:
		}
	}
}

// askSignedIn asks the backend once, and wants its answer.
func (e *entrance) askSignedIn(t http.RoundTripper) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, e.url+"/x", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Cookie", boundary.CookieName("", false)+"="+e.cookie)
	res, err := t.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("a signed-in request: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || len(text) != bodySize) {
		err = fmt.Errorf("a signed-in request: %s with %d bytes", res.Status, len(text))
	}
	return err
}

func (s *surge) figures(e *entrance, limit *group, against string) []figure {
	at := fmt.Sprintf("%d sign-ins at once: ", together)
	resident := figure{what: "memory at most, resident", floor: against, unit: "MiB"}
	if m, err := memoryOf(e.Process.Pid); err != nil {
		resident.missing = errNoAccounting.Error()
	} else {
		resident.values = []float64{m.peak}
	}
	list := []figure{
		{what: at + "let in", floor: against, values: s.in},
		{what: at + "503, Retry-After", floor: against, values: s.back},
		atMost(figure{what: at + "anything else", floor: against, values: s.others}, 0),
		{what: fmt.Sprintf("%d signed-in requests meanwhile", len(s.signed)), floor: against, unit: "ms", values: s.signed},
		resident,
	}
	if limit == nil {
		return list
	}
	all := figure{what: "memory at most, the kernel's for it included", floor: against, unit: "MiB"}
	if peak, err := limit.peak(); err != nil {
		all.missing = errNoAccounting.Error()
	} else {
		all.values = []float64{peak}
	}
	return append(list, all)
}
