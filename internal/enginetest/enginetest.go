// Package enginetest opens the storage that a test runs over: bbolt, or with the build tag postgres and scripts/on-postgres a database in
// PostgreSQL. So one suite shows that a package keeps its promises over both.
package enginetest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

// open opens the storage of a directory, and makes it where there is none.
var open = func(ctx context.Context, dir string) (storage.Store, error) {
	return bolt.Open(ctx, bolt.Options{Path: filepath.Join(dir, File)})
}

// File is the name of the database in the directory.
const File = "gate.db"

// onFile reports whether the storage is a file.
var onFile = true

// Open opens the storage of a directory, the same one for the same directory. The caller closes it.
func Open(t testing.TB, dir string) storage.Store {
	t.Helper()
	s, err := open(context.WithoutCancel(t.Context()), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// NeedsFile skips a test that looks into the file.
func NeedsFile(t testing.TB) {
	t.Helper()
	if !onFile {
		t.Skip("it looks into the file of bbolt")
	}
}
