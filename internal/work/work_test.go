package work

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	altcha "github.com/altcha-org/altcha-lib-go"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ring(t *testing.T, master string) *keyring.Ring {
	t.Helper()
	r, _, err := keyring.Open([][]byte{[]byte(master)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// solve does what the script of the pages does.
func solve(t *testing.T, c Challenge) altcha.Payload {
	t.Helper()
	s, err := altcha.SolveChallenge(c.Challenge.Challenge, c.Salt, altcha.Algorithm(c.Algorithm), int(c.MaxNumber), 0, nil)
	if err != nil || s == nil {
		t.Fatalf("the challenge has no solution: %v", err)
	}
	return altcha.Payload{Algorithm: c.Algorithm, Challenge: c.Challenge.Challenge, Number: int64(s.Number), Salt: c.Salt, Signature: c.Signature}
}

func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// TestPOW1_OnlyASolutionOfOurOwnChallengeCounts changes each part of a solution, and everything that a challenge is bound to.
func TestPOW1_OnlyASolutionOfOurOwnChallengeCounts(t *testing.T) {
	r := ring(t, "0123456789abcdefghijklmnopqrstuv")
	mailbox := Mailbox(r, storage.Digest{1})
	binding := func(site, page, mailbox, network string) string { return Binding(r, site, page, mailbox, network) }
	ours := binding("https://a.example", "sign-in", mailbox, "203.0.113.0/24")
	c, err := New(r, noon, ours, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c.MaxNumber != FirstNumber || c.MaxNumberOfScript != FirstNumber {
		t.Errorf("numbers up to %d", c.MaxNumber)
	}
	good := solve(t, c)
	once, ok := Verify(r, noon, ours, text(t, good))
	if !ok || once.End != noon.Add(Lifetime).Unix() {
		t.Fatalf("refused, or to be kept until %v", once.Ends())
	}
	if respelled := strings.TrimSuffix(good.Salt, "&"); true {
		p := good
		p.Salt = respelled
		if again, ok := Verify(r, noon, ours, text(t, p)); ok && again != once {
			t.Error("another spelling of a solution is another solution")
		}
	}
	for name, change := range map[string]func(p *altcha.Payload){
		"another number":    func(p *altcha.Payload) { p.Number++ },
		"a negative number": func(p *altcha.Payload) { p.Number = -p.Number - 1 },
		"another signature": func(p *altcha.Payload) { p.Signature = strings.Repeat("0", 64) },
		"another algorithm": func(p *altcha.Payload) { p.Algorithm = string(altcha.SHA512) },
		"no algorithm":      func(p *altcha.Payload) { p.Algorithm = "" },
		"a later end":       func(p *altcha.Payload) { p.Salt = strings.Replace(p.Salt, "expires=1", "expires=2", 1) },
		"a digit moved":     func(p *altcha.Payload) { p.Salt += fmt.Sprint(p.Number / 10); p.Number %= 10 },
		"everything":        func(p *altcha.Payload) { *p = altcha.Payload{} },
	} {
		p := good
		change(&p)
		if _, ok := Verify(r, noon, ours, text(t, p)); ok {
			t.Errorf("%s counts", name)
		}
	}
	for name, other := range map[string]string{
		"site":    binding("https://b.example", "sign-in", mailbox, "203.0.113.0/24"),
		"page":    binding("https://a.example", "sign-up", mailbox, "203.0.113.0/24"),
		"mailbox": binding("https://a.example", "sign-in", Mailbox(r, storage.Digest{2}), "203.0.113.0/24"),
		"network": binding("https://a.example", "sign-in", mailbox, "203.0.114.0/24"),
	} {
		if _, ok := Verify(r, noon, other, text(t, good)); ok {
			t.Errorf("a solution counts for another %s", name)
		}
	}
	for after, want := range map[time.Duration]bool{Lifetime - time.Second: true, Lifetime: false, time.Hour: false} {
		if _, ok := Verify(r, noon.Add(after), ours, text(t, good)); ok != want {
			t.Errorf("%v after it was made: %v", after, ok)
		}
	}
	foreign := ring(t, "another master key of 32 bytes..")
	f, err := New(foreign, noon, ours, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := Verify(r, noon, ours, text(t, solve(t, f))); ok {
		t.Error("a challenge under another key counts")
	}
	for _, junk := range []string{"", "x", "e30=", "bnVsbA==", strings.Repeat("A", maxSolution+4)} {
		if _, ok := Verify(r, noon, ours, junk); ok {
			t.Errorf("%.20q counts", junk)
		}
	}
}

func TestPOW3_EachLevelIsTwiceAsHardUpToTheLast(t *testing.T) {
	r := ring(t, "0123456789abcdefghijklmnopqrstuv")
	for level, want := range map[int]int64{-1: 50_000, 0: 50_000, 1: 100_000, 4: 800_000, 5: 800_000, 1 << 40: 800_000} {
		c, err := New(r, noon, "b", level)
		if err != nil || c.MaxNumber != want {
			t.Errorf("level %d: %d, %v; want %d", level, c.MaxNumber, err, want)
		}
	}
}

// FuzzVerify feeds what anybody may send: nothing panics, and nothing counts.
func FuzzVerify(f *testing.F) {
	master := []byte("0123456789abcdefghijklmnopqrstuv")
	r, _, err := keyring.Open([][]byte{master}, nil)
	if err != nil {
		f.Fatal(err)
	}
	c, err := New(r, noon, "b", 0)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := json.Marshal(altcha.Payload{Algorithm: c.Algorithm, Challenge: c.Challenge.Challenge, Number: -1, Salt: c.Salt, Signature: c.Signature})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(base64.StdEncoding.EncodeToString(raw))
	f.Add("e30=")
	f.Fuzz(func(t *testing.T, solution string) {
		if _, ok := Verify(r, noon, "b", solution); ok {
			t.Errorf("%q counts", solution)
		}
	})
}
