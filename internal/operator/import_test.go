package operator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

const (
	bcrypt04  = "$2b$04$abcdefghijklmnopqrstuuWZgYFnZpIqA7uYq8rJzqfG4DKPEPJlW"
	argonHuge = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

var noon = time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)

// failingStore fails the n-th Update from now on, where n is not zero.
type failingStore struct {
	storage.Store
	in int
}

var errDisk = errors.New("the disk is full")

func (f *failingStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if f.in--; f.in == 0 {
		return errDisk
	}
	return f.Store.Update(ctx, fn)
}

func (f *failingStore) Backup(ctx context.Context, w io.Writer) error {
	return f.Store.(storage.Backuper).Backup(ctx, w)
}

func newService(t *testing.T) (*operator.Service, *failingStore) {
	t.Helper()
	opened, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "email_link.db")})
	if err != nil {
		t.Fatal(err)
	}
	store := &failingStore{Store: opened}
	master := bytes.Repeat([]byte{1, 2, 3, 4}, 8)
	s, err := vault.Open(t.Context(), vault.Config{
		Store: store, Clock: clock.NewFake(noon).Clock(),
		Masters: func([]byte) ([][]byte, error) { return [][]byte{master}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	hasher, err := password.NewHasher(password.Options{Cost: password.Cost{Kind: password.Argon2id, N: 64, R: 1, P: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return &operator.Service{Vault: s, Flows: &flow.Service{
		Store: s.Store, Ring: s.Ring, Clock: s.Clock, Accounts: s.Accounts, Sessions: s.Sessions, Passwords: hasher,
	}}, store
}

// both runs a test on the gate itself and over the admin API.
func both(t *testing.T, run func(t *testing.T, svc *operator.Service, store *failingStore, b operator.Operations)) {
	t.Helper()
	t.Run("offline", func(t *testing.T) {
		t.Parallel()
		svc, store := newService(t)
		run(t, svc, store, svc)
	})
	t.Run("over the API", func(t *testing.T) {
		t.Parallel()
		svc, store := newService(t)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := adminapi.Serve(svc, w, r); err != nil { // as Caddy's admin endpoint words it
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(adminapi.Status(err))
				_, _ = fmt.Fprintf(w, `{"error":%q}`, err.Error())
			}
		}))
		t.Cleanup(server.Close)
		c, err := adminapi.Connect(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		run(t, svc, store, c)
	})
}

func emails(t *testing.T, b operator.Operations) (list []string) {
	t.Helper()
	if err := b.Accounts(t.Context(), func(a operator.Account) error { list = append(list, a.Email); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func export1(t *testing.T, b operator.Operations, format string, passwords bool) string {
	t.Helper()
	var out bytes.Buffer
	w, err := transfer.NewWriter(&out, format, passwords)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Export(t.Context(), passwords, w.Write), w.Flush()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func importText(t *testing.T, b operator.Operations, text string, o operator.ImportOptions) operator.ImportReport {
	t.Helper()
	if o.Format == "" {
		o.Format = transfer.JSONL
	}
	report, err := b.Import(t.Context(), strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

const mixed = `{"email":"Ada@example.com","name":"Ada","roles":["b","a","b"],"password":"` + bcrypt04 + `","verified":true,"created":"2020-01-02T03:04:05.6Z","language":"de"}
{"email":"ada@EXAMPLE.com"}
{"email":"bob@example.com","name":"Bob","password":"` + bcrypt04 + `"}
nonsense
{"email":"huge@example.com","password":"` + argonHuge + `","verified":true}
{"email":"out@example.com","status":"disabled","created":"2999-01-01"}
{"email":"no address"}
`

func TestImport_NothingIsWrittenWhenALineIsBad(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		bad := []operator.BadLine{
			{2, "ada@example.com", "the mailbox is in line 1 already"},
			{4, "", "the line is no JSON object"},
			{5, "huge@example.com", "the password record cannot be used: argon2: more than m=131072, p=16 or m·t=1048576"},
		}
		for _, o := range []operator.ImportOptions{{}, {DryRun: true}, {DryRun: true, SkipBad: true}} {
			report := importText(t, b, mixed, o)
			last := report.Bad[len(report.Bad)-1]
			if d := cmp.Diff(bad, report.Bad[:len(report.Bad)-1]); d != "" || last.Line != 7 || last.Email != "" {
				t.Errorf("%+v: %s %+v", o, d, last)
			}
			want := operator.ImportReport{Lines: 7, LeftOut: 1, Bad: report.Bad, DryRun: o.DryRun}
			if o.SkipBad {
				want.Added = 3
			}
			if d := cmp.Diff(want, report); d != "" {
				t.Errorf("%+v: %s", o, d)
			}
			if list := emails(t, b); list != nil {
				t.Fatalf("%+v has written %v", o, list)
			}
		}
		report := importText(t, b, mixed, operator.ImportOptions{SkipBad: true})
		if !report.Done || report.Added != 3 || len(report.Bad) != 4 || len(emails(t, b)) != 3 {
			t.Errorf("going on: %+v", report)
		}
		// What is there just so is no fault the second time.
		report = importText(t, b, mixed, operator.ImportOptions{SkipBad: true})
		if !report.Done || report.Added != 0 || report.Existing != 3 {
			t.Errorf("again: %+v", report)
		}
		report = importText(t, b, `{"email":"ada@example.com","name":"Eve","verified":true}`, operator.ImportOptions{})
		if report.Done || len(report.Bad) != 1 || report.Bad[0].Reason != "the mailbox has an account already, which differs" {
			t.Errorf("another account of a mailbox: %+v", report)
		}
		// The mailbox of bob is not proven, so what came with it is not his.
		text := export1(t, b, transfer.JSONL, true)
		if strings.Count(text, bcrypt04) != 1 || strings.Contains(text, "Bob") || !strings.Contains(text, `"created":"2020-01-02T03:04:05.6Z"`) {
			t.Errorf("FLOW-1: %s", text)
		}
		if costs := svc.Flows.Passwords.Costs(); len(costs) != 2 {
			t.Errorf("ENUM-2: answers wait for %v", costs)
		}
		if costs, err := svc.Vault.Accounts.Costs(t.Context()); err != nil || len(costs) != 1 || costs[0].Kind != password.Bcrypt {
			t.Errorf("ENUM-2: the store has %v, %v", costs, err)
		}
	})
}

func TestImport_RoundTrip(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ *operator.Service, _ *failingStore, b operator.Operations) {
		importText(t, b, mixed, operator.ImportOptions{SkipBad: true})
		for _, format := range []string{transfer.JSONL, transfer.CSV} {
			text := export1(t, b, format, true)
			if report := importText(t, b, text, operator.ImportOptions{Format: format}); !report.Done || report.Existing != 3 {
				t.Errorf("%s into itself: %+v\n%s", format, report, text)
			}
			other, _ := newService(t)
			if report := importText(t, other, text, operator.ImportOptions{Format: format}); !report.Done || report.Added != 3 {
				t.Errorf("%s into another: %+v", format, report)
			}
			if d := cmp.Diff(sortedLines(text), sortedLines(export1(t, other, format, true))); d != "" {
				t.Errorf("%s: %s", format, d)
			}
			if text := export1(t, b, format, false); strings.Contains(text, "$2b$") {
				t.Errorf("REST-1: %s tells a password record: %s", format, text)
			}
		}
	})
}

func sortedLines(text string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(text) {
		set[line] = true
	}
	return set
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"email\":\"p%d@example.com\",\"password\":%q,\"verified\":true}\n", i, bcrypt04)
	}
	return b.String()
}

func TestImport_AFileOfOneStepIsAllOrNothing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ *operator.Service, store *failingStore, b operator.Operations) {
		store.in = 2 // the first step writes the audit log
		_, err := b.Import(t.Context(), strings.NewReader(many(operator.BatchSize+1)), operator.ImportOptions{Format: transfer.JSONL})
		if err == nil || !strings.Contains(err.Error(), "0 accounts have been written") || len(emails(t, b)) != 0 {
			t.Errorf("%v, %d accounts", err, len(emails(t, b)))
		}
	})
}

