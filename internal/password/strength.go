package password

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn"
	"github.com/trustelem/zxcvbn/frequency"
	"golang.org/x/text/unicode/norm"
)

const (
	// minGuesses is where zxcvbn's score 3 begins: "safely unguessable: moderate protection from an offline attack on a slow
	// hash". Eight random characters are just enough, which the score itself denies by its margin.
	minGuesses = 1e8
	// window is how many bytes of a password zxcvbn sees at a time: its work grows with the third power.
	window = 64
	// maxReadings is how many readings of characters as letters (4 as a, 1 as i or l) zxcvbn may try: its work grows with
	// them, and they multiply to hundreds.
	maxReadings = 16
	// Bounds on the words zxcvbn sees beside the password.
	maxWords   = 32
	maxWordLen = 64
	minWordLen = 3
)

// zxcvbn makes tables of its lists when the program starts, and never reads the lists again: 2 MiB that every process would keep.
func init() { clear(frequency.FrequencyLists) }

// list splits the words as people do when they make passwords of them.
func (w Words) list() []string {
	var list []string
	add := func(word string) {
		if n := utf8.RuneCountInString(word); n >= minWordLen && len(word) <= maxWordLen && len(list) < maxWords && !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	local, domain, _ := strings.Cut(w.Email, "@")
	for _, text := range append([]string{local, w.Name, domain}, w.Site...) {
		if len(text) > MaxBytes {
			continue
		}
		text = strings.ToLower(norm.NFC.String(text))
		parts := strings.FieldsFunc(text, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsNumber(c) })
		add(text)
		add(strings.Join(parts, ""))
		for _, part := range parts {
			add(part)
		}
	}
	return list
}

// strength asks zxcvbn about the password, or about its ends where it is long: what is hard to guess does not become easier by
// what follows. A password that is one unit over and over is as good as the unit; zxcvbn sees that in ASCII only.
func strength(normal string, words []string) Reason {
	reason := Reason("")
	for _, part := range ends(unit(normal)) {
		r := zxcvbn.PasswordStrength(tame(part), words)
		if r.Guesses >= minGuesses {
			return ""
		}
		for _, m := range r.Sequence {
			if m.DictionaryName == "user_inputs" {
				reason = ContainsName
			}
		}
	}
	if reason == "" {
		reason = TooCommon
	}
	return reason
}

// unit returns the shortest beginning of which the whole is a repetition, the last time perhaps in part, or with one
// character between two.
func unit(text string) string {
	runes := []rune(text)
	// border[i] is the length of the longest proper border of the first i+1 (Knuth, Morris, Pratt).
	border := make([]int, len(runes))
	for i, k := 1, 0; i < len(runes); i++ {
		for k > 0 && runes[i] != runes[k] {
			k = border[k-1]
		}
		if runes[i] == runes[k] {
			k++
		}
		border[i] = k
	}
	if len(runes) == 0 {
		return ""
	}
	period := len(runes) - border[len(runes)-1]
	if 2*period > len(runes)+1 {
		return text
	}
	return string(runes[:period])
}

// ends returns the first and last bytes of a long text, cut between code points, or all of a short one.
func ends(text string) []string {
	if len(text) <= window {
		return []string{text}
	}
	i, j := window, len(text)-window
	for !utf8.RuneStart(text[i]) {
		i--
	}
	for !utf8.RuneStart(text[j]) {
		j++
	}
	return []string{text[:i], text[j:]}
}

// readings are the characters that zxcvbn reads as one letter, where there is a choice, and ambiguous those that it reads as
// two. Where there are too many, those of given are given up, in this order.
var readings = []string{"4@", "({[<", "69", "1!|", "1|7", "$5", "+7"}

const (
	ambiguous = "1|7"
	given     = "[{<(|6!+$@"
)

// tame returns the text with so many of its characters that stand for letters replaced, by one that stands for none, that
// zxcvbn has few readings to try. A text of so many different ones is no mere word in disguise.
func tame(text string) string {
	for i := range len(given) {
		if countReadings(text) <= maxReadings {
			break
		}
		text = strings.ReplaceAll(text, given[i:i+1], "~")
	}
	return text
}

// countReadings is an upper bound.
func countReadings(text string) int {
	n := 1
	for _, characters := range readings {
		n *= max(present(text, characters), 1)
	}
	return n << present(text, ambiguous)
}

// present counts the characters of a set that a text has.
func present(text, set string) (n int) {
	for i := range len(set) {
		if strings.IndexByte(text, set[i]) >= 0 {
			n++
		}
	}
	return n
}
