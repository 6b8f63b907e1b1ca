package main

import (
	"fmt"
	"os"
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
