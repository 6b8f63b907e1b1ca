package freeport

import "testing"

// TestNextGivesNoPortTwice takes a few hundred ports, each of which nothing listens on when it is given.
func TestNextGivesNoPortTwice(t *testing.T) {
	given := map[string]bool{}
	for range 300 {
		port, err := Next()
		if err != nil {
			t.Fatal(err)
		}
		if taken, err := Taken(t.Context(), port); taken || err != nil || given[port] {
			t.Fatalf("port %s: taken %v, given before %v, %v", port, taken, given[port], err)
		}
		given[port] = true
	}
}
