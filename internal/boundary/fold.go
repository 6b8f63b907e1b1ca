package boundary

// foldTable maps the bytes of a header name to what they are when folded, and to 0 those that are left out.
var foldTable = func() (table [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		table[c], table[c-'a'+'A'] = c, c
	}
	for c := byte('0'); c <= '9'; c++ {
		table[c] = c
	}
	return table
}()

// Fold returns what a header name becomes to a backend that treats case and separators alike, as CGI, WSGI and FastCGI do:
// lower-case letters and digits. "Email-Link-Assertion", "email_link.assertion" and "EMAILLINKASSERTION" fold to one.
func Fold(name string) string { return string(appendFold(make([]byte, 0, len(name)), name)) }

func appendFold(folded []byte, name string) []byte {
	for i := range len(name) {
		if c := foldTable[name[i]]; c != 0 {
			folded = append(folded, c)
		}
	}
	return folded
}
