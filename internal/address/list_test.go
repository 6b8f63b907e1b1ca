package address

import (
	"slices"
	"testing"
)

// TestINV7_ListTellsSeveralAddresses tells several addresses in one text from one, however they are apart.
func TestINV7_ListTellsSeveralAddresses(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          nil,
		"bob@example.com":           nil,
		" bob@example.com\n":        nil,
		"bob @example.com":          nil,
		"Bob Doe, bob@example.com":  nil,
		"a@example.com,b@c.example": {"a@example.com", "b@c.example"},
		"a@example.com; b@c.example\nc@d.example": {"a@example.com", "b@c.example", "c@d.example"},
		"a@example.com\tb@c.example":              {"a@example.com", "b@c.example"},
	} {
		if got := List(text); !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", text, got, want)
		}
	}
}
