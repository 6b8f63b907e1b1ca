// Package nearest finds the word that was probably meant by one that is mistyped.
package nearest

import "strings"

// Word returns the word that takes the fewest edits to get to from a mistyped one: letters that are changed, missing, too many or swapped with
// their neighbour. It returns the empty text where none is within two edits, or one for a word of three letters, and the first of several that
// are as near.
func Word(mistyped string, words []string) string {
	best, nearest := "", min(len(mistyped)-1, 3)
	for _, word := range words {
		if d := distance(mistyped, word); d < nearest {
			best, nearest = word, d
		}
	}
	return best
}

// Expected lists the words that there are, after the one that was probably meant by a mistyped one.
func Expected(mistyped string, words []string) string {
	text := "expected one of " + strings.Join(words, ", ")
	if meant := Word(mistyped, words); meant != "" {
		return "did you mean " + meant + "? " + text
	}
	return text
}

// distance is the optimal string alignment distance of two texts, by bytes.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
