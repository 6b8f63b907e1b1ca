package address

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"golang.org/x/text/unicode/norm"
)

// fakeRing is a keyed digest of length-prefixed parts.
type fakeRing struct{}

func (fakeRing) MAC(label string, parts ...[]byte) (d storage.Digest) {
	mac := hmac.New(sha256.New, []byte("a key of tests"))
	for _, part := range append([][]byte{[]byte(label)}, parts...) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write(part)
	}
	mac.Sum(d[:0])
	return d
}

func parse(t *testing.T, s string) Address {
	t.Helper()
	a, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return a
}

var (
	longLocal = strings.Repeat("a", 64)
	longLabel = strings.Repeat("b", 63)
	// longDomain makes an address of exactly 254 bytes with longLocal.
	longDomain = longLabel + "." + longLabel + "." + strings.Repeat("c", 61)
)

func TestEML2_Accepts(t *testing.T) {
	for _, c := range []struct{ in, canonical string }{
		{"ada@example.com", "ada@example.com"},
		{"Ada.Lovelace@Example.COM", "ada.lovelace@example.com"},
		{"ada+tag@example.com", "ada+tag@example.com"},
		{"#$&'*+-/=?^_`{|}~@example.com", "#$&'*+-/=?^_`{|}~@example.com"},
		{"1@2.example", "1@2.example"},
		{"ada@bücher.example", "ada@xn--bcher-kva.example"},
		{"ada@BÜCHER.example", "ada@xn--bcher-kva.example"},
		{"ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"},
		{"ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"},
		{"ada@faß.example", "ada@xn--fa-hia.example"},
		{"ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"},
		{"ada@почта.рф", "ada@xn--80a1acny.xn--p1ai"},
		{"ada@l·l.example", "ada@xn--ll-0ea.example"},
		{"ada@מייל.קום", "ada@xn--eebajf.xn--9dbq2a"},
		{longLocal + "@" + longDomain, longLocal + "@" + longDomain},
		{"ada@\u0375α.example", "ada@xn--wva4j.example"},
		{"ada@א\u05F3ב.example", "ada@xn--4dbc5h.example"},
		{"ada@ア\u30FBイ.example", "ada@xn--ccke4x.example"},
		{"ada@\u3007.example", "ada@xn--w6j.example"},
		{"ada@ا٠١.example", "ada@xn--mgb8id.example"},
	} {
		a, err := Parse(c.in)
		if err != nil || a.String() != c.canonical {
			t.Errorf("Parse(%q) = %q, %v; want %q", c.in, a.String(), err, c.canonical)
		}
	}
}

