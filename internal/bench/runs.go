package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// runs holds the medians of several runs of the table, each figure by its row and its place in it.
type runs struct {
	rows    []row
	figures [][]repeated
}

// repeated is one figure of several runs.
type repeated struct {
	figure
	medians []float64
}

func newRuns(rows []row) *runs { return &runs{rows: rows, figures: make([][]repeated, len(rows))} }

// add takes what the row at a place has measured in one more run.
func (r *runs) add(place int, figures []figure) {
	for i, f := range figures {
		if i == len(r.figures[place]) {
			r.figures[place] = append(r.figures[place], repeated{figure: f})
		}
		if f.missing == "" {
			one := &r.figures[place][i]
			one.medians = append(one.medians, median(f.values))
		}
	}
}

// print writes one table with the medians of each run side by side.
func (r *runs) print(out io.Writer, many int) {
	fmt.Fprintf(out, "\nthe median of each of %d runs; met says how many of them met the target\n\n", many)
	t := table{out: out, widths: []int{14, 52, 32, 12, 10 * many, 12, 18, 6}}
	t.line("row", "what", "against", "target", "runs", "median", "spread", "met")
	t.line("---", "---", "---", "---", "---", "---", "---", "---")
	for place, list := range r.figures {
		for _, f := range list {
			if len(f.medians) == 0 {
				t.line(r.rows[place].name, f.what, f.floor, f.target, "–", "–", f.missing, "–")
				continue
			}
			var each []string
			met, good := "–", 0
			for _, m := range f.medians {
				each = append(each, number(m, ""))
				if f.met != nil && f.met(m) {
					good++
				}
			}
			if f.met != nil {
				met = fmt.Sprintf("%d/%d", good, len(f.medians))
			}
			spread := number(slices.Min(f.medians), "") + " … " + number(slices.Max(f.medians), "")
			t.line(r.rows[place].name, f.what, f.floor, f.target, strings.Join(each, "  "), number(median(f.medians), f.unit), spread, met)
		}
	}
}