func TestImport_ALargeFileGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ *operator.Service, store *failingStore, b operator.Operations) {
		const n = operator.MaxAtomic + operator.BatchSize + 7
		text := many(n)
		if report := importText(t, b, text+"{}\n", operator.ImportOptions{}); report.Done || report.Added != 0 || len(report.Bad) != 1 || len(emails(t, b)) != 0 {
			t.Fatalf("a bad last line: %+v", report)
		}
		store.in = 4
		_, err := b.Import(t.Context(), strings.NewReader(text), operator.ImportOptions{Format: transfer.JSONL})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(2*operator.BatchSize, " accounts have been written")) || len(emails(t, b)) != 2*operator.BatchSize {
			t.Fatalf("%v, %d accounts", err, len(emails(t, b)))
		}
		report := importText(t, b, text, operator.ImportOptions{})
		if !report.Done || report.Existing != 2*operator.BatchSize || report.Added != n-2*operator.BatchSize || len(emails(t, b)) != n {
			t.Errorf("again: %+v", report)
		}
	})
}

// racing gives a mailbox an account after the file has been checked.
type racing struct {
	storage.Store
	before func()
}

func (r *racing) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if f := r.before; f != nil {
		r.before = nil
		f()
	}
	return r.Store.Update(ctx, fn)
}

