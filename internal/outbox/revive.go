package outbox

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Why a dead letter cannot be sent again, as an operator reads it.
const (
	deadExpired = "its link and code no longer work"
	deadSealed  = "its record does not open"
	deadArrived = "it may have arrived: it was handed over twice without an answer"
)

// Requeue makes a mail due at once, waiting or dead, and returns why it cannot where it cannot; that is empty for a mail that is gone. A
// mail that is being sent stays as it is: a second copy would leave. A dead letter can be sent again while its flow is open, unless
// it may have arrived as often as permitted.
func Requeue(tx storage.Tx, ring *keyring.Ring, m storage.Mail, now time.Time) (requeued bool, refusal string, err error) {
	if _, underWay := Progress(m); underWay {
		return false, "it is being sent right now; if its process died, it is tried again within two minutes", nil
	}
	if m.Dead {
		if refusal, err = checkDead(tx, ring, m, now); err != nil || refusal != "" {
			return false, refusal, err
		}
	}
	requeued, err = tx.Outbox().Requeue(m.ID, now)
	return requeued, "", err
}

// checkDead returns why a dead letter cannot be sent again. What else has become of its account the next attempt finds out.
func checkDead(tx storage.Tx, ring *keyring.Ring, m storage.Mail, now time.Time) (refusal string, err error) {
	if len(m.Sealed) == 0 || hasExpired(m, now) {
		return deadExpired, nil
	}
	p, err := OpenPayload(ring, m.ID, m.Sealed)
	if err != nil {
		return deadSealed, nil
	}
	if readCounts(m.Reason).unanswered >= maxUnanswered {
		return deadArrived, nil
	}
	if m.Purpose == Notice || m.Purpose == Alert {
		return "", nil
	}
	f, found, err := tx.Flows().Get(m.Flow)
	if err == nil && (found && f.State != storage.FlowOpen || !found && (p.Claims == nil || p.Claims.Mail > 0)) {
		refusal = deadExpired
	}
	return refusal, err
}
