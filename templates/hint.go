package templates

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// hint names the candidate that may have been meant by name, for error messages; empty when none is near.
func hint(name string, candidates []string) string {
	best, least := "", 1+max(2, len(name)/4)
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the letters to insert, remove or replace on the way from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// noField is how text/template and html/template report a field that the facts do not have.
var noField = regexp.MustCompile(`can't evaluate field \w+ in type \*?templates\.(\w+)$`)

// fieldHint names the fields that the facts do have, when a template asked for another one of dot or of what dot holds.
func fieldHint(err error, dot any) string {
	m := noField.FindStringSubmatch(err.Error())
	if m == nil {
		return ""
	}
	requested := typeNamed(m[1], dot)
	if requested == nil || requested.Kind() != reflect.Struct {
		return ""
	}
	var names []string
	for _, f := range reflect.VisibleFields(requested) {
		if !f.Anonymous {
			names = append(names, f.Name)
		}
	}
	for i := range requested.NumMethod() {
		names = append(names, requested.Method(i).Name)
	}
	if len(names) == 0 {
		return "; there is nothing in " + requested.Name()
	}
	return "; there is ." + strings.Join(names, ", .")
}

// typeNamed finds the type that a template's error names: dot's own, that of its page, or that of a field of either.
func typeNamed(name string, dot any) reflect.Type {
	types := []reflect.Type{reflect.TypeOf(dot)}
	if page, ok := dot.(pageData); ok {
		types = append(types, reflect.TypeOf(page.Page))
		if name == reflect.TypeFor[PageFacts]().Name() {
			return types[1]
		}
	}
	for _, t := range types {
		if t.Name() == name {
			return t
		}
		if f, ok := t.FieldByName(name); ok && f.Type.Name() == name {
			return f.Type
		}
	}
	return nil
}
