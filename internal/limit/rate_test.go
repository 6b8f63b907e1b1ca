package limit

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"5-H"}, "5-H"},
		{[]string{"5/h", "20-d"}, "5-H 20-D"},
		{[]string{"1/s", "2/M", "3-h", "4/D"}, "1-S 2-M 3-H 4-D"},
		{[]string{"007-H"}, "7-H"},
	} {
		got, err := Parse(c.words...)
		if err != nil || got.String() != c.want {
			t.Errorf("Parse(%q) = %s, %v; want %s", c.words, got, err, c.want)
		}
	}
	if r, _ := Parse("5/m"); r[0].Limit != 5 || r[0].Period != time.Minute {
		t.Errorf("5/m is %+v", r[0])
	}
}

func TestParseRefuses(t *testing.T) {
	for _, words := range [][]string{
		{},
		{""},
		{"5"},
		{"H"},
		{"-H"},
		{"/h"},
		{"5-"},
		{"5-W"},
		{"5-H-D"},
		{"5/h/d"},
		{"-5-H"},
		{"+5-H"},
		{"5.5-H"},
		{"0-H"},
		{"00/d"},
		{"5 -H"},
		{"1000000001-H"},
		{"99999999999999999999-H"},
		{"5-H", "6-H"},
		{"5-H", "6/h"},
		{"1-S", "1-M", "1-H", "1-D", "2-D"},
		{"٥-H"},
		{"off"},
	} {
		if got, err := Parse(words...); err == nil {
			t.Errorf("Parse(%q) = %s, want an error", words, got)
		}
	}
}

func TestTableSet(t *testing.T) {
	table := Table{}
	for _, name := range Names() {
		if err := table.Set(name, "7-H"); err != nil {
			t.Error(err)
		}
		if got := table[name].String(); got != "7-H" {
			t.Errorf("%s is %q", name, got)
		}
		if len(table.LimitsFor(name, Subject{})) == 0 {
			t.Errorf("%s counts nothing", name)
		}
	}
	err := table.Set("mail_sender", "7-H")
	if err == nil || !strings.Contains(err.Error(), strings.Join(Names(), ", ")) {
		t.Errorf("the error does not list the names: %v", err)
	}
	if err := table.Set("mail_strangers", "7-H"); err == nil || !strings.Contains(err.Error(), "write 'limit mail_unknown'") {
		t.Errorf("the old name of a limit: %v", err)
	}
	if err := table.Set(MailIP, "x"); err == nil || !strings.Contains(err.Error(), "mail_ip") {
		t.Errorf("the error does not name the limit: %v", err)
	}
	if table["x"] != nil || table.LimitsFor("x", Subject{}) != nil {
		t.Error("an unknown name has rates")
	}
}

func TestDefaults(t *testing.T) {
	want := map[string]string{
		MailIP: "60-H 300-D", MailAddress: "5-H", MailMailbox: "20-D", MailKnown: "5-D", MailWork: "5-D",
		MailUnknown: "500-H 2000-D", MailNetwork: "50-H 200-D", MailProof: "10-H 30-D", MailInvite: "20-D", RedeemIP: "60-H", PasswordIP: "30-H", PasswordMailbox: "10-H", PasswordWork: "5-H", WorkIP: "10-H 30-D",
	}
	table := Defaults()
	for _, name := range Names() {
		if got := table[name].String(); got != want[name] {
			t.Errorf("%s is %s, want %s", name, got, want[name])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"5-H", "5/h", "0-H", "1000000000-D", "5-H-D", "x", "-", "/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		rates, err := Parse(word)
		if err != nil {
			return
		}
		if rates[0].Limit < 1 || rates[0].Limit > maxCount || rates[0].Period < time.Second {
			t.Fatalf("%q is %+v", word, rates[0])
		}
		again, err := Parse(rates.String())
		if err != nil || again.String() != rates.String() {
			t.Fatalf("%q: %s does not read back: %v", word, rates, err)
		}
	})
}

// TestDescriptorsAreInTheReference proves that docs/reference.md has a row for each limit, with its default rates.
func TestDescriptorsAreInTheReference(t *testing.T) {
	reference, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range Descriptors() {
		row := regexp.MustCompile("(?m)^\\| `" + d.Name + "` \\|.*\\| " + d.Defaults + " \\|$")
		if !row.Match(reference) || d.Doc == "" {
			t.Errorf("docs/reference.md has no row for %s with its defaults, %s", d.Name, d.Defaults)
		}
	}
}
