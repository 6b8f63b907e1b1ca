package templates

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A catalogue is a JSON object, one member for each message. A message is a text, or an object of plural forms ("one",
// "other", and what else the language has) chosen by {n}. Words in braces are filled in; **two stars** are strong.
type catalog struct {
	tag      string
	name     string // the language's own name
	dir      string // ltr or rtl
	messages map[string]message
}

type message struct {
	forms map[string]string
	file  string
	line  int
}

// at names where the message stands, for errors.
func (m message) at() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

var (
	tagPattern   = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	holePattern  = regexp.MustCompile(`\{([a-z_]*)\}`)
	pluralForms  = []string{"zero", "one", "two", "few", "many", "other"}
	metaLanguage = "@language"
	metaDir      = "@direction"
)

// parseCatalog reads one file. base is the language's embedded catalogue, which the file is laid over, or nil.
func parseCatalog(src source, tag string, base *catalog) (*catalog, error) {
	if !tagPattern.MatchString(tag) {
		return nil, fmt.Errorf("%s: the file name is not a language tag such as de or pt-BR", src.name)
	}
	c := &catalog{tag: tag, name: tag, dir: "ltr", messages: map[string]message{}}
	if base != nil {
		c.name, c.dir = base.name, base.dir
		for k, m := range base.messages {
			c.messages[k] = m
		}
	}
	dec := json.NewDecoder(strings.NewReader(src.text))
	line := func() int { return 1 + strings.Count(src.text[:min(int(dec.InputOffset()), len(src.text))], "\n") }
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s:%d: %s", src.name, line(), fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	err := readObject(dec, func(key string) error {
		at := line()
		if seen[key] {
			return fail("%q stands here a second time", key)
		}
		seen[key] = true
		forms, err := readMessage(dec)
		if err != nil {
			return err
		}
		if strings.HasPrefix(key, "@") {
			return c.setMeta(key, forms["other"], fail)
		}
		for form, text := range forms {
			if strings.ContainsFunc(text, isControl) {
				return fail("%q holds a control character", key)
			}
			if !slices.Contains(pluralForms, form) {
				return fail("%q: the plural forms are %s, not %q", key, strings.Join(pluralForms, ", "), form)
			}
		}
		if _, ok := forms["other"]; !ok {
			return fail("%q has no form \"other\"", key)
		}
		c.messages[key] = message{forms: forms, file: src.name, line: at}
		return nil
	})
	if err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%s:%d: not a catalogue: it ends too early", src.name, 1+strings.Count(src.text, "\n"))
		case errors.As(err, &syntax) || errors.Is(err, errShape):
			return nil, fail("not a catalogue: %v", err)
		}
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fail("something stands after the catalogue's last brace")
	}
	return c, nil
}

var errShape = errors.New("a message is a text in quotes, or an object of plural forms")

// setMeta takes a member that describes the catalogue itself.
func (c *catalog) setMeta(key, value string, fail func(string, ...any) error) error {
	switch {
	case key == metaLanguage && value != "":
		c.name = value
	case key == metaDir && (value == "ltr" || value == "rtl"):
		c.dir = value
	case key == metaDir:
		return fail("%s is ltr or rtl", metaDir)
	default:
		return fail("%q is not known; there are %s and %s", key, metaLanguage, metaDir)
	}
	return nil
}

// readObject calls member for each key of the object that comes next; member reads the value.
func readObject(dec *json.Decoder, member func(key string) error) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errShape
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return errShape
		}
		if err := member(key); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// readMessage reads one message: a string or an object of strings.
func readMessage(dec *json.Decoder) (map[string]string, error) {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return nil, err
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return map[string]string{"other": text}, nil
	}
	var forms map[string]string
	if json.Unmarshal(raw, &forms) != nil || forms == nil {
		return nil, errShape
	}
	return forms, nil
}

