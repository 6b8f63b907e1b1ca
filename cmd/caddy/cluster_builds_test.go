//go:build postgres

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// edits are texts of a file of the repository, each followed by what another build has in its place.
type edits map[string][]string

// nextBuild is the build after this one. It has another version and knows one change of the schema more.
var nextBuild = edits{
	"module/nodes.go": {"func buildVersion() string {\n", "func buildVersion() string {\n\tif modulePath != \"\" {\n\t\treturn \"next\"\n\t}\n"},
	"internal/postgres/schema.go": {
		"func thisBuild(schema string) build { return build{migrations(schema), schemaWrites} }\n", `func thisBuild(schema string) build {
	list := migrations(schema)
	n := list[len(list)-1].number + 1
	return build{append(list, migration{n, "next", "alter table " + schema + ".sessions add column colour text not null default 'red';\n"}), schemaWrites}
}
`,
	},
}

// clockOffset names the file that holds by how much the clock of the machine is wrong in the build of offsetBuild.
const clockOffset = "TEST_CLOCK_OFFSET"

// offsetBuild is this build on a machine whose clock is wrong.
var offsetBuild = edits{
	"internal/clock/clock.go": {
		"import (\n", "import (\n\t\"os\"\n",
		"	t := time.Now()\n	return t.Round(0), t.Sub(processStart)\n}\n", `	t := time.Now()
	return t.Round(0).Add(Offset()), t.Sub(processStart)
}

func Offset() time.Duration {
	text, err := os.ReadFile(os.Getenv("` + clockOffset + `"))
	if err != nil {
		panic(err)
	}
	offset, err := time.ParseDuration(string(text))
	if err != nil {
		panic(err)
	}
	return offset
}
`,
	},
	"internal/postgres/follow.go": offsetSkew,
	"internal/postgres/nodes.go":  offsetSkew,
}

var offsetSkew = []string{
	"time.Now().Round(0).Sub(now)", "time.Now().Round(0).Add(clock.Offset()).Sub(now)",
	"import (\n", "import (\n\t\"github.com/caddy-email-link/caddy-email-link/internal/clock\"\n",
}

