package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// codeMoved is the error of the function must: a row is not what the step has read.
const codeMoved = "EL001"

// codeOwner is the error of the function step: another process has the database.
const codeOwner = "EL002"

// Codes of PostgreSQL's errors, appendix A of its manual.
const (
	codeUnique       = "23505"
	codeReadOnly     = "25006"
	codeUndefined    = "42P01"
	codePrivilege    = "42501"
	codeNoDatabase   = "3D000"
	codeNoStatement  = "26000"
	codeStatementDup = "42P05"
	codePassword     = "28P01"
	codeRole         = "28000"
	codeTooMany      = "53300"
	codeParameter    = "42704"
	codeValue        = "22023"
	codeLockTimeout  = "55P03"
)

// passing are the codes after which the same step may succeed: a conflict, a deadlock, a lock or a statement that took too long.
var passing = []string{codeMoved, codeUnique, "40001", "40P01", "55P03", "57014"}

func isPassing(err error) bool { return slices.Contains(passing, code(err)) }

func code(err error) string {
	var p *pgconn.PgError
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// lost reports whether the connection failed: then an answer that was awaited is not known. A server that shuts down or crashes says so
// by a code.
func lost(err error) bool {
	c := code(err)
	if errors.Is(err, storage.ErrDamaged) {
		return false
	}
	return c == "" || strings.HasPrefix(c, "08") || strings.HasPrefix(c, "57P") || strings.HasPrefix(c, "58") || strings.HasPrefix(c, "53")
}

// unreachable wraps an error of a connection. Nothing has happened.
func unreachable(err error) error {
	if err == nil || errors.Is(err, storage.ErrUnreachable) || errors.Is(err, errAgain) || errors.Is(err, storage.ErrDamaged) {
		return err
	}
	switch {
	case lost(err):
		return fmt.Errorf("%w: %w", storage.ErrUnreachable, cause(err))
	case code(err) == codeReadOnly:
		return fmt.Errorf("%w: the server is a standby, or read-only: name the primary in the connection string, or add "+
			"target_session_attrs=read-write to it: %w", storage.ErrUnreachable, err)
	case slices.Contains([]string{codeNoStatement, codeStatementDup}, code(err)):
		return fmt.Errorf("%w: %w", errPooler, err)
	}
	return err
}

// errPooler says what to write for a pooler that gives even a part of a transaction another connection, or hides that it is one.
var errPooler = errors.New("a pooler between the gate and the server keeps neither prepared statements nor transactions: use one that keeps a " +
	"transaction on one connection (pool_mode = transaction or session in pgbouncer.ini), or connect to the server itself")

// cause takes the connection string out of an error of pgx, which holds the user and the host, and never the password.
func cause(err error) error {
	var c *pgconn.ConnectError
	if errors.As(err, &c) && c.Unwrap() != nil {
		return c.Unwrap()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}
