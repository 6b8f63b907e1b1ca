package selfservice

import (
	"slices"
	"strings"
	"testing"
)

// TestOWN4_ActsAreNamed reads what an operator permits: no list is everything, and a word that is none is refused with those that there are.
func TestOWN4_ActsAreNamed(t *testing.T) {
	if acts, err := ParseActs(nil); err != nil || !slices.Equal(acts, AllActs()) {
		t.Errorf("without a list: %v, %v", acts, err)
	}
	if acts, err := ParseActs([]string{"tokens", "name"}); err != nil || !slices.Equal(acts, []Act{Tokens, Name}) {
		t.Errorf("of two: %v, %v", acts, err)
	}
	for _, words := range [][]string{{"everything"}, {"name", "name"}, {""}, {"Name"}} {
		acts, err := ParseActs(words)
		if err == nil {
			t.Errorf("%q is %v", words, acts)
		} else if len(words) == 1 && !strings.Contains(err.Error(), "name, password, sessions, tokens") {
			t.Errorf("%q: %v", words, err)
		}
	}
}
