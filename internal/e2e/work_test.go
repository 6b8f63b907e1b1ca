//go:build e2e

package e2e

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// slows slows the page down, as a cheap telephone is slower than the machine of the tests.
func (b *browser) slows(rate float64) {
	b.t.Helper()
	b.does(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: rate})
		return err
	}))
}

// once is a gate that mails an address once a day, beside what known browsers and solved work get.
var once = setup{global: "limit mail_mailbox 1-D"}

// TestPOW2_ABrowserWorksInPlaceOfWaiting is refused, lets the script solve what is asked for, slowed six times, and presses the button again.
func TestPOW2_ABrowserWorksInPlaceOfWaiting(t *testing.T) {
	t.Parallel()
	g := newGate(t, once)
	g.account("anna@example.com")
	newBrowser(t, "stranger").asks(g, "anna@example.com")

	b := newBrowserWith(t, "anna", options{scripts: true})
	b.open(g.origin+"/reports").at("/email-link/sign-in?return_to=%2Freports", 200)
	b.slows(6)
	began := time.Now()
	b.types("Email address", "anna@example.com").presses("Email me a link").at("/email-link/sign-in", 429)
	b.says("Too many requests for this address, and not necessarily yours.", "Your browser")
	const earned = `[...document.querySelectorAll("[role=status]")].some((note) => note.textContent.includes("has earned you one more try"))`
	if !b.await(func() bool { return evaluate[bool](b, earned) }) {
		t.Fatalf("nothing has been solved: %q", b.text())
	}
	t.Logf("refused and solved within %v", time.Since(began))
	b.presses("Email me a link").at("/email-link/resend", 200)
	b.open(g.mail("anna@example.com").link()).isApp("/reports", "anna@example.com")
}

// TestPOW4_WithoutScriptsThePageSaysHowLongToWait reads the same refusal in a browser that runs no scripts.
func TestPOW4_WithoutScriptsThePageSaysHowLongToWait(t *testing.T) {
	t.Parallel()
	g := newGate(t, once)
	g.account("anna@example.com")
	newBrowser(t, "stranger").asks(g, "anna@example.com")
	b := newBrowser(t, "anna")
	b.open(g.origin+"/email-link/sign-in").types("Email address", "anna@example.com").presses("Email me a link").at("/email-link/sign-in", 429)
	b.says("Too many requests for this address, and not necessarily yours.", "Please try again in", "Need help? Ask help@example.com.")
	b.lacks("one more try")
}

// TestPOW3_TheFirstLevelOnASlowMachine logs how long the worker's search takes through all numbers of the first level, which is twice what it
// takes on average, in a page that is slowed six times.
func TestPOW3_TheFirstLevelOnASlowMachine(t *testing.T) {
	t.Parallel()
	g := newGate(t, once)
	g.account("anna@example.com")
	newBrowser(t, "stranger").asks(g, "anna@example.com")
	b := newBrowser(t, "anna")
	b.open(g.origin+"/email-link/sign-in").types("Email address", "anna@example.com").presses("Email me a link").at("/email-link/sign-in", 429)
	b.slows(6)
	resp, err := g.client.Get(g.origin + evaluate[string](b, `document.querySelector("[data-worker]").dataset.worker`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	source, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	took := evaluate[float64](b, `(() => {`+string(source)+`
		const began = performance.now();
		if (solve("0123456789abcdef01234567?expires=1772366700&for=GqkYtcy6HI3JIqpz8mF2zg&", new Int32Array(8), 50000) !== undefined) throw new Error("solved");
		return performance.now() - began;
	})()`)
	t.Logf("all numbers of the first level in %.0f ms", took)
}
