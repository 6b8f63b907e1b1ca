package boundary

import (
	"slices"
	"strings"
)

// kind is what a header name is to the gate.
type kind uint8

const (
	other kind = iota
	// covered names are removed, lists hold names, setters hold cookies, clearers tell browsers what to forget.
	covered
	lists
	setters
	clearers
)

// target is a folded name, or with family the beginning of any number of names. Within names it is written in classes.
type target struct {
	folded string
	family bool
	kind   kind
}

// names finds out what header names are, without folding them: a name is given up at its first letter or digit by which it is
// none of the targets. Nearly all are by their second.
type names struct {
	targets []target // in the order of folded
	// begin says for the first two letters or digits which targets begin so, one more for a name that has one alone.
	begin [classes][classes + 1]span
}

// span is a part of targets.
type span struct{ from, to uint16 }

// classes is how many letters and digits there are once they are folded.
const classes = 36

// class is what a byte of a name is when folded, counted from 1, and 0 where it is left out.
var class = func() (table [256]uint8) {
	for i := range 26 {
		table['a'+i], table['A'+i] = uint8(i+11), uint8(i+11) //nolint:gosec // small
	}
	for i := range 10 {
		table['0'+i] = uint8(i + 1) //nolint:gosec // small
	}
	return table
}()

// newNames takes the first of targets that are the same text. Its families come before the names that are the same text.
func newNames(targets []target) *names {
	n := &names{}
	for _, t := range targets {
		if t.folded != "" && !slices.ContainsFunc(n.targets, func(u target) bool { return u.folded == t.folded && u.family == t.family }) {
			n.targets = append(n.targets, t)
		}
	}
	for i, t := range n.targets {
		inClasses := []byte(t.folded)
		for j, c := range inClasses {
			inClasses[j] = class[c]
		}
		n.targets[i].folded = string(inClasses)
	}
	slices.SortStableFunc(n.targets, func(a, b target) int {
		if a.folded == b.folded && a.family {
			return -1
		}
		return strings.Compare(a.folded, b.folded)
	})
	for i, t := range n.targets {
		first, second := t.folded[0]-1, uint8(classes)
		if len(t.folded) > 1 {
			second = t.folded[1] - 1
		}
		s := &n.begin[first][second]
		if s.to == 0 {
			s.from = uint16(i) //nolint:gosec // far fewer
		}
		s.to = uint16(i + 1) //nolint:gosec // far fewer
	}
	return n
}

// of says what a name is. Where it is several targets at once a covered family counts, else the first that newNames was given.
func (n *names) of(name string) kind {
	first := -1
	for i := range len(name) {
		c := int(class[name[i]]) - 1
		switch {
		case c < 0:
		case first < 0:
			first = c
		default:
			s := n.begin[first][c]
			if s.from == s.to {
				return other
			}
			return narrow(n.targets[s.from:s.to], 2, name[i+1:])
		}
	}
	if first < 0 {
		return other
	}
	s := n.begin[first][classes]
	return narrow(n.targets[s.from:s.to], 1, "")
}

// narrow says which of the targets, which begin with the same at letters or digits, the rest of a name makes it.
func narrow(targets []target, at int, rest string) kind {
	for len(targets) > 1 {
		whole := other
		for len(targets) > 0 && len(targets[0].folded) == at {
			if targets[0].family {
				return targets[0].kind
			}
			whole, targets = targets[0].kind, targets[1:]
		}
		c := uint8(0)
		for rest != "" && c == 0 {
			c, rest = class[rest[0]], rest[1:]
		}
		if c == 0 {
			return whole
		}
		for len(targets) > 0 && targets[0].folded[at] < c {
			targets = targets[1:]
		}
		for len(targets) > 0 && targets[len(targets)-1].folded[at] > c {
			targets = targets[:len(targets)-1]
		}
		at++
	}
	if len(targets) == 0 {
		return other
	}
	last := targets[0].folded[at:]
	for i := range len(rest) {
		c := class[rest[i]]
		switch {
		case c == 0:
		case last == "" && targets[0].family:
			return targets[0].kind
		case last == "" || last[0] != c:
			return other
		default:
			last = last[1:]
		}
	}
	if last != "" {
		return other
	}
	return targets[0].kind
}
