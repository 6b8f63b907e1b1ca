package module

import (
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// matcherSets makes readable in both ways what Caddy has provisioned. raw is the configuration of the same sets, from which the
// case of paths is known; it is nil for those of routes, of which Caddy keeps no more than it needs.
func matcherSets(ctx caddy.Context, sets []caddyhttp.MatcherSet, raw []caddy.ModuleMap) (gate.Sets, error) {
	var out gate.Sets
	for i, set := range sets {
		var one caddy.ModuleMap
		if i < len(raw) {
			one = raw[i]
		}
		var readable gate.Set
		for _, m := range set {
			r, err := readableMatcher(ctx, m, one)
			if err != nil {
				return nil, err
			}
			readable = append(readable, r)
		}
		out = append(out, readable)
	}
	return out, nil
}

// readableMatcher makes one matcher readable in both ways. One of a route is tried before its time.
func readableMatcher(ctx caddy.Context, m any, raw caddy.ModuleMap) (gate.Matcher, error) {
	readable, err := readNow(ctx, m, raw)
	if err != nil || raw != nil {
		return readable, err
	}
	if names := placeholdersOf(m); len(names) > 0 {
		readable = earlyMatcher{readable, names}
	}
	return readable, nil
}

func readNow(ctx caddy.Context, m any, raw caddy.ModuleMap) (gate.Matcher, error) {
	plain := caddyMatcher{caddyhttp.MatcherSet{m}}
	switch t := m.(type) {
	case *caddyhttp.MatchPath:
		return exactPath(ctx, plain, raw["path"])
	case *caddyhttp.MatchPathRE:
		fold, err := regexp.Compile("(?i)" + t.Pattern)
		return regexpMatcher{plain, fold}, err
	case *caddyhttp.MatchNot:
		var nested []caddy.ModuleMap
		if len(raw["not"]) > 0 {
			if err := json.Unmarshal(raw["not"], &nested); err != nil {
				return nil, err
			}
		}
		sets, err := matcherSets(ctx, t.MatcherSets, nested)
		return gate.Not{Sets: sets}, err
	case *caddyhttp.MatchExpression:
		return exactExpression(ctx, plain, t, len(raw) > 0)
	case *caddyhttp.MatchHost, *caddyhttp.MatchMethod, *caddyhttp.MatchHeader, *caddyhttp.MatchHeaderRE, *caddyhttp.MatchQuery,
		*caddyhttp.MatchProtocol, *caddyhttp.MatchTLS, *caddyhttp.MatchRemoteIP, *caddyhttp.MatchClientIP:
		return plain, nil
	default:
		return opaqueMatcher{plain, wordsOf(m)}, nil
	}
}

// wordsOf returns the words with capital letters of which a matcher may make a difference between paths.
func wordsOf(m any) [][]string {
	switch t := m.(type) {
	case *caddyhttp.MatchExpression:
		return pathWords(t.Expr)
	case *caddyhttp.MatchPath, *caddyhttp.MatchHost, *caddyhttp.MatchMethod, *caddyhttp.MatchHeader, *caddyhttp.MatchHeaderRE, *caddyhttp.MatchQuery,
		*caddyhttp.MatchProtocol, *caddyhttp.MatchTLS, *caddyhttp.MatchRemoteIP, *caddyhttp.MatchClientIP:
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil // a module without JSON has no text to take words from
	}
	return pathWords(string(text))
}

// caddyMatcher is a matcher of Caddy's in which case plays no part. An error opens nothing and demands everything.
type caddyMatcher struct{ set caddyhttp.MatcherSet }

// Opens implements gate.Matcher.
func (m caddyMatcher) Opens(r *http.Request) bool {
	ok, err := m.set.MatchWithError(r)
	return ok && err == nil
}

// Demands implements gate.Matcher.
func (m caddyMatcher) Demands(r *http.Request) bool {
	ok, err := m.set.MatchWithError(r)
	return ok || err != nil
}

// regexpMatcher is a `path_regexp`, which demands in any case.
type regexpMatcher struct {
	caddyMatcher
	fold *regexp.Regexp
}

// Demands implements gate.Matcher. What the expression captures is there for matchers behind it.
func (m regexpMatcher) Demands(r *http.Request) bool {
	return m.caddyMatcher.Demands(r) || m.fold.MatchString(caddyhttp.NormalizedPath(r.URL.Path, true))
}

// earlyMatcher is a matcher of a route behind the handler that tries it. What handlers in between set is not known yet, so where it
// needs something that is not there, it opens nothing and demands everything.
type earlyMatcher struct {
	gate.Matcher
	placeholders []string
}

// Opens implements gate.Matcher.
func (m earlyMatcher) Opens(r *http.Request) bool { return m.known(r) && m.Matcher.Opens(r) }

// Demands implements gate.Matcher.
func (m earlyMatcher) Demands(r *http.Request) bool { return !m.known(r) || m.Matcher.Demands(r) }

func (m earlyMatcher) known(r *http.Request) bool {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return ok && !slices.ContainsFunc(m.placeholders, func(name string) bool {
		value, known := repl.Get(name)
		return !known || value == nil // a variable that is not set is known, and nil
	})
}

// placeholdersOf returns the names of the placeholders that a matcher compares.
func placeholdersOf(m any) (names []string) {
	var keys []string
	switch t := m.(type) {
	case *caddyhttp.MatchExpression:
		return t.Placeholders()
	case *caddyhttp.VarsMatcher:
		keys = slices.Sorted(maps.Keys(*t))
	case *caddyhttp.MatchVarsRE:
		keys = slices.Sorted(maps.Keys(*t))
	}
	for _, key := range keys {
		if name, ok := strings.CutPrefix(key, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		} else {
			names = append(names, "http.vars."+key)
		}
	}
	return names
}

// opaqueMatcher is one of which no more is known than the words in it. A path is the same to a program that ignores case when it
// is in lower case, or has the words in the matcher's own case; what opens has to hold for each of these spellings, and what
// demands for one.
type opaqueMatcher struct {
	caddyMatcher
	words [][]string
}

// Opens implements gate.Matcher.
func (m opaqueMatcher) Opens(r *http.Request) bool {
	if !m.caddyMatcher.Opens(r) {
		return false
	}
	for path := range m.recased(r.URL.Path) {
		if !m.caddyMatcher.Opens(asSeen(r, path)) {
			return false
		}
	}
	return true
}

// Demands implements gate.Matcher.
func (m opaqueMatcher) Demands(r *http.Request) bool {
	if m.caddyMatcher.Demands(r) {
		return true
	}
	for path := range m.recased(r.URL.Path) {
		if m.caddyMatcher.Demands(asSeen(r, path)) {
			return true
		}
	}
	return false
}

// recased returns the spellings of a path that differ from it by case: in lower case where the matcher has no words, else with
// its words in the matcher's case.
func (m opaqueMatcher) recased(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		lower := strings.ToLower(path)
		if len(m.words) == 0 {
			if lower != path {
				yield(lower)
			}
			return
		}
		for _, words := range m.words {
			if other := recase(lower, words); other != path && !yield(other) {
				return
			}
		}
	}
}

