package command

import (
	"cmp"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// caller returns what the audit log is to say about a command. Under sudo the user is the one who called it: that root did it says
// nothing.
func caller(cmd *cobra.Command) operator.Caller {
	_, words, _ := strings.Cut(cmd.CommandPath(), "email-link ")
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname() // without a name it stays empty
	return operator.Caller{Command: cmp.Or(words, cmd.Name()), User: cmp.Or(os.Getenv("SUDO_USER"), name), Host: host}
}
