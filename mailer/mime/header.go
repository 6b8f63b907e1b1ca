package mime

import (
	"bytes"
	"encoding/base64"
	"net/mail"
	"strings"
	"unicode/utf8"
)

// header writes header fields, each with a first line that is not empty: some readers show a blank where it is. The standard library and
// go-mail begin a long name on the second line.
type header struct{ bytes.Buffer }

const (
	// foldAt is the length after which a line is folded (RFC 5322 section 2.1.1, RFC 2047 section 2).
	foldAt = 76
	// maxText is the longest text that is written as it is: behind the longest field name, "Reply-To: ", it stays below foldAt.
	maxText = 66
	// wordBytes is how much of a text one encoded word holds: 64 characters, so that it fits behind each field name.
	wordBytes = 39
)

func (h *header) add(name, value string) {
	h.WriteString(name + ": " + value + "\r\n")
}

// mailbox writes a field with one mailbox (RFC 5322 section 3.4).
func (h *header) mailbox(name string, a *mail.Address) {
	address := "<" + a.Address + ">"
	if a.Name == "" {
		h.add(name, address)
		return
	}
	text := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Name) + `"`
	if !safe(text) {
		text = encodedWords(a.Name)
	}
	last := name + ": " + text
	last = last[strings.LastIndexByte(last, '\n')+1:]
	if len(last)+len(" ")+len(address) > foldAt {
		text += "\r\n"
	}
	h.add(name, text+" "+address)
}

// text writes a field of free text.
func (h *header) text(name, s string) {
	if !safe(s) {
		s = encodedWords(s)
	}
	h.add(name, s)
}

// safe reports whether a text is short and in characters that each reader shows as they are.
func safe(s string) bool { return len(s) <= maxText && ascii(s) && !strings.Contains(s, "=?") }

// encodedWords returns a text as encoded words (RFC 2047), one a line. Each ends behind a space where it can: readers such as Python
// before 3.13 show one between the words of a name, and so none within a word of the text.
func encodedWords(s string) string {
	var words []string
	for s != "" {
		n := min(len(s), wordBytes)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		if space := strings.LastIndexByte(s[:n], ' '); n < len(s) && space > 0 {
			n = space + 1
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, "\r\n ")
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
