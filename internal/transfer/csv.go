package transfer

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// table reads CSV. If the quotes do not match, the next account begins at an unknown place, so reading ends there.
type table struct {
	csv    *csv.Reader
	in     *bounded
	fields []string
	// last is the line where the account before began.
	last int
}

// ahead is what may have been read of a file beyond the account that was asked for.
const ahead = 64 << 10

var errTooLong = errors.New("too long")

// bounded ends reading where an account is longer than [MaxLine]: the reader of the standard library keeps a quoted field in
// memory, however long it is.
type bounded struct {
	in          io.Reader
	read, until int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.read >= b.until {
		return 0, errTooLong
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.until-b.read)])
	b.read += int64(n)
	return n, err
}

func newTable(in io.Reader) (*table, error) {
	t := &table{in: &bounded{in: in, until: ahead + MaxLine}}
	t.csv = csv.NewReader(t.in)
	header, err := t.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, &FileError{1, "the file has no header"}
	case err != nil:
		return nil, t.stop(err)
	}
	t.last = 1
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !slices.Contains(Fields, name):
			return nil, &FileError{1, fmt.Sprintf("the header, which separates names by commas, has at %d a name that is not known: %s", i+1, unknownField(name))}
		case slices.Contains(t.fields, name):
			return nil, &FileError{1, "the header names " + name + " twice"}
		}
		t.fields = append(t.fields, name)
	}
	if !slices.Contains(t.fields, "email") {
		return nil, &FileError{1, "the header does not name email"}
	}
	return t, nil
}

func (t *table) next() (Row, error) {
	start := t.csv.InputOffset()
	t.in.until = max(t.in.until, start+ahead+MaxLine)
	cells, err := t.csv.Read()
	if errors.Is(err, csv.ErrFieldCount) {
		t.last, _ = t.csv.FieldPos(0)
		row := Row{Line: t.last}
		return row, row.bad(fmt.Sprintf("it has another number of fields than the header, which has %d", len(t.fields)))
	}
	if err != nil {
		return Row{}, t.stop(err)
	}
	t.last, _ = t.csv.FieldPos(0)
	row := Row{Line: t.last}
	if t.csv.InputOffset()-start > MaxLine {
		return row, row.bad("the line is longer than 16 KiB")
	}
	for i, text := range cells {
		if t.fields[i] == "name" {
			text = unescapeFormula(text)
		}
		if err := row.setText(t.fields[i], text); err != nil {
			return row, err
		}
	}
	return row, nil
}

// stop turns an error after which nothing can be read into one that says so.
func (t *table) stop(err error) error {
	var wrong *csv.ParseError
	switch {
	case errors.Is(err, errTooLong):
		return &FileError{t.last + 1, "this line or one after it is longer than 16 KiB, or a quotation mark is missing"}
	case errors.As(err, &wrong):
		return &FileError{wrong.StartLine, "the quotation marks do not match; what follows cannot be read"}
	}
	return err
}
