package outbox

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// alertLifetime is how long the mail of an alert is tried.
const alertLifetime = 24 * time.Hour

// NewAlert returns a mail to the operator that is due now.
func NewAlert(ring *keyring.Ring, now time.Time, to, subject, text string) (m storage.Mail, err error) {
	m = storage.Mail{ID: NewID(now), Due: now, Queued: now, End: now.Add(alertLifetime), Purpose: Alert}
	m.Sealed, err = Payload{To: to, Subject: subject, Text: text}.Seal(ring, m.ID)
	return m, err
}
