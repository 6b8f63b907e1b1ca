package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth bounds the nesting of JSON; our own tokens need 2.
const maxDepth = 8

// maxDate is the largest time in seconds that is taken for one: the year 9999.
const maxDate = 253402300799

var strictEncoding = base64.RawURLEncoding.Strict()

// decodeSegment decodes one part of a compact token: base64url without padding, line breaks or stray bits.
func decodeSegment(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return nil, RefusedMalformed
	}
	b, err := strictEncoding.DecodeString(s)
	if err != nil {
		return nil, RefusedMalformed
	}
	return b, nil
}

// object is a JSON object whose members are found by their exact names.
type object map[string]json.RawMessage

// parseObject reads exactly one JSON object in valid UTF-8. Duplicate members, at any depth, are refused: two readers could
// take different ones.
func parseObject(b []byte) (object, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, RefusedMalformed
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, RefusedMalformed
	}
	if err := noDuplicates(dec, '{', 1); err != nil {
		return nil, RefusedMalformed
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, RefusedMalformed
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, RefusedMalformed
	}
	return o, nil
}

// noDuplicates walks the rest of an object or array that has been opened.
func noDuplicates(dec *json.Decoder, open json.Delim, depth int) error {
	if depth > maxDepth {
		return RefusedMalformed
	}
	var seen map[string]bool
	if open == '{' {
		seen = make(map[string]bool, 16)
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		if seen != nil {
			name, ok := t.(string)
			if !ok || seen[name] {
				return RefusedMalformed
			}
			seen[name] = true
			if t, err = dec.Token(); err != nil {
				return err
			}
		}
		if d, ok := t.(json.Delim); ok {
			if err := noDuplicates(dec, d, depth+1); err != nil {
				return err
			}
		}
	}
	_, err := dec.Token() // the closing one
	return err
}

// text returns a string member; absent is "", false.
func (o object) text(name string) (s string, present bool, err error) {
	raw, ok := o[name]
	if !ok {
		return "", false, nil
	}
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", true, RefusedClaims
	}
	return s, true, nil
}

// texts returns an array of strings; absent is nil.
func (o object) texts(name string) ([]string, error) {
	raw, ok := o[name]
	if !ok {
		return nil, nil
	}
	var list []*string
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, RefusedClaims
	}
	out := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, RefusedClaims
		}
		out[i] = *s
	}
	return out, nil
}

// date returns a time in whole seconds, written as a plain integer between 1970 and the year 9999.
func (o object) date(name string) (t time.Time, present bool, err error) {
	raw, ok := o[name]
	if !ok {
		return time.Time{}, false, nil
	}
	var n int64
	for _, c := range raw {
		if c < '0' || c > '9' || n > maxDate {
			return time.Time{}, true, RefusedClaims
		}
		n = n*10 + int64(c-'0')
	}
	if n > maxDate {
		return time.Time{}, true, RefusedClaims
	}
	return time.Unix(n, 0).UTC(), true, nil
}

// flag returns a boolean; absent is false.
func (o object) flag(name string) (bool, error) {
	switch raw, ok := o[name]; {
	case !ok || string(raw) == "false":
		return false, nil
	case string(raw) == "true":
		return true, nil
	}
	return false, RefusedClaims
}
