package templates

import (
	"html"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a fresh machine has no zones

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

func zoneOf(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// loadIn returns the set of a site in a zone.
func loadIn(t *testing.T, zone string) *Set {
	t.Helper()
	s, err := Load(Options{Location: zoneOf(t, zone)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTimezone_OfAPerson writes times around the changes of clocks, and in a zone of 45 minutes, on a page and in a mail, where the site's zone is
// another one.
func TestTimezone_OfAPerson(t *testing.T) {
	s := loadIn(t, "America/Lima")
	berlin, kathmandu := zoneOf(t, "Europe/Berlin"), zoneOf(t, "Asia/Kathmandu")
	for _, c := range []struct {
		at   time.Time
		zone *time.Location
		want string
	}{
		{time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC), berlin, "29 March 2026, 01:59 CET"},
		{time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), berlin, "29 March 2026, 03:00 CEST"},
		{time.Date(2026, 10, 25, 0, 59, 59, 0, time.UTC), berlin, "25 October 2026, 02:59 CEST"},
		{time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC), berlin, "25 October 2026, 02:00 CET"},
		{time.Date(2026, 12, 31, 18, 14, 0, 0, time.UTC), kathmandu, "31 December 2026, 23:59 UTC+5:45"},
		{time.Date(2026, 12, 31, 18, 15, 0, 0, time.UTC), kathmandu, "1 January 2027, 00:00 UTC+5:45"},
		{time.Date(2026, 12, 31, 18, 15, 0, 0, time.UTC), time.FixedZone("UTC", 0), "31 December 2026, 18:15 UTC"},
		{time.Date(2026, 12, 31, 18, 15, 0, 0, time.UTC), nil, "31 December 2026, 13:15 UTC\u22125"},
	} {
		f := sampleFrame
		f.Timezone = c.zone
		for name, page := range map[string]PageFacts{
			"a field":       Home{Email: "jo@example.com", Since: c.at, Ends: sampleTime},
			"a list":        Account{Email: "jo@example.com", Sessions: true, Browsers: []SignedInBrowser{{ID: "a", Since: c.at, Seen: c.at}}},
			"a second list": Account{Email: "jo@example.com", Events: []AccountEvent{{Time: c.at, Name: "exported"}}},
		} {
			out := render(t, s, f, page)
			// The script of the pages writes times in the browser's zone, but for those that a person has chosen a zone for.
			if !strings.Contains(out, c.want) || strings.Contains(out, "<time ") != (c.zone == nil) {
				t.Errorf("%s in %v: %q is missing, or the script changes it:\n%s", name, c.zone, c.want, out)
			}
		}
		m := Mail{Kind: mailer.KindNewDevice, Site: "Example", Host: "app.example.com", Asked: c.at, Device: "Safari on iPhone"}
		if c.zone != nil {
			m.Asked = m.Asked.In(c.zone)
		}
		out, err := s.Mail(m, "en")
		day, clock, _ := strings.Cut(c.want, ", ")
		for _, part := range []string{out.Text, out.HTML} {
			if words := strings.Join(strings.Fields(html.UnescapeString(part)), " "); err != nil || !strings.Contains(words, day) || !strings.Contains(words, clock) {
				t.Errorf("a mail in %v: %q is missing, %v:\n%s", c.zone, c.want, err, part)
			}
		}
	}
}

// TestTimezone_OfAPageChangesNoFacts: what a page is filled with is not its own to change, but for lists and what pointers lead to.
func TestTimezone_OfAPageChangesNoFacts(t *testing.T) {
	at := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	facts := Home{Since: at}
	if got := inZone(facts, zoneOf(t, "Europe/Berlin")).(Home); !got.Since.Equal(at) || got.Since.Location() == time.UTC || facts.Since.Location() != time.UTC {
		t.Errorf("%v, of %v", got.Since, facts.Since)
	}
	change := Account{Address: AccountAddress{Change: &AddressChange{End: at}}}
	if got := inZone(change, zoneOf(t, "Europe/Berlin")).(Account); got.Address.Change.End.Location() == time.UTC {
		t.Errorf("behind a pointer: %v", got.Address.Change.End)
	}
}

// TestTimezone_TheChoice has each region in words of the language, and marks what is chosen.
func TestTimezone_TheChoice(t *testing.T) {
	s := loadIn(t, "Europe/Berlin")
	account, full := accountSamples()
	for name, c := range map[string]struct {
		account Account
		want    string
	}{
		"none":      {account, `<option value="">Automatisch (Europe/Berlin in E-Mails)</option>`},
		"one":       {full, `<option value="Europe/Berlin" selected>Berlin</option>`},
		"UTC":       {Account{Timezone: "UTC"}, `<option selected>UTC</option>`},
		"another":   {Account{Timezone: "Europe/Kiev", OtherTimezone: "Europe/Kiev"}, `<option selected>Europe/Kiev</option>`},
		"a region":  {account, `<optgroup label="Amerika">`},
		"two parts": {account, `<option value="America/Argentina/Buenos_Aires">Buenos Aires, Argentina</option>`},
	} {
		f := sampleFrame
		f.Language, f.Here = "de", ""
		out := render(t, s, f, c.account)
		if strings.Count(out, c.want) != 1 || strings.Count(out, " selected>") > 1 {
			t.Errorf("%s: %q is missing, or more than one is selected:\n%s", name, c.want, out)
		}
	}
}
