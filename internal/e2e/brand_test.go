//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestLanguageAndOnlyThisTime changes the language in the middle of a sign-in, without scripts, and signs in for this once.
func TestLanguageAndOnlyThisTime(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowser(t, "anna")
	b.open(g.origin+"/reports?year=2026").presses("Deutsch").at("/email-link/sign-in?return_to=%2Freports%3Fyear%3D2026", 200)
	b.says("anmelden").does(chromedp.Click("#once")).types("E-Mail-Adresse", "anna@example.com").presses("E-Mail anfordern")
	b.at("/email-link/resend", 200).presses("Français").at("/email-link/resend", 200).says("anna@example.com", "Huit chiffres")
	b.presses("العربية").at("/email-link/resend", 200).shows("check-your-mail-arabic")
	b.presses("English").at("/email-link/resend", 200).says("Check your email")
	b.open(g.mail("anna@example.com").link()).isApp("/reports?year=2026", "anna@example.com")
	cookies := b.cookies(g.origin)
	if c := cookies["email_link"]; c == nil || !c.Session {
		t.Errorf("the session outlives the browser: %+v", c)
	}
	if c := cookies["email_link_language"]; c == nil || c.Session || c.Value != "en" || cookies["email_link_known"] != nil {
		t.Errorf("cookies: %v", cookies)
	}
}

// TestBrandOfTheSite looks at pages with a wordmark for each theme, a colour and an icon, and at what the Content-Security-Policy lets through.
func TestBrandOfTheSite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, color := range map[string]string{"light.svg": "#123", "dark.svg": "#def"} {
		svg := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 40" width="160" height="40"><rect width="160" height="40" rx="8" fill="` + color + `"/></svg>`
		if err := os.WriteFile(filepath.Join(dir, name), []byte(svg), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	light, dark := filepath.Join(dir, "light.svg"), filepath.Join(dir, "dark.svg")
	g := newGate(t, setup{global: "logo " + light + " dark " + dark + " wordmark\naccent \"#8a2be2\"\nfavicon " + light + "\ntimezone Europe/Berlin"})
	b := newBrowser(t, "anna")
	b.open(g.origin + "/email-link/sign-in")
	if got := evaluate[string](b, "getComputedStyle(document.querySelector('main button')).backgroundColor"); got != "rgb(138, 43, 226)" {
		t.Errorf("the button is %s", got)
	}
	b.shows("brand")
	if got := evaluate[string](b, "getComputedStyle(document.querySelector('main button')).backgroundColor"); got != "rgb(196, 149, 241)" {
		t.Errorf("the button in the dark is %s", got)
	}
	if w := evaluate[float64](b, "document.querySelector('header img').naturalWidth"); w != 160 {
		t.Errorf("the logo is %v pixels wide", w)
	}
	b.open(g.origin+"/email-link/sign-up").types("Email address", "anna@example.com").presses("Email me a link").shows("brand-check-your-mail")
	b.says(" CET")
}