// holes lists the words in braces of every form of m, sorted and once each.
func (m message) holes() []string {
	var names []string
	for _, text := range m.forms {
		for _, h := range holePattern.FindAllStringSubmatch(text, -1) {
			names = append(names, h[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkAgainst refuses messages that the default catalogue does not have, and words in braces nobody fills.
func (c *catalog) checkAgainst(whole *catalog) error {
	for _, key := range sortedKeys(c.messages) {
		m := c.messages[key]
		w, ok := whole.messages[key]
		if !ok {
			return fmt.Errorf("%s: %q is no message; see catalog/%s.json for all", m.at(), key, DefaultLanguage)
		}
		for _, h := range m.holes() {
			if !slices.Contains(w.holes(), h) {
				return fmt.Errorf("%s: %q: nothing fills {%s}; there is {%s}", m.at(), key, h, strings.Join(w.holes(), "}, {"))
			}
		}
	}
	return nil
}

// readCatalogs reads the embedded catalogues and lays those of the directory over them.
func readCatalogs(s sources) (map[string]*catalog, error) {
	cats := map[string]*catalog{}
	for _, set := range []map[string]source{s.files, s.extra} {
		for _, name := range sortedKeys(set) {
			if path.Dir(name) != "catalog" {
				continue
			}
			tag := strings.TrimSuffix(path.Base(name), ".json")
			c, err := parseCatalog(set[name], tag, cats[tag])
			if err != nil {
				return nil, err
			}
			cats[tag] = c
		}
	}
	// The embedded English one, not an overlay, is the measure: an overlay cannot invent messages.
	whole, err := parseCatalog(s.files["catalog/"+DefaultLanguage+".json"], DefaultLanguage, nil)
	if err != nil {
		return nil, err
	}
	for _, tag := range sortedKeys(cats) {
		if err := cats[tag].checkAgainst(whole); err != nil {
			return nil, err
		}
	}
	for _, c := range cats {
		for key, m := range cats[DefaultLanguage].messages {
			if _, ok := c.messages[key]; !ok {
				c.messages[key] = m
			}
		}
	}
	return cats, nil
}

// form picks the plural form for n (CLDR, whole numbers).
func (c *catalog) form(n int) string {
	switch base, _, _ := strings.Cut(c.tag, "-"); base {
	case "fr":
		if n == 0 || n == 1 {
			return "one"
		}
	case "ar":
		switch r := n % 100; {
		case n == 0:
			return "zero"
		case n == 1:
			return "one"
		case n == 2:
			return "two"
		case r >= 3 && r <= 10:
			return "few"
		case r >= 11:
			return "many"
		}
	case "ja", "zh", "ko", "vi", "th", "id", "ms":
	case "ru", "uk", "sr", "hr", "bs":
		switch d, r := n%10, n%100; {
		case d == 1 && r != 11:
			return "one"
		case d >= 2 && d <= 4 && (r < 12 || r > 14):
			return "few"
		default:
			return "many"
		}
	case "pl":
		switch d, r := n%10, n%100; {
		case n == 1:
			return "one"
		case d >= 2 && d <= 4 && (r < 12 || r > 14):
			return "few"
		default:
			return "many"
		}
	case "cs", "sk":
		switch {
		case n == 1:
			return "one"
		case n >= 2 && n <= 4:
			return "few"
		}
	default:
		if n == 1 {
			return "one"
		}
	}
	return "other"
}

// text returns the form of a message that fits n; n is -1 where nothing is counted.
func (c *catalog) text(key string, n int) (string, bool) {
	m, ok := c.messages[key]
	if !ok {
		return "", false
	}
	if n >= 0 {
		if text, ok := m.forms[c.form(n)]; ok {
			return text, true
		}
	}
	return m.forms["other"], true
}

// words says a duration as people do: "43 seconds", "15 minutes", "2 hours", rounded up.
func (c *catalog) words(d time.Duration) string {
	up := func(unit time.Duration) int { return max(int((d+unit-1)/unit), 0) }
	switch {
	case d < 2*time.Minute && (d <= 0 || d%time.Minute != 0):
		return c.fill("time.seconds", []any{"n", up(time.Second)}, plain)
	case d <= 119*time.Minute && d != time.Hour:
		return c.fill("time.minutes", []any{"n", up(time.Minute)}, plain)
	case d <= 47*time.Hour && d != 24*time.Hour:
		return c.fill("time.hours", []any{"n", up(time.Hour)}, plain)
	default:
		return c.fill("time.days", []any{"n", up(24 * time.Hour)}, plain)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 }
