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
	// begins has, by the first byte of all that is looked for, a bit for each byte that follows at one of the next places: by these
	// few most names are given up, without being folded as a whole and looked up.
	begins [256][beginPlaces]uint64
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
	for i := range beginPlaces {
		switch place := &n.begins[folded[0]][i]; {
		case i+1 < len(folded):
			*place |= beginBit(folded[i+1])
		case isFamily: // anything may follow
			*place = ^uint64(0)
		default:
			*place |= beginBit(0)
		}
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

// beginPlaces is how many letters or digits after the first one tell a name from what is looked for: "Content-" from "Connection".
const beginPlaces = 3

// beginBit is the bit of a byte in begins, of 0 where a name has ended. Letters and digits may share one, and none has that of 0.
func beginBit(c byte) uint64 { return 1 << (c % 64) }

// mayBegin reports whether a name may be one that is looked for, by the first letters or digits of it.
func (n *names) mayBegin(name string) bool {
	var places *[beginPlaces]uint64
	i := 0
	for j := range len(name) {
		c := foldTable[name[j]]
		switch {
		case c == 0:
		case places == nil:
			places = &n.begins[c]
		case places[i]&beginBit(c) == 0:
			return false
		default:
			if i++; i == beginPlaces {
				return true
			}
		}
	}
	return places != nil && places[i]&beginBit(0) != 0
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
