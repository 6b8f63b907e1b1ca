package boundary

import (
	"encoding/base64"
	"net/http"
	"strings"
)

const (
	// TokenHeader carries a machine token where Authorization is the app's own.
	TokenHeader = "Email-Link-Token"
	// tokenPrefix begins every machine token.
	tokenPrefix = "elt_"
)

// Token is the machine token that a request presents.
type Token struct {
	// Text is the token as it was sent; empty where none could be validated.
	Text string
	// Presented is set when the request presents a token, or what is meant for one. Such a request has no other identity: where Text is
	// not a valid token it is refused.
	Presented bool
	// Basic says that it came as the password of Basic, which a browser sends again by itself, Bearer that it came in one of
	// the two ways in which no browser does.
	Basic, Bearer bool
	// Header says that there was an Email-Link-Token, good or bad: programs that log Authorization as a secret do not know it.
	Header bool
}

// ExtractToken removes the machine token from a request and returns it: the value of Email-Link-Token, what follows Bearer in
// Authorization, or the password of Basic there (RFC 7617); the user name beside it says nothing. More than one of these, or
// one header twice, is an invalid token. Any other Authorization is the app's and is left alone. Call it before
// anything strips our names.
func ExtractToken(header http.Header) (t Token) {
	own, sent := header[TokenHeader]
	authorization := header["Authorization"]
	if !sent && len(authorization) == 0 {
		return t
	}
	found := 0
	if sent {
		t.Bearer, t.Header = true, true
		delete(header, TokenHeader)
		found = max(len(own), 1)
		if len(own) == 1 {
			t.Text = trimSpace(own[0])
		}
	}
	ours := false
	for _, value := range authorization {
		if text, basic, ok := tokenIn(value); ok {
			ours, t.Text = true, text
			t.Basic, t.Bearer = t.Basic || basic, t.Bearer || !basic
		}
	}
	if ours {
		delete(header, "Authorization")
		found += len(authorization)
	}
	t.Presented = found > 0
	if found > 1 {
		t.Text = ""
	}
	return t
}

// tokenIn finds a machine token in a value of Authorization.
func tokenIn(value string) (text string, basic, ok bool) {
	scheme, rest := trimSpace(value), ""
	if i := strings.IndexAny(scheme, " \t"); i >= 0 { // many servers take a tab for the space
		scheme, rest = scheme[:i], trimSpace(scheme[i:])
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return rest, false, strings.HasPrefix(rest, tokenPrefix)
	case strings.EqualFold(scheme, "Basic"):
		_, password, _ := strings.Cut(decodeBasic(rest), ":")
		return password, true, strings.HasPrefix(password, tokenPrefix)
	}
	return "", false, false
}

// decodeBasic reads base64 as leniently as any server does: with or without padding, in both alphabets. A token must not go on
// because its client writes it in an unusual way.
func decodeBasic(s string) string {
	s = strings.TrimRight(s, "=")
	for _, encoding := range [...]*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if plain, err := encoding.DecodeString(s); err == nil {
			return string(plain)
		}
	}
	return ""
}

// FromAnotherSite reports whether a browser marks a request as made by a page of another origin than ours (scheme://host[:port]).
// A request without such marks is no browser's, or a person's own.
func FromAnotherSite(header http.Header, origin string) bool {
	if site, ok := header["Sec-Fetch-Site"]; ok && !(len(site) == 1 && (site[0] == "same-origin" || site[0] == "none")) {
		return true
	}
	from, ok := header["Origin"]
	return ok && !(len(from) == 1 && strings.EqualFold(from[0], origin))
}

// IsBrowser reports whether a browser has made a request, as far as its headers show: today's browsers
// all send them, over https and on localhost.
func IsBrowser(header http.Header) bool {
	_, fetch := header["Sec-Fetch-Mode"]
	_, script := header["X-Requested-With"]
	return fetch || script
}