// literals are the texts in an expression or in JSON, with their quotes.
var literals = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|` + "`[^`]*`")

// word is a run of letters.
var word = regexp.MustCompile(`\p{L}+`)

// pathWords returns the words with capital letters in those texts of a matcher that are about paths, longest first: all of them,
// and those that are no escape of a regular expression such as `\W`. There are none where there is no capital letter.
func pathWords(text string) (lists [][]string) {
	var all, long []string
	for _, literal := range literals.FindAllString(text, -1) {
		if !strings.Contains(literal, "/") {
			continue
		}
		for _, w := range word.FindAllString(literal, -1) {
			if w == strings.ToLower(w) || slices.Contains(all, w) {
				continue
			}
			if all = append(all, w); len(w) > 1 {
				long = append(long, w)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	longest := func(a, b string) int { return len(b) - len(a) }
	slices.SortStableFunc(all, longest)
	slices.SortStableFunc(long, longest)
	if len(long) == len(all) {
		return [][]string{all}
	}
	return [][]string{all, long}
}

// recase writes words in a path in the case that they have in the list.
func recase(path string, words []string) string {
	for i := 0; i < len(path); i++ {
		for _, w := range words {
			if len(path)-i >= len(w) && strings.EqualFold(path[i:i+len(w)], w) {
				path = path[:i] + w + path[i+len(w):]
				i += len(w) - 1
				break
			}
		}
	}
	return path
}

// mark precedes each capital letter in a text that is compared by something that ignores case. No path that may be opened
// holds this character.
const mark = "\x01"

// marked marks the capital letters of a pattern, escaped ones too. It leaves placeholders alone.
func marked(pattern string) string {
	var b strings.Builder
	for rest, depth := pattern, 0; rest != ""; {
		c, size := escapedRune(rest)
		switch {
		case c == '{':
			depth++
		case c == '}':
			depth--
		case depth <= 0 && unicode.ToLower(c) != c:
			b.WriteString(mark)
		}
		b.WriteString(rest[:size])
		rest = rest[size:]
	}
	return b.String()
}

// escapedRune returns the first character of a pattern, and the length of the text that denotes it.
func escapedRune(pattern string) (c rune, size int) {
	var encoded []byte
	for i := 0; i+2 < len(pattern) && pattern[i] == '%' && len(encoded) < utf8.UTFMax; i += 3 {
		b, err := strconv.ParseUint(pattern[i+1:i+3], 16, 8)
		if err != nil {
			break
		}
		encoded = append(encoded, byte(b))
	}
	if c, n := utf8.DecodeRune(encoded); n > 0 && c != utf8.RuneError {
		return c, 3 * n
	}
	return utf8.DecodeRuneInString(pattern)
}

// asMarked returns a request with a marked path.
func asMarked(r *http.Request) *http.Request {
	path := r.URL.Path
	if strings.ToLower(path) == path {
		return r
	}
	var b strings.Builder
	for _, c := range path {
		if unicode.ToLower(c) != c {
			b.WriteString(mark)
		}
		b.WriteRune(c)
	}
	return asSeen(r, b.String())
}

// pathMatcher is a `path`. Caddy compares it in any case; what it opens has to have the case in which it was written as well.
type pathMatcher struct {
	caddyMatcher
	// exact is the same matcher with its capital letters marked.
	exact caddyMatcher
	// patterns are written with placeholders, whose case is known only when their values are; nil where there are none.
	patterns []string
}

func exactPath(ctx caddy.Context, plain caddyMatcher, raw json.RawMessage) (gate.Matcher, error) {
	if len(raw) == 0 {
		return plain, nil
	}
	var patterns []string
	if err := json.Unmarshal(raw, &patterns); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, "{") }) {
		return pathMatcher{plain, caddyMatcher{}, patterns}, nil
	}
	exact, err := provisionedPath(ctx, patterns)
	return pathMatcher{plain, exact, nil}, err
}

func provisionedPath(ctx caddy.Context, patterns []string) (caddyMatcher, error) {
	m := make(caddyhttp.MatchPath, 0, len(patterns))
	for _, p := range patterns {
		m = append(m, marked(p))
	}
	err := m.Provision(ctx)
	return caddyMatcher{caddyhttp.MatcherSet{m}}, err
}

// Opens implements gate.Matcher.
func (m pathMatcher) Opens(r *http.Request) bool {
	if !m.caddyMatcher.Opens(r) {
		return false
	}
	exact := m.exact
	if m.patterns != nil {
		repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if !ok {
			return false
		}
		values := make([]string, len(m.patterns))
		for i, p := range m.patterns {
			values[i] = repl.ReplaceAll(p, "")
		}
		var err error
		if exact, err = provisionedPath(caddy.Context{}, values); err != nil {
			return false
		}
	}
	return exact.Opens(asMarked(r))
}
