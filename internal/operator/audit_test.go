package operator_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestEvents_HoldWhatOperatorsDo: who has disabled Bob? Each command leaves one line, with what it says about itself, and the log has
// the same.
func TestEvents_HoldWhatOperatorsDo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
		svc.Sites, svc.Site = []flow.Site{site}, func(string) (flow.Site, bool) { return site, true }
		svc.Scopes, svc.Limiter = []string{"calendar"}, &limit.Limiter{Ring: svc.Vault.Ring}
		svc.KeyFile = filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(svc.KeyFile, []byte("key"), 0o600); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		svc.Log = slog.New(slog.NewTextHandler(&log, nil))
		disabled, name, ann := "disabled", "Ann", ""
		token := ""
		for _, step := range []struct {
			command, want string
			run           func(ctx context.Context) error
		}{
			{"accounts add", "changed account added", func(ctx context.Context) error {
				a, err := b.AddAccount(ctx, operator.AccountInput{Email: "ann@example.com"})
				ann = a.ID
				return err
			}},
			{"accounts set", "changed account changed", func(ctx context.Context) error {
				_, err := b.ChangeAccount(ctx, ann, operator.AccountChange{Name: &name})
				return err
			}},
			{"tokens create", "changed token created", func(ctx context.Context) error {
				made, err := b.CreateToken(ctx, operator.MachineTokenInput{Who: ann, Scopes: []string{"calendar"}})
				token = made.ID
				return err
			}},
			{"tokens revoke", "changed token revoked", func(ctx context.Context) error { _, err := b.RevokeToken(ctx, token); return err }},
			{"link", "requested sign_in link", func(ctx context.Context) error {
				_, err := b.MakeLink(ctx, operator.LinkInput{Email: "ann@example.com"})
				return err
			}},
			{"invite", "invited invite ok", func(ctx context.Context) error {
				_, err := b.Invite(ctx, operator.InvitationInput{Email: "bob@example.com"})
				return err
			}},
			{"invite revoke", "cancelled invite ok", func(ctx context.Context) error { return second(b.RevokeInvitations(ctx, "bob@example.com")) }},
			{"sessions end", "changed sessions ended", func(ctx context.Context) error { return second(b.EndSessions(ctx, ann)) }},
			{"limits reset", "changed limits reset", func(ctx context.Context) error {
				_, err := b.ResetLimits(ctx, []string{"ann@example.com", "192.0.2.7"})
				return err
			}},
			{"keys rotate", "changed signing_key rotated", func(ctx context.Context) error { _, err := b.RotateKey(ctx); return err }},
			{"keys audience", "exported audience_key key", func(ctx context.Context) error { _, err := b.AudienceKey(ctx, "a.example.com", false); return err }},
			{"restored", "changed database restored", func(ctx context.Context) error { _, err := b.EndRestored(ctx); return err }},
			{"backup", "exported master_key copied", func(ctx context.Context) error { _, err := b.MasterKeys(ctx); return err }},
			{"backup", "exported database copied", func(ctx context.Context) error { return b.Backup(ctx, io.Discard) }},
			{"accounts export", "exported accounts with_passwords", func(ctx context.Context) error {
				return b.Export(ctx, true, func(transfer.Row) error { return nil })
			}},
			{"accounts import", "changed accounts imported", func(ctx context.Context) error {
				_, err := b.Import(ctx, strings.NewReader(`{"email":"bob@example.com"}`), operator.ImportOptions{Format: transfer.JSONL})
				return err
			}},
			{"accounts disable", "changed account disabled", func(ctx context.Context) error {
				_, err := b.ChangeAccount(ctx, ann, operator.AccountChange{Status: &disabled})
				return err
			}},
			{"accounts delete", "changed account deleted", func(ctx context.Context) error { return second(b.DeleteAccount(ctx, ann)) }},
		} {
			log.Reset()
			caller := operator.Caller{Command: step.command, User: "Jürgen", Host: "nas"}
			if err := step.run(operator.WithCaller(t.Context(), caller)); err != nil {
				t.Fatalf("%s: %v", step.command, err)
			}
			list, err := b.Events(t.Context(), operator.EventQuery{N: 1})
			if err != nil || len(list) != 1 {
				t.Fatalf("%s: %v, %v", step.command, list, err)
			}
			e := list[0]
			if d := cmp.Diff(step.want, strings.Join([]string{e.Event, e.Purpose, e.Outcome}, " ")); d != "" {
				t.Errorf("%s: %s", step.command, d)
			}
			if got := (operator.Caller{Command: e.Command, User: e.User, Host: e.Host}); got != caller {
				t.Errorf("%s: by %+v", step.command, got)
			}
			if about := e.Purpose == "account" || e.Purpose == "token" || e.Purpose == "sessions" || e.Purpose == "limits"; about && e.Account != ann {
				t.Errorf("%s: about %q, not %q", step.command, e.Account, ann)
			}
			if logged := log.String(); e.Purpose != "token" && e.Purpose != "invite" && e.Event != "requested" &&
				(strings.Count(logged, "\n") != 1 || !strings.Contains(logged, `command="`+step.command+`"`) && !strings.Contains(logged, "command="+step.command)) {
				t.Errorf("%s: the log has %q", step.command, logged)
			}
			if strings.Contains(log.String(), "@") {
				t.Errorf("LOG-1: %s", log.String())
			}
		}
	})
}

