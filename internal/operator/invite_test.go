package operator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// TestINV7_TheCommandSaysWhatToWrite refuses what cannot be an invitation, and does what the refusals say to write.
func TestINV7_TheCommandSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	sites := map[string]flow.Site{"https://app.example.com": {Origin: "https://app.example.com", Prefix: "/email-link"}, "https://photos.example.com": {Origin: "https://photos.example.com", Prefix: "/email-link"}}
	svc.Sites = []flow.Site{sites["https://app.example.com"], sites["https://photos.example.com"]}
	svc.Site = func(origin string) (flow.Site, bool) { s, ok := sites[origin]; return s, ok }
	svc.Roles = []string{"family", "guest"}
	good := operator.InvitationInput{Email: "bob@example.com", Roles: []string{"guest"}, Site: "https://photos.example.com", Name: "Bob", Note: "For the trip"}
	for name, c := range map[string]struct {
		change, obey func(*operator.InvitationInput)
		want         string
	}{
		"too long": {
			func(in *operator.InvitationInput) { in.TTL = 90 * 24 * time.Hour },
			func(in *operator.InvitationInput) { in.TTL = 30 * 24 * time.Hour }, "write --ttl 30d",
		},
		"several addresses": {
			func(in *operator.InvitationInput) { in.Email = "bob@example.com, eve@example.com" },
			func(in *operator.InvitationInput) { in.Email = "bob@example.com" }, "'caddy email-link invite bob@example.com'",
		},
		"no address": {
			func(in *operator.InvitationInput) { in.Email = "bob" },
			func(in *operator.InvitationInput) { in.Email = "bob@example.com" }, "the address cannot be used",
		},
		"a site of nobody": {
			func(in *operator.InvitationInput) { in.Site = "https://fotos.example.com" },
			func(in *operator.InvitationInput) { in.Site = "https://photos.example.com" }, "https://photos.example.com",
		},
		"no site": {
			func(in *operator.InvitationInput) { in.Site = "" },
			func(in *operator.InvitationInput) { in.Site = "https://app.example.com" }, "name it with --site: https://app.example.com",
		},
		"a name that steers": {
			func(in *operator.InvitationInput) { in.Name = "a\x1b[2J" },
			func(in *operator.InvitationInput) { in.Name = "a" }, "--name cannot be used",
		},
		"a note that steers": {
			func(in *operator.InvitationInput) { in.Note = "a\u202eb" },
			func(in *operator.InvitationInput) { in.Note = "a b" }, "--note cannot be used: it holds a control character",
		},
		"a malformed role": {
			func(in *operator.InvitationInput) { in.Roles = []string{"a,b"} },
			func(in *operator.InvitationInput) { in.Roles = []string{"guest"} }, "--role cannot be used",
		},
	} {
		in := good
		c.change(&in)
		if made, err := svc.Invite(t.Context(), in); err == nil || made.ID != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		c.obey(&in)
		if made, err := svc.Invite(t.Context(), in); err != nil || made.Status != "open" || len(made.Warnings) != 0 {
			t.Errorf("%s, after it was obeyed: %+v, %v", name, made, err)
		}
	}
}

// TestINV7_AnUnknownRoleIsWarnedAbout invites with a role that no site asks for: the invitation is made, with a word about it.
func TestINV7_AnUnknownRoleIsWarnedAbout(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	site := flow.Site{Origin: "https://app.example.com", Prefix: "/email-link", NoMail: true}
	svc.Sites, svc.Roles = []flow.Site{site}, []string{"family", "guest"}
	svc.Site = func(origin string) (flow.Site, bool) { return site, origin == site.Origin }
	in := operator.InvitationInput{Email: "bob@example.com", Roles: []string{"gest"}}
	if _, err := svc.Invite(t.Context(), in); err == nil || !strings.Contains(err.Error(), "add --print") {
		t.Fatalf("without mail: %v", err)
	}
	in.Print = true
	made, err := svc.Invite(t.Context(), in)
	if err != nil || !strings.HasPrefix(made.URL, "https://app.example.com/email-link/link?t=") || made.Site != site.Origin {
		t.Fatalf("%+v, %v", made, err)
	}
	if len(made.Warnings) != 1 || !strings.Contains(made.Warnings[0], "did you mean guest?") {
		t.Errorf("the warnings are %q", made.Warnings)
	}
	list, err := svc.Invitations(t.Context())
	if err != nil || len(list) != 1 || list[0].URL != "" || list[0].ID != made.ID {
		t.Errorf("%+v, %v", list, err)
	}
	if gone, err := svc.RevokeInvitations(t.Context(), "BOB@example.com"); err != nil || len(gone) != 1 || gone[0].Status != "revoked" {
		t.Errorf("%+v, %v", gone, err)
	}
	if _, err := svc.RevokeInvitations(t.Context(), made.ID); err == nil || !strings.Contains(err.Error(), "invite list") {
		t.Errorf("revoked twice: %v", err)
	}
}
