// Package transfer reads and writes accounts as files: JSON Lines and CSV, one account a line.
//
// A file comes from another program, so nothing of it is taken on trust: lines, fields and the number of accounts are bounded,
// members that are not known or stand twice are refused, and no reason that is given repeats what a line holds, since that may
// be a password record.
package transfer

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
)

// The formats.
const (
	// JSONL is one JSON object a line.
	JSONL = "jsonl"
	// CSV is RFC 4180 with a header, separated by commas.
	CSV = "csv"
)

// MaxLine is the longest account of a file, in bytes: several times what the fields may hold.
const MaxLine = 16 << 10

// Fields are the names of what an account has, in the order of writing. Only email is required.
var Fields = []string{"email", "name", "roles", "password", "verified", "created", "status", "language", "timezone"}

// FormatOf returns the format of a file by the extension of its name, the empty text for an unknown one.
func FormatOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jsonl", ".ndjson":
		return JSONL
	case ".csv":
		return CSV
	}
	return ""
}

// Row is an account as a file has it.
type Row struct {
	// Line is where it begins, from 1 on.
	Line  int      `json:"-"`
	Email string   `json:"email"`
	Name  string   `json:"name,omitempty"`
	Roles []string `json:"roles,omitempty"`
	// Password is the text of a password record, empty for none.
	Password string `json:"password,omitempty"`
	// Verified says that the other program has seen a proof of the mailbox.
	Verified bool `json:"verified"`
	// Created is zero if the file does not have it.
	Created time.Time `json:"created,omitzero"`
	// Status is active, which is also what "" means, or disabled.
	Status   string `json:"status,omitempty"`
	Language string `json:"language,omitempty"`
	Timezone string `json:"timezone,omitempty"`
}

// LineError says why one account is bad; the next ones can be read. It holds nothing of the line.
type LineError struct {
	Line   int
	Reason string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// FileError says why a file cannot be read, or not further. It holds nothing of the file.
type FileError struct {
	Line   int
	Reason string
}

func (e *FileError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Account checks a row and makes of it what can be imported. The error is a *[LineError].
func (r Row) Account() (accounts.ImportAccount, address.Address, error) {
	addr, err := address.Parse(r.Email)
	if err != nil {
		return accounts.ImportAccount{}, addr, r.bad("the address cannot be used: " + strings.TrimPrefix(err.Error(), "address: "))
	}
	in := accounts.ImportAccount{
		Email: r.Email, Name: r.Name, Roles: r.Roles, Language: r.Language, Timezone: r.Timezone, Verified: r.Verified, Created: r.Created,
	}
	for _, err := range []error{
		accounts.CheckName(r.Name), accounts.CheckRoles(r.Roles), accounts.CheckLanguage(r.Language), accounts.CheckTimezone(r.Timezone),
	} {
		if err != nil {
			return in, addr, r.bad(strings.TrimPrefix(err.Error(), "account: "))
		}
	}
	switch accounts.Status(r.Status) {
	case "", accounts.Active:
	case accounts.Disabled:
		in.Disabled = true
	default:
		return in, addr, r.bad("the status is neither active nor disabled")
	}
	in.Record, err = password.ParseRecord(r.Password)
	var fault *password.RecordError
	if errors.As(err, &fault) && fault.Fault != password.NoPassword {
		return in, addr, r.bad("the password record cannot be used: " + fault.Detail)
	}
	return in, addr, nil
}

func (r Row) bad(reason string) error { return &LineError{r.Line, reason} }

// Reader reads a file account by account, in bounded memory.
type Reader struct {
	next func() (Row, error)
}

// NewReader returns a reader of a format. Errors are a *[FileError] and that of in.
func NewReader(in io.Reader, format string) (*Reader, error) {
	in, err := utf8Only(in)
	if err != nil {
		return nil, err
	}
	switch format {
	case JSONL:
		return &Reader{newJSONLines(in).next}, nil
	case CSV:
		r, err := newTable(in)
		if err != nil {
			return nil, err
		}
		return &Reader{r.next}, nil
	}
	return nil, &FileError{1, fmt.Sprintf("the format is one of %s, %s", JSONL, CSV)}
}

// Next returns the next account. Errors are io.EOF after the last one, a *[LineError] after which reading goes on, a
// *[FileError], and that of the file.
func (r *Reader) Next() (Row, error) { return r.next() }

// utf8Only leaves out the mark at the beginning of the files of some programs.
func utf8Only(in io.Reader) (io.Reader, error) {
	var head [3]byte
	n, err := io.ReadFull(in, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	start := string(head[:n])
	if strings.HasPrefix(start, "\xff\xfe") || strings.HasPrefix(start, "\xfe\xff") {
		return nil, &FileError{1, "the file is UTF-16: save it as UTF-8"}
	}
	return io.MultiReader(strings.NewReader(strings.TrimPrefix(start, "\ufeff")), in), nil
}

// setText sets a field from the form that CSV has for all of them, and JSON for most.
func (r *Row) setText(field, text string) error {
	// A text with U+FFFD has lost a character on its way here, such as half of a surrogate pair.
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return r.bad("the " + field + " is not UTF-8")
	}
	if strings.IndexByte(text, 0) >= 0 {
		return r.bad("the " + field + " holds NUL")
	}
	switch field {
	case "email":
		r.Email = text
	case "name":
		r.Name = text
	case "roles":
		r.Roles = append([]string(nil), strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })...)
	case "password":
		r.Password = text
	case "verified":
		return r.setVerified(text)
	case "created":
		return r.setCreated(text)
	case "status":
		r.Status = text
	case "language":
		r.Language = text
	case "timezone":
		r.Timezone = text
	}
	return nil
}

func (r *Row) setVerified(text string) error {
	switch strings.ToLower(text) {
	case "true", "t", "yes", "1":
		r.Verified = true
	case "", "false", "f", "no", "0":
	default:
		return r.bad("verified is neither true nor false")
	}
	return nil
}

// timeLayouts are RFC 3339 and what databases write, which is UTC where it names no zone.
var timeLayouts = []string{time.RFC3339, time.DateOnly, time.DateTime, time.DateTime + "Z07:00", time.DateTime + "Z07"}

func (r *Row) setCreated(text string) error {
	if text == "" {
		return nil
	}
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
			return r.bad("created lies before 1970 or after 9999")
		}
		r.Created = t
		return nil
	}
	return r.bad("created is no time such as 2031-05-04T12:00:00Z")
}

// unknownField words the refusal of a name. What is not a plain word, and may be anything in a file without a header, is not
// repeated.
func unknownField(name string) string {
	plain := name != "" && len(name) <= 30 && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz_") == ""
	if !plain {
		name = "one that is no plain word"
	}
	return name + "; known are " + strings.Join(Fields, ", ")
}
