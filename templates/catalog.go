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
	forms forms
	file  string
	line  int
}

// forms are the texts of a message by plural form. Most have one, and there are thousands of messages.
type forms []form

type form struct{ name, text string }

// get returns the text of a form, empty when there is none.
func (f forms) get(name string) (text string, found bool) {
	for _, one := range f {
		if one.name == name {
			return one.text, true
		}
	}
	return "", false
}

// at names where the message is, for errors.
func (m message) at() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

var (
	tagPattern   = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	holePattern  = regexp.MustCompile(`\{([a-z_]*)\}`)
	metaLanguage = "@language"
	metaDir      = "@direction"
)

// parseCatalog reads one file. base is the language's embedded catalogue, which the file is laid over, or nil.
func parseCatalog(src source, tag string, base *catalog) (*catalog, error) {
	if !tagPattern.MatchString(tag) {
		return nil, fmt.Errorf("%s: the file name is not a language tag; name it like de.json or pt-BR.json", src.name)
	}
	c := &catalog{tag: tag, name: tag, dir: "ltr", messages: map[string]message{}}
	if rightToLeft(tag) {
		c.dir = "rtl"
	}
	if base != nil {
		c.name, c.dir = base.name, base.dir
		for k, m := range base.messages {
			c.messages[k] = m
		}
	}
	forms, first := formsOf(tag)
	dec := json.NewDecoder(strings.NewReader(src.text))
	seen := map[string]int{}
	err := readObject(dec, func(key string) error {
		m := message{file: src.name, line: src.line(dec.InputOffset())}
		if line, twice := seen[key]; twice {
			return fmt.Errorf("%s: %q stands here a second time, after line %d; remove one of the two", m.at(), key, line)
		}
		seen[key] = m.line
		var err error
		if m.forms, err = readMessage(dec); err != nil {
			return err
		}
		if strings.HasPrefix(key, "@") {
			return c.setMeta(m, key)
		}
		if err := m.check(tag, forms, first); err != nil {
			return fmt.Errorf("%s: %q: %w", m.at(), key, err)
		}
		c.messages[key] = m
		return nil
	})
	if err != nil {
		return nil, src.explain(dec, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s:%d: something stands after the catalogue's last brace; remove it", src.name, src.line(dec.InputOffset()))
	}
	return c, nil
}

// check judges the texts of one message of a language with these forms.
func (m message) check(tag string, forms []string, first map[string]int) error {
	for _, f := range m.forms {
		form, text := f.name, f.text
		switch {
		case !slices.Contains(forms, form):
			return fmt.Errorf("there is no plural form %q in %s; its forms are %s", form, tag, strings.Join(forms, ", "))
		case strings.ContainsFunc(text, isControl):
			return errors.New("a control character; remove it")
		case strings.ContainsAny(holePattern.ReplaceAllString(text, ""), "{}"):
			return errors.New("a brace without its pair, or around what is no name; names are like {site}, in small letters without spaces")
		case strings.Count(text, "**")%2 != 0:
			return errors.New("two stars without their pair; write **strong words** between two pairs")
		}
	}
	if _, ok := m.forms.get("other"); !ok {
		return fmt.Errorf("the form \"other\" is missing; the forms of %s are %s", tag, strings.Join(forms, ", "))
	}
	if len(m.forms) == 1 {
		return nil // the same text for every number
	}
	for _, form := range forms {
		if _, ok := m.forms.get(form); !ok {
			return fmt.Errorf("the plural form %q is missing, which %s has for %d; its forms are %s", form, tag, first[form],
				strings.Join(forms, ", "))
		}
	}
	return nil
}

var errShape = errors.New("a message is a text in quotes, or an object of plural forms")

// line is the number of the line at an offset in bytes, from 1.
func (s source) line(offset int64) int {
	return 1 + strings.Count(s.text[:min(int(offset), len(s.text))], "\n")
}

// explain adds file, line and remedy to an error of the JSON decoder. Other errors have theirs.
func (s source) explain(dec *json.Decoder, err error) error {
	var syntax *json.SyntaxError
	early := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
	if !early && !errors.As(err, &syntax) && !errors.Is(err, errShape) {
		return err
	}
	// The decoder stops after the last good token. The mistake is what comes next.
	at := min(int(dec.InputOffset()), len(s.text))
	before := strings.TrimRight(s.text[:at], " \t\r\n")
	rest := strings.TrimLeft(s.text[at:], " \t\r\n")
	switch {
	case errors.Is(err, errShape):
		at = len(before) - 1
	case early:
		at, err = len(s.text), errors.New("it ends too early; is the last brace there?")
	case strings.HasSuffix(before, ",") && strings.HasPrefix(rest, "}"):
		at, err = len(before), errors.New("a comma stands after the last message; remove it")
	case strings.HasPrefix(rest, ",") && strings.HasPrefix(strings.TrimLeft(rest[1:], " \t\r\n"), "}"):
		at, err = len(s.text)-len(rest), errors.New("a comma stands after the last message; remove it")
	case strings.HasPrefix(rest, `"`) && !strings.HasSuffix(before, ","):
		at, err = len(before), errors.New("a comma is missing at the end of this line")
	default:
		at = len(s.text) - len(rest)
	}
	return fmt.Errorf("%s:%d: not a catalogue: %w", s.name, s.line(int64(max(at, 0))), err)
}

// setMeta takes a member that describes the catalogue itself.
func (c *catalog) setMeta(m message, key string) error {
	value, _ := m.forms.get("other")
	switch {
	case key == metaLanguage && value != "":
		c.name = value
	case key == metaDir && (value == "ltr" || value == "rtl"):
		c.dir = value
	case key == metaDir:
		return fmt.Errorf("%s: %s is ltr or rtl", m.at(), metaDir)
	case key == metaLanguage:
		return fmt.Errorf("%s: %s is the language's own name, such as Deutsch", m.at(), metaLanguage)
	default:
		return fmt.Errorf("%s: %q is not known; there are %s and %s", m.at(), key, metaLanguage, metaDir)
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
func readMessage(dec *json.Decoder) (forms, error) {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return nil, err
	}
	switch raw[0] { // null would pass for either
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return forms{{"other", text}}, err
	case '{':
		var texts map[string]string
		if json.Unmarshal(raw, &texts) == nil {
			list := make(forms, 0, len(texts))
			for _, name := range sortedKeys(texts) {
				list = append(list, form{name, texts[name]})
			}
			return list, nil
		}
	}
	return nil, errShape
}

// holes lists the words in braces of every form of m, sorted and once each.
func (m message) holes() []string {
	var names []string
	for _, f := range m.forms {
		for _, h := range holePattern.FindAllStringSubmatch(f.text, -1) {
			names = append(names, h[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkAgainst refuses messages that the default catalogue does not have, and words in braces that are never filled.
func (c *catalog) checkAgainst(whole *catalog) error {
	for _, key := range sortedKeys(c.messages) {
		m := c.messages[key]
		w, ok := whole.messages[key]
		if !ok {
			return fmt.Errorf("%s: %q is no message%s; catalog/%s.json has all", m.at(), key, hint(key, sortedKeys(whole.messages)),
				DefaultLanguage)
		}
		for _, h := range m.holes() {
			if !slices.Contains(w.holes(), h) {
				return fmt.Errorf("%s: %q: nothing fills {%s}; %s", m.at(), key, h, listHoles(w.holes()))
			}
		}
	}
	return nil
}

// listHoles says which words in braces there are.
func listHoles(names []string) string {
	if len(names) == 0 {
		return "this message has no words in braces"
	}
	return "there is {" + strings.Join(names, "}, {") + "}"
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

// text returns the form of a message that fits n; n is -1 where nothing is counted.
func (c *catalog) text(key string, n int) (string, bool) {
	m, ok := c.messages[key]
	if !ok {
		return "", false
	}
	if n >= 0 {
		if text, ok := m.forms.get(c.form(n)); ok {
			return text, true
		}
	}
	return m.forms.get("other")
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
