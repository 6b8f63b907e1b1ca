package templates

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inCode are the messages that Go code names, not a template.
func inCode() map[string]bool {
	keys := map[string]bool{}
	for _, k := range []string{
		"time.seconds", "time.minutes", "time.hours", "time.days", "time.clock", "time.moment", "time.day", "device.unknown", "device.on",
		"method.link", "method.code", "method.pwd", "method.other",
		"timezone.africa", "timezone.america", "timezone.antarctica", "timezone.arctic", "timezone.asia", "timezone.atlantic", "timezone.australia",
		"timezone.europe", "timezone.indian", "timezone.pacific",
		"problem.invalid_email.invisible", "problem.invalid_email.lookalike", "problem.invalid_email.space",
	} {
		keys[k] = true
	}
	for month := range 12 {
		keys[fmt.Sprintf("time.month.%d", month+1)] = true
	}
	for _, key := range eventKeys {
		keys[key] = true
	}
	for _, code := range Codes {
		keys["problem."+string(code)] = true
	}
	for _, code := range []Code{Limited, PasswordLimited} {
		keys[Problem{Code: code, Address: true}.key()] = true
	}
	return keys
}

func TestCatalogues_AreCompleteAndHoldNothingElse(t *testing.T) {
	src, err := readSources("")
	if err != nil {
		t.Fatal(err)
	}
	c, err := compileFiles(Options{Location: time.UTC}) // all of them, which a load without a directory leaves for later
	if err != nil {
		t.Fatal(err)
	}
	used := c.keys
	for k := range inCode() {
		used[k] = true
	}
	for name, file := range src.files {
		tag, ok := strings.CutPrefix(name, "catalog/")
		if !ok {
			continue
		}
		tag = strings.TrimSuffix(tag, ".json")
		c, err := parseCatalog(file, tag, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k := range used {
			if _, ok := c.messages[k]; !ok {
				t.Errorf("%s lacks %q", name, k)
			}
		}
		for k, m := range c.messages {
			if !used[k] {
				t.Errorf("%s: nobody shows %q", m.at(), k)
			}
			for _, f := range m.forms {
				form, text := f.name, f.text
				if strings.Count(text, "**")%2 != 0 || strings.TrimSpace(text) != text || text == "" {
					t.Errorf("%s: %q (%s) is not tidy", m.at(), k, form)
				}
			}
			if len(m.forms) > 1 {
				for n := range 130 {
					if _, ok := m.forms.get(c.form(n)); !ok {
						t.Errorf("%s: %q has no form %q for %d", m.at(), k, c.form(n), n)
						break
					}
				}
			}
		}
	}
}

func TestWords(t *testing.T) {
	c := load(t, Options{}).current.Load().languages["en"].catalog
	for d, want := range map[time.Duration]string{
		-time.Second: "0 seconds", 0: "0 seconds", time.Millisecond: "1 second", 43 * time.Second: "43 seconds",
		time.Minute: "1 minute", 90 * time.Second: "90 seconds", 121 * time.Second: "3 minutes", 15 * time.Minute: "15 minutes",
		time.Hour: "1 hour", 61 * time.Minute: "61 minutes", 119*time.Minute + time.Second: "2 hours", 24 * time.Hour: "1 day",
		25 * time.Hour: "25 hours", 72 * time.Hour: "3 days",
	} {
		if got := c.words(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	got := c.fill("resend.left.wait", []any{"n", 3, "total", 5, "wait", 43 * time.Second}, plain)
	if want := "3 of 5 resends left, the next in 43 seconds."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPluralForms compares with https://www.unicode.org/cldr/charts/latest/supplemental/language_plural_rules.html
func TestPluralForms(t *testing.T) {
	for tag, want := range map[string]string{
		"en": "0 other,1 one,2 other,5 other,11 other,100 other", "fr": "0 one,1 one,2 other,5 other,11 other,100 other",
		"ar": "0 zero,1 one,2 two,5 few,11 many,100 other", "pl": "0 many,1 one,2 few,5 many,11 many,100 many",
		"ja":    "0 other,1 other,2 other,5 other,11 other,100 other",
		"pt-BR": "0 one,1 one,2 other,5 other,11 other,100 other", "ru": "0 many,1 one,2 few,5 many,11 many,100 many",
		"cs": "0 other,1 one,2 few,5 other,11 other,100 other",
	} {
		var got []string
		for _, n := range []int{0, 1, 2, 5, 11, 100} {
			got = append(got, fmt.Sprintf("%d %s", n, (&catalog{tag: tag}).form(n)))
		}
		if diff := cmp.Diff(want, strings.Join(got, ",")); diff != "" {
			t.Errorf("%s: %s", tag, diff)
		}
	}
}

func TestZone(t *testing.T) {
	at := time.Date(2026, 11, 21, 14, 3, 0, 0, time.UTC)
	en := load(t, Options{}).current.Load().languages["en"].catalog
	for _, c := range []struct {
		loc  *time.Location
		want string
	}{
		{time.UTC, "14:03 UTC"},
		{time.FixedZone("CET", 3600), "15:03 CET"},
		{time.FixedZone("+0530", 19800), "19:33 UTC+5:30"},
		{time.FixedZone("-03", -10800), "11:03 UTC−3"},
		{time.FixedZone("", 0), "14:03 UTC"},
	} {
		if got := en.clock(at, c.loc); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestLanguage(t *testing.T) {
	c := &compiled{tags: []string{"ar", "de", "en", "pt-BR"}}
	for header, want := range map[string]string{
		"": "en", "*": "en", "de": "de", "de-CH, en;q=0.9": "de", "en;q=0.5, de;q=0.8": "de", "fr, ar;q=0.1": "ar",
		"de;q=0, en": "en", "de;q=x, ar": "ar", "pt-br": "pt-BR", "pt": "en", "DE_at": "de", "de;q=2": "en",
		strings.Repeat("xx,", 400) + "de": "en", "\x00,;;,q=": "en",
	} {
		if got := c.match(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func FuzzParseCatalog(f *testing.F) {
	for _, seed := range []string{"{}", `{"a":"b"}`, `{"a":{"other":"{n}"}}`, `{"@direction":"rtl"}`, "[", `{"a":null}`, "{\"\u2028\":1}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCatalog(source{name: "x.json", text: text}, "x1", nil)
		if err == nil {
			t.Fatalf("a bad tag was taken: %v", c)
		}
		c, err = parseCatalog(source{name: "de.json", text: text}, "de", nil)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
	})
}

func FuzzRich(f *testing.F) {
	f.Add("**a** {x} <b>", "<script>")
	f.Add("** ** **", "{x}**")
	f.Fuzz(func(t *testing.T, text, value string) {
		c := &catalog{tag: "en", messages: map[string]message{"k": {forms: forms{{"other", text}}}}}
		out, err := c.tryFill("k", []any{"x", value}, rich)
		if err != nil {
			return
		}
		for _, tag := range []string{"<strong>", "</strong>", "<bdi>", "</bdi>"} {
			out = strings.ReplaceAll(out, tag, "")
		}
		if strings.ContainsAny(out, "<>\"'") {
			t.Errorf("%q with %q came out as %q", text, value, out)
		}
	})
}
