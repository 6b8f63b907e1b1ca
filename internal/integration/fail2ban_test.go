//go:build apps

package integration

import (
	"context"
	"os/exec"
	"slices"
	"strings"
)

// checkBans has Debian's fail2ban-regex read the log of the attack by the filter of the example: it finds the ten clients that guess and the one that
// sprays, and nobody else
// as often as the jail of the example bans.
func (w *world) checkBans(log string) {
	w.t.Helper()
	out, err := exec.CommandContext(context.Background(), "fail2ban-regex", "--out", "id", log, "../../examples/fail2ban/caddy-email-link.conf").CombinedOutput()
	if err != nil {
		w.t.Fatalf("fail2ban-regex, of Debian's package fail2ban, which scripts/tools installs: %v\n%s", err, out)
	}
	hits := map[string]int{}
	for _, client := range strings.Fields(string(out)) {
		hits[client]++
	}
	var banned []string
	for client, n := range hits {
		if n >= 5 {
			banned = append(banned, client)
		}
	}
	slices.Sort(banned)
	w.t.Logf("fail2ban: %d clients with a line, banned: %v", len(hits), banned)
	want := []string{"10.0.0.9", "10.0.1.9", "10.0.2.9", "10.0.3.9", "10.0.4.9", "10.0.5.9", "10.0.6.9", "10.0.7.9", "10.0.8.9", "10.0.9.9", "198.51.100.9"}
	if !slices.Equal(banned, want) {
		w.t.Errorf("banned are %v, want %v", banned, want)
	}
}
