// Package adminapi is what an operator can do to a gate, in three shapes that share their types: the operations
// themselves, the endpoint below Caddy's admin API, and the command `caddy email-link`.
//
// The command asks the running Caddy; only when nothing answers and the database is free does it open the file itself.
// Whoever reaches Caddy's admin endpoint owns the gate: that is Caddy's own rule, and the threat model says so.
package adminapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Prefix is where the endpoint lives below Caddy's admin address.
const Prefix = "/email_link/"

// Account is one account as operators see it.
type Account struct {
	ID    string   `json:"id"`
	Email string   `json:"email"`
	Name  string   `json:"name,omitempty"`
	Roles []string `json:"roles,omitempty"`
	// Language is a BCP 47 tag, empty where mails follow the browser that asks.
	Language string    `json:"language,omitempty"`
	Status   string    `json:"status"`
	Created  time.Time `json:"created"`
}

// AccountInput describes an account to add.
type AccountInput struct {
	Email    string   `json:"email"`
	Name     string   `json:"name,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Language string   `json:"language,omitempty"`
}

// AccountChange describes what to change about an account; nil leaves a field as it is.
type AccountChange struct {
	Name     *string   `json:"name,omitempty"`
	Roles    *[]string `json:"roles,omitempty"`
	Language *string   `json:"language,omitempty"`
	Status   *string   `json:"status,omitempty"`
}

// LinkInput asks for a link that is printed instead of mailed.
type LinkInput struct {
	Email string `json:"email"`
	// For is the purpose: sign_in, activation or reset. Empty: sign_in for an address with an account, activation for another.
	For string `json:"for,omitempty"`
	// TTL is how long the link works. Zero: the purpose's configured lifetime.
	TTL time.Duration `json:"ttl,omitempty"`
	// Site is the origin the link belongs to. Empty: the only one there is.
	Site string `json:"site,omitempty"`
}

// Link is a printed link.
type Link struct {
	URL     string    `json:"url"`
	Purpose string    `json:"purpose"`
	Site    string    `json:"site"`
	Expires time.Time `json:"expires"`
}

// AudienceKey is one of the two keys of an audience.
type AudienceKey struct {
	Audience string `json:"audience"`
	// Use is "key" (A256KW, opens assertions) or "sign_key" (HS256, signs what the app says).
	Use string `json:"use"`
	// Key is base64url without padding.
	Key string `json:"key"`
	// Warning says that the name is probably not the one that was meant.
	Warning string `json:"warning,omitempty"`
}

// BackupInfo says what belongs to a backup.
type BackupInfo struct {
	// Fingerprint names the master key without which the backup cannot be opened.
	Fingerprint string `json:"fingerprint"`
}

// Error is a refusal with words for the operator.
type Error struct {
	// Status is the HTTP status of the endpoint's answer.
	Status int
	// Message says what is wrong and what to do instead.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func badRequest(format string, args ...any) error {
	return &Error{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &Error{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &Error{http.StatusConflict, fmt.Sprintf(format, args...)}
}

// ErrNotRunning says that this Caddy has no gate configured.
var ErrNotRunning = errors.New("the running Caddy has no email_link configured")
