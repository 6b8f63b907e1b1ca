package module

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// remedy says what to write for an arrival past the gates. sameHost says that its host has a gate.
func (a arrival) remedy(sameHost bool) string {
	const off = "'email_link off' before it if it is meant to be open"
	const site = "write in the site itself, before the handle blocks, "
	if a.failed {
		return "write email_link before it, inside handle_errors, as it stands in the site, or " + off
	}
	if !sameHost || len(a.conditions) == 0 {
		return "write email_link before it, or " + off
	}
	if paths, ok := a.paths(); ok {
		return site + fmt.Sprintf("email_link with 'public %s' in it for what needs no sign-in, or %s", paths, off)
	}
	sets, ok := a.lines()
	switch {
	case !ok:
		return site + fmt.Sprintf("email_link with a matcher that leaves out what this route takes (%s), or %s", a.matchers(), off)
	case len(sets) == 1 && len(sets[0]) == 1 && !strings.HasPrefix(sets[0][0], "not "):
		return site + fmt.Sprintf("'@guarded not %s' and 'email_link @guarded', or %s", sets[0][0], off)
	default:
		return site + fmt.Sprintf("'email_link @guarded' and\n\t@guarded {\n%s\t}\nor %s", block("\t\t", sets), off)
	}
}

// open is the matcher that `public` needs for an arrival to be open.
func (a arrival) open() string {
	if paths, ok := a.paths(); ok {
		return paths
	}
	return "<path or @matcher>"
}

// paths returns the paths of an arrival as `public` takes them, false where more than one path matcher decides.
func (a arrival) paths() (string, bool) {
	if len(a.sets) != 1 || a.movedBefore {
		return "", false
	}
	var words []string
	for _, set := range a.sets[0] {
		if len(set) != 1 {
			return "", false
		}
		path, ok := set[0].(*caddyhttp.MatchPath)
		if !ok {
			return "", false
		}
		words = append(words, *path...)
	}
	return tokens(words...)
}

// lines returns the matchers on the way to an arrival, hosts of the site aside, as lines of a Caddyfile: a request comes there
// if it matches all lines of one of the sets. It returns false where they cannot be written so.
func (a arrival) lines() (sets [][]string, ok bool) {
	if a.movedBefore {
		return nil, false
	}
	sets = [][]string{nil}
	for _, one := range a.sets {
		var both [][]string
		for _, set := range one {
			lines, ok := setLines(set)
			if !ok {
				return nil, false
			}
			for _, before := range sets {
				both = append(both, append(slices.Clone(before), lines...))
			}
		}
		sets = both
	}
	for _, set := range sets {
		// Lines of one matcher are one matcher, which most of them take as an "or".
		var names []string
		for _, line := range set {
			name, _, _ := strings.Cut(line, " ")
			if name != "not" && slices.Contains(names, name) {
				return nil, false
			}
			names = append(names, name)
		}
	}
	return sets, true
}

// block writes sets as `not` matchers, one for each.
func block(indent string, sets [][]string) (text string) {
	for _, set := range sets {
		text += indent + "not {\n"
		for _, line := range set {
			text += indent + "\t" + strings.ReplaceAll(line, "\n", "\n"+indent+"\t") + "\n"
		}
		text += indent + "}\n"
	}
	return text
}

// setLines returns the matchers of a set as lines of a Caddyfile, one for each; false where one of them has no such line.
func setLines(set caddyhttp.MatcherSet) (lines []string, ok bool) {
	for _, m := range set {
		line, ok := matcherLine(m)
		if !ok {
			return nil, false
		}
		lines = append(lines, line)
	}
	slices.Sort(lines) // Caddy loads them in random order
	return lines, true
}

// matcherLine returns a matcher as a block of a Caddyfile has it.
func matcherLine(matcher any) (string, bool) {
	switch m := matcher.(type) {
	case *caddyhttp.MatchHost:
		return tokens(append([]string{"host"}, *m...)...)
	case *caddyhttp.MatchPath:
		return tokens(append([]string{"path"}, *m...)...)
	case *caddyhttp.MatchPathRE:
		return tokens("path_regexp", m.Pattern)
	case *caddyhttp.MatchMethod:
		return tokens(append([]string{"method"}, *m...)...)
	case *caddyhttp.MatchRemoteIP:
		return tokens(append([]string{"remote_ip"}, m.Ranges...)...)
	case *caddyhttp.MatchClientIP:
		return tokens(append([]string{"client_ip"}, m.Ranges...)...)
	case *caddyhttp.MatchProtocol:
		return tokens("protocol", string(*m))
	case *caddyhttp.MatchExpression:
		return tokens("expression", m.Expr)
	case *caddyhttp.MatchQuery:
		words := []string{"query"}
		for _, key := range slices.Sorted(maps.Keys(*m)) {
			for _, value := range (*m)[key] {
				words = append(words, key+"="+value)
			}
		}
		text, ok := tokens(words...)
		return text, ok && len(words) > 1
	case *caddyhttp.MatchHeader:
		for field, values := range *m {
			if len(*m) == 1 && len(values) == 1 {
				return tokens("header", field, values[0])
			}
		}
	case *caddyhttp.MatchHeaderRE:
		for field, pattern := range *m {
			if len(*m) == 1 {
				return tokens("header_regexp", field, pattern.Pattern)
			}
		}
	case *caddyhttp.MatchNot:
		var sets [][]string
		for _, set := range m.MatcherSets {
			lines, ok := setLines(set)
			if !ok {
				return "", false
			}
			sets = append(sets, lines)
		}
		return strings.TrimSuffix(block("", sets), "\n"), len(sets) > 0
	}
	return "", false
}

// tokens writes words as tokens of a Caddyfile; false where one of them cannot be one.
func tokens(words ...string) (string, bool) {
	quoted := make([]string, len(words))
	for i, word := range words {
		switch {
		case strings.Contains(word, "{$") || strings.ContainsAny(word, "\r\n") || word == "{" || word == "}":
			return "", false
		case word != "" && !strings.ContainsAny(word, " \t\"`\\#<"):
			quoted[i] = word
		case !strings.Contains(word, "`"):
			quoted[i] = "`" + word + "`"
		case !strings.Contains(word, `\`):
			quoted[i] = `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
		default:
			return "", false
		}
	}
	return strings.Join(quoted, " "), true
}
