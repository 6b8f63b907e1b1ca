package templates

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// textWidth is the longest line of a mail's text part, addresses excepted, in columns.
const textWidth = 78

// columns is the width of s in a fixed-width font: marks and invisible characters take none, East Asian wide ones two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
			continue
		}
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return n
}

// spaced splits s at spaces. No-break spaces are no such spaces.
func spaced(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }) }

// wrap breaks lines that are wider than limit, in columns, at spaces. Addresses stay whole, empty lines never stand twice, and
// control characters other than the line's end are dropped.
func wrap(text string, limit int) string {
	var b strings.Builder
	empty := true // drops empty lines at the top
	for line := range strings.Lines(text) {
		line = strings.TrimRight(dropControls(line), " ")
		if line == "" {
			if !empty {
				b.WriteByte('\n')
			}
			empty = true
			continue
		}
		empty = false
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		column := 0
		for i, word := range spaced(line) {
			n := columns(word)
			switch {
			case i == 0:
				b.WriteString(indent)
				column = len(indent)
			case column+1+n > limit:
				b.WriteString("\n" + indent)
				column = len(indent)
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// oneLine makes a header text: one line without control characters.
func oneLine(s string) string { return strings.Join(spaced(dropControls(s)), " ") }

func dropControls(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case isControl(r):
			return -1
		}
		return r
	}, s)
}