func TestEML2_Refuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     *Error
	}{
		{"empty", "", ErrMissing},
		{"255 bytes", longLocal + "@" + longDomain + "c", ErrTooLong},
		{"a megabyte", strings.Repeat("@", 1<<20), ErrTooLong},
		{"local part of 65", longLocal + "a@example.com", ErrTooLong},
		{"A-labels longer than the input", longLocal + "@" + strings.Repeat("ü1a2b3c4d5e6f7g8h9i0j.", 7) + "example.com", ErrTooLong},
		{"no at", "ada.example.com", ErrNoAt},
		{"two", "ada@example.com,eve@example.com", ErrSeveral},
		{"two at", "ada@eve@example.com", ErrSeveral},
		{"source route", "@relay.example:ada@example.com", ErrSeveral},
		{"empty local part", "@example.com", ErrLocal},
		{"percent route", "ada%example.com@relay.example", ErrLocal},
		{"bang route", "relay!ada@example.com", ErrLocal},
		{"quoted", `"ada"@example.com`, ErrLocal},
		{"quoted space", `"ada lovelace"@example.com`, ErrLocal},
		{"escaped", `ada\@example.com`, ErrLocal},
		{"comment", "ada(x)@example.com", ErrLocal},
		{"comment after", "ada@example.com(x)", ErrDomain},
		{"group", "team:ada@example.com;", ErrLocal},
		{"name", "Ada <ada@example.com>", ErrLocal},
		{"angle", "<ada@example.com>", ErrLocal},
		{"list", "eve,ada@example.com", ErrLocal},
		{"list after", "ada@example.com,", ErrDomain},
		{"dot first", ".ada@example.com", ErrLocal},
		{"dot last", "ada.@example.com", ErrLocal},
		{"two dots", "a..da@example.com", ErrLocal},
		{"space", "a da@example.com", ErrLocal},
		{"space before", " ada@example.com", ErrLocal},
		{"space after", "ada@example.com ", ErrDomain},
		{"CR LF", "ada\r\nBcc:eve@example.com", ErrLocal},
		{"LF after", "ada@example.com\n", ErrDomain},
		{"NUL", "ada@example.com\x00", ErrDomain},
		{"letters beyond ASCII", "adä@example.com", ErrLocal},
		{"zero width", "ad\u200ba@example.com", ErrLocal},
		{"invalid UTF-8", "ada@ex\xffample.com", ErrDomain},
		{"address literal", "ada@[192.0.2.1]", ErrDomain},
		{"IPv6 literal", "ada@[IPv6:2001:db8::1]", ErrDomain},
		{"IPv4", "ada@192.0.2.1", ErrDomain},
		{"no dot", "ada@localhost", ErrDomain},
		{"no domain", "ada@", ErrDomain},
		{"dot first in domain", "ada@.example.com", ErrDomain},
		{"dot last in domain", "ada@example.com.", ErrDomain},
		{"two dots in domain", "ada@example..com", ErrDomain},
		{"underscore", "ada@ex_ample.com", ErrDomain},
		{"hyphen first", "ada@-example.com", ErrDomain},
		{"hyphen last", "ada@example-.com", ErrDomain},
		{"hyphens third and fourth", "ada@ab--c.com", ErrDomain},
		{"label of 64", "ada@" + longLabel + "b.com", ErrDomain},
		{"ideographic full stop", "ada@example。com", ErrDomain},
		{"fullwidth letters", "ada@ｅxample.com", ErrDomain},
		{"fullwidth at", "ada＠example.com", ErrNoAt},
		{"ligature", "ada@oﬃce.com", ErrDomain},
		{"Kelvin sign", "ada@\u212Aelvin.com", ErrDomain},
		{"dotted capital I", "ada@\u0130stanbul.com", ErrDomain},
		{"long s", "ada@clo\u017Fe.com", ErrDomain},
		{"Greek question mark", "ada@exa\u037Emple.com", ErrDomain},
		{"soft hyphen", "ada@exam\u00ADple.com", ErrDomain},
		{"zero width in domain", "ada@exam\u200Bple.com", ErrDomain},
		{"zero width joiner", "ada@exam\u200Dple.com", ErrDomain},
		{"right-to-left override", "ada@exam\u202Eple.com", ErrDomain},
		{"variation selector", "ada@exam\uFE0Fple.com", ErrDomain},
		{"symbol", "ada@i❤.example", ErrDomain},
		{"emoji", "ada@💩.example", ErrDomain},
		{"emoji as A-label", "ada@xn--ls8h.example", ErrDomain},
		{"division slash", "ada@example.com∕x.org", ErrDomain},
		{"superscript", "ada@x².example", ErrDomain},
		{"middle dot without l", "ada@a·b.example", ErrDomain},
		{"katakana middle dot alone", "ada@a・b.example", ErrDomain},
		{"non-joiner where IDNA2008 has one", "ada@نامه\u200Cای.example", ErrDomain},
		{"the same as A-label", "ada@xn--mgba3gch31f060k.example", ErrDomain},
		{"Greek numeral sign without Greek", "ada@\u0375a.example", ErrDomain},
		{"Hebrew punctuation first", "ada@\u05F3א.example", ErrDomain},
		{"two kinds of Arabic digits in one word", "ada@ا٠ا۰.example", ErrDomain},
		{"two kinds of Arabic digits", "ada@ا٠۰.example", ErrDomain},
		{"mixed directions", "ada@aא.example", ErrDomain},
		{"A-label of ASCII", "ada@xn--abc-.example", ErrDomain},
		{"A-label that decodes to nothing", "ada@xn--.example", ErrDomain},
		{"A-label that is not punycode", "ada@xn--\u00fc.example", ErrDomain},
		{"A-label of upper case", "ada@xn--BCHER-S3A.example", ErrDomain},
		{"combining mark first", "ada@\u0301a.example", ErrDomain},
	} {
		a, err := Parse(c.in)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: Parse(%.80q) = %q, %v; want %s", c.name, c.in, a.String(), err, c.want.Code)
		}
		if a != (Address{}) {
			t.Errorf("%s: an error with an address", c.name)
		}
	}
}

// TestEML2_EveryCharacter tries each code point in each place: nothing is accepted that is a control, format, private, space
// or symbol character (but for the two Sindhi signs that RFC 5892 lists), that has another compatibility form, or that shares its canonical form with another one.
func TestEML2_EveryCharacter(t *testing.T) {
	forms := map[string]rune{}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		c := string(r)
		if a, err := Parse("a" + c + "a@example.com"); err == nil && r >= utf8.RuneSelf {
			t.Errorf("%U in the local part: %q", r, a)
		}
		a, err := Parse("a@" + c + ".example")
		if err != nil {
			continue
		}
		if unicode.In(r, unicode.C, unicode.Z) || unicode.Is(unicode.S, r) && r != 0x06FD && r != 0x06FE || !norm.NFKC.IsNormalString(strings.ToLower(c)) {
			t.Errorf("%U in the domain: %q", r, a)
		}
		if other, taken := forms[a.Domain()]; taken && unicode.ToLower(r) != unicode.ToLower(other) {
			t.Errorf("%U and %U are both %q", r, other, a)
		}
		forms[a.Domain()] = r
	}
	if len(forms) < 90_000 {
		t.Errorf("only %d characters are accepted", len(forms))
	}
}

