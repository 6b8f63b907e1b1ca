package templates

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A writer turns the text of a message and its values into output.
type writer struct {
	// text prepares the catalogue's own words, value what is filled in.
	text, value func(s string) string
	// time writes a time that scripts may show as the reader's own; nil: as any of the catalogue's words.
	time func(v value) string
}

var plain = writer{text: plainText, value: func(s string) string { return s }}

// plainIsolated keeps left-to-right values whole within right-to-left words.
var plainIsolated = writer{text: plainText, value: func(s string) string { return "\u2068" + s + "\u2069" }}

var rich = writer{
	text:  richText,
	value: func(s string) string { return "<bdi>" + template.HTMLEscapeString(s) + "</bdi>" },
	time: func(v value) string {
		short := ""
		if v.short {
			short = " data-short"
		}
		return `<time datetime="` + v.at.UTC().Format(time.RFC3339) + `"` + short + ">" + template.HTMLEscapeString(v.text) + "</time>"
	},
}

func plainText(s string) string { return strings.ReplaceAll(s, "**", "") }

// richText escapes words and makes **strong** ones strong.
func richText(s string) string {
	parts := strings.Split(template.HTMLEscapeString(s), "**")
	var b strings.Builder
	for i, p := range parts {
		switch {
		case i == 0:
		case i%2 == 1 && i < len(parts)-1:
			b.WriteString("<strong>")
		case i%2 == 0:
			b.WriteString("</strong>")
		default:
			b.WriteString("**")
		}
		b.WriteString(p)
	}
	return b.String()
}

// fill writes the message key with the pairs of name and value. A pair n, int chooses the plural form. A key that does not exist
// comes out as itself; the checks at load keep that from happening.
func (c *catalog) fill(key string, pairs []any, w writer) string {
	out, err := c.tryFill(key, pairs, w)
	if err != nil {
		return key
	}
	return out
}

func (c *catalog) tryFill(key string, pairs []any, w writer) (string, error) {
	values, n, err := c.values(key, pairs)
	if err != nil {
		return "", err
	}
	text, ok := c.text(key, n)
	if !ok {
		return "", fmt.Errorf("the catalogue has no message %q", key)
	}
	// Strong marks may enclose a value, so the words are prepared as a whole and the holes are filled after it; braces mean
	// nothing to HTML.
	text = w.text(text)
	if !strings.Contains(text, "{") {
		return text, nil
	}
	var missing string
	out := holePattern.ReplaceAllStringFunc(text, func(hole string) string {
		name := hole[1 : len(hole)-1]
		v, ok := values[name]
		switch {
		case !ok:
			missing = name
			return hole
		case !v.at.IsZero() && w.time != nil:
			return w.time(v)
		case v.own:
			return w.text(v.text)
		}
		return w.value(v.text)
	})
	if missing != "" {
		return "", fmt.Errorf("message %q: nothing fills {%s}", key, missing)
	}
	return out, nil
}

// phrase is a text in the catalogue's own words.
type phrase string

// value is what fills a hole. A phrase, a number or a duration is own: it runs like the words around it and needs no isolation.
type value struct {
	text string
	own  bool
	// at is the time that text names, zero for everything else; short says that its day may be left out.
	at    time.Time
	short bool
}

// values turns pairs into texts.
func (c *catalog) values(key string, pairs []any) (map[string]value, int, error) {
	if len(pairs) == 0 {
		return nil, -1, nil
	}
	if len(pairs)%2 != 0 {
		return nil, 0, fmt.Errorf("message %q: a name without a value", key)
	}
	values, n := make(map[string]value, len(pairs)/2), -1
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, 0, fmt.Errorf("message %q: the name %v is no text", key, pairs[i])
		}
		switch v := pairs[i+1].(type) {
		case string:
			values[name] = value{text: v}
		case phrase:
			values[name] = value{text: string(v), own: true}
		case value:
			values[name] = v
		case int:
			values[name] = value{text: strconv.Itoa(v), own: true}
			if name == "n" {
				n = v
			}
		case time.Duration:
			values[name] = value{text: c.words(v), own: true}
		default:
			return nil, 0, fmt.Errorf("message %q: {%s} cannot be a %T", key, name, v)
		}
	}
	return values, n, nil
}

// plain is the writer for texts and attributes of this language.
func (c *catalog) plain() writer {
	if c.dir == "rtl" {
		return plainIsolated
	}
	return plain
}

// clock writes the hour of t with its zone: "14:03 CET".
func (c *catalog) clock(t time.Time, loc *time.Location) string {
	zoned, _ := ownZone(t, loc)
	t = t.In(zoned)
	return c.fill("time.clock", []any{"hour", t.Format("15"), "minute", t.Format("04"), "zone", zone(t)}, plain)
}

