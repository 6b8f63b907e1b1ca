package module

import (
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
)

// TestCFG1_ASharesWholeIsChecked reads rates as a configuration in JSON has them, and obeys what is said of them.
func TestCFG1_ASharesWholeIsChecked(t *testing.T) {
	read := func(network, unknown string) (*App, error) {
		a := &App{Limit: map[string][]string{}}
		a.policy.limits = limit.Defaults()
		for name, words := range map[string]string{limit.MailNetwork: network, limit.MailUnknown: unknown} {
			if words != "" {
				a.Limit[name] = strings.Fields(words)
			}
		}
		return a, a.readLimits()
	}
	if _, err := read("600-H", ""); err == nil || !strings.Contains(err.Error(), "write 'limit mail_network 500-H'") {
		t.Errorf("a share above its whole: %v", err)
	}
	if _, err := read("500-H", ""); err != nil {
		t.Errorf("obeyed, and %v", err)
	}
	if a, err := read("", "80-H"); err != nil || a.policy.limits[limit.MailNetwork].String() != "8-H" {
		t.Errorf("a share of 80-H is %s, %v; want a tenth", a.policy.limits[limit.MailNetwork], err)
	}
}
