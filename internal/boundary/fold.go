package boundary

// Fold returns what a header name becomes to a backend that treats case and separators alike, as CGI, WSGI and FastCGI do:
// lower-case letters and digits. "Email-Link-Assertion", "email_link.assertion" and "EMAILLINKASSERTION" fold to one.
func Fold(name string) string {
	var buf foldBuffer
	return string(fold(&buf, name))
}

// foldBuffer is longer than any name that is looked for; what does not fit cannot be one, and prefixes are shorter still.
type foldBuffer [64]byte

// fold writes the folded name into buf, cut at its end.
func fold(buf *foldBuffer, name string) []byte {
	n := 0
	for i := 0; i < len(name) && n < len(buf); i++ {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			continue
		}
		buf[n] = c
		n++
	}
	return buf[:n]
}
