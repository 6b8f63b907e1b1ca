package command

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (g *gateOf) Invite(_ context.Context, in operator.InvitationInput) (operator.Invitation, error) {
	g.asked = append(g.asked, "Invite "+in.Email+" "+strings.Join(in.Roles, ",")+" "+in.TTL.String()+" "+in.Name+" "+in.Note)
	i := operator.Invitation{ID: "id", Email: in.Email, Site: "https://app.example.com", Ends: time.Unix(1_800_000_000, 0), Status: "open"}
	if in.Print {
		i.URL = "https://app.example.com/email-link/link?t=x"
	}
	return i, g.broken
}

func (g *gateOf) Invitations(context.Context) ([]operator.Invitation, error) {
	return []operator.Invitation{{ID: "id", Email: "bob@example.com", Roles: []string{"guest"}, By: "ada@example.com", Status: "open"}}, nil
}

func (g *gateOf) RevokeInvitations(_ context.Context, which string) ([]operator.Invitation, error) {
	g.asked = append(g.asked, "RevokeInvitations "+which)
	return []operator.Invitation{{ID: "id", Email: "bob@example.com"}}, nil
}

// TestINV7_InviteReadsItsOptions runs the command and those below it.
func TestINV7_InviteReadsItsOptions(t *testing.T) {
	t.Parallel()
	invite := func(r *root) *cobra.Command { return r.invite() }
	for name, c := range map[string]struct {
		args        []string
		asked, text string
		fails       bool
	}{
		"an invitation": {[]string{"bob@example.com", "--role", "guest", "--role", "family", "--ttl", "7d", "--name", "Bob", "--note", "Hello"}, "Invite bob@example.com guest,family 168h0m0s Bob Hello", "caddy email-link invite revoke id", false},
		"a printed one": {[]string{"bob@example.com", "--print"}, "Invite bob@example.com  0s  ", "link?t=x\nit invites bob@example.com", false},
		"a list":        {[]string{"list"}, "", "ada@example.com", false},
		"a revocation":  {[]string{"revoke", "bob@example.com"}, "RevokeInvitations bob@example.com", "revoked id for bob@example.com", false},
		"no duration":   {[]string{"bob@example.com", "--ttl", "soon"}, "", "such as 12h or 7d", true},
		"no address":    {nil, "", "missing argument; usage", true},
		"two addresses": {[]string{"bob@example.com", "eve@example.com"}, "", `unexpected argument "eve@example.com"`, true},
	} {
		g := &gateOf{}
		out, errs, err := g.run(t, invite, "", c.args...)
		if (err != nil) != c.fails || !strings.Contains(out+errs, c.text) || strings.Join(g.asked, "") != c.asked {
			t.Errorf("%s: %v, %q, %q, asked %q", name, err, out, errs, g.asked)
		}
	}
}
