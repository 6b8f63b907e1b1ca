//go:build apps

package integration

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// checkBans has Debian's fail2ban-regex read the log of the attack by the filter of the example: it finds the ten clients that guess, and nobody but attackers
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
	for n := range 10 {
		if client := fmt.Sprintf("10.0.%d.9", n); !slices.Contains(banned, client) {
			w.t.Errorf("%s is not banned", client)
		}
	}
	for _, client := range banned {
		if !strings.HasPrefix(client, "10.") && client != "198.51.100.9" {
			w.t.Errorf("%s is banned", client)
		}
	}
}