// buildCaddy builds this program with edits, by an overlay: nothing is written into the repository.
func buildCaddy(t *testing.T, changes edits) (program string) {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for name, texts := range changes {
		file, err := filepath.Abs(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file) //nolint:gosec // of this repository
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(texts); i += 2 {
			if strings.Count(string(text), texts[i]) != 1 {
				t.Fatalf("%s does not have %q once", name, texts[i])
			}
		}
		replace[file] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[file], []byte(strings.NewReplacer(texts...).Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "caddy")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "postgres", "-overlay", overlay, "-o", program, ".").CombinedOutput() //nolint:gosec // of this repository
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// TestNODE3_RollingVersions replaces the build of one node after the other by the next one, which changes the schema, behind a balancer and
// under load, and then goes back: no request is lost, no mail comes twice or not at all, and every session lives on.
func TestNODE3_RollingVersions(t *testing.T) {
	onlyLong(t)
	next := buildCaddy(t, nextBuild)
	box := mailertest.NewServer(t, mailertest.Options{})
	server := pgtest.StartFor(t)
	c := newClusterOn(t, server, "smtp "+box.Addr+" {\n\t\t\ttls none\n\t\t}", server.DSN(), server.DSN(), server.DSN())
	c.roll("{\n\tadmin", "{\n\tshutdown_delay 3s\n\tadmin")
	lb := c.balancer()
	b := c.enter("load@example.com")
	stopLoad, stopAsks := load(t, []*node{lb}, c.origin, b), c.asks(lb)
	schema := func() string { return server.Value(t, "select max(number)::text from email_link.migrations") }
	before := schema()
	for _, program := range []string{next, ""} {
		for i, n := range c.nodes {
			n.stop()
			n.program = program
			n.stop = n.start()
			want := i + 1
			if program == "" {
				want = len(c.nodes) - want
			}
			if out := c.nodes[0].must("nodes", "--json"); strings.Count(out, `"version":"next"`) != want {
				t.Errorf("%d nodes are of the next build, and nodes printed\n%s", want, out)
			}
			other := c.enter(fmt.Sprintf("beside%d%t@example.com", i, program == "")) // known on every node
			if status, _ := n.browser(other.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", ""); status != http.StatusOK {
				t.Errorf("signing out: %d", status)
			}
			c.refused("a sign-out beside another build", other)
		}
		if after := schema(); after == before {
			t.Errorf("the next build has not changed the schema: its change is %s", after)
		}
	}
	sent, bad := stopLoad()
	if len(bad) > 0 {
		t.Errorf("%d of %d requests were lost: %v", len(bad), sent, bad[:min(len(bad), 5)])
	}
	c.welcome(b, "hello load@example.com")
	t.Logf("%d requests, %d mails", sent, c.eachOnce(box, stopAsks()))
}

// TestNODE3_NodesWhoseClocksAreApart runs nodes on machines whose clocks are apart. Seconds harm nothing, half a minute is told, and one and a
// half is refused at the next start.
func TestNODE3_NodesWhoseClocksAreApart(t *testing.T) {
	onlyLong(t)
	program := buildCaddy(t, offsetBuild)
	server := pgtest.StartFor(t)
	c := newClusterOn(t, server, "none", server.DSN(), server.DSN(), server.DSN())
	set := func(i int, offset string) {
		n := c.nodes[i]
		n.write("offset.new", offset)
		if err := os.Rename(filepath.Join(n.dir, "offset.new"), filepath.Join(n.dir, "offset")); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range c.nodes {
		n.stop()
		set(i, "0s")
		n.program, n.env = program, []string{clockOffset + "=" + filepath.Join(n.dir, "offset")}
		n.stop = n.start()
	}
	verifier := c.verifier(0, firstLine(c.nodes[0].must("keys", "audience", strings.TrimPrefix(c.origin, "http://"))))
	for round, offsets := range [][]string{{"0s", "2s", "-2s"}, {"2s", "-2s", "2s"}, {"-2s", "2s", "4s"}, {"4s", "0s", "-4s"}} {
		for i, offset := range offsets {
			set(i, offset)
		}
		for i, n := range c.nodes {
			b := c.enter(fmt.Sprintf("user%d-%d@example.com", round, i)) // by the first node, known on every node
			for _, other := range c.nodes {
				status, assertion := other.browser(b.cookies).do(http.MethodGet, c.origin+"/app/assertion", "")
				if _, err := verifier.Verify(t.Context(), assertion); status != http.StatusOK || err != nil {
					t.Errorf("an assertion of a node that is %v off: %d, %v", offsets, status, err)
				}
			}
			if status, _ := n.browser(b.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", ""); status != http.StatusOK {
				t.Errorf("signing out: %d", status)
			}
			c.refused("a sign-out on a node that is "+offsets[i]+" off", b)
		}
		if out := c.nodes[0].must("nodes"); strings.Contains(out, "clock") {
			t.Errorf("%v: nodes printed\n%s", offsets, out)
		}
	}
	for _, offset := range []string{"30s", "-30s", "1m30s", "-1m30s"} {
		set(2, offset)
		eventually(t, "nodes tells of the clock", func() bool {
			return strings.Contains(c.nodes[0].must("nodes"), "its clock is off by "+offset)
		})
		c.nodes[2].stop()
		if !strings.HasSuffix(offset, "1m30s") {
			c.nodes[2].stop = c.nodes[2].start()
			c.enter("told" + offset + "@example.com")
			continue
		}
		out, err := c.nodes[2].command("run").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "1m30s") || !strings.Contains(string(out), "NTP") {
			t.Errorf("%s: %v\n%s", offset, err, out)
		}
		set(2, "0s")
		c.nodes[2].stop = c.nodes[2].start() // as it says
	}
}
