package templates

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// translations are the embedded catalogues as their files have them, without what English lends.
func translations(t *testing.T) map[string]*catalog {
	t.Helper()
	src, err := readSources("")
	if err != nil {
		t.Fatal(err)
	}
	cats := map[string]*catalog{}
	for name, file := range src.files {
		if tag, ok := strings.CutPrefix(name, "catalog/"); ok {
			tag = strings.TrimSuffix(tag, ".json")
			if cats[tag], err = parseCatalog(file, tag, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cats
}

func TestLanguages(t *testing.T) {
	if diff := cmp.Diff([]string{"ar", "de", "en", "es", "fr"}, load(t, Options{}).Languages()); diff != "" {
		t.Error(diff)
	}
}

// TestTranslations_SayWhatEnglishSays compares each translation with English: the same keys, the same words in braces, the
// same number of strong words. Only a plural form for one number may leave the number out.
func TestTranslations_SayWhatEnglishSays(t *testing.T) {
	cats := translations(t)
	english := cats[DefaultLanguage]
	for tag, c := range cats {
		for key, e := range english.messages {
			m, ok := c.messages[key]
			if !ok {
				t.Errorf("catalog/%s.json lacks %q, which stands at %s", tag, key, e.at())
				continue
			}
			if own := holePattern.ReplaceAllString(other(m), ""); tag != DefaultLanguage && len(strings.Fields(own)) > 1 &&
				slices.Contains(wordsOf(e), other(m)) {
				t.Errorf("%s: %q is still English", m.at(), key)
			}
			for _, f := range m.forms {
				form, text := f.name, f.text
				want, got := e.holes(), message{forms: forms{{"other", text}}}.holes()
				if _, first := formsOf(tag); (form == "zero" || form == "one" || form == "two") && len(first) > 1 {
					got = append(got, "n")
					slices.Sort(got)
					got = slices.Compact(got)
					if !slices.Contains(want, "n") {
						got = slices.DeleteFunc(got, func(h string) bool { return h == "n" })
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: %q (%s) has other words in braces than English:\n%s", m.at(), key, form, diff)
				}
				if strings.Count(text, "**") != strings.Count(other(e), "**") {
					t.Errorf("%s: %q (%s) has other strong words than English", m.at(), key, form)
				}
			}
		}
	}
}

// other returns the text of a message that is not counted, or the form for most numbers.
func other(m message) string {
	text, _ := m.forms.get("other")
	return text
}

func wordsOf(m message) []string {
	var texts []string
	for _, f := range m.forms {
		texts = append(texts, f.text)
	}
	return texts
}

// TestTranslations_Typography keeps to each language's own signs.
func TestTranslations_Typography(t *testing.T) {
	wrong := map[string]*regexp.Regexp{
		"de": regexp.MustCompile(`["'“«»]| [?!;:,.]|[^„“]*“[^„]*“`),
		// A narrow no-break space stands before ; ? ! and within guillemets, a no-break space before a colon.
		"fr": regexp.MustCompile(`["'“”]|[^\x{202f}][;?!»]|[^\x{00a0}]:|«[^\x{202f}]| [,.]`),
		"es": regexp.MustCompile(`["'“”]|^[^¿]*\?|^[^¡]*!| [?!;:,.]`),
		"ar": regexp.MustCompile(`["'“”?;]|[^0-9}a-z],| [؟!؛:،.]`),
		"en": regexp.MustCompile(`[“”‘’"]| [?!;:,.]`),
	}
	for tag, c := range translations(t) {
		for key, m := range c.messages {
			for _, text := range wordsOf(m) {
				text = strings.ReplaceAll(text, "{hour}:{minute}", "{hour}{minute}")
				bad := wrong[tag].FindString(text)
				if tag == "de" && strings.Count(text, "„") == strings.Count(text, "“") {
					bad = wrong[tag].FindString(strings.NewReplacer("„", "", "“", "").Replace(text))
				}
				if bad != "" {
					t.Errorf("%s: %q: not as it is set in %s: %q", m.at(), key, tag, bad)
				}
				isolates := strings.Count(text, "\u2066") + strings.Count(text, "\u2067") + strings.Count(text, "\u2068")
				if isolates != strings.Count(text, "\u2069") || strings.ContainsAny(text, "\u200e\u200f\u202a\u202b\u202c\u202d\u202e") {
					t.Errorf("%s: %q: a mark of direction without its end, or one that reaches beyond its words", m.at(), key)
				}
				if strings.Contains(text, "  ") {
					t.Errorf("%s: %q: two spaces", m.at(), key)
				}
			}
		}
	}
}

func TestTimes_InEachLanguage(t *testing.T) {
	at := time.Date(2026, time.November, 21, 14, 3, 0, 0, time.UTC)
	first := time.Date(2027, time.March, 1, 9, 5, 0, 0, time.UTC)
	s := load(t, Options{}).current.Load()
	for tag, want := range map[string][]string{
		"en": {"21 November 2026, 14:03 UTC", "1 March 2027, 09:05 UTC", "43 seconds", "1 minute", "2 hours", "3 days", "11 days"},
		"de": {"21.\u00a0November 2026, 14:03\u00a0Uhr (UTC)", "1.\u00a0März 2027, 09:05\u00a0Uhr (UTC)", "43 Sekunden", "1 Minute", "2 Stunden", "3 Tage", "11 Tage"},
		"fr": {"21 novembre 2026 à 14\u00a0h\u00a003 (UTC)", "1er mars 2027 à 09\u00a0h\u00a005 (UTC)", "43 secondes", "1 minute", "2 heures", "3 jours", "11 jours"},
		"es": {"21 de noviembre de 2026, 14:03\u00a0h (UTC)", "1 de marzo de 2027, 09:05\u00a0h (UTC)", "43 segundos", "1 minuto", "2 horas", "3 días", "11 días"},
		"ar": {"21 نوفمبر 2026، الساعة 14:03 بتوقيت UTC", "1 مارس 2027، الساعة 09:05 بتوقيت UTC", "43 ثانية", "دقيقة واحدة", "ساعتين", "3 أيام", "11 يومًا"},
	} {
		c := s.languages[tag].catalog
		got := []string{c.formatTime(at, time.UTC), c.formatTime(first, time.UTC)}
		for _, d := range []time.Duration{43 * time.Second, time.Minute, 2 * time.Hour, 72 * time.Hour, 264 * time.Hour} {
			got = append(got, c.words(d))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", tag, diff)
		}
	}
}

func TestLanguage_Chosen(t *testing.T) {
	s := load(t, Options{})
	for header, want := range map[string]string{
		"de-AT,de;q=0.9": "de", "de-CH-1996, fr;q=0.9": "de", "fr-CA": "fr", "es-419,es;q=0.9,en;q=0.8": "es", "ar": "ar",
		"ar-EG, en;q=0.5": "ar", "ja": "en", "ja,de;q=0.1": "de", "": "en", "*": "en", "en-GB,de;q=0.9": "en", "AR-sa": "ar",
	} {
		if got := s.Language(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
		if r, err := s.Mail(MailSamples()[0].Mail, header); err != nil || r.Language != want {
			t.Errorf("%q: a mail in %s (%v), want %s", header, r.Language, err, want)
		}
	}
}

func TestRightToLeft(t *testing.T) {
	s := load(t, Options{})
	for _, p := range PageSamples() {
		p.Frame.Language = "ar"
		out := render(t, s, p.Frame, p.Facts)
		if !strings.Contains(out, `<html lang="ar" dir="rtl">`) {
			t.Errorf("%s: the page does not run to the left", p.Name)
		}
		for _, input := range regexp.MustCompile(`<input id="(email|code)"[^>]*>`).FindAllString(out, -1) {
			if !strings.Contains(input, ` dir="ltr"`) {
				t.Errorf("%s: an address or a code would run to the left: %s", p.Name, input)
			}
		}
	}
	for _, m := range MailSamples() {
		r, err := s.Mail(m.Mail, "ar")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.HTML, `<html lang="ar" dir="rtl">`) || !strings.Contains(r.HTML, `<div lang="ar" dir="rtl">`) ||
			strings.Contains(r.HTML, `<table role="presentation" cell`) {
			t.Errorf("%s: the mail does not run to the left where a mail program drops the html element", m.Name)
		}
		for _, value := range []string{m.Mail.Site, m.Mail.Network} {
			if value != "" && !strings.Contains(r.Subject+r.Text, "\u2068"+value+"\u2069") {
				t.Errorf("%s: %q is not isolated", m.Name, value)
			}
		}
		for _, url := range []string{m.Mail.Link, m.Mail.Cancel} {
			if url != "" && !strings.Contains(r.Text, "\n"+url+"\n") {
				t.Errorf("%s: an address does not stand alone and bare", m.Name)
			}
		}
		if m.Mail.Code != "" && (!strings.Contains(r.Text, "\n    1234\u00a05678\n") || !strings.Contains(r.HTML, `class="code" dir="ltr"`)) {
			t.Errorf("%s: the two halves of the code might change places", m.Name)
		}
	}
	if out := render(t, s, Frame{Language: "de", Site: "Example"}, SignIn{}); strings.ContainsAny(out, "\u2066\u2067\u2068\u2069") {
		t.Error("a page that runs to the right has marks of direction")
	}
	dir := t.TempDir()
	write(t, dir, "catalog/he.json", `{"sign_in.heading": "X {site}"}`)
	if out := render(t, load(t, Options{Dir: dir}), Frame{Language: "he", Site: "Example"}, SignIn{}); !strings.Contains(out, `lang="he" dir="rtl"`) ||
		!strings.Contains(out, "X \u2068Example\u2069") {
		t.Error("a new catalogue of a language from the right does not run to the left by itself")
	}
}

// TestMails_GoldenHeaders holds the header of each mail as it is sent.
func TestMails_GoldenHeaders(t *testing.T) {
	s := load(t, Options{})
	for _, tag := range s.Languages() {
		var b strings.Builder
		for _, m := range MailSamples() {
			r, err := s.Mail(m.Mail, tag)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := mime.Build(mailer.Message{
				From: `"Example" <no-reply@example.com>`, ReplyTo: "help@example.com", To: "jo@example.com", Subject: r.Subject,
				Text: r.Text, HTML: r.HTML, Date: sampleTime, MessageID: m.Name + "@example.com", Language: r.Language,
			}, mime.Options{})
			if err != nil {
				t.Fatal(err)
			}
			header, _, _ := strings.Cut(string(raw), "\r\n\r\n")
			fmt.Fprintf(&b, "%s\n\n", strings.ReplaceAll(header, "\r\n", "\n"))
		}
		golden(t, filepath.Join(tag, "headers.txt"), b.String())
	}
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "für": 3, "fu\u0308r": 3, "\u2068Example\u2069": 7, "تسجيل": 5, "يُرجى": 4, "日本": 4, "ＡＢ": 4, "a\u202f?": 3,
	} {
		if got := columns(text); got != want {
			t.Errorf("%q is %d columns wide, want %d", text, got, want)
		}
	}
	if got := wrap("eins zwei\u00a0drei vier", 10); got != "eins\nzwei\u00a0drei\nvier\n" {
		t.Errorf("a no-break space broke: %q", got)
	}
}
