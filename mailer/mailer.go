// Package mailer is the port through which mails leave.
//
// A Mailer hands one finished message to whatever delivers it. What its error means decides what the outbox does next: nil
// is a final yes; an error that [IsPermanent] is a final no and the mail becomes a dead letter; after one that [IsUnanswered]
// the mail is tried once more at most, because it may have arrived; any other error is tried again until the flow ends, and one that
// [IsOperatorFault] is logged as the fault of sender or account. Every mailer passes the suite in package mailertest.
package mailer

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Mailer delivers messages. It is safe for concurrent use.
type Mailer interface {
	// Send delivers m and returns after the final answer of the server, or when ctx ends. The same m, byte for byte, may
	// be sent again after an error.
	Send(ctx context.Context, m Message) error
	// Close gives connections back. It waits for running Sends until ctx ends.
	Close(ctx context.Context) error
}

// Message is one mail to one mailbox. All header texts are free of control characters.
type Message struct {
	// From and ReplyTo are RFC 5322 mailboxes, such as `"Example" <no-reply@example.com>`; ReplyTo may be empty.
	From, ReplyTo string
	// To is the bare address of the only recipient.
	To      string
	Subject string
	// Text and HTML are the two parts, in UTF-8 with \n line ends.
	Text, HTML string
	// Date and MessageID are the same at every retry. MessageID is without angle brackets.
	Date      time.Time
	MessageID string
	// Language is a BCP 47 tag for Content-Language; it may be empty.
	Language string
}

type permanentError struct{ err error }

func (e permanentError) Error() string { return e.err.Error() }
func (e permanentError) Unwrap() error { return e.err }

type hintedError struct {
	err  error
	hint string
}

const hintSeparator = ": "

func (e hintedError) Error() string { return e.err.Error() + hintSeparator + e.hint }
func (e hintedError) Unwrap() error { return e.err }

// WithHint adds to err what the operator can write or do instead. The hint is the mailer's own text and contains nothing of the mail: the
// outbox redacts the words of err and keeps the hint as it is. An empty hint adds nothing.
func WithHint(err error, hint string) error {
	if err == nil || hint == "" {
		return err
	}
	return hintedError{err, hint}
}

// SplitHint returns the words of err without the hint of [WithHint], and the hint; it is empty if err has none.
func SplitHint(err error) (words, hint string) {
	words = err.Error()
	var h hintedError
	if !errors.As(err, &h) {
		return words, ""
	}
	return strings.Replace(words, hintSeparator+h.hint, "", 1), h.hint
}

// Permanent marks an error after which trying again is useless.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent reports whether trying again is useless.
func IsPermanent(err error) bool {
	var p permanentError
	return errors.As(err, &p)
}

type operatorError struct{ err error }

func (e operatorError) Error() string { return e.err.Error() }
func (e operatorError) Unwrap() error { return e.err }

// OperatorFault marks the refusal of the sender, the account, its quota or its right to relay: it meets every mail and lasts until the
// operator acts. Mails are tried again, and the outbox logs that no mail leaves.
func OperatorFault(err error) error {
	if err == nil {
		return nil
	}
	return operatorError{err}
}

// IsOperatorFault reports whether the operator has to act before any mail leaves.
func IsOperatorFault(err error) bool {
	var o operatorError
	return errors.As(err, &o)
}

type unansweredError struct{ err error }

func (e unansweredError) Error() string { return e.err.Error() }
func (e unansweredError) Unwrap() error { return e.err }

// Unanswered marks the error of a message that was handed over whole and got no answer: it may have arrived.
func Unanswered(err error) error {
	if err == nil {
		return nil
	}
	return unansweredError{err}
}

// IsUnanswered reports whether the message may have arrived in spite of the error.
func IsUnanswered(err error) bool {
	var u unansweredError
	return errors.As(err, &u)
}
