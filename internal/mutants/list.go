package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one small removal. The files of the list hold any number of them, in this form:
//
//	# flow-sign-up-invite
//	file: internal/flow/policy.go
//	promise: FLOW-6
//	what: sign_up invite admits everybody
//	---
//	return s.Mode == SignUpOpen && (
//	+++
//	return s.Mode != SignUpClosed && (
//	===
//
// Between the marks is the text as the file has it, which occurs there exactly once, and the text in its place; both are
// whole lines, but for their indentation.
type mutant struct {
	ID string
	// File is the file it changes, relative to the root.
	File string
	// Promise is the promise of docs/threat-model.md that it breaks, empty where it breaks none that is named there.
	Promise string
	// What describes what would be seen from outside.
	What string
	// Also names a further package whose tests must notice, such as ./module.
	Also string
	// Test names the test of the package that notices it first, by a part of its name; empty where any may.
	Test string
	// Equivalent is the reason why the difference cannot be seen from outside, empty where it can.
	Equivalent string
	// Removed is the text that is replaced, New what is in its place.
	Removed, New string
}

// readList reads the mutants of all files of a directory.
func readList(dir string) (list []mutant, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a file of this repository
		if err != nil {
			return nil, err
		}
		some, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, some...)
	}
	return list, nil
}

// parse reads the mutants of one file.
func parse(text string) (list []mutant, err error) {
	var m *mutant
	var into *string
	for i, line := range strings.Split(text, "\n") {
		switch {
		case into != nil && line == "+++":
			into = &m.New
		case into != nil && line == "===":
			list = append(list, *m)
			m, into = nil, nil
		case into != nil:
			*into += line + "\n"
		case line == "":
		case strings.HasPrefix(line, "# ") && m == nil:
			m = &mutant{ID: strings.TrimPrefix(line, "# ")}
		case m == nil:
			return nil, fmt.Errorf("line %d: %q before a mutant begins", i+1, line)
		case line == "---":
			into = &m.Removed
		default:
			name, value, _ := strings.Cut(line, ": ")
			field := m.field(name)
			if field == nil {
				return nil, fmt.Errorf("line %d: unrecognized field %q", i+1, name)
			}
			*field = value
		}
	}
	if m != nil {
		return nil, fmt.Errorf("%s has no end", m.ID)
	}
	return list, nil
}

func (m *mutant) field(name string) *string {
	return map[string]*string{
		"file": &m.File, "promise": &m.Promise, "what": &m.What, "also": &m.Also, "test": &m.Test, "equivalent": &m.Equivalent,
	}[name]
}

// onPostgres reports whether the tests that notice it are among those that need PostgreSQL.
func (m *mutant) onPostgres() bool { return path.Base(path.Dir(m.File)) == "postgres" }

// digest names the content of a mutant: an outcome counts for as long as the mutant stays the same.
func (m *mutant) digest() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{m.File, m.Promise, m.Also, m.Equivalent, m.Removed, m.New}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// apply returns a file's text with the mutant in it. The old text must be there exactly once; lines are compared without their
// indentation, so a mutant survives a change of the block around it.
func (m *mutant) apply(text string) (string, error) {
	lines, old := strings.Split(text, "\n"), trimmed(m.Removed)
	at := -1
	for i := 0; i+len(old) <= len(lines); i++ {
		if !slices.EqualFunc(lines[i:i+len(old)], old, func(have, want string) bool { return strings.TrimSpace(have) == want }) {
			continue
		}
		if at >= 0 {
			return "", fmt.Errorf("%s: the text is in %s more than once", m.ID, m.File)
		}
		at = i
	}
	if at < 0 || len(old) == 0 {
		return "", fmt.Errorf("%s: the text is not in %s", m.ID, m.File)
	}
	return strings.Join(slices.Concat(lines[:at], trimmed(m.New), lines[at+len(old):]), "\n"), nil
}

// trimmed returns the lines of a text without their indentation.
func trimmed(text string) (lines []string) {
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}
