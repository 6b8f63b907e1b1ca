package doctor

import (
	"strings"
	"testing"
)

// TestNODE3_TheDoctorNamesNodesThatDiffer: each with where it runs, in what it differs, and what to do.
func TestNODE3_TheDoctorNamesNodesThatDiffer(t *testing.T) {
	of := func(nodes ...Node) (list []Finding) {
		for _, f := range Offline(Facts{Nodes: nodes}) {
			if f.Check == "nodes" {
				list = append(list, f)
			}
		}
		return list
	}
	if got := of(); len(got) != 0 {
		t.Errorf("a database that no nodes share: %+v", got)
	}
	one := Node{Host: "one", Process: 7}
	if got := of(one, Node{Host: "two", Process: 8}); len(got) != 1 || got[0].Result != OK || !strings.HasPrefix(got[0].Text, "2 ") {
		t.Errorf("two that are alike: %+v", got)
	}
	got := of(one, Node{Host: "two", Process: 8, Differs: []string{"it lacks the key ab: add it to its secret", "its clock is off by 9s: set it by NTP"}})
	if len(got) != 2 {
		t.Fatalf("one that differs twice: %+v", got)
	}
	for i, want := range [][2]string{{"it lacks the key ab", "add it to its secret"}, {"its clock is off by 9s", "set it by NTP"}} {
		if f := got[i]; f.Result != Warn || f.Text != "process 8 on two: "+want[0] || f.Fix != want[1] {
			t.Errorf("%+v, want %q", f, want)
		}
	}
}
