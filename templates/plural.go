package templates

import (
	"slices"

	"golang.org/x/text/feature/plural"
	bcp47 "golang.org/x/text/language"
)

// formNames are the plural forms of CLDR, in the order in which its tables and translators list them.
var formNames = []string{"zero", "one", "two", "few", "many", "other"}

// counted is the number below which the forms of a language are looked for: every rule for whole numbers repeats after 100
// or names a smaller number, apart from those for millions.
const counted = 1000

// form picks the plural form for n, a whole number (CLDR, the table in x/text).
func (c *catalog) form(n int) string { return formOf(bcp47.Make(c.tag), n) }

func formOf(tag bcp47.Tag, n int) string {
	switch plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0) {
	case plural.Zero:
		return "zero"
	case plural.One:
		return "one"
	case plural.Two:
		return "two"
	case plural.Few:
		return "few"
	case plural.Many:
		return "many"
	}
	return "other"
}

// formsOf lists the forms that a language has, with the first number of each. "other" is always among them.
func formsOf(tag string) (forms []string, first map[string]int) {
	parsed := bcp47.Make(tag)
	first = map[string]int{}
	for n := range counted {
		form := formOf(parsed, n)
		if _, ok := first[form]; !ok {
			first[form] = n
		}
	}
	for _, form := range formNames {
		if _, ok := first[form]; ok || form == "other" {
			forms = append(forms, form)
		}
	}
	return forms, first
}

// rightToLeft reports whether a language is written from the right unless its catalogue says otherwise.
func rightToLeft(tag string) bool {
	script, _ := bcp47.Make(tag).Script()
	return slices.Contains([]string{"Arab", "Hebr", "Syrc", "Thaa", "Nkoo", "Adlm", "Rohg", "Mand", "Samr"}, script.String())
}
