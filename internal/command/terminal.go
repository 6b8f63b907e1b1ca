package command

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// output is what a command writes to. On a terminal lists have a bold header and their total; in a pipe they have neither, so that what reads
// them counts lines.
type output struct {
	*bufio.Writer
	terminal, colours bool
}

// newOutput returns the output of a command. NO_COLOR with any value, and a TERM that is missing or dumb, switch colours off (no-color.org).
func newOutput(w io.Writer, env func(string) string) *output {
	o := &output{Writer: bufio.NewWriter(w)}
	file, ok := w.(*os.File)
	if !ok {
		return o
	}
	info, err := file.Stat()
	o.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	o.colours = o.terminal && env("NO_COLOR") == "" && env("TERM") != "" && env("TERM") != "dumb"
	return o
}

// decorate returns a table as a terminal shows it: its first line is the header, rows are how many follow.
func (o *output) decorate(text string, rows int) string {
	if header, rest, ok := strings.Cut(text, "\n"); ok && o.colours {
		text = "\x1b[1m" + header + "\x1b[0m\n" + rest
	}
	if o.terminal {
		text += fmt.Sprintf("%d in all\n", rows)
	}
	return text
}
