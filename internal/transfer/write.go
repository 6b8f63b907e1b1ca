package transfer

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Writer writes accounts so that a [Reader] reads the same.
type Writer struct {
	json *json.Encoder
	csv  *csv.Writer
	// passwords says that CSV has a column for them.
	passwords bool
}

// NewWriter returns a writer of a format. Password records are written only if passwords is set.
func NewWriter(out io.Writer, format string, passwords bool) (*Writer, error) {
	w := &Writer{passwords: passwords}
	switch format {
	case JSONL:
		w.json = json.NewEncoder(out)
		w.json.SetEscapeHTML(false)
		return w, nil
	case CSV:
		w.csv = csv.NewWriter(out)
		return w, w.csv.Write(w.cells(Fields))
	}
	return nil, fmt.Errorf("the format is one of %s, %s", JSONL, CSV)
}

// cells leaves the password out where none is to be written.
func (w *Writer) cells(all []string) []string {
	list := make([]string, 0, len(all))
	for i, cell := range all {
		if w.passwords || Fields[i] != "password" {
			list = append(list, cell)
		}
	}
	return list
}

// Write writes one account.
func (w *Writer) Write(r Row) error {
	if !w.passwords {
		r.Password = ""
	}
	if w.json != nil {
		return w.json.Encode(r)
	}
	created := ""
	if !r.Created.IsZero() {
		created = r.Created.Format(time.RFC3339Nano)
	}
	return w.csv.Write(w.cells([]string{
		r.Email, escapeFormula(r.Name), strings.Join(r.Roles, ","), r.Password, strconv.FormatBool(r.Verified), created, r.Status, r.Language, r.Timezone,
	}))
}

// formula begins what a spreadsheet computes, in both widths of letters.
const formula = "=+-@＝＋－＠"

// isFormula reports whether a spreadsheet computes a cell, or would if the quotation marks before it were taken away.
func isFormula(cell string) bool {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, "'"))
	return strings.ContainsRune(formula, first)
}

// escapeFormula puts a quotation mark before a cell that a spreadsheet would compute. People choose their names, and who opens the
// file is an operator.
func escapeFormula(cell string) string {
	if isFormula(cell) {
		return "'" + cell
	}
	return cell
}

// unescapeFormula removes the mark that escapeFormula puts before a cell.
func unescapeFormula(cell string) string {
	if isFormula(cell) {
		return strings.TrimPrefix(cell, "'")
	}
	return cell
}

// Flush writes what is left.
func (w *Writer) Flush() error {
	if w.csv == nil {
		return nil
	}
	w.csv.Flush()
	return w.csv.Error()
}
