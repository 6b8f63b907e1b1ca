package templates

import (
	"slices"
	"strconv"
	"strings"
)

// maxAcceptLanguage bounds what is read of the header, in bytes.
const maxAcceptLanguage = 512

// match picks the catalogue for a BCP 47 tag or an Accept-Language header (RFC 9110 §12.5.4, looked up as in RFC 4647 §3.4).
func (c *compiled) match(header string) string {
	if len(header) > maxAcceptLanguage {
		header = header[:maxAcceptLanguage]
	}
	// The first tag without a weight is preferred most, and is usually available.
	if first, _, _ := strings.Cut(header, ","); !strings.Contains(first, ";") {
		if have, ok := c.have(strings.ReplaceAll(strings.TrimSpace(first), "_", "-")); ok {
			return have
		}
	}
	type choice struct {
		tag string
		q   float64
	}
	choices := make([]choice, 0, 8) // as many as browsers send
	for part := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if _, value, ok := strings.Cut(params, "="); ok {
			parsed, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || !(parsed >= 0 && parsed <= 1) {
				continue
			}
			q = parsed
		}
		if tag = strings.TrimSpace(tag); tag != "" && q > 0 {
			choices = append(choices, choice{strings.ReplaceAll(tag, "_", "-"), q})
		}
	}
	slices.SortStableFunc(choices, func(a, b choice) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	for _, ch := range choices {
		if have, ok := c.have(ch.tag); ok {
			return have
		}
	}
	return DefaultLanguage
}

// have returns the catalogue of a language tag, or of the longest beginning of it that there is one for.
func (c *compiled) have(tag string) (have string, ok bool) {
	for tag != "" {
		for _, have := range c.tags {
			if strings.EqualFold(have, tag) {
				return have, true
			}
		}
		cut := strings.LastIndexByte(tag, '-')
		if cut < 0 {
			break
		}
		tag = tag[:cut]
	}
	return "", false
}
