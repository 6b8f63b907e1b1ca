package password

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
)

var words = Words{Site: []string{"Grünes Gemüse", "app.greenveg.example"}, Email: "margarethe.hochstein@example.com", Name: "Margarethe Hochstein"}

func TestTOK7_EachRefusalHasItsReason(t *testing.T) {
	var decoded string
	if err := json.Unmarshal([]byte(`"a lone \ud800 surrogate, decoded"`), &decoded); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, typed string
		want        Reason
	}{
		{"good", "vexing otter lamp 9", ""},
		{"good with spaces around", "  vexing otter lamp ", ""},
		{"good, another script", "съешь же ещё этих мягких", ""},
		{"good, emoji with joiners", "👩‍👩‍👧‍👦 🐘🎷 🦑☂ 🧲🪁🎻🥁", ""},
		{"good, 256 code points", strings.Repeat("vexing otter lamp 9 & 7 blue spoons, ", 7)[:256], ""},
		{"empty", "", TooShort},
		{"11 code points of 12", "xK9#vQ2!mLp", TooShort},
		{"11 code points, 22 as typed", strings.Repeat("e\u0301", 11), TooShort},
		{"257 code points", strings.Repeat("vexing otter lamp 9 & 7 blue spoons, ", 7)[:257], TooLong},
		{"10 MB", strings.Repeat("vexing otter", 1<<20), TooLong},
		{"10 MB of NUL", strings.Repeat("\x00", 10<<20), TooLong},
		{"NUL", "vexing otter\x00 lamp 9", InvalidCharacters},
		{"line feed", "vexing otter\n lamp 9", InvalidCharacters},
		{"tab", "vexing otter\t lamp 9", InvalidCharacters},
		{"C1", "vexing otter\u0085 lamp 9", InvalidCharacters},
		{"DEL", "vexing otter\x7f lamp 9", InvalidCharacters},
		{"lone surrogate as bytes", "vexing otter \xed\xa0\x80 lamp 9", InvalidCharacters},
		{"lone surrogate from JSON", decoded, InvalidCharacters},
		{"invalid UTF-8", "vexing otter \xff lamp 9", InvalidCharacters},
		{"common", "password1234", TooCommon},
		{"common, upper case, leet", "P@$$w0rd1234", TooCommon},
		{"keyboard", "qwertyuiop[]", TooCommon},
		{"sequence", "abcdefghijklmnop", TooCommon},
		{"one character", strings.Repeat("a", 200), TooCommon},
		{"one character that is not ASCII", strings.Repeat("é", 64), TooCommon},
		{"a short unit", strings.Repeat("aab", 20), TooCommon},
		{"a short unit cut off", strings.Repeat("💧🔥", 10) + "💧", TooCommon},
		{"a common one twice", "passwordpassword", TooCommon},
		{"the name", "margarethehochstein", ContainsName},
		{"the address", "Margarethe.Hochstein1", ContainsName},
		{"the site", "greenveg greenveg", ContainsName},
		{"the site, not ASCII", "grünesgemüse", ContainsName},
		{"the name, and more", "margarethe keeps 4 odd lemurs", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Policy{}).Check(tt.typed, words); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMinLength(t *testing.T) {
	if got := (Policy{MinLength: 8}).Check("xK9#vQ2!", Words{}); got != "" {
		t.Errorf("eight: %q", got)
	}
	if got := (Policy{MinLength: 20}).Check("xK9#vQ2!mLp-zRw7^bT", Words{}); got != TooShort {
		t.Errorf("nineteen of twenty: %q", got)
	}
	for n, ok := range map[int]bool{0: true, 7: false, 8: true, 256: true, 257: false, -1: false, 1: false} {
		if err := (Policy{MinLength: n}).Validate(); (err == nil) != ok {
			t.Errorf("MinLength %d: %v", n, err)
		}
	}
	for n, ok := range map[int]bool{-1: false, 0: true, 10: true, 11: false} {
		if err := (Policy{Last: n}).Validate(); (err == nil) != ok {
			t.Errorf("Last %d: %v", n, err)
		}
	}
}

func TestWordsAreBounded(t *testing.T) {
	w := Words{Email: strings.Repeat("a.", 40) + "x@example.com", Name: strings.Repeat("ab cde fgh ijk ", 1000)}
	for i := range 100 {
		w.Site = append(w.Site, strings.Repeat("z", i))
	}
	list := w.list()
	if len(list) > maxWords {
		t.Errorf("%d words", len(list))
	}
	for _, word := range list {
		if len(word) > maxWordLen {
			t.Errorf("a word of %d bytes", len(word))
		}
	}
}

func TestLongInputIsRefusedBeforeAnyWork(t *testing.T) {
	huge := strings.Repeat("e\u0301", 5<<20)
	h := newHasher(t, Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := (Policy{}).Check(huge, words); got != TooLong {
		t.Errorf("Check: %q", got)
	}
	if _, err := h.Hash(t.Context(), huge); !errors.Is(err, ErrInvalid) {
		t.Errorf("Hash: %v", err)
	}
	if v, err := h.Verify(t.Context(), Record{}, huge); err != nil || v.OK {
		t.Errorf("Verify: %v, %v", v, err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
		t.Errorf("10 MB took %d bytes", n)
	}
}

func TestStrengthSeesBoundedParts(t *testing.T) {
	for _, text := range []string{strings.Repeat("é", 256), strings.Repeat("👧", 256), strings.Repeat("a", 256), strings.Repeat("a", 63) + "👧👧👧", "short"} {
		for _, part := range ends(text) {
			if len(part) > window || !utf8.ValidString(part) {
				t.Errorf("%d bytes, valid %v", len(part), utf8.ValidString(part))
			}
		}
	}
	for text, want := range map[string]string{"": "", "a": "a", "aaaa": "a", "abab": "ab", "ababa": "ab", "abcab": "abc", "abcdab": "abcdab", "ééé": "é", "abcabcab": "abc"} {
		if got := unit(text); got != want {
			t.Errorf("unit(%q) = %q", text, got)
		}
	}
}

func TestFewReadingsAreTried(t *testing.T) {
	const all = "4@8({[<3691!|70$5+%2"
	if n := countReadings(all); n < 1000 {
		t.Errorf("all characters that stand for letters have %d readings", n)
	}
	for _, text := range []string{all, all[5:] + "xyz" + all[:5], "P@$$w0rd1234", "c0rr3(t h0r$3"} {
		got := tame(text)
		if n := countReadings(got); n > maxReadings || len(got) != len(text) {
			t.Errorf("%q: %q with %d readings", text, got, n)
		}
	}
	if got := tame("P@$$w0rd1234"); got != "P@$$w0rd1234" {
		t.Errorf("changed to %q", got)
	}
}

func TestDiffersFromTheOld(t *testing.T) {
	h := newHasher(t, Options{})
	const first, second, third, fourth = "vexing otter lamp 1", "quiet marble fox 22", "yellow pylon drum 3", "seven wet anvils 44"
	p := Policy{Last: 3}
	var k History
	for _, typed := range []string{first, second, third} {
		if reason, err := h.Check(t.Context(), p, typed, words, k); err != nil || reason != "" {
			t.Fatalf("%s: %q, %v", typed, reason, err)
		}
		k = p.Replace(k, h.mustHash(t, typed))
	}
	for typed, want := range map[string]Reason{first: Reused, second: Reused, third: SameAsCurrent, fourth: "", "short": TooShort} {
		if reason, err := h.Check(t.Context(), p, typed, words, k); err != nil || reason != want {
			t.Errorf("%s: %q, %v; want %q", typed, reason, err, want)
		}
	}
	// A shorter memory takes effect at once.
	if reason, err := h.Check(t.Context(), Policy{}, second, words, k); err != nil || reason != "" {
		t.Errorf("with the default: %q, %v", reason, err)
	}
	k = p.Replace(k, h.mustHash(t, fourth))
	if reason, err := h.Check(t.Context(), p, first, words, k); err != nil || reason != "" || len(k.Previous) != 2 {
		t.Errorf("the fourth last: %q, %v, %d earlier", reason, err, len(k.Previous))
	}
	if k = (Policy{}).Replace(k, k.Current); len(k.Previous) != 0 {
		t.Errorf("%d earlier are kept by default", len(k.Previous))
	}
	// An imported one counts as well.
	imported := History{Current: parsed(t, knownAnswers[4].record)}
	if reason, err := h.Check(t.Context(), Policy{}, pw, words, imported); err != nil || reason != SameAsCurrent {
		t.Errorf("imported: %q, %v", reason, err)
	}
}

func ring(t *testing.T) *keyring.Ring {
	t.Helper()
	r, _, err := keyring.Open([][]byte{make([]byte, 32)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestREST1_RecordsAreSealedAndBoundToTheirAccount(t *testing.T) {
	ring := ring(t)
	k := History{Current: parsed(t, knownAnswers[2].record), Previous: []Record{parsed(t, knownAnswers[4].record), parsed(t, knownAnswers[12].record)}}
	sealed := k.Seal(ring, "account-1")
	for _, secret := range []string{"argon2", "$2b$", "scrypt", "CTFhFdXP"} {
		if strings.Contains(string(sealed), secret) {
			t.Errorf("%s is readable", secret)
		}
	}
	got, err := OpenHistory(ring, "account-1", sealed)
	if err != nil || got.Current.Text() != k.Current.Text() || len(got.Previous) != 2 ||
		got.Previous[0].Text() != k.Previous[0].Text() || got.Previous[1].Text() != k.Previous[1].Text() {
		t.Fatalf("%v, %v", got, err)
	}
	for name, open := range map[string]func() (History, error){
		"another account": func() (History, error) { return OpenHistory(ring, "account-2", sealed) },
		"cut off":         func() (History, error) { return OpenHistory(ring, "account-1", sealed[:len(sealed)-1]) },
		"another use": func() (History, error) {
			return OpenHistory(ring, "account-1", ring.Seal("account", []byte("account-1"), []byte("1\n")))
		},
		"another version": func() (History, error) {
			return OpenHistory(ring, "account-1", ring.Seal(sealLabel, []byte("account-1"), []byte("2\n")))
		},
	} {
		if k, err := open(); !errors.Is(err, keyring.ErrDamaged) || !k.Current.IsZero() {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	dear := "1\n$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, plain := range []string{dear, "1\n\n" + dear[2:]} {
		var refusal *RecordError
		if _, err := OpenHistory(ring, "a", ring.Seal(sealLabel, []byte("a"), []byte(plain))); !errors.As(err, &refusal) || refusal.Fault != TooCostly {
			t.Errorf("4 GiB: %v", err)
		}
	}
}

func TestNothingIsKeptOfNothing(t *testing.T) {
	ring := ring(t)
	if sealed := (History{}).Seal(ring, "a"); sealed != nil {
		t.Error("sealed")
	}
	if k, err := OpenHistory(ring, "a", nil); err != nil || !k.Current.IsZero() {
		t.Errorf("%v, %v", k, err)
	}
	// A password that was taken away is still one not to come back to.
	gone := History{Previous: []Record{parsed(t, knownAnswers[4].record)}}
	if k, err := OpenHistory(ring, "a", gone.Seal(ring, "a")); err != nil || !k.Current.IsZero() || len(k.Previous) != 1 {
		t.Errorf("%v, %v", k, err)
	}
	if k := (History{}).Set(parsed(t, knownAnswers[4].record), 3); len(k.Previous) != 0 {
		t.Error("an earlier record of an account without one")
	}
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"", pw, uni, "İİİİİİKKKKKſſſſ", "P@$$w0rd1234", "１９８４年", "\u0301\u0301abc", strings.Repeat("(4@{", 30)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		reason := Policy{}.Check(typed, words)
		normal, refused := Normalize(typed)
		if (refused != "") != (reason == TooLong || reason == InvalidCharacters) {
			t.Fatalf("%q, %q", reason, refused)
		}
		if again, w := Normalize(normal); refused == "" && (again != normal || w != "") {
			t.Fatalf("not stable: %+q, %+q", normal, again)
		}
		if refused == "" && normal != "" && len(forms(typed)) == 0 {
			t.Fatal("good for a record, and never checked")
		}
	})
}

func BenchmarkPolicy(b *testing.B) {
	for name, text := range map[string]string{
		"short": "vexing otter lamp 9", "leet64": strings.Repeat("a@4{([<", 10)[:63] + "x", "readings": "5(4+67824@5{80(844$[<$(a4(03|@|A|$!9+2y<@[1aa%+59<++8$6A$%(712%$",
		"leet256": strings.Repeat("a@4{([<", 37)[:250] + "xyzuvw",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Policy{}.Check(text, words)
			}
		})
	}
}