func TestImport_AMailboxThatSignsUpMeanwhile(t *testing.T) {
	t.Parallel()
	for _, skip := range []bool{false, true} {
		svc, _ := newService(t)
		r := &racing{Store: svc.Vault.Store}
		svc.Vault.Store, svc.Vault.Accounts.Store = r, r
		r.before = func() {
			if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "P1@example.com"}); err != nil {
				t.Error(err)
			}
		}
		report := importText(t, svc, many(3), operator.ImportOptions{SkipBad: skip})
		want := operator.ImportReport{Lines: 3, Bad: []operator.BadLine{{2, "p1@example.com", "the mailbox has got an account meanwhile"}}}
		if skip {
			want.Done, want.Added = true, 2
		}
		if d := cmp.Diff(want, report); d != "" || len(emails(t, svc)) != 1+want.Added {
			t.Errorf("%s %v", d, emails(t, svc))
		}
	}
}

// hangingUp is a client that goes away after the first step of its import.
type hangingUp struct {
	storage.Store
	hangUp context.CancelFunc
}

func (h *hangingUp) Update(ctx context.Context, fn func(storage.Tx) error) error {
	defer h.hangUp()
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.Store.Update(ctx, fn)
}

// TestDUR1_AClientThatGoesAwayLeavesNoHalfImport: what has been checked is written to its end.
func TestDUR1_AClientThatGoesAwayLeavesNoHalfImport(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	ctx, cancel := context.WithCancel(t.Context())
	svc.Vault.Accounts.Store = &hangingUp{svc.Vault.Store, cancel}
	n := operator.MaxAtomic + operator.BatchSize
	report, err := svc.Import(ctx, strings.NewReader(many(n)), operator.ImportOptions{Format: transfer.JSONL})
	if err != nil || !report.Done || report.Added != n || len(emails(t, svc)) != n {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestImport_WhatDiffersIsLeftAlone: an account that is there in another form is told, whatever it differs in, and stays as it is.
func TestImport_WhatDiffersIsLeftAlone(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	const as = `{"email":"Ada@example.com","name":"Ada","roles":["a"],"password":"` + bcrypt04 + `","verified":true,"created":"2020-01-02T03:04:05Z","language":"de","timezone":"Europe/Berlin"}`
	importText(t, svc, as, operator.ImportOptions{})
	before := export1(t, svc, transfer.JSONL, true)
	for name, change := range map[string][2]string{
		"the spelling":  {"Ada@example.com", "ada@example.com"},
		"the name":      {`"Ada"`, `"Eve"`},
		"the roles":     {`["a"]`, `["a","b"]`},
		"no roles":      {`["a"]`, `[]`},
		"the password":  {"WZgYFn", "WZgYFm"},
		"no password":   {`"password":"` + bcrypt04 + `",`, ""},
		"not verified":  {`"verified":true`, `"verified":false`},
		"the time":      {"03:04:05Z", "03:04:06Z"},
		"the language":  {`"language":"de"`, `"language":"en"`},
		"the time zone": {`,"timezone":"Europe/Berlin"`, ``},
		"being enabled": {`"language":"de"`, `"language":"de","status":"disabled"`},
	} {
		text := strings.Replace(as, change[0], change[1], 1)
		report := importText(t, svc, text, operator.ImportOptions{})
		if text == as || report.Done || report.Existing != 0 || len(report.Bad) != 1 || !strings.Contains(report.Bad[0].Reason, "which differs") {
			t.Errorf("%s: %+v", name, report)
		}
		if after := export1(t, svc, transfer.JSONL, true); after != before {
			t.Errorf("%s: %s", name, after)
		}
	}
	if report := importText(t, svc, as, operator.ImportOptions{}); !report.Done || report.Existing != 1 {
		t.Errorf("as it is: %+v", report)
	}
}

// TestREST1_AnExportHasPasswordsWhereTheyAreAskedFor: what the service hands out has none otherwise, whoever writes it.
func TestREST1_AnExportHasPasswordsWhereTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ *operator.Service, _ *failingStore, b operator.Operations) {
		importText(t, b, many(2), operator.ImportOptions{})
		for _, asked := range []bool{false, true} {
			rows := 0
			err := b.Export(t.Context(), asked, func(row transfer.Row) error {
				if rows++; (row.Password != "") != asked {
					t.Errorf("asked %v: the password of %s is %q", asked, row.Email, row.Password)
				}
				return nil
			})
			if err != nil || rows != 2 {
				t.Errorf("asked %v: %d, %v", asked, rows, err)
			}
		}
	})
}

