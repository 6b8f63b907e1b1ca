package outbox

import (
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Progress returns what an operator sees of a queued mail: why its last attempt failed, without what the worker notes beside it, and
// whether an attempt has begun whose end is not recorded. Such a mail is being sent, or its process died with it; it comes
// round by itself when its lease ends.
func Progress(m storage.Mail) (reason string, underWay bool) {
	p, reason := readReason(m.Reason)
	return reason, !m.Dead && m.Attempts > p.answered+p.unanswered
}
