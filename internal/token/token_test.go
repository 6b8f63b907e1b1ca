package token

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func ring(tb testing.TB) *keyring.Ring {
	tb.Helper()
	m, err := keyring.ParseMasters([]string{"0123456789abcdefghijklmnopqrstuvwxyz"})
	if err != nil {
		tb.Fatal(err)
	}
	r, _, err := keyring.Open(m, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

const site = "https://app.example.com"

var end = time.Unix(1_800_000_000, 123_456_789)

func TestTOK3_DigestIsBoundToPurposeSiteAndKind(t *testing.T) {
	r, seed := ring(t), NewSeed()
	link, cancel := New(r, seed, "sign_in", site, end), NewCancel(r, seed, "sign_in", site, end)
	if len(link) != Size || Size != 52 {
		t.Errorf("%d characters", len(link))
	}
	if link != New(r, seed, "sign_in", site, end) {
		t.Error("a retry would mail another link")
	}
	texts := []string{link, cancel, New(r, seed, "activation", site, end), New(r, seed, "sign_in", "https://b.example", end), New(r, NewSeed(), "sign_in", site, end), New(ring(t), seed, "sign_in", site, end)}
	secrets := map[[32]byte]int{}
	for i, text := range texts {
		p, err := Parse(text)
		if err != nil || p.End != end.Unix() {
			t.Fatalf("text %d: %+v, %v", i, p.End, err)
		}
		if j, ok := secrets[p.Secret]; ok {
			t.Errorf("texts %d and %d share their secret", i, j)
		}
		secrets[p.Secret] = i
	}
	p, err := Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for name, k := range map[string]interface{ String() string }{
		"own":          p.Key(r, "sign_in", site).Digest,
		"purpose":      p.Key(r, "reset", site).Digest,
		"cancel":       p.Key(r, CancelPurpose("sign_in"), site).Digest,
		"site":         p.Key(r, "sign_in", "https://b.example").Digest,
		"shifted":      p.Key(r, "sign_inh", site[1:]).Digest,
		"cookie":       p.CookieKey(r, "sign_in", site).Digest,
		"other cookie": p.CookieKey(r, "flow", site).Digest,
		"ring":         p.Key(ring(t), "sign_in", site).Digest,
	} {
		if was, ok := keys[k.String()]; ok {
			t.Errorf("%s and %s are alike", was, name)
		}
		keys[k.String()] = name
	}
	if p.Key(r, "sign_in", site).End != end.Unix() {
		t.Error("the key does not carry the end")
	}
}

func TestTOK6_StrictText(t *testing.T) {
	strict(t, Random(end), 64)
	// The text of an earlier build: two bits of its last character belong to the secret.
	strict(t, New(ring(t), NewSeed(), "sign_in", site, end.Truncate(time.Second)), 4)
}

// strict tries what differs a little from a text, which has a number of last characters.
func strict(t *testing.T, text string, lasts int) {
	t.Helper()
	size := len(text)
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	good := 0
	for _, c := range alphabet {
		if q, err := Parse(text[:size-1] + string(c)); err == nil {
			good++
			if q.Secret == p.Secret && text[size-1] != byte(c) {
				t.Errorf("a second text for one token, ending in %c", c)
			}
		}
	}
	if good != lasts {
		t.Errorf("%d last characters are accepted, want %d", good, lasts)
	}
	for name, bad := range map[string]string{
		"empty":      "",
		"short":      text[:size-1],
		"long":       text + "A",
		"padded":     text + "==",
		"in padding": text[:size-2] + "==",
		"line feed":  text[:size-1] + "\n",
		"line feeds": text[:20] + "\r\n" + text[22:],
		"space":      text[:20] + " " + text[21:],
		"standard":   text[:20] + "+" + text[21:],
		"NUL":        text[:20] + "\x00" + text[21:],
		"unicode":    text[:size-2] + "é",
		"huge":       strings.Repeat("A", 1<<20),
	} {
		if _, err := Parse(bad); err != ErrMalformed { //nolint:errorlint // exactly this: it carries nothing of the input
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTOK6_EndsOfAllSizes(t *testing.T) {
	for _, tc := range []struct {
		end  time.Time
		want int64
	}{
		{time.Unix(0, 0), 0},
		{time.Time{}, 0},
		{time.Unix(-5, 0), 0},
		{time.Unix(1<<40-1, 0), 1<<40 - 1},
		{time.Unix(1<<50, 0), 1<<40 - 1},
	} {
		if p, err := Parse(Random(tc.end)); err != nil || p.End != tc.want {
			t.Errorf("end %v: got %d, %v", tc.end, p.End, err)
		}
	}
}

// TestTokensOfOneMomentLieTogether proves that a flow and the tokens of its mails have keys that begin alike, and follow those that
// were made before.
func TestTokensOfOneMomentLieTogether(t *testing.T) {
	r := ring(t)
	parsed := func(text string) Parsed {
		t.Helper()
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var before storage.Digest
	for i := range 1000 {
		cookie := parsed(Random(end.Add(time.Duration(i) * 50 * time.Microsecond)))
		flow := cookie.CookieKey(r, "flow", site)
		if bytes.Compare(before[:], flow.Digest[:]) >= 0 {
			t.Fatalf("%d: %s comes after %s", i, flow.Digest, before)
		}
		before = flow.Digest
		for _, text := range []string{New(r, NewSeed(), "sign_in", site, Ends(flow)), NewCancel(r, NewSeed(), "sign_in", site, Ends(flow))} {
			p := parsed(text)
			k := p.Key(r, "sign_in", site)
			if k.End != flow.End || !bytes.Equal(k.Digest[:partSize], flow.Digest[:partSize]) {
				t.Fatalf("%d: a token at %d %s, its flow at %d %s", i, k.End, k.Digest, flow.End, flow.Digest)
			}
			if moved := (Parsed{End: p.End, Part: p.Part + 1, Secret: p.Secret}); moved.Key(r, "sign_in", site) == k {
				t.Fatal("a changed part finds the record")
			}
		}
	}
	for n := range 1 << 16 {
		k := storage.Key{End: end.Unix(), Digest: storage.Digest{byte(n >> 8), byte(n)}}
		if at := Ends(k); int(part(at)) != n || at.Unix() != k.End {
			t.Fatalf("the part %d becomes %d at %s", n, part(at), at)
		}
	}
}

// TestTextsOfEarlierBuildsAreRead proves that links on their way, mails in the queue and cookies in browsers survive an upgrade.
func TestTextsOfEarlierBuildsAreRead(t *testing.T) {
	r, seed, whole := ring(t), NewSeed(), end.Truncate(time.Second)
	text := New(r, seed, "sign_in", site, whole)
	p, err := Parse(text)
	if err != nil || len(text) != 50 || p.Part != 0 || p.End != whole.Unix() {
		t.Fatalf("%d characters, %+v, %v", len(text), p.End, err)
	}
	if want := r.MAC("token", []byte("sign_in"), []byte(site), p.Secret[:]); p.Key(r, "sign_in", site) != (storage.Key{End: whole.Unix(), Digest: want}) {
		t.Error("its record is not found where it was")
	}
	if want := r.MAC("cookie", []byte("session"), []byte(site), p.Secret[:]); p.CookieKey(r, "session", site).Digest != want {
		t.Error("its session is not found where it was")
	}
	if len(Random(whole)) != Size {
		t.Error("a new cookie is as short as an old one")
	}
}

func TestTOK8_CodesAreEightUnbiasedDigits(t *testing.T) {
	r := ring(t)
	const n = 4000
	var counts [CodeDigits][10]int
	for range n {
		code := Code(r, NewSeed(), "sign_in", site)
		if got, ok := NormalizeCode(code); !ok || got != code {
			t.Fatalf("not a code: %q", code)
		}
		for i, c := range code {
			counts[i][c-'0']++
		}
	}
	for i := range counts {
		for d, c := range counts[i] {
			if c < n/10-140 || c > n/10+140 { // more than 7 standard deviations
				t.Errorf("digit %d is %d in %d of %d codes", i, d, c, n)
			}
		}
	}
	seed := NewSeed()
	if Code(r, seed, "sign_in", site) != Code(r, seed, "sign_in", site) {
		t.Error("a retry would mail another code")
	}
	if Code(r, seed, "sign_in", site) == Code(r, seed, "activation", site) {
		t.Error("one code for two purposes")
	}
}

func TestTOK8_CodeDigestNeedsTheFlowCookie(t *testing.T) {
	r := ring(t)
	a, b := Random(end), Random(end)
	if CodeDigest(r, a, "12345678") == CodeDigest(r, b, "12345678") {
		t.Error("the digest is not bound to the flow cookie")
	}
	if CodeDigest(r, a, "12345678") == CodeDigest(r, a, "12345679") {
		t.Error("two codes, one digest")
	}
	if CodeDigest(r, a, "12345678") != CodeDigest(r, a, "12345678") {
		t.Error("not deterministic")
	}
}

func TestTOK8_NormalizeCode(t *testing.T) {
	for in, want := range map[string]string{
		"12345678":                    "12345678",
		"1234 5678":                   "12345678",
		"\u20661234\u00a05678\u2069":  "12345678",
		" 1234-5678\n":                "12345678",
		"12\u00a034\u201356\u2011 78": "12345678",
		"00000000":                    "00000000",
	} {
		if got, ok := NormalizeCode(in); !ok || got != want {
			t.Errorf("%q: got %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "1234567", "123456789", "1234567a", "1234.5678", "١٢٣٤٥٦٧٨", "１２３４５６７８", "+12345678", "1234567\x00", strings.Repeat(" ", 100) + "12345678"} {
		if got, ok := NormalizeCode(in); ok {
			t.Errorf("%q: accepted as %q", in, got)
		}
	}
}

func TestNewID(t *testing.T) {
	a, b := NewID(), NewID()
	if len(a) != 16 || a == b {
		t.Errorf("%q, %q", a, b)
	}
}

// TestNewIDIsNoOption makes so many names that one of them would begin with a dash if any could.
func TestNewIDIsNoOption(t *testing.T) {
	for range 5000 {
		if id := NewID(); id[0] == '-' {
			t.Fatalf("a command would take %q for an option", id)
		}
	}
}

func FuzzTOK6_Parse(f *testing.F) {
	f.Add(Random(end))
	f.Add("")
	f.Add(strings.Repeat("A", Size))
	f.Add(strings.Repeat("_", Size))
	f.Add(strings.Repeat("A", legacySize))
	f.Add(strings.Repeat("A", Size-1) + "\n")
	f.Add("\xff\x00")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			if p != (Parsed{}) || (len(s) > 3 && strings.Contains(err.Error(), s)) {
				t.Fatalf("a refusal that carries input: %v", err)
			}
			return
		}
		if again := encode(time.Unix(p.End, 0), p.Part, p.Secret); again != s {
			t.Fatalf("%q and %q are one token", s, again)
		}
		if raw, err := base64.RawURLEncoding.DecodeString(s); err != nil || len(raw) != 37 && len(raw) != 39 {
			t.Fatalf("accepted %q: %v", s, err)
		}
	})
}

func FuzzTOK8_NormalizeCode(f *testing.F) {
	for _, s := range []string{"12345678", "1234 5678", "1234-5678", "\xff1234567", "１２３４５６７８"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, ok := NormalizeCode(s)
		if !ok {
			return
		}
		if again, ok := NormalizeCode(code); len(code) != CodeDigits || !ok || again != code {
			t.Fatalf("%q: %q", s, code)
		}
	})
}

func BenchmarkParseAndKey(b *testing.B) {
	r, text := ring(b), Random(end)
	b.ReportAllocs()
	for b.Loop() {
		p, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		p.CookieKey(r, "session", site)
	}
}

// TestTOK8_NoCodeIsLikelierThanAnother looks at the edge of what the choice of a code leaves out: no count of codes sees a bias of
// two in a hundred.
func TestTOK8_NoCodeIsLikelierThanAnother(t *testing.T) {
	const last = 4_200_000_000 // 42 times all codes
	for _, c := range []struct {
		n, code uint32
		ok      bool
	}{
		{0, 0, true},
		{99_999_999, 99_999_999, true},
		{100_000_000, 0, true},
		{last - 1, 99_999_999, true},
		{last, 0, false},
		{last + 1, 1, false},
		{1<<32 - 1, 94_967_295, false},
	} {
		if code, ok := unbiased(c.n); ok != c.ok || code != c.code {
			t.Errorf("%d is the code %d, %v; want %d, %v", c.n, code, ok, c.code, c.ok)
		}
	}
}

// TestTOK4_EndsOutlastAStoreOfMicroseconds: the part of the second is found again in an end that was rounded down to the microsecond.
func TestTOK4_EndsOutlastAStoreOfMicroseconds(t *testing.T) {
	for p := range 1 << 16 {
		flow := storage.Key{End: 1772357213, Digest: storage.Digest{byte(p >> 8), byte(p)}}
		if end := Ends(flow); !end.Equal(end.Truncate(time.Microsecond)) || int(part(end)) != p || end.Unix() != flow.End {
			t.Fatalf("the part %d is %d in %v", p, part(end), end)
		}
	}
}