func TestEML3_SpellingsAreOneAccount(t *testing.T) {
	for _, spellings := range [][]string{
		{"ada@example.com", "ADA@EXAMPLE.COM", "Ada@Example.com"},
		{"ada@bücher.example", "ada@BÜCHER.EXAMPLE", "ada@bu\u0308cher.example", "ada@xn--bcher-kva.example", "Ada@XN--bcher-KVA.Example"},
	} {
		want := parse(t, spellings[0])
		for _, s := range spellings[1:] {
			if a := parse(t, s); a.String() != want.String() || a.Mailbox(fakeRing{}) != want.Mailbox(fakeRing{}) {
				t.Errorf("%q and %q are two accounts", s, spellings[0])
			}
		}
	}
}

func TestEML3_HomographsAreOthersAndShownAsPunycode(t *testing.T) {
	for _, c := range []struct{ victim, homograph string }{
		{"ada@paypal.com", "ada@p\u0430ypal.com"},                            // one Cyrillic letter
		{"ada@apple.com", "ada@\u0430\u0440\u0440\u04CF\u0435.com"},          // all Cyrillic
		{"ada@scope.com", "ada@\u0455\u0441\u043E\u0440\u0435.com"},          // all Cyrillic, common letters
		{"ada@oo.com", "ada@\u03BF\u03BF.com"},                               // Greek
		{"ada@ij.com", "ada@\u0131j.com"},                                    // dotless i
		{"ada@boo.com", "ada@\u00FEoo.com"},                                  // thorn
		{"ada@google.com", "ada@\u0261oogle.com"},                            // script g
		{"ada@example.com", "ada@ex\u1EA1mple.com"},                          // dot below
		{"ada@example.com", "ada@exam\u0440le.com"},                          // Latin and Cyrillic
		{"ada@go.com", "ada@\u0581\u0585.com"},                               // Armenian
		{"ada@example.com", "ada@example\u30CEcom.org"},                      // Latin and a kana slash
		{"ada@example.com", "ada@l\u0117example\u4E00.com"},                  // Latin and Han
		{"ada@scope.com", "ada@scope.\u0441\u043E\u043C"},                    // another top-level domain
		{"ada@xn--80ak6aa92e.com", "ada@\u0430\u0440\u0440\u04CF\u0435.net"}, // and another one
	} {
		victim, other := parse(t, c.victim), parse(t, c.homograph)
		if victim.String() == other.String() || victim.Mailbox(fakeRing{}) == other.Mailbox(fakeRing{}) {
			t.Errorf("%q is the account of %q", c.homograph, c.victim)
		}
		if strings.HasSuffix(c.homograph, ".\u0441\u043E\u043C") { // a whole Cyrillic label below a Cyrillic name is no trick
			continue
		}
		for _, shown := range []string{other.Display(), other.Masked()} {
			if !strings.Contains(shown, "xn--") {
				t.Errorf("%q is shown as %q", c.homograph, shown)
			}
		}
	}
}

