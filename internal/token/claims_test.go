package token

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testClaims() Claims {
	return Claims{
		Site: site, Purpose: "sign_in", FID: NewFID(), Issued: 1_800_000_000, Expires: 1_800_000_900, Resends: 5, Wait: 60_000, Global: 1, Mailbox: 2,
		Client: netip.MustParseAddr("203.0.113.7"), Private: json.RawMessage(`{"email":"ada@example.com"}`),
		Account: "AAAAAAAAAAAAAAAA", AccountEpoch: 3, Mail: 1,
	}
}

var sameAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestTOK3_AStatelessLinkIsBoundToSiteKindAndKey(t *testing.T) {
	r, c := ring(t), testClaims()
	seed := c.FID.Seed(r, 0, 1)
	for _, cancel := range []bool{false, true} {
		text, err := c.Link(r, seed, cancel)
		if err != nil || !IsLink(text) {
			t.Fatalf("%q, %v", text, err)
		}
		if again, _ := c.Link(r, seed, cancel); again != text {
			t.Error("a retry would mail another link")
		}
		got, kind, err := ReadLink(r, site, text)
		if err != nil || kind != cancel {
			t.Errorf("cancel %v: %v, %v", cancel, kind, err)
		}
		if diff := cmp.Diff(c, got, sameAddr); diff != "" {
			t.Error(diff)
		}
		if _, _, err := ReadLink(r, "https://b.example", text); err == nil {
			t.Error("read at another site")
		}
		if _, _, err := ReadLink(ring(t), site, text); err == nil {
			t.Error("read with another key")
		}
		c.Account = "BBBBBBBBBBBBBBBB"
		if other, _ := c.Link(r, seed, cancel); strings.Split(other, ".")[2] == strings.Split(text, ".")[2] {
			t.Error("another content has the same nonce")
		}
		c.Account = "AAAAAAAAAAAAAAAA"
	}
	// Each link of each mail has a mark of its own.
	if c.Key(r, 0, false) == c.Key(r, 0, true) || c.Key(r, 0, false) == c.Key(r, 1, false) {
		t.Error("two links have one mark")
	}
	if size, err := c.LinkSize(); err != nil || size > MaxLink {
		t.Errorf("%d characters, %v", size, err)
	}
	for _, text := range []string{"", strings.Repeat("A", Size), linkStart, linkStart + strings.Repeat(".", 50), linkStart + strings.Repeat("A", MaxLink)} {
		if _, _, err := ReadLink(r, site, text); err == nil {
			t.Errorf("read %.40q", text)
		}
	}
}

func TestENUM1_AStatelessCookieHasOneLength(t *testing.T) {
	r, c := ring(t), testClaims()
	text, err := c.Cookie(r)
	if err != nil || len(text) != cookieSize {
		t.Fatalf("%d characters, %v", len(text), err)
	}
	got, err := ReadCookie(r, site, text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, got, sameAddr); diff != "" {
		t.Error(diff)
	}
	c.Private = json.RawMessage(`{"email":"` + strings.Repeat("a", 300) + `@example.com"}`)
	if longer, err := c.Cookie(r); err != nil || len(longer) != len(text) || !c.FitsCookie() {
		t.Errorf("a longer address makes %d characters, %v", len(longer), err)
	}
	c.Private = json.RawMessage(`{"email":"` + strings.Repeat("a", cookiePlain) + `"}`)
	if _, err := c.Cookie(r); err == nil || c.FitsCookie() {
		t.Error("what does not fit was sealed")
	}
	link, _ := c.Link(r, [32]byte{}, false)
	for _, bad := range []string{"", text[1:], text + "A", text[:len(text)-1] + "\n", strings.ToUpper(text), link} {
		if _, err := ReadCookie(r, site, bad); err == nil {
			t.Errorf("read %.40q", bad)
		}
	}
	if _, err := ReadCookie(r, "https://b.example", text); err == nil {
		t.Error("read at another site")
	}
}

func TestTOK4_ClaimsLiveAsLongAsTheSiteSays(t *testing.T) {
	c := testClaims()
	born := time.Unix(c.Issued, 0)
	for _, at := range []struct {
		after, life time.Duration
		alive       bool
	}{
		{0, 15 * time.Minute, true},
		{15*time.Minute - time.Second, 15 * time.Minute, true},
		{15 * time.Minute, 15 * time.Minute, false},
		{15 * time.Minute, time.Hour, false},
		{5 * time.Minute, 5 * time.Minute, false},
		{5*time.Minute - time.Second, 5 * time.Minute, true},
		{-5 * time.Minute, 15 * time.Minute, true}, // the gate's clock may have forgotten a minute
		{-5*time.Minute - time.Second, 15 * time.Minute, false},
	} {
		if got := c.Alive(born.Add(at.after), at.life); got != at.alive {
			t.Errorf("%v after its birth, of %v: %v", at.after, at.life, got)
		}
	}
	c.Expires = c.Issued + 10*365*86400
	if c.Alive(born.Add(15*time.Minute), 15*time.Minute) {
		t.Error("it lives as long as it says")
	}
}

func TestTOK8_CodesOfStatelessFlowsDifferFromMailToMail(t *testing.T) {
	r, id := ring(t), NewFID()
	seen := map[[32]byte]bool{}
	for _, fid := range []FID{id, NewFID()} {
		for generation := range 3 {
			for mail := range 6 {
				seen[fid.Seed(r, generation, mail)] = true
			}
		}
	}
	if len(seen) != 36 {
		t.Errorf("%d seeds of 36 mails", len(seen))
	}
	text, err := id.MarshalText()
	var got FID
	if err != nil || got.UnmarshalText(text) != nil || got != id || len(id.ID(r)) != 16 || strings.Contains(string(text), id.ID(r)) {
		t.Errorf("%s is read as %x, logged as %s", text, got, id.ID(r))
	}
	for _, bad := range []string{"", "A", string(text) + "AA", string(text[:20]), strings.Repeat("A", 2000), string(text[:21]) + "B"} {
		if got.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("read %.30q", bad)
		}
	}
}
