package nearest

import "testing"

func TestExpected(t *testing.T) {
	t.Parallel()
	for mistyped, want := range map[string]string{
		"mail_ipp": "did you mean mail_ip? expected one of mail_ip, redeem_ip", "x": "expected one of mail_ip, redeem_ip",
	} {
		if got := Expected(mistyped, []string{"mail_ip", "redeem_ip"}); got != want {
			t.Errorf("%q: %q, want %q", mistyped, got, want)
		}
	}
}

func TestWord(t *testing.T) {
	t.Parallel()
	words := []string{"accent", "base_url", "from", "sign_in", "sign_up", "storage", "open", "list", "show", "set"}
	for mistyped, want := range map[string]string{
		"sigup": "sign_up", "sing_up": "sign_up", "sign-up": "sign_up", "signup": "sign_up", "baseurl": "base_url", "form": "from", "opne": "open",
		"lst": "list", "lits": "list", "storrage": "storage", "x": "", "": "", "se": "", "completely": "", "accentuate": "",
	} {
		if got := Word(mistyped, words); got != want {
			t.Errorf("%q: %q, want %q", mistyped, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"abc", "abc", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q are %d apart, want %d", c.a, c.b, got, c.want)
		}
	}
}
