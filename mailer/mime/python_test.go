//go:build interop

package mime_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// readMails reads messages, each in a JSON string of one line, as Python's email package does by its default policy.
const readMails = `
import email.parser, email.policy, json, sys
for line in sys.stdin:
    m = email.parser.BytesParser(policy=email.policy.default).parsebytes(json.loads(line).encode())
    names = [a.display_name for f in ("From", "Reply-To") for a in m[f].addresses]
    defects = [str(d) for f in ("From", "Reply-To", "To", "Subject") for d in m[f].defects] + [str(d) for p in m.walk() for d in p.defects]
    parts = {k: m.get_body((k,)).get_content().strip() for k in ("plain", "html")}
    print(json.dumps({"names": names, "subject": m["Subject"], "defects": defects, "parts": parts}))
`

type readMail struct {
	Names   []string          `json:"names"`
	Subject string            `json:"subject"`
	Defects []string          `json:"defects"`
	Parts   map[string]string `json:"parts"`
}

// TestNames_InPython reads each name and each subject with a parser of another language.
func TestNames_InPython(t *testing.T) {
	const link = "https://app.example.com/email-link/link?t=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	var in bytes.Buffer
	var want []readMail
	for i := range max(len(senderNames), len(subjects)) {
		name, subject := senderNames[i%len(senderNames)], subjects[i%len(subjects)]
		m := named(mailbox(name))
		m.Subject, m.Text, m.HTML = subject, link, "<a href=\""+link+"\">Anmelden – jetzt</a>"
		raw, err := mime.Build(m, mime.Options{SevenBit: i%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&in).Encode(string(raw)); err != nil {
			t.Fatal(err)
		}
		want = append(want, readMail{
			Names: []string{name, name}, Subject: subject, Defects: []string{}, Parts: map[string]string{"plain": m.Text, "html": m.HTML},
		})
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", readMails)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var got []readMail
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var one readMail
		if err := dec.Decode(&one); err != nil {
			t.Fatal(err)
		}
		for i := range one.Names {
			one.Names[i] = spaced(one.Names[i], want[len(got)].Names[i])
		}
		got = append(got, one)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Python reads something else (-want +got):\n%s", diff)
	}
}

// spaced returns a name as it was read, but for the spaces that Python before 3.13 adds between encoded words: behind a space of the
// name, or within a name that has none.
func spaced(read, name string) string {
	if strings.Join(strings.Fields(read), " ") == name || !strings.Contains(name, " ") && strings.ReplaceAll(read, " ", "") == name {
		return name
	}
	return read
}
