package command

import (
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func TestHistory_SaysWhatHappenedInWords(t *testing.T) {
	for _, one := range []struct {
		event operator.Event
		want  string
	}{
		{operator.Event{Event: "requested", Purpose: "sign_in", Outcome: "ok"}, "requested a mail (sign_in)"},
		{operator.Event{Event: "requested", Purpose: "sign_in", Outcome: "link", Command: "link", User: "eve", Host: "nas"}, "a link was printed (sign_in), by eve@nas: link"},
		{operator.Event{Event: "changed", Purpose: "password", Outcome: "reset"}, "changed: password reset"},
		{operator.Event{Event: "changed", Purpose: "account", Outcome: "disabled", Command: "accounts disable", User: "eve", Host: "nas"}, "changed: account disabled, by eve@nas: accounts disable"},
	} {
		if got := historyText(one.event); got != one.want {
			t.Errorf("%+v: %q, want %q", one.event, got, one.want)
		}
	}
}
