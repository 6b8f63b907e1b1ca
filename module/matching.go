package module

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// chance is whether requests of a kind get through a matcher, as far as the configuration decides it.
type chance int8

const (
	never chance = iota
	maybe
	always
)

// question is a kind of request that the routes are asked about.
type question struct {
	// host is a host name, `*.example.com` for those below it that no matcher names, or empty for all that no matcher names.
	host string
	// path and method are those of one request; empty: any.
	path, method string
}

// matches returns whether such requests match any of the sets. Routes without a matcher match every request.
func (q question) matches(sets caddyhttp.MatcherSets) chance {
	if len(sets) == 0 {
		return always
	}
	best := never
	for _, set := range sets {
		best = max(best, q.matchesSet(set))
	}
	return best
}

func (q question) matchesSet(set caddyhttp.MatcherSet) chance {
	least := always
	for _, m := range set {
		least = min(least, q.matchesOne(m))
	}
	return least
}

// matchesOne asks one matcher. Those that depend on more than host, path and method may match.
func (q question) matchesOne(matcher any) chance {
	switch m := matcher.(type) {
	case *caddyhttp.MatchHost:
		return q.anyOf(*m, func(pattern string) chance { return hostMatches(pattern, q.host) })
	case *caddyhttp.MatchPath:
		return q.anyOf(*m, q.pathMatches)
	case *caddyhttp.MatchPathRE:
		return q.request(m.MatchWithError)
	case *caddyhttp.MatchMethod:
		switch {
		case q.method == "":
			return maybe
		case slices.Contains(*m, q.method):
			return always
		default:
			return never
		}
	case *caddyhttp.MatchNot:
		found := never
		for _, set := range m.MatcherSets {
			found = max(found, q.matchesSet(set))
		}
		return always - found
	default:
		return maybe
	}
}

func (question) anyOf(patterns []string, match func(string) chance) chance {
	best := never
	for _, pattern := range patterns {
		best = max(best, match(pattern))
	}
	return best
}

// pathMatches asks one pattern of a path matcher. Without a path only a pattern that matches all of them is sure.
func (q question) pathMatches(pattern string) chance {
	switch {
	case pattern == "*" || pattern == "/*":
		return always
	case q.path == "" || strings.Contains(pattern, "{"):
		return maybe
	default:
		return q.request(caddyhttp.MatchPath{pattern}.MatchWithError)
	}
}

// request asks a matcher about a request with the question's path.
func (q question) request(match func(*http.Request) (bool, error)) chance {
	if q.path == "" {
		return maybe
	}
	r, _, err := q.prepared()
	if err != nil {
		return maybe
	}
	switch ok, err := match(r); {
	case err != nil:
		return maybe
	case ok:
		return always
	default:
		return never
	}
}

// prepared returns a request with the question's path, as matchers and rewrites take it.
func (q question) prepared() (*http.Request, *caddy.Replacer, error) {
	r, err := http.NewRequest(http.MethodGet, q.path, http.NoBody) //nolint:noctx // it is matched and never sent
	if err != nil {
		return nil, nil, err
	}
	repl := caddy.NewReplacer()
	return caddyhttp.PrepareRequest(r, repl, nil, &caddyhttp.Server{}), repl, nil
}

// movedBy returns whether a rewrite changes the path of such requests.
func (q question) movedBy(h *rewrite.Rewrite) chance {
	path, _, _ := strings.Cut(h.URI, "?")
	switch {
	case path == "" && moves(h) == "" && len(h.URISubstring) == 0 && len(h.PathRegexp) == 0:
		return never
	case q.path == "":
		return maybe
	}
	// A value that only the request knows may be the path that it has, unless what precedes the value differs.
	path = strings.NewReplacer("{http.request.uri.path}", q.path, "{http.request.uri}", q.path).Replace(known(path))
	if fixed, _, open := strings.Cut(path, "{"); open && strings.HasPrefix(q.path, fixed) {
		return maybe
	}
	r, repl, err := q.prepared()
	if err != nil {
		return maybe
	}
	if h.Rewrite(r, repl); r.URL.Path != q.path {
		return always
	}
	return never
}

