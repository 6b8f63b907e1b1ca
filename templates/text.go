package templates

import (
	"strings"
	"unicode/utf8"
)

// textWidth is the longest line of a mail's text part, addresses excepted, in characters.
const textWidth = 78

// wrap breaks lines that are longer than width at spaces. Addresses stay whole, empty lines never stand twice, and control
// characters other than the line's end are dropped.
func wrap(text string, width int) string {
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
		for i, word := range strings.Fields(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case i == 0:
				b.WriteString(indent)
				column = len(indent)
			case column+1+n > width:
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
func oneLine(s string) string { return strings.Join(strings.Fields(dropControls(s)), " ") }

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
