package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestSTO2_WhichBuildsContainPostgreSQL: the plugin alone does not pull the driver in; the binary that is built here has it. The tags are
// those of xcaddy and of `make build`, without which Caddy's own certificate authority brings the driver.
func TestSTO2_WhichBuildsContainPostgreSQL(t *testing.T) {
	const plugin = "github.com/caddy-email-link/caddy-email-link"
	for _, one := range []struct {
		pkg  string
		want bool
	}{{plugin, false}, {plugin + "/identity", false}, {plugin + "/storage/postgres", true}, {plugin + "/cmd/caddy", true}} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "nobadger,nomysql,nopgx", one.pkg).Output() //nolint:gosec // packages of this repository
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		for _, dep := range []string{plugin + "/internal/postgres", "github.com/jackc/pgx/v5"} {
			if slices.Contains(deps, dep) != one.want {
				t.Errorf("%s depends on %s: %v", one.pkg, dep, !one.want)
			}
		}
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if _, recipe, _ := strings.Cut(string(makefile), "\nbuild: "); !strings.Contains(strings.SplitN(recipe, "\n\n", 2)[0], " ./cmd/caddy") {
		t.Error("make build builds something else than cmd/caddy")
	}
}
