package command

import (
	"io"
	"strings"
	"testing"
)

func TestConfirm_OnlyYesIsYes(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, " yes": true, "\n": false, "": false, "n\n": false, "yesterday\n": false} {
		var asked strings.Builder
		err := confirm(strings.NewReader(answer), &asked, "delete the account")
		if (err == nil) != want || asked.String() != "delete the account? [y/N] " || err != nil && !strings.Contains(err.Error(), "--yes") {
			t.Errorf("%q: %q, %v", answer, asked.String(), err)
		}
	}
}

// TestAccountsDelete_AsksFirst: without an answer no gate is asked for anything.
func TestAccountsDelete_AsksFirst(t *testing.T) {
	t.Parallel()
	cmd := new(root).accountsDelete()
	cmd.SetArgs([]string{"ann@example.com"})
	cmd.SetIn(strings.NewReader("n\n"))
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("got %v", err)
	}
}
