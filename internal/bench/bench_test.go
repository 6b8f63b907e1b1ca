package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test's binary be what the command's binary is: Caddy, the backend, the load.
func TestMain(m *testing.M) {
	if run, ok := roles[os.Getenv(roleVar)]; ok {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestShortRound runs every row with tiny numbers. It looks at no figure: only that there is one for each, which a row gives
// when everything was answered as it should be.
func TestShortRound(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a dozen processes")
	}
	var out strings.Builder
	if err := command([]string{"-short", "-dir", t.TempDir()}, &out); err != nil {
		t.Errorf("%v", err)
	}
	t.Log("\n" + out.String())
	for _, r := range rows {
		lines := 0
		for line := range strings.Lines(out.String()) {
			if cells := strings.Split(line, "|"); len(cells) > 5 && strings.TrimSpace(cells[1]) == r.name && strings.TrimSpace(cells[5]) != "failed" {
				lines++
			}
		}
		if lines == 0 {
			t.Errorf("the row %q has no figure", r.name)
		}
	}
}

func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"-only", "nothing-of-the-kind"}, {"signed"}, {"-nope"}} {
		if err := command(args, new(strings.Builder)); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	sorted := make([]int64, 200)
	for i := range sorted {
		sorted[i] = int64(i+1) * 1000
	}
	if got := percentile(sorted, 50); got != 101 {
		t.Errorf("p50 = %v", got)
	}
	if got := percentile(sorted, 99); got != 199 {
		t.Errorf("p99 = %v", got)
	}
	if got := percentile(nil, 99); got != 0 {
		t.Errorf("p99 of nothing = %v", got)
	}
}

// TestSyncedBeforeTheAnswer reads traces of answers that were written before, after and while their commit was synced.
func TestSyncedBeforeTheAnswer(t *testing.T) {
	const (
		ask    = "7 read(9,  <unfinished ...>\n8 write(3, \"x\", 1) = 1\n7 <... read resumed>\"OST /ask HTTP/1.1\"..., 4096) = 200\n"
		data   = "7 pwrite64(5, \"data\"..., 8192, 40960) = 8192\n"
		meta   = "7 pwrite64(5, \"meta\"..., 4096, 4096) = 4096\n"
		sync   = "7 fdatasync(5) = 0\n"
		begun  = "8 fdatasync(5 <unfinished ...>\n"
		ended  = "8 <... fdatasync resumed>) = 0\n"
		answer = "7 write(9, \"HTTP/1.1 303 See Other\"..., 700) = 700\n"
	)
	for name, c := range map[string]struct {
		text string
		want float64
	}{
		"after":            {ask + data + sync + meta + sync + answer, 1},
		"on another":       {ask + data + meta + begun + ended + answer, 1},
		"before":           {ask + data + sync + meta + answer + sync, 0},
		"while":            {ask + data + sync + meta + begun + answer + ended, 0},
		"never":            {ask + answer, 0},
		"the data alone":   {ask + data + sync + answer, 0},
		"the one before":   {meta + sync + ask + answer, 0},
		"begun before":     {begun + ask + meta + ended + answer, 0},
		"the meta's alone": {ask + sync + meta + answer, 0},
	} {
		path := filepath.Join(t.TempDir(), "trace")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		calls, err := readTrace(path)
		if err != nil {
			t.Fatal(err)
		}
		spans := calls.between("POST /ask")
		if got := calls.durable(spans); len(spans) != 1 || got != c.want {
			t.Errorf("%s: %v of %d requests", name, got, len(spans))
		}
	}
}

func TestRunsSideBySide(t *testing.T) {
	var out strings.Builder
	r := newRuns([]row{{name: "one"}})
	for _, v := range []float64{0.8, 1, 0.95} {
		r.add(0, []figure{atLeast(figure{what: "speed", values: []float64{v}}, 0.9), {what: "nothing", missing: "not here"}})
	}
	r.print(&out, 3)
	for _, want := range []string{"0.800  1  0.950", "2/3", "not here"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
