package boundary

import "testing"

func TestCONF6_LongerHSTS(t *testing.T) {
	const ours = "max-age=31536000"
	for _, c := range []struct {
		site []string
		keep bool
	}{
		{nil, false},
		{[]string{"max-age=63072000; includeSubDomains; preload"}, true},
		{[]string{"includeSubDomains; Max-Age = \"63072000\""}, true},
		{[]string{"max-age=31536000; includeSubDomains"}, true},
		{[]string{"max-age=31535999; includeSubDomains"}, false},
		{[]string{"max-age=0"}, false},
		{[]string{"max-age=-1"}, false},
		{[]string{"max-age=99999999999999999999"}, false},
		{[]string{"includeSubDomains"}, false},
		{[]string{""}, false},
		{[]string{"max-age=300", "max-age=63072000"}, false},
	} {
		if got := KeepHSTS(c.site, ours); got != c.keep {
			t.Errorf("%q: %v", c.site, got)
		}
	}
}