// zone names the zone of t as people know it, with its distance from UTC when the name says nothing.
func zone(t time.Time) string {
	name, offset := t.Zone()
	if offset == 0 && (name == "" || name == "UTC" || name == "Local") {
		return "UTC"
	}
	if name != "" && name[0] >= 'A' && name[0] <= 'Z' && name != "Local" {
		return name
	}
	sign := "+"
	if offset < 0 {
		sign, offset = "\u2212", -offset
	}
	hours, minutes := offset/3600, offset/60%60
	if minutes == 0 {
		return fmt.Sprintf("UTC%s%d", sign, hours)
	}
	return fmt.Sprintf("UTC%s%d:%02d", sign, hours, minutes)
}

// day writes the date of t in words: "21 November 2026". The day chooses a plural form, for languages that count the first
// day of a month in another way.
func (c *catalog) day(t time.Time, loc *time.Location) string {
	zoned, _ := ownZone(t, loc)
	t = t.In(zoned)
	month := c.fill("time.month."+strconv.Itoa(int(t.Month())), nil, plain)
	return c.fill("time.day", []any{"n", t.Day(), "day", t.Day(), "month", month, "year", t.Year()}, plain)
}

// formatTime writes date and hour of t.
func (c *catalog) formatTime(t time.Time, loc *time.Location) string {
	return c.fill("time.moment", []any{"day", c.day(t, loc), "time", c.clock(t, loc)}, plain)
}

// near writes t as people do who talk on the day of now: the hour alone, with the date when it is another day's.
func (c *catalog) near(t, now time.Time, loc *time.Location) string {
	zoned, _ := ownZone(t, loc)
	if t.In(zoned).Format(time.DateOnly) == now.In(zoned).Format(time.DateOnly) {
		return c.clock(t, loc)
	}
	return c.formatTime(t, loc)
}

// group writes a code of eight digits as two groups of four. Within words that run to the left a plain space would swap the
// groups; a no-break space keeps two numbers together (Unicode UAX #9, rule W4). The code field takes both.
func (c *catalog) group(code string) string {
	switch {
	case len(code) != 8:
		return code
	case c.dir == "rtl":
		return code[:4] + "\u00a0" + code[4:]
	}
	return code[:4] + " " + code[4:]
}

// device names a browser for people: the closed list's names stay as they are, "a browser" is a word of the catalogue.
func (c *catalog) device(name string) string {
	browser, system, both := strings.Cut(name, " on ")
	if browser == "" || browser == "a browser" {
		browser = c.fill("device.unknown", nil, plain)
	}
	if !both {
		return browser
	}
	return c.fill("device.on", []any{"browser", browser, "system", system}, c.plain())
}

// funcs are the functions of a template in one language.
func (c *catalog) funcs(loc *time.Location) map[string]any {
	return map[string]any{
		"t": func(key string, pairs ...any) (string, error) { return c.tryFill(key, pairs, c.plain()) },
		"rich": func(key string, pairs ...any) (template.HTML, error) {
			out, err := c.tryFill(key, pairs, rich)
			return template.HTML(out), err // each part of out has been escaped by the writer rich
		},
		"problem": func(p Problem) (string, error) {
			return c.tryFill(p.key(), p.pairs(), c.plain())
		},
		"event": func(e AccountEvent) (template.HTML, error) {
			out, err := c.tryFill(e.key(), []any{"site", e.Site}, rich)
			return template.HTML(out), err // as of rich
		},
		"ends":   func(t, near time.Time) phrase { return phrase(c.near(t, near, loc)) },
		"moment": func(t time.Time) phrase { return phrase(c.formatTime(t, loc)) },
		"local":  func(t time.Time) value { return local(c.formatTime(t, loc), t, loc, false) },
		"localnear": func(t, near time.Time) value {
			return local(c.near(t, near, loc), t, loc, true)
		},
		"region":  func(name string) (string, error) { return c.tryFill("timezone."+strings.ToLower(name), nil, c.plain()) },
		"zone":    func() string { return loc.String() },
		"seconds": func(d time.Duration) int { return int((d + time.Second - 1) / time.Second) },
		"device":  func(name string) phrase { return phrase(c.device(name)) },
		"group":   c.group,
		"until":   func(end, now time.Time) time.Duration { return max(end.Sub(now), 0) },
		"initial": initial,
		"lang":    func() string { return c.tag },
		"dir":     func() string { return c.dir },
		"methods": c.methods,
	}
}

// local returns a time for rich. The script of the pages leaves it as it is where a person has chosen the zone.
func local(text string, t time.Time, loc *time.Location, short bool) value {
	if _, own := ownZone(t, loc); own {
		return value{text: text, own: true}
	}
	return value{text: text, own: true, at: t, short: short}
}

// initial returns the first letter or digit of a name, for the mark of a site without a logo.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return ""
}

// methods returns how a session was opened.
func (c *catalog) methods(amr []string) string {
	for _, m := range []string{"link", "code", "pwd"} {
		for _, a := range amr {
			if a == m {
				return c.fill("method."+m, nil, plain)
			}
		}
	}
	return c.fill("method.other", nil, plain)
}
