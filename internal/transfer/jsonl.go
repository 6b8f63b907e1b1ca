package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"unicode/utf8"
)

// jsonLines reads JSON Lines. A line that is no JSON object ends with its line feed, so reading goes on behind it.
type jsonLines struct {
	in   *bufio.Reader
	line int
}

func newJSONLines(in io.Reader) *jsonLines { return &jsonLines{in: bufio.NewReaderSize(in, MaxLine+2)} }

func (j *jsonLines) next() (Row, error) {
	for {
		text, err := j.in.ReadSlice('\n')
		if len(text) > 0 {
			j.line++
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			if err = j.skip(); err == nil || errors.Is(err, io.EOF) {
				err = &LineError{j.line, "the line is longer than 16 KiB"}
			}
			return Row{Line: j.line}, err
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0) {
			return Row{}, err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			row := Row{Line: j.line}
			return row, row.decode(text)
		}
		if err != nil {
			return Row{}, err
		}
	}
}

// skip leaves out what is left of a line.
func (j *jsonLines) skip() error {
	for {
		_, err := j.in.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// decode reads one object. The members are read one by one, because the standard decoder takes the last of two of one name, a
// name in any case, and what is no Unicode.
func (r *Row) decode(text []byte) error {
	if !utf8.Valid(text) {
		return r.bad("the line is not UTF-8")
	}
	if !json.Valid(text) || text[0] != '{' {
		return r.bad("the line is no JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return r.bad("the line is no JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		var value json.RawMessage
		name, err := dec.Token()
		if err == nil {
			err = dec.Decode(&value)
		}
		field, _ := name.(string)
		switch {
		case err != nil:
			return r.bad("the line is no JSON object")
		case !slices.Contains(Fields, field):
			return r.bad("it has a member that is not known: " + unknownField(field))
		case seen[field]:
			return r.bad("it has two members " + field)
		}
		seen[field] = true
		if err := r.set(field, value); err != nil {
			return err
		}
	}
	return nil
}

// set sets a field from JSON: texts, and for two fields what is closer to JSON. null is an absent one.
func (r *Row) set(field string, value json.RawMessage) error {
	var text string
	switch {
	case string(value) == "null":
		return nil
	case json.Unmarshal(value, &text) == nil:
		return r.setText(field, text)
	case field == "verified":
		return r.setVerified(string(value))
	case field == "roles":
		return r.setRoles(value)
	}
	return r.bad("the " + field + " is no text")
}

func (r *Row) setRoles(value json.RawMessage) error {
	var list []*string
	if json.Unmarshal(value, &list) != nil || slices.Contains(list, nil) {
		return r.bad("the roles are no list of texts")
	}
	for _, role := range list {
		r.Roles = append(r.Roles, *role)
	}
	return nil
}
