package command

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// confirm asks whether to do what cannot be undone, and returns an error unless the answer is y or yes.
func confirm(in io.Reader, out io.Writer, what string) error {
	if _, err := fmt.Fprintf(out, "%s? [y/N] ", what); err != nil {
		return err
	}
	answer, _ := bufio.NewReader(in).ReadString('\n') // an input that ends early counts as no answer
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return fmt.Errorf("nothing was done: answer y to %s, or use --yes", what)
	}
}