func TestImport_Bounds(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ *operator.Service, _ *failingStore, b operator.Operations) {
		for name, c := range map[string]struct {
			text, format, want string
		}{
			"another kind of file": {strings.Repeat("<user/>\n", operator.MaxBadLines+1), transfer.JSONL, "more than 10000 bad lines"},
			"no header":            {"a@example.com," + bcrypt04 + "\n", transfer.CSV, "the header"},
			"no format":            {many(1), "", "jsonl, csv"},
		} {
			_, err := b.Import(t.Context(), strings.NewReader(c.text+strings.Repeat("{}\n", 1<<20)), operator.ImportOptions{Format: c.format, SkipBad: true})
			var e *operator.Error
			if !errors.As(err, &e) || e.Kind != operator.Invalid || !strings.Contains(e.Message, c.want) || !strings.Contains(e.Message, "nothing has been written") || strings.Contains(e.Message, "$2b$") {
				t.Errorf("%s: %v", name, err)
			}
		}
		var costs strings.Builder
		for i := range operator.MaxCosts + 2 {
			fmt.Fprintf(&costs, "{\"email\":\"c%d@example.com\",\"verified\":true,\"password\":\"$pbkdf2-sha256$%d$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}\n", i, 1000+i)
		}
		if report := importText(t, b, costs.String(), operator.ImportOptions{}); len(report.Bad) != 2 || !strings.Contains(report.Bad[0].Reason, "more than 64 different costs") {
			t.Errorf("many costs: %+v", report)
		}
		if _, err := b.Import(t.Context(), &brokenOff{strings.NewReader(many(3))}, operator.ImportOptions{Format: transfer.JSONL}); err == nil {
			t.Error("a file that broke off was imported")
		}
		if len(emails(t, b)) != 0 {
			t.Error("something was written")
		}
	})
}

// TestImport_Limit: a file of as many accounts as the limit says is checked and, with one more, refused in words that can be obeyed.
func TestImport_Limit(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	line := func(i int) string { return fmt.Sprintf("{\"email\":\"p%d@example.com\"}\n", i) }
	var b strings.Builder
	for i := range operator.MaxImport {
		b.WriteString(line(i))
	}
	if report := importText(t, svc, b.String(), operator.ImportOptions{DryRun: true}); report.Added != operator.MaxImport {
		t.Errorf("%+v", report)
	}
	last := line(operator.MaxImport)
	_, err := svc.Import(t.Context(), strings.NewReader(b.String()+last), operator.ImportOptions{Format: transfer.JSONL})
	var e *operator.Error
	if !errors.As(err, &e) || e.Kind != operator.TooLarge || !strings.Contains(e.Message, "split it") || len(emails(t, svc)) != 0 {
		t.Fatalf("one more: %v", err)
	}
	if report := importText(t, svc, last, operator.ImportOptions{}); !report.Done || report.Added != 1 {
		t.Errorf("the part that was split off: %+v", report)
	}
	_, err = svc.Import(t.Context(), new(blanks), operator.ImportOptions{Format: transfer.JSONL})
	if !errors.As(err, &e) || e.Kind != operator.TooLarge || !strings.Contains(e.Message, "larger than 128 MiB") {
		t.Errorf("a file that is too large: %v", err)
	}
}

// blanks is a file of blank lines that is larger than any that is read.
type blanks struct{ n int }

func (b *blanks) Read(p []byte) (int, error) {
	if b.n > operator.MaxImportSize+1<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = ' '
		if b.n++; b.n%1024 == 0 {
			p[i] = '\n'
		}
	}
	return len(p), nil
}

// brokenOff ends with an error, as a pipe whose writer has failed.
type brokenOff struct{ io.Reader }

func (b *brokenOff) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = os.ErrClosed
	}
	return n, err
}

func TestExport_AnAnswerThatEndsEarlyIsNotTakenForAll(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"", `{"count":7}`, `{"error":"the database failed"}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"account":{"email":"a@example.com","verified":true}}`+"\n"+rest)
		}))
		t.Cleanup(server.Close)
		c, err := adminapi.Connect(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Export(t.Context(), true, func(transfer.Row) error { return nil }); err == nil {
			t.Errorf("%q: no error", rest)
		}
	}
}

func TestMaximalCosts(t *testing.T) {
	t.Parallel()
	a := password.Cost{Kind: password.Argon2id, N: 64, R: 1, P: 1}
	wide := password.Cost{Kind: password.Argon2id, N: 64, R: 2, P: 1}
	deep := password.Cost{Kind: password.Argon2id, N: 128, R: 1, P: 1}
	b10, b12 := password.Cost{Kind: password.Bcrypt, N: 10}, password.Cost{Kind: password.Bcrypt, N: 12}
	list := operator.MaximalCosts(password.Costs{a, wide, a, b10, b12, deep, wide})
	if len(list) != 3 || !slices.Contains(list, wide) || !slices.Contains(list, b12) || !slices.Contains(list, deep) {
		t.Error(list)
	}
	if list := operator.MaximalCosts(password.Costs{a, a}); len(list) != 1 {
		t.Error(list)
	}
}
