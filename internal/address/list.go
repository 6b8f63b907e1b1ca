package address

import "strings"

// List returns the addresses of a text that holds more than one, apart by commas, semicolons or spaces; of every other text, nil. It does not
// validate them.
func List(s string) []string {
	list := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",; \t\r\n", r) })
	if len(list) < 2 || strings.Count(s, "@") < 2 {
		return nil
	}
	return list
}
