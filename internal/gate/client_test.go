package gate

import (
	"net/netip"
	"testing"
)

func TestRL1_TheRightMostEntryCountsWhateverItIs(t *testing.T) {
	for _, one := range []struct {
		values []string
		want   string
	}{
		{[]string{"203.0.113.7"}, "203.0.113.7"},
		{[]string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		{[]string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		{[]string{"198.51.100.1,192.0.2.1", " 203.0.113.7 "}, "203.0.113.7"},
		{[]string{"203.0.113.7, 192.168.1.9"}, "192.168.1.9"},
		{[]string{"203.0.113.7, 127.0.0.1"}, "127.0.0.1"},
		{[]string{"203.0.113.7, fe80::1%eth0"}, "fe80::1"},
		{[]string{"203.0.113.7, 10.0.0.1, fd00::9"}, "fd00::9"},
		{[]string{"x, 203.0.113.7:4711"}, "203.0.113.7"},
		{[]string{"x, [2001:db8::1]:4711"}, "2001:db8::1"},
		{[]string{"x, [2001:db8::1]"}, "2001:db8::1"},
		{[]string{"x, ::ffff:203.0.113.7"}, "203.0.113.7"},
		{[]string{"x, [::ffff:203.0.113.7]:80"}, "203.0.113.7"},
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"203.0.113.7, unknown"}, ""},
		{[]string{"203.0.113.7,"}, ""},
		{[]string{"203.0.113.7", ""}, ""},
		{[]string{"203.0.113.7, _hidden"}, ""},
		{[]string{"203.0.113.7; 192.0.2.1"}, ""},
		{[]string{"203.0.113.7 192.0.2.1"}, ""},
		{[]string{"203.0.113.7, 192.0.2.1:x"}, ""},
	} {
		want := netip.Addr{}
		if one.want != "" {
			want = netip.MustParseAddr(one.want)
		}
		if got := RightMost(one.values); got != want {
			t.Errorf("%q: %v, want %q", one.values, got, one.want)
		}
	}
}
