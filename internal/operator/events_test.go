package operator_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// TestINV7_EachEventOfTheReferenceIsTaken asks for the lines of each event that docs/reference.md names: no name is refused as a mistake.
func TestINV7_EachEventOfTheReferenceIsTaken(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| event | purpose, outcome | kept |")
	table, _, _ = strings.Cut(table, "\n\n")
	svc, _ := newService(t)
	n := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 2 {
			continue
		}
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			n++
			if _, err := svc.Events(t.Context(), operator.EventQuery{N: 1, Event: name[1]}); err != nil {
				t.Error(err)
			}
		}
	}
	if n < 13 {
		t.Errorf("the table has %d events", n)
	}
}
