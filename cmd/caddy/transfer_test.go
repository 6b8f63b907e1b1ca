package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
)

const (
	// bcryptOfTest is well-formed, and of a password that nobody knows.
	bcryptOfTest = "$2a$04$qZ2xTsX1h.JoeqJ1YfZ0Lu3sP0DbuNWMOA9h0xN0uVoyfrT2VjWjm"
	argonHuge    = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

type importReport struct {
	Lines, Added int
	There        int `json:"already_there"`
	LeftOut      int `json:"left_out"`
	Done         bool
	Bad          []struct {
		Line          int
		Email, Reason string
	}
}

// runWith is run with a standard input.
func (p *place) runWith(input string, args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := p.command(append([]string{"email-link"}, args...)...)
	var out, errs strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (p *place) imports(args ...string) (report importReport, stderr string, code int) {
	p.t.Helper()
	out, errs, code := p.run(append([]string{"accounts", "import", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		p.t.Fatalf("exit %d: %v\n%s%s", code, err, out, errs)
	}
	return report, errs, code
}

const users = "\ufeffemail,name,roles,password,verified,created\r\n" +
	"Ada@example.com,\"Lovelace, Ada\",\"admin,family\",\"" + bcryptOfTest + "\",true,2020-01-02 03:04:05\r\n" +
	"bob@example.com,Bob,,,false,\r\n"

func TestImportWhileCaddyRuns(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	stop := p.start()
	p.write("bad.csv", users+"ada@EXAMPLE.com,Eve,,,true,\nhuge@example.com,,,"+strings.ReplaceAll(argonHuge, ",", "")+",true,\nhuge@example.com,,,\""+argonHuge+"\",true,\n")
	report, errs, code := p.imports("bad.csv")
	if code != 1 || len(report.Bad) != 3 || report.Bad[0].Line != 4 || report.Bad[0].Email != "ada@example.com" ||
		!strings.Contains(report.Bad[2].Reason, "argon2: more than m=") || !strings.Contains(errs, "3 lines are bad, so nothing is written") {
		t.Errorf("exit %d, %+v, %s", code, report, errs)
	}
	if out, errs, code := p.run("accounts", "import", "bad.csv", "--dry-run", "--skip-bad"); code != 0 ||
		!strings.HasPrefix(out, "line 4: ada@example.com: the mailbox is in line 2 already\nline 5: ") ||
		!strings.Contains(out, "5 accounts in the file: would add 2, 0 there already, 3 bad\n1 of them without name and password") || strings.Contains(out+errs, "$argon2") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if out := p.must("accounts", "list", "--json"); out != "" {
		t.Fatalf("a refused import and a dry run have written %s", out)
	}
	p.write("users.csv", users)
	if report, _, code := p.imports("users.csv"); code != 0 || report.Added != 2 || report.LeftOut != 1 || !report.Done {
		t.Errorf("exit %d, %+v", code, report)
	}
	if report, _, code := p.imports("users.csv"); code != 0 || report.Added != 0 || report.There != 2 || !report.Done {
		t.Errorf("again: exit %d, %+v", code, report)
	}
	out := p.must("accounts", "show", "ada@example.com")
	if !strings.Contains(out, "admin, family") || !strings.Contains(out, "Lovelace, Ada") || !strings.Contains(out, "2020-01-02") {
		t.Errorf("show: %s", out)
	}
	if status, page := newBrowser(t).open(firstLine(p.must("link", "bob@example.com"))); status != 200 || page != "hello bob@example.com" {
		t.Errorf("a link for an imported account led to %d %q", status, page)
	}

	// From this gate into another one, through a pipe and without a Caddy there.
	text := p.must("accounts", "export", "--with-passwords")
	other := newPlace(t)
	if out, errs, code := other.runWith(text, "accounts", "import", "-", "--format", "jsonl", "--create"); code != 0 || !strings.Contains(out, "added 2,") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if again := other.must("accounts", "export", "--with-passwords"); !sameLines(again, text) {
		t.Errorf("export of an import:\n%s\nis not\n%s", again, text)
	}
	stop()
	for _, secret := range []string{"example.com,", "Lovelace", "ada@", "bob@", bcryptOfTest, argonHuge, "$2a$"} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("LOG-1: %q is in the log:\n%s", secret, p.log)
		}
	}
}

func sameLines(a, b string) bool {
	lines := map[string]int{}
	for line := range strings.Lines(a) {
		lines[line]++
	}
	for line := range strings.Lines(b) {
		lines[line]--
	}
	for _, n := range lines {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestExportToAFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if out, errs, code := p.runWith(users, "accounts", "import", "-", "--format", "csv", "--create"); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if out := p.must("accounts", "export", "out.csv"); out != "wrote 2 accounts to out.csv\n" {
		t.Errorf("export printed %q", out)
	}
	file := filepath.Join(p.dir, "out.csv")
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "$2a$") || strings.Contains(string(text), "password") || !strings.HasPrefix(string(text), "email,name,roles,verified,created,status,language,timezone\n") {
		t.Errorf("REST-1: %v\n%s", err, text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("REST-1: %v %v", info.Mode(), err)
	}
	if _, errs, code := p.run("accounts", "export", "out.csv"); code != 1 || !strings.Contains(errs, "exists") {
		t.Errorf("over a file: exit %d, %s", code, errs)
	}
	if out := p.must("accounts", "export", "--format", "csv", "--with-passwords"); !strings.Contains(out, bcryptOfTest) {
		t.Errorf("with passwords:\n%s", out)
	}
}

func manyUsers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"email\":\"p%d@example.com\",\"name\":\"Person %d\",\"verified\":true,\"password\":\"%s\"}\n", i, i, bcryptOfTest)
	}
	return b.String()
}

