package boundary

// Fold returns what a header name becomes to a backend that treats case and separators alike, as CGI, WSGI and FastCGI do:
// lower-case letters and digits. "Email-Link-Assertion", "email_link.assertion" and "EMAILLINKASSERTION" fold to one.
func Fold(name string) string {
	folded := make([]byte, 0, len(name))
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			folded = append(folded, c+'a'-'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			folded = append(folded, c)
		}
	}
	return string(folded)
}
