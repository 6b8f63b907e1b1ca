package command

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func TestAccounts_AnswersAreSentences(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	roles := &[]string{}
	ann := operator.Account{Email: "ann@example.com", ID: "x", Name: "Ann \x1b", Roles: []string{"a", "b"}}
	for got, want := range map[string]string{
		changedText(operator.ChangedAccount{Account: ann, SessionsEnded: 2}, operator.AccountChange{Status: text("disabled")}):                   "disabled ann@example.com; 2 sessions ended; its links are dead too\n",
		changedText(operator.ChangedAccount{Account: ann, SessionsEnded: 1}, operator.AccountChange{Status: text("disabled")}):                   "disabled ann@example.com; 1 session ended; its links are dead too\n",
		changedText(operator.ChangedAccount{Account: ann}, operator.AccountChange{Status: text("disabled")}):                                     "disabled ann@example.com; it had no session; its links are dead too\n",
		changedText(operator.ChangedAccount{Account: ann}, operator.AccountChange{Status: text("active")}):                                       "enabled ann@example.com: it can sign in again\n",
		changedText(operator.ChangedAccount{Account: ann}, operator.AccountChange{Name: text("Ann"), Roles: roles}):                              "changed ann@example.com, which now has the name \"Ann \\x1b\", the roles a, b\n",
		changedText(operator.ChangedAccount{}, operator.AccountChange{Name: text(""), Roles: roles, Language: text("")}):                         "changed , which now has the name none, the roles none, mails in the language of the browser that asks\n",
		changedText(operator.ChangedAccount{}, operator.AccountChange{Timezone: text("")}):                                                       "changed , which now has times in the site's time zone\n",
		changedText(operator.ChangedAccount{Account: operator.Account{Timezone: "Asia/Kathmandu"}}, operator.AccountChange{Timezone: text("x")}): "changed , which now has times in Asia/Kathmandu\n",
	} {
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

// TestAccounts_AddSaysWhatComesNext: as printed, the command has to reach the same gate.
func TestAccounts_AddSaysWhatComesNext(t *testing.T) {
	t.Parallel()
	a := operator.AddedAccount{
		Account: operator.Account{Email: "ann@example.com", ID: "x"},
		SignIn:  []string{"https://a.example.com/email-link/sign-in", "https://b.example.com/auth/sign-in"},
	}
	got := (&root{address: "localhost:12019", config: "gate.conf", adapter: "caddyfile"}).addedText(a)
	want := "added ann@example.com as x\n" +
		"sign in:  https://a.example.com/email-link/sign-in\n          https://b.example.com/auth/sign-in\n" +
		"no mail:  caddy email-link link ann@example.com --address localhost:12019 --config gate.conf --adapter caddyfile prints a link\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAccounts_ShowNamesEverything(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)
	full := operator.AccountDetails{
		Account:    operator.Account{ID: "x", Email: "ann@example.com", Name: "Ann", Roles: []string{"admin", "b"}, Language: "de", Timezone: "Europe/Berlin", Status: "active", Created: at},
		Password:   true,
		LastSignIn: &at,
		Sessions: []operator.Session{
			{Site: "https://a.example.com", Device: "Firefox on Linux", Network: "192.0.2.0/24", SignedIn: at, Seen: at},
			{Site: "https://a.example.com", SignedIn: at, Seen: at},
		},
		Tokens:      []operator.MachineToken{{ID: "t", Name: "phone", Scopes: []string{"calendar"}, State: "good", Ends: at, Site: "https://a.example.com"}},
		SpentLimits: []operator.Limit{{Name: "mail_mailbox", Rate: "20-D", Ends: at}},
		Mails:       []operator.Mail{{ID: "m", Purpose: "sign_in", Queued: at, Reason: "550 no"}},
	}
	now := "2026-11-28 12:00:00"
	want := strings.Join([]string{
		"account        ann@example.com", "id             x", "status         active", "name           Ann", "roles          admin, b",
		"language       de", "time zone      Europe/Berlin", "created        " + now, "last sign-in   " + now, "password       yes",
		"sessions       Firefox on Linux, 192.0.2.0/24, since " + now + ", seen " + now + ", at https://a.example.com",
		"               an unknown browser, an unknown network, since " + now + ", seen " + now + ", at https://a.example.com",
		`tokens         t "phone", calendar, good, until ` + now + ", at https://a.example.com",
		"limits spent   mail_mailbox 20-D, until " + now,
		"mails waiting  m, sign_in, queued " + now + ", 550 no", "",
	}, "\n")
	if d := cmp.Diff(want, detailsText(full)); d != "" {
		t.Error(d)
	}
	full.Status, full.Deletes = "disabled", at
	if got, want := detailsText(full), "status         disabled; its owner has deleted it, and it is gone on "+now+" unless 'caddy email-link accounts enable' keeps it\n"; !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
	if got, want := accountLine(full.Account), "x\tann@example.com\tdisabled, gone on 2026-11-28\tadmin,b\tAnn\t2026-11-28"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	bare := detailsText(operator.AccountDetails{Account: operator.Account{Email: "a@example.com", Status: "disabled"}})
	for _, line := range []string{"name           none", "roles          none", "last sign-in   none in the last 90 days", "password       no", "sessions       none", "tokens         none", "limits spent   none", "mails waiting  none"} {
		if !strings.Contains(bare, line+"\n") {
			t.Errorf("no %q in\n%s", line, bare)
		}
	}
}

func TestBackup_NamesItsKey(t *testing.T) {
	t.Parallel()
	r := new(root)
	for want, got := range map[string]string{
		"the file /var/lib/key:\nkeep a copy of that file elsewhere, or write both with --with-key": r.backupText("b.db", "", operator.BackupInfo{Fingerprint: "f1", KeyFile: "/var/lib/key"}),
		"the master key f1, which the option secret names: keep that too":                           r.backupText("b.db", "", operator.BackupInfo{Fingerprint: "f1"}),
		"wrote b.db and b.db.key\nkeep them as you keep passwords":                                  r.backupText("b.db", "b.db.key", operator.BackupInfo{Fingerprint: "f1", KeyFile: "/var/lib/key"}),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
