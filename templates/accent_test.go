package templates

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// accents are colours from all over the space, the edges of what is accepted among them.
func accents() (list []rgb) {
	for r := 0; r <= 255; r += 17 {
		for g := 0; g <= 255; g += 17 {
			for b := 0; b <= 255; b += 17 {
				list = append(list, rgb{uint8(r), uint8(g), uint8(b)})
			}
		}
	}
	return list
}

func TestParseAccent_BothThemesCanBeRead(t *testing.T) {
	accepted := 0
	for _, c := range accents() {
		a, err := ParseAccent(c.String())
		if (err == nil) != (contrast(c, lightSheet) >= 4.5) {
			t.Fatalf("%s: %v, with a contrast of %.2f", c, err, contrast(c, lightSheet))
		}
		if err != nil {
			continue
		}
		accepted++
		for _, pair := range []struct {
			what string
			a, b rgb
		}{
			{"links", a.light, lightSheet},
			{"a button", a.light, onLight},
			{"a button under the pointer", a.lightHover, onLight},
			{"links in the dark", a.dark, darkSheet},
			{"a button in the dark", a.dark, onDark},
			{"a button in the dark under the pointer", a.darkHover, onDark},
			{"links in the dark under the pointer", a.darkHover, darkSheet},
		} {
			if ratio := contrast(pair.a, pair.b); ratio < 4.5 {
				t.Errorf("%s: %s: %s on %s has %.2f:1", c, pair.what, pair.a, pair.b, ratio)
			}
		}
		if a.light == a.lightHover || a.dark == a.darkHover && a.dark != (rgb{0xff, 0xff, 0xff}) {
			t.Errorf("%s: the pointer changes nothing: %+v", c, a)
		}
	}
	if accepted < 500 {
		t.Errorf("%d colours were accepted", accepted)
	}
}

// TestParseAccent_ObeysItsOwnAdvice takes the tone that each refusal recommends.
func TestParseAccent_ObeysItsOwnAdvice(t *testing.T) {
	advised := regexp.MustCompile(`such as ([0-9a-f]{6})$`)
	for _, c := range accents() {
		_, err := ParseAccent(c.String())
		if err == nil {
			continue
		}
		m := advised.FindStringSubmatch(err.Error())
		if m == nil {
			t.Fatalf("%s: %v names no tone", c, err)
		}
		if _, err := ParseAccent(m[1]); err != nil {
			t.Errorf("%s: the tone that was recommended: %v", c, err)
		}
	}
	_, err := ParseAccent("ffcc00")
	if want := "#ffcc00 has a contrast of 1.5:1 with the white of the pages"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestParseAccent_Spellings(t *testing.T) {
	for _, text := range []string{"#1f5fbf", "1f5fbf", "1F5FBF"} {
		a, err := ParseAccent(text)
		if err != nil || !strings.HasPrefix(string(a.Stylesheet()), ":root{--accent:#1f5fbf;") {
			t.Errorf("%s: %s, %v", text, a.Stylesheet(), err)
		}
	}
	if a, err := ParseAccent("#00c"); err != nil || a.light != (rgb{0, 0, 0xcc}) {
		t.Errorf("#00c: %v, %v", a.light, err)
	}
	for _, text := range []string{"", "#", "blue", "#12345", "#1234567", "rgb(0,0,0)", "#12 456", "+12345", "-1f5fb", "1_5fbf", "#ééé", "##123456"} {
		if a, err := ParseAccent(text); err == nil || !strings.Contains(err.Error(), "1f5fbf") {
			t.Errorf("%q: %v, %v; want an error with a colour to write", text, a, err)
		}
	}
	if Accent.Stylesheet(Accent{}) != nil {
		t.Error("no accent has a stylesheet")
	}
}

// TestAccent_SheetsAreThoseOfTheStylesheet fails when style.css changes a ground that contrasts are reckoned with.
func TestAccent_SheetsAreThoseOfTheStylesheet(t *testing.T) {
	text, err := readEmbedded("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, _ := strings.Cut(string(text), "prefers-color-scheme: dark")
	for _, one := range []struct {
		theme, name string
		color       rgb
	}{
		{light, "sheet", lightSheet},
		{light, "on-accent", onLight},
		{dark, "sheet", darkSheet},
		{dark, "on-accent", onDark},
	} {
		if want := fmt.Sprintf("--%s: %s;", one.name, one.color); !strings.Contains(one.theme, want) {
			t.Errorf("style.css lacks %q", want)
		}
	}
}
