package boundary

import "strings"

// kind is what a header name is to the gate.
type kind uint8

const (
	other kind = iota
	// covered names are removed, proxied ones where they come from no trusted proxy. Lists hold names, setters hold cookies,
	// clearers order browsers to forget something.
	covered
	proxied
	lists
	setters
	clearers
)

// names classifies header names in any spelling.
type names struct {
	exact map[string]kind // by the folded name
	// begins has a bit for each second byte of all that is looked for, by the first: by these two most names are given up.
	begins [256]uint64
	// families are beginnings of folded names, by their first byte. The first one that fits counts, after exact.
	families [256][]family
}

type family struct {
	prefix string
	kind   kind
}

// add classifies a name, or with a * at its end a family. What was added earlier stays.
func (n *names) add(name string, k kind) {
	prefix, isFamily := strings.CutSuffix(name, "*")
	folded := Fold(prefix)
	if folded == "" {
		return
	}
	if n.begins[folded[0]] |= beginBit(folded[1:]); len(folded) == 1 && isFamily {
		n.begins[folded[0]] = ^uint64(0)
	}
	if isFamily {
		n.families[folded[0]] = append(n.families[folded[0]], family{folded, k})
		return
	}
	if n.exact == nil {
		n.exact = map[string]kind{}
	}
	if _, ok := n.exact[folded]; !ok {
		n.exact[folded] = k
	}
}

// beginBit is the bit of the first byte of rest in begins. Letters and digits may share one, and nothing has the bit of zero.
func beginBit(rest string) uint64 {
	if rest == "" {
		return 1
	}
	return 1 << (rest[0] % 64)
}

// mayBegin reports whether something that is looked for begins with the first two letters or digits of name.
func (n *names) mayBegin(name string) bool {
	first := byte(0)
	for i := range len(name) {
		c := foldTable[name[i]]
		switch {
		case c == 0:
		case first == 0:
			first = c
		default:
			return n.begins[first]>>(c%64)&1 != 0
		}
	}
	return n.begins[first]&1 != 0
}

// of returns what a name is. It allocates for names of more than 64 letters and digits only.
func (n *names) of(name string) kind {
	if !n.mayBegin(name) {
		return other
	}
	var buf [64]byte
	folded := appendFold(buf[:0], name)
	if k, ok := n.exact[string(folded)]; ok {
		return k
	}
	for _, f := range n.families[folded[0]] {
		if len(folded) >= len(f.prefix) && string(folded[:len(f.prefix)]) == f.prefix {
			return f.kind
		}
	}
	return other
}
