package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// job is one load: what to send, for how long, and what must come back.
type job struct {
	// Addr is host and port on loopback; H2 sends HTTP/2 without TLS.
	Addr string
	H2   bool
	// Conns is the number of connections, for HTTP/2 of streams on an eighth as many.
	Conns int
	// Warm is sent before the measuring begins, Length is measured.
	Warm, Length time.Duration
	// Rate is requests a second of all connections together; 0: as many as go.
	Rate int
	// Requests take turns.
	Requests []request
	// Status is the only status that is right, Size the only length of the body, -1: any.
	Status, Size int
	// Watch are the processes whose CPU time is measured.
	Watch []int
}

// request is one request without a body.
type request struct {
	Path string
	// Header is name, value, name, value, …
	Header []string
}

// outcome is what came of a job.
type outcome struct {
	// Done counts right answers within Seconds, Wrong the wrong ones, All every request; First says what was wrong with the first of
	// the wrong ones.
	Done, All, Wrong int64
	First            string
	Seconds          float64
	// P50 and P99 are latencies in microseconds.
	P50, P99 float64
	// CPU are seconds of each watched process; nil: not available.
	CPU []float64
	// Err says that the job could not be run.
	Err string
}

// loadRole reads jobs from standard input, a line of JSON each, and answers with a line of JSON.
func loadRole() error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var j job
		if err := in.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(j.run()); err != nil {
			return err
		}
	}
}

// sender is one connection.
type sender interface {
	// send sends a request by its number and returns the status and the length of the body.
	send(n int) (status, size int, err error)
	close()
}

// worker is one connection at work.
type worker struct {
	elapsed []int64
	wrong   int64
	first   string
}

func (j *job) run() outcome {
	ws := make([]worker, j.Conns)
	senders, err := j.dial()
	if err != nil {
		return outcome{Err: err.Error()}
	}
	from := time.Now().Add(j.Warm)
	to := from.Add(j.Length)
	var next atomic.Int64
	var wg sync.WaitGroup
	for i := range ws {
		wg.Go(func() {
			defer senders[i].close()
			j.work(&ws[i], senders[i], &next, i, from, to)
		})
	}
	before, during := make([]float64, 0, len(j.Watch)), make([]float64, 0, len(j.Watch))
	time.Sleep(time.Until(from))
	before = cpus(before, j.Watch)
	began := time.Now()
	time.Sleep(time.Until(to))
	seconds := time.Since(began).Seconds()
	during = cpus(during, j.Watch)
	wg.Wait()

	o := outcome{Seconds: seconds, All: next.Load()}
	var all []int64
	for _, w := range ws {
		all = append(all, w.elapsed...)
		if o.Wrong += w.wrong; o.First == "" {
			o.First = w.first
		}
	}
	slices.Sort(all)
	o.Done = int64(len(all))
	o.P50, o.P99 = percentile(all, 50), percentile(all, 99)
	if len(before) == len(j.Watch) && len(during) == len(j.Watch) {
		for i := range during {
			o.CPU = append(o.CPU, during[i]-before[i])
		}
	}
	return o
}

// cpus reads the CPU times of processes in seconds, none when one of them is not to be had.
func cpus(into []float64, pids []int) []float64 {
	for _, pid := range pids {
		t, err := cpuOf(pid)
		if err != nil {
			return nil
		}
		into = append(into, t.Seconds())
	}
	return into
}

// work sends until the time is over. A request that is late because the one before took long counts from when it was due.
func (j *job) work(w *worker, s sender, next *atomic.Int64, i int, from, to time.Time) {
	w.elapsed = make([]int64, 0, 1<<14)
	var gap time.Duration
	due := time.Now()
	if j.Rate > 0 {
		gap = time.Duration(j.Conns) * time.Second / time.Duration(j.Rate)
		due = due.Add(gap * time.Duration(i) / time.Duration(j.Conns))
	}
	for {
		start := time.Now()
		if gap > 0 {
			if due = due.Add(gap); due.After(start) {
				time.Sleep(due.Sub(start))
				start = time.Now()
			} else {
				start = due
			}
		}
		if start.After(to) {
			return
		}
		status, size, err := s.send(int(next.Add(1)) % len(j.Requests))
		end := time.Now()
		switch {
		case err != nil:
			w.fail(err.Error())
			return
		case status != j.Status || j.Size >= 0 && size != j.Size:
			w.fail(fmt.Sprintf("status %d with %d bytes", status, size))
		case !start.Before(from) && !end.After(to):
			w.elapsed = append(w.elapsed, int64(end.Sub(start)))
		}
	}
}

func (w *worker) fail(reason string) {
	if w.wrong++; w.first == "" {
		w.first = reason
	}
}

// percentile of sorted nanoseconds, in microseconds.
func percentile(sorted []int64, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, len(sorted)*p/100)]) / 1000
}

// dial opens the connections.
func (j *job) dial() ([]sender, error) {
	if j.H2 {
		return j.dialH2(), nil
	}
	texts := make([][]byte, len(j.Requests))
	for i, r := range j.Requests {
		texts[i] = r.text(j.Addr)
	}
	var list []sender
	for range j.Conns {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", j.Addr) //nolint:noctx // it has a timeout
		if err != nil {
			return nil, err
		}
		if err := conn.SetDeadline(time.Now().Add(j.Warm + j.Length + 10*time.Second)); err != nil {
			return nil, err
		}
		list = append(list, &plainConn{Conn: conn, in: bufio.NewReaderSize(conn, 16<<10), texts: texts})
	}
	return list, nil
}