func TestEML3_DisplayOfOwnScripts(t *testing.T) {
	for in, want := range map[string]string{
		"Ada@Example.com":                "Ada@example.com",
		"ada@xn--bcher-kva.example":      "ada@bücher.example",
		"ada@žluťoučký.example":          "ada@žluťoučký.example",
		"ada@例え.テスト":                     "ada@例え.テスト",
		"ada@한국.kr":                      "ada@한국.kr",
		"ada@почта.рф":                   "ada@почта.рф",
		"ada@почта.example":              "ada@xn--80a1acny.example",
		"ada@ευρώ.ευ":                    "ada@ευρώ.ευ",
		"ada@מייל.קום":                   "ada@xn--eebajf.xn--9dbq2a",
		"ada@例a.example":                 "ada@xn--a-kb7a.example",
		"ada@\u30A2\uD55C.example":       "",
		"ada@mail.bücher.почта.example":  "",
		"ada@bücher-1.xn--p1ai":          "ada@bücher-1.рф",
		"ada@1-2.почта.рф":               "ada@1-2.почта.рф",
		"ada@e\u0301cole.example":        "ada@école.example",
		"ada@xn--pypal-4ve.com":          "ada@xn--pypal-4ve.com",
		"ada+longer.tag@sub.example.com": "ada+longer.tag@sub.example.com",
	} {
		a := parse(t, in)
		if want == "" {
			want = a.Typed()
		}
		if got := a.Display(); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestTyped(t *testing.T) {
	a := parse(t, "Ada.L@BÜCHER.example")
	if got := a.Typed(); got != "Ada.L@xn--bcher-kva.example" {
		t.Errorf("Typed is %q", got)
	}
	if got := a.Domain(); got != "xn--bcher-kva.example" {
		t.Errorf("Domain is %q", got)
	}
	if (Address{}).Typed() != "" || (Address{}).Masked() != "" || (Address{}).Display() != "" || !(Address{}).IsZero() || a.IsZero() {
		t.Error("the zero value is an address")
	}
}

func TestMasked(t *testing.T) {
	for in, want := range map[string]string{
		"jane.doe@example.com": "j•••@example.com",
		"J@example.com":        "j•••@example.com",
		"ada@bücher.example":   "a•••@bücher.example",
	} {
		if got := parse(t, in).Masked(); got != want {
			t.Errorf("%q is masked as %q, want %q", in, got, want)
		}
	}
}

func TestRL3_TagsAreFoldedForLimitsOnly(t *testing.T) {
	ring := fakeRing{}
	plain, tagged := parse(t, "ada@example.com"), parse(t, "Ada+x+y@Example.com")
	if plain.LimitKey(ring) != tagged.LimitKey(ring) {
		t.Error("a tag escapes the limit of the mailbox")
	}
	if plain.Mailbox(ring) == tagged.Mailbox(ring) {
		t.Error("a tag is folded in the account")
	}
	if plain.Mailbox(ring) == plain.LimitKey(ring) {
		t.Error("one digest for two purposes")
	}
	if parse(t, "+a@example.com").LimitKey(ring) == parse(t, "+b@example.com").LimitKey(ring) {
		t.Error("a local part that begins with + is folded to nothing")
	}
}

// TestMAIL3_DotsOfGmail: nobody gets around the limit of a mailbox by spellings that its provider takes for one.
func TestMAIL3_DotsOfGmail(t *testing.T) {
	ring := fakeRing{}
	want := parse(t, "adalovelace@gmail.com")
	for _, text := range []string{"ada.lovelace@gmail.com", "A.d.a.Lovelace+x.y@GMAIL.com", "ada.love.lace@googlemail.com"} {
		got := parse(t, text)
		if got.LimitKey(ring) != want.LimitKey(ring) {
			t.Errorf("%s escapes the limit of the mailbox", text)
		}
		if got.Mailbox(ring) == want.Mailbox(ring) {
			t.Errorf("%s is another account", text)
		}
	}
	for _, pair := range [][2]string{{"ada.l@example.com", "adal@example.com"}, {"ada@gmail.com", "ada@mail.gmail.com"}, {"ada@gmail.com", "bob@gmail.com"}} {
		if parse(t, pair[0]).LimitKey(ring) == parse(t, pair[1]).LimitKey(ring) {
			t.Errorf("%s and %s share a limit", pair[0], pair[1])
		}
	}
}

func TestErrorsHoldNoInput(t *testing.T) {
	for _, in := range []string{"marker", "marker marker@example.com", "marker@marker", strings.Repeat("marker", 50)} {
		if _, err := Parse(in); err == nil || strings.Contains(err.Error(), "marker") {
			t.Errorf("Parse(%q): %v", in, err)
		}
	}
}

func FuzzEML2_Canonical(f *testing.F) {
	for _, seed := range []string{
		"ada@example.com", "Ada+t@BÜCHER.example", "ada@xn--bcher-kva.example", "ada@例え.テスト", "ada@\u0130.com", "a@l·l.cat",
		"a@xn--a-ecp.ru", "a@xn--0ca24w.com", "a@\u0561.\u0571", `"a"@b.c`, "a@[1.2.3.4]", "a@b.c@d.e", "a%b@c.d", "a@faß.de", "a@ς.gr",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			var typed *Error
			if !errors.As(err, &typed) || a != (Address{}) {
				t.Fatalf("Parse(%q) = %+v, %v", s, a, err)
			}
			return
		}
		for _, form := range []string{a.String(), a.Typed(), a.Display()} {
			b, err := Parse(form)
			if len(form) > MaxLength && form == a.Display() {
				continue // U-labels may be longer than A-labels
			}
			if err != nil || b.String() != a.String() {
				t.Fatalf("%q: %q reads back as %q, %v", s, form, b.String(), err)
			}
		}
		for _, form := range []string{a.String(), a.Typed()} {
			if len(form) > MaxLength || strings.ContainsFunc(form, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),:;<>[\\]%!", r) }) ||
				strings.Count(form, "@") != 1 {
				t.Fatalf("%q has the form %q", s, form)
			}
		}
		if a.String() != strings.ToLower(a.String()) || strings.HasSuffix(a.String(), ".") || !strings.Contains(a.Domain(), ".") {
			t.Fatalf("%q is canonical as %q", s, a.String())
		}
	})
}
