//go:build interop

package express

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// passed is in the last lines of Node's report, whatever its form.
var passed = regexp.MustCompile(`(?m)\bpass [1-9]`)

// TestInNode runs the tests that the example has in its own language, as `npm test` does.
func TestInNode(t *testing.T) {
	if _, err := os.Stat("node_modules/express"); err != nil {
		t.Fatal("the packages of the example are missing: Node 20 or later and `npm ci` in examples/express")
	}
	out, err := exec.CommandContext(t.Context(), "node", "--test").CombinedOutput()
	if err != nil || !passed.Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
}