// TestImportAfterKill kills an import wherever it happens to be; the same command makes it whole.
func TestImportAfterKill(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const n = 6000
	p.write("many.jsonl", manyUsers(n))
	cmd := p.command("email-link", "accounts", "import", "many.jsonl", "--create")
	cmd.Env = append(cmd.Env, "TMPDIR="+p.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(p.dir, "data", "caddy", "email_link", "email_link.db")
	for deadline := time.Now().Add(gatetest.Patience); ; time.Sleep(5 * time.Millisecond) { // polling another process
		if info, err := os.Stat(database); err == nil && info.Size() > 1<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is written")
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	report, errs, code := p.imports("many.jsonl")
	if code != 0 || !report.Done || report.Added+report.There != n || report.There%500 != 0 {
		t.Errorf("exit %d, %+v, %s", code, report, errs)
	}
	t.Logf("%d accounts were there after the kill", report.There)
	if out := p.must("accounts", "export"); strings.Count(out, "\n") != n {
		t.Errorf("%d accounts are exported", strings.Count(out, "\n"))
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "email_link-import-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// TestImportOfManyAccounts has more of them than are written in one step.
func TestImportOfManyAccounts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.start()
	const n = 6000
	p.write("many.jsonl", manyUsers(n))
	if report, errs, code := p.imports("many.jsonl"); code != 0 || report.Added != n || !report.Done {
		t.Errorf("exit %d, %+v, %s", code, report, errs)
	}
	if out := p.must("accounts", "export"); strings.Count(out, "\n") != n {
		t.Errorf("%d accounts are exported", strings.Count(out, "\n"))
	}
}

func TestImportedPasswordsSignIn(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "sign_in link password")
	p.start()
	record, err := bcrypt.GenerateFromPassword([]byte("sparrow-lantern-41"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(map[string]any{"email": "ada@example.com", "password": string(record), "verified": true})
	if err != nil {
		t.Fatal(err)
	}
	p.write("users.jsonl", string(line))
	p.must("accounts", "import", "users.jsonl")
	signIn := func(password string) (int, string) {
		form := url.Values{"email": {"ada@example.com"}, "password": {password}}
		return newBrowser(t).do(http.MethodPost, p.origin()+"/email-link/sign-in", form.Encode())
	}
	if status, page := signIn("sparrow-lantern-42"); strings.Contains(page, "hello") {
		t.Errorf("another password: %d %s", status, page)
	}
	if status, page := signIn("sparrow-lantern-41"); status != http.StatusOK || page != "hello ada@example.com" {
		t.Errorf("the password of before: %d %s", status, page)
	}
	// The sign-in has replaced the record by one of ours.
	if out := p.must("accounts", "export", "--with-passwords"); !strings.Contains(out, "$argon2id$") || strings.Contains(out, string(record)) {
		t.Errorf("the record after a sign-in: %s", out)
	}
}

func TestBadUseOfImport(t *testing.T) {
	t.Parallel()
	if _, err := password.ParseRecord(bcryptOfTest); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	p.write("users.txt", users)
	p.write("users.csv", users)
	p.write("none.csv", "name\nx\n")
	p.write("wide.jsonl", "\xff\xfe{\x00}\x00")
	for _, one := range []struct {
		args []string
		want string
	}{
		{[]string{"accounts", "import"}, "missing argument"},
		{[]string{"accounts", "import", "users.txt"}, "--format"},
		{[]string{"accounts", "import", "users.txt", "--format", "xml"}, "--format"},
		{[]string{"accounts", "import", "-"}, "--format"},
		{[]string{"accounts", "import", "-", "--format", "csv", "--config", "-"}, "standard input"},
		{[]string{"accounts", "import", "users.csv"}, "no database at"},
		{[]string{"accounts", "import", "missing.csv", "--create"}, "missing.csv"},
		{[]string{"accounts", "import", ".", "--format", "csv", "--create"}, "directory"},
		{[]string{"accounts", "import", "none.csv", "--create"}, "does not name email"},
		{[]string{"accounts", "import", "wide.jsonl", "--create"}, "UTF-16"},
		{[]string{"accounts", "import", "users.csv", "--format", "jsonl", "--create"}, "3 lines are bad"},
		{[]string{"accounts", "export", "--format", "xml", "--create"}, "jsonl, csv"},
		{[]string{"accounts", "export", "missing/out.csv", "--create"}, "missing"},
	} {
		out, errs, code := p.run(one.args...)
		if code != 1 || !strings.Contains(errs, one.want) {
			t.Errorf("%v: exit %d\n%s%s", one.args, code, out, errs)
		}
	}
}

func TestResetLink(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "sign_in link password")
	p.must("accounts", "add", "anna@example.com", "--create")
	for range 2 { // by itself, and over the running Caddy
		link := firstLine(p.must("link", "anna@example.com", "--for", "reset"))
		if !strings.HasPrefix(link, p.origin()+"/email-link/link?t=") {
			t.Errorf("link printed %q", link)
		}
		if _, errs, code := p.run("link", "bob@example.com", "--for", "reset"); code != 1 || !strings.Contains(errs, "no active account") {
			t.Errorf("exit %d, %s", code, errs)
		}
		if p.log == nil {
			p.start()
		}
	}
	link := firstLine(p.must("link", "anna@example.com", "--for", "reset"))
	if status, page := newBrowser(t).do("GET", link, ""); status != 200 || !strings.Contains(page, `autocomplete="new-password"`) {
		t.Errorf("the link led to %d\n%s", status, page)
	}
}

func TestKEY1_BackupNamesTheKeyOfTheLastReload(t *testing.T) {
	t.Parallel()
	const first, second = "the-first-master-key-of-this-test-0001", "the-second-master-key-of-this-test-002"
	p := newPlace(t, "secret "+first)
	p.start()
	named := func(file string) string {
		t.Helper()
		var answer struct{ Fingerprint string }
		if err := json.Unmarshal([]byte(p.must("backup", file, "--json")), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Fingerprint
	}
	before := named("before.db")
	p.edit("secret "+first, "secret "+second+" "+first)
	if out, err := p.command("reload").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	after := named("after.db")
	// The key that has been dropped opens the copy from before, and only the new one the copy from after.
	other := newPlace(t, "secret "+second)
	if out, errs, code := other.run("restore", filepath.Join(p.dir, "before.db")); code != 1 || !strings.Contains(errs, before) {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if out := other.must("restore", filepath.Join(p.dir, "after.db")); before == after || !strings.Contains(out, after) {
		t.Errorf("%s, then %s; %s", before, after, out)
	}
}
