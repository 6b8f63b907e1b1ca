package command

import (
	"sync"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// registerPackaged registers once for the process, however often its tests run: Caddy takes each name once.
var registerPackaged = sync.OnceFunc(func() { registerTopLevel(Host{}) })

// TestPackagedCommandsStandBesideCaddys registers what the program of the packages has at its top: a name that Caddy has as well panics.
func TestPackagedCommandsStandBesideCaddys(t *testing.T) {
	registerPackaged()
	for _, own := range (&root{}).commands() {
		registered, ok := caddycmd.Commands()[own.Name()]
		if !ok {
			t.Errorf("%s is missing", own.Name())
			continue
		}
		cmd := &cobra.Command{Use: own.Name()}
		registered.CobraFunc(cmd)
		if len(cmd.Commands()) != len(own.Commands()) || cmd.PersistentFlags().Lookup("address") == nil || cmd.Use != own.Use {
			t.Errorf("%s has %d commands, its flags are %s", cmd.Use, len(cmd.Commands()), cmd.PersistentFlags().FlagUsages())
		}
		if got, want := cmd.LocalNonPersistentFlags().FlagUsages(), own.Flags().FlagUsages(); got != want {
			t.Errorf("%s has the flags\n%s, want\n%s", cmd.Use, got, want)
		}
	}
}
