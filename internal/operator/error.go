package operator

import (
	"fmt"

	"github.com/caddy-email-link/caddy-email-link/internal/nearest"
)

// Kind classifies a refusal, for callers that have their own codes for it.
type Kind int

// The kinds of refusals.
const (
	// Invalid is an input that cannot be used.
	Invalid Kind = iota + 1
	// Forbidden is a caller that may not ask.
	Forbidden
	// NotFound is something that does not exist, or no longer.
	NotFound
	// Conflict is an input that the present state or configuration of the gate does not allow.
	Conflict
	// TooLarge is an input beyond a bound.
	TooLarge
	// MailRefused is a test mail that the mailer did not accept.
	MailRefused
	// Unavailable is what may be tried again later.
	Unavailable
)

// Error is a refusal with words for the operator.
type Error struct {
	Kind Kind
	// Message says what is wrong and what to do instead.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &Error{Invalid, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &Error{NotFound, fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &Error{Conflict, fmt.Sprintf(format, args...)}
}

// meant asks whether one of the words was meant by a mistyped one, and is empty if none is near.
func meant(mistyped string, words []string) string {
	if word := nearest.Word(mistyped, words); word != "" {
		return "did you mean " + word + "? "
	}
	return ""
}
