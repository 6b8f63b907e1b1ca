package templates

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// minContrast is the least contrast of text and of what one presses with its ground (WCAG 2.2, 1.4.3).
const minContrast = 4.5

// darkContrast is what the tone for the dark theme reaches: more than the least one, since bright colours on a dark ground glare less
// when they are pale.
const darkContrast = 7

// The sheets that pages are written on, and what stands on a button, as in style.css.
var (
	lightSheet = rgb{0xff, 0xff, 0xff}
	darkSheet  = rgb{0x1a, 0x1f, 0x29}
	onLight    = rgb{0xff, 0xff, 0xff}
	onDark     = rgb{0x0d, 0x13, 0x1e}
)

// ErrAccentMissing says how a colour is written in a Caddyfile, where an unquoted # begins a comment.
var ErrAccentMissing = errors.New(`accent: a colour is missing; write it in quotes, accent "#1f5fbf", or without the number sign, accent 1f5fbf (an unquoted # begins a comment)`)

// Accent is the colour of a site's buttons and links, in both themes. The zero value is that of the embedded stylesheet.
type Accent struct {
	light, lightHover, dark, darkHover rgb
	set                                bool
}

// ParseAccent reads a colour of three or six hexadecimal digits, with # or without. One that people could hardly read on the white of the
// light theme is refused, with its contrast and the nearest darker tone that would do; the tone of the dark theme is derived.
func ParseAccent(text string) (Accent, error) {
	if text == "" {
		return Accent{}, ErrAccentMissing
	}
	c, ok := parseHex(text)
	if !ok {
		return Accent{}, fmt.Errorf("accent: %q is not a colour of three or six hexadecimal digits; write it like \"#1f5fbf\" or 1f5fbf", text)
	}
	if ratio := contrast(c, lightSheet); ratio < minContrast {
		return Accent{}, fmt.Errorf("accent: %s has a contrast of %.1f:1 with the white of the pages, and text needs 4.5:1 to be readable (WCAG 2.2); write a darker tone, such as %s",
			c, math.Floor(ratio*10)/10, strings.TrimPrefix(darker(c).String(), "#"))
	}
	a := Accent{light: c, lightHover: c.withLightness(func(l float64) float64 { return l * .78 }), set: true}
	if contrast(c, rgb{}) < 2 { // a hover darker than almost black is not seen
		a.lightHover = c.withLightness(func(l float64) float64 { return l + .08 })
	}
	a.dark = lighter(c)
	a.darkHover = a.dark.withLightness(func(l float64) float64 { return l + (1-l)*.4 })
	return a, nil
}

// Stylesheet returns the rules that put the colour in the place of the embedded one, nil for the zero value.
func (a Accent) Stylesheet() []byte {
	if !a.set {
		return nil
	}
	rules := func(accent, hover, on, sheet rgb, share float64) string {
		return fmt.Sprintf(":root{--accent:%s;--accent-deep:%s;--on-accent:%s;--note-ground:%s}", accent, hover, on, mix(accent, sheet, share))
	}
	return []byte(rules(a.light, a.lightHover, onLight, lightSheet, .09) +
		"@media (prefers-color-scheme:dark){" + rules(a.dark, a.darkHover, onDark, darkSheet, .16) + "}\n")
}

// rgb is a colour of the sRGB space.
type rgb struct{ r, g, b uint8 }

func (c rgb) String() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

func parseHex(text string) (c rgb, ok bool) {
	digits := strings.TrimPrefix(text, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 6 {
		return rgb{}, false
	}
	return rgb{uint8(n >> 16), uint8(n >> 8), uint8(n)}, true
}

// contrast is the ratio of the relative luminances of two colours (WCAG 2.2).
func contrast(a, b rgb) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + .05) / (min(la, lb) + .05)
}

func (c rgb) luminance() float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= .04045 {
			return s / 12.92
		}
		return math.Pow((s+.055)/1.055, 2.4)
	}
	return .2126*linear(c.r) + .7152*linear(c.g) + .0722*linear(c.b)
}

// darker returns the lightest tone of a colour that is dark enough for the light theme.
func darker(c rgb) rgb {
	tone := c
	for step := 1.0; step < 100 && contrast(tone, lightSheet) < minContrast; step++ {
		tone = c.withLightness(func(l float64) float64 { return l * (1 - step/100) })
	}
	return tone
}

// lighter returns the darkest tone of a colour, itself at the most, that is light enough for the dark theme.
func lighter(c rgb) rgb {
	tone := c
	for step := 1.0; step <= 100 && min(contrast(tone, darkSheet), contrast(tone, onDark)) < darkContrast; step++ {
		tone = c.withLightness(func(l float64) float64 { return l + (1-l)*step/100 })
	}
	return tone
}

// mix returns share parts of a and the rest of b.
func mix(a, b rgb, share float64) rgb {
	blend := func(x, y uint8) uint8 { return uint8(math.Round(share*float64(x) + (1-share)*float64(y))) }
	return rgb{blend(a.r, b.r), blend(a.g, b.g), blend(a.b, b.b)}
}

// withLightness returns the colour with another lightness (that of HSL, from 0 to 1), of the same hue and saturation.
func (c rgb) withLightness(change func(float64) float64) rgb {
	r, g, b := float64(c.r)/255, float64(c.g)/255, float64(c.b)/255
	high, low := max(r, g, b), min(r, g, b)
	l, spread := (high+low)/2, high-low
	saturation := 0.0
	if spread > 0 {
		saturation = spread / (1 - math.Abs(2*l-1))
	}
	l = min(max(change(l), 0), 1)
	reach := saturation * (1 - math.Abs(2*l-1)) // the new distance from the lowest to the highest of the three
	scale := func(v float64) uint8 {
		share := 0.0
		if spread > 0 {
			share = (v - low) / spread
		}
		return uint8(math.Round(255 * min(max(l-reach/2+share*reach, 0), 1)))
	}
	return rgb{scale(r), scale(g), scale(b)}
}
