package address

// Error returns why a text is no address. It never holds a part of it, so it can be shown and logged.
type Error struct {
	// Code is stable: callers and catalogues of texts rely on it.
	Code string
	// Text is a sentence in English.
	Text string
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Text }

// What Parse answers.
var (
	ErrMissing = &Error{"email_missing", "an email address is needed"}
	ErrTooLong = &Error{"email_too_long", "the email address is too long: 64 bytes before the @ and 254 in all are the most"}
	ErrNoAt    = &Error{"email_no_at", "an email address has an @ between name and domain"}
	ErrSeveral = &Error{"email_several", "one email address only"}
	ErrLocal   = &Error{"email_local_part", "the part before the @ has characters that are not supported here"}
	ErrDomain  = &Error{"email_domain", "the part after the @ is not a domain name"}
)