// TestEvents_WhatFailsOrOnlyReadsLeavesNoLine: the audit log is for what has happened.
func TestEvents_WhatFailsOrOnlyReadsLeavesNoLine(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	svc.Limiter = &limit.Limiter{Ring: svc.Vault.Ring}
	ctx := t.Context()
	for name, err := range map[string]error{
		"delete":  second(svc.DeleteAccount(ctx, "nobody@example.com")),
		"end":     second(svc.EndSessions(ctx, "nobody@example.com")),
		"limits":  second(svc.ResetLimits(ctx, []string{"no address"})),
		"retry":   second(svc.RetryMail(ctx, "unknown")),
		"add":     second(svc.AddAccount(ctx, operator.AccountInput{Email: "no address"})),
		"keys":    second(svc.MasterKeys(ctx)),
		"revoke":  second(svc.RevokeToken(ctx, "unknown")),
		"disable": second(svc.ChangeAccount(ctx, "nobody@example.com", operator.AccountChange{})),
	} {
		if err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
	_, err1 := svc.Mails(ctx)
	_, err2 := svc.RetryMail(ctx, "")
	_, err3 := svc.SigningKeys(ctx)
	_, err4 := svc.Limits(ctx, []string{operator.LimitShared})
	list, err5 := svc.Events(ctx, operator.EventQuery{N: 9})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || len(list) != 0 {
		t.Errorf("%v, %+v", err, list)
	}
}

func second[T any](_ T, err error) error { return err }

// TestBackup_GoesOnWithoutItsLine: a full disk does not keep an operator from a copy to another one.
func TestBackup_GoesOnWithoutItsLine(t *testing.T) {
	t.Parallel()
	svc, store := newService(t)
	var log strings.Builder
	svc.Log = slog.New(slog.NewTextHandler(&log, nil))
	svc.Vault.Store = unwritable{store}
	var copied strings.Builder
	if err := svc.Backup(t.Context(), &copied); err != nil || copied.Len() == 0 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("%d bytes, %v, %s", copied.Len(), err, log.String())
	}
}

// unwritable is a store that can be read and copied only.
type unwritable struct{ storage.Store }

func (unwritable) Update(context.Context, func(storage.Tx) error) error { return storage.ErrUnknown }

func (u unwritable) Backup(ctx context.Context, w io.Writer) error {
	return u.Store.(storage.Backuper).Backup(ctx, w)
}

func TestCaller_IsBoundedAndSteersNothing(t *testing.T) {
	t.Parallel()
	got := operator.CallerOf(operator.WithCaller(t.Context(), operator.Caller{
		Command: "a\x1b[2J\nb", User: strings.Repeat("ü", 100), Host: "\xff",
	}))
	if want := (operator.Caller{Command: "a?[2J?b", User: strings.Repeat("ü", 32), Host: "?"}); got != want {
		t.Errorf("%+v", got)
	}
}