// rewriteText names a rewrite as a Caddyfile does.
func rewriteText(h *rewrite.Rewrite) string {
	switch {
	case moves(h) != "":
		return moves(h)
	case len(h.URISubstring) > 0:
		return fmt.Sprintf("'uri replace %s %s'", h.URISubstring[0].Find, h.URISubstring[0].Replace)
	case len(h.PathRegexp) > 0:
		return fmt.Sprintf("'uri path_regexp %s %s'", h.PathRegexp[0].Find, h.PathRegexp[0].Replace)
	case strings.HasPrefix(h.URI, "{http.matchers.file."):
		return "'try_files' or a rewrite to a file"
	default:
		return "'rewrite " + h.URI + "'"
	}
}

// hostMatches asks one pattern of a host matcher, label by label as Caddy does.
func hostMatches(pattern, host string) chance {
	pattern = strings.ToLower(known(pattern))
	if strings.Contains(pattern, "{") {
		return maybe
	}
	if host == "" {
		return never
	}
	want, have := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(want) != len(have) {
		return never
	}
	for i, label := range want {
		if label != "*" && label != have[i] {
			return never
		}
	}
	return always
}

// known resolves the placeholders that are the same for all requests, such as {env.HOST}.
func known(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return caddy.NewReplacer().ReplaceKnown(text, "")
}

// hostsIn collects the hosts that matchers name, negated ones included.
func hostsIn(sets []caddyhttp.MatcherSet, into map[string]bool) {
	for _, set := range sets {
		for _, m := range set {
			switch t := m.(type) {
			case *caddyhttp.MatchHost:
				for _, host := range *t {
					if host = strings.ToLower(known(host)); !strings.Contains(host, "{") {
						into[host] = true
					}
				}
			case *caddyhttp.MatchNot:
				hostsIn(t.MatcherSets, into)
			}
		}
	}
}

// describe names matchers as a Caddyfile does, those of hosts aside, and returns whether all of them are path matchers.
func describe(sets []caddyhttp.MatcherSet) (text string, onlyPaths bool) {
	return describeSets(sets, false)
}

func describeSets(sets []caddyhttp.MatcherSet, hosts bool) (text string, onlyPaths bool) {
	var all []string
	onlyPaths = true
	for _, set := range sets {
		var words []string
		for _, m := range set {
			switch t := m.(type) {
			case *caddyhttp.MatchHost:
				if hosts {
					words = append(words, "host "+strings.Join(*t, " "))
				}
			case *caddyhttp.MatchNot:
				inner, _ := describeSets(t.MatcherSets, true)
				words = append(words, "not "+inner)
				onlyPaths = false
			case *caddyhttp.MatchPath:
				words = append(words, "path "+strings.Join(*t, " "))
			default:
				words = append(words, matcherText(m))
				onlyPaths = false
			}
		}
		if len(words) > 0 {
			slices.Sort(words) // Caddy loads them in random order
			all = append(all, strings.Join(words, ", "))
		}
	}
	return strings.Join(all, " or "), onlyPaths
}

// matcherText names a matcher by its module and the words of its configuration.
func matcherText(matcher any) string {
	module, ok := matcher.(caddy.Module)
	if !ok {
		return fmt.Sprintf("%T", matcher)
	}
	name := module.CaddyModule().ID.Name()
	raw, err := json.Marshal(matcher)
	if err != nil {
		return name
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return name
	}
	return strings.Join(append([]string{name}, valueWords(value)...), " ")
}

func valueWords(value any) (words []string) {
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			words = append(words, valueWords(one)...)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			switch key {
			case "ranges", "expr", "pattern", "name": // what a Caddyfile does not spell out
			default:
				words = append(words, key)
			}
			words = append(words, valueWords(v[key])...)
		}
	case string:
		words = append(words, v)
	case nil:
	default:
		words = append(words, fmt.Sprint(v))
	}
	return words
}
