package outbox

import (
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name     string
		mail     storage.Mail
		reason   string
		underWay bool
	}{
		{"never tried", storage.Mail{}, "", false},
		{"first attempt", storage.Mail{Attempts: 1}, "", true},
		{"failed once", storage.Mail{Attempts: 1, Reason: attemptCounts{answered: 1}.reason("smtp: MAIL refused: 451")}, "smtp: MAIL refused: 451", false},
		{"third attempt", storage.Mail{Attempts: 3, Reason: attemptCounts{answered: 1, unanswered: 1}.reason("it broke")}, "it broke", true},
		{"dead", storage.Mail{Dead: true, Attempts: 3, Reason: attemptCounts{answered: 1}.reason("550")}, "550", false},
		{"dead without a past", storage.Mail{Dead: true, Attempts: 1, Reason: "the record does not open"}, "the record does not open", false},
	} {
		reason, underWay := Progress(one.mail)
		if reason != one.reason || underWay != one.underWay {
			t.Errorf("%s: %q, %t", one.name, reason, underWay)
		}
	}
}
