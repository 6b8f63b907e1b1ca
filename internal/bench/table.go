package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// row is one thing that is measured.
type row struct {
	name, about string
	run         func(*bench) ([]figure, error)
}

// figure is one line of the table.
type figure struct {
	// what is measured, against which floor.
	what, floor string
	// target in words, empty where there is none; met judges the median.
	target string
	met    func(median float64) bool
	// unit follows the figure: "", "µs", "MiB".
	unit string
	// values are one for each pair, or a single one.
	values []float64
	// missing says why there are none.
	missing string
}

// atLeast and atMost are targets.
func atLeast(f figure, limit float64) figure {
	f.target, f.met = "≥ "+number(limit, f.unit), func(m float64) bool { return m >= limit }
	return f
}

func atMost(f figure, limit float64) figure {
	f.target, f.met = "≤ "+number(limit, f.unit), func(m float64) bool { return m <= limit }
	return f
}

// median returns the middle value, of two the mean.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// number writes a value with three digits that count.
func number(v float64, unit string) string {
	var text string
	switch abs := max(v, -v); {
	case v == float64(int64(v)) && abs < 1e6:
		text = fmt.Sprintf("%d", int64(v))
	case abs >= 10_000:
		text = fmt.Sprintf("%.0f", v)
	case abs >= 100:
		text = fmt.Sprintf("%.0f", v)
	case abs >= 10:
		text = fmt.Sprintf("%.1f", v)
	case abs >= 0.1:
		text = fmt.Sprintf("%.3f", v)
	default:
		text = fmt.Sprintf("%.4f", v)
	}
	if unit != "" {
		text += " " + unit
	}
	return text
}

// table prints lines as they come, so that whoever waits sees how far it is.
type table struct {
	out io.Writer
	// widths of the cells; nil: those of a single run.
	widths []int
}

func (t table) line(cells ...string) {
	widths := t.widths
	if widths == nil {
		widths = []int{14, 52, 32, 12, 12, 24, 3}
	}
	var b strings.Builder
	for i, c := range cells {
		b.WriteString("| ")
		b.WriteString(c)
		for n := len([]rune(c)); n < widths[i]; n++ {
			b.WriteByte(' ')
		}
		b.WriteByte(' ')
	}
	fmt.Fprintln(t.out, b.String()+"|")
}

func (t table) head() {
	t.line("row", "what", "against", "target", "figure", "spread", "met")
	t.line("---", "---", "---", "---", "---", "---", "---")
}

func (t table) add(r row, figures []figure, err error) {
	for _, f := range figures {
		if f.missing != "" {
			t.line(r.name, f.what, f.floor, f.target, "–", f.missing, "–")
			continue
		}
		m, met, spread := median(f.values), "–", "–"
		if f.met != nil {
			met = "no"
			if f.met(m) {
				met = "yes"
			}
		}
		if len(f.values) > 1 {
			spread = number(slices.Min(f.values), "") + " … " + number(slices.Max(f.values), "")
		}
		t.line(r.name, f.what, f.floor, f.target, number(m, f.unit), spread, met)
	}
	if err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n") // all of it is told at the end
		t.line(r.name, r.about, "", "", "failed", reason, "no")
	}
}
