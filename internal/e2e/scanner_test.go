//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestTOK2_ScannerLeavesTheLinkAlive opens the link as mail scanners do: in a headless browser with JavaScript that loads the
// page and waits until nothing moves any more.
func TestTOK2_ScannerLeavesTheLinkAlive(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	person := newBrowser(t, "anna")
	link := person.asks(g, "anna@example.com").link()
	scanner := newBrowserWith(t, "scanner", options{scripts: true})
	for range 3 {
		scanner.settles(link)
		scanner.at("/email-link/confirm", 200).says("Nothing has been used up by opening it")
	}
	person.open(link).isApp("/", "anna@example.com")
	scanner.open(link).at("/email-link/confirm", 410)
}

// settles opens an address and waits until the network is idle.
func (b *browser) settles(address string) {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	events := chromedp.Events(ctx, page.LifecycleEvent)
	b.open(address)
	for ev, err := range events {
		if err != nil {
			b.t.Fatalf("%s: waiting for an idle network: %v", b.name, err)
		}
		if ev.Name == "networkIdle" {
			return
		}
	}
}

// TestTOK2_PrefetchByTheAskingBrowser has the one browser fetch the link that could sign in by one click: a prefetch holds all
// cookies, and must not.
func TestTOK2_PrefetchByTheAskingBrowser(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{site: "public /hint"})
	g.account("anna@example.com")
	b := newBrowserWith(t, "anna", options{scripts: true})
	link := b.asks(g, "anna@example.com").link()
	g.backend.hint.Store(&link)

	ctx, cancel := b.limited()
	defer cancel()
	requests := chromedp.Events(ctx, network.RequestWillBeSentExtraInfo)
	responses := chromedp.Events(ctx, network.ResponseReceivedExtraInfo)
	b.open(g.origin + "/hint")
	fetches := map[network.RequestID]bool{}
	for ev, err := range requests {
		if err != nil {
			t.Fatalf("no prefetch was seen: %v", err)
		}
		if purpose := fmt.Sprint(ev.Headers["Sec-Purpose"]); purpose == "prefetch" {
			fetches[ev.RequestID] = true
			break
		}
	}
	for ev, err := range responses {
		if err != nil {
			t.Fatalf("the prefetch was not answered: %v", err)
		}
		if fetches[ev.RequestID] {
			if ev.StatusCode != http.StatusSeeOther {
				t.Errorf("the prefetch was answered with %d", ev.StatusCode)
			}
			break
		}
	}
	b.open(g.origin+"/").at("/email-link/sign-in", 200)
	b.open(link).isApp("/", "anna@example.com")
}

// TestWEB1_FormOfAnotherSite posts to the gate from a page of another site.
func TestWEB1_FormOfAnotherSite(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><meta name="viewport" content="width=device-width"><title>x</title>
<form method="post" action="%[1]s/email-link/sign-in"><input type="hidden" name="email" value="anna@example.com"><button>Win a prize</button></form>
<form method="post" action="%[1]s/email-link/sign-out"><input type="hidden" name="everywhere" value="1"><button>Win two</button></form>
<iframe src="%[1]s/email-link/sign-in" title="frame"></iframe>`, g.origin)
	}))
	t.Cleanup(evil.Close)
	b := newBrowser(t, "anna")
	b.signsIn(g, "anna@example.com")
	b.open(evil.URL).presses("Win a prize").at("/email-link/sign-in", 403).says("accepted from this site's own pages only")
	b.open(evil.URL).presses("Win two").at("/email-link/sign-out", 403)
	b.open(g.origin+"/").isApp("/", "anna@example.com")
	// The frame stays empty, and the browser says why.
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) == 0 {
		t.Error("no complaint about the page in a frame")
	}
	b.complaints = nil
}

// TestTOK2_ACodeIsSentByAPersonsInputAlone has the script of the page before it: what a program writes into the box is not sent, the last
// digit that a person types is, and after a refused code the button has to be pressed.
func TestTOK2_ACodeIsSentByAPersonsInputAlone(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.account("anna@example.com")
	b := newBrowserWith(t, "anna", options{scripts: true})
	code := b.asks(g, "anna@example.com").code()
	wrong := "00000000"
	if code == wrong {
		wrong = "00000001"
	}
	evaluate[bool](b, `(() => {
		const code = document.getElementById('code');
		code.value = '12345678';
		code.dispatchEvent(new Event('input', {bubbles: true}));
		code.value = '';
		return true;
	})()`)
	b.at("/email-link/resend", 200)
	b.goes(chromedp.SendKeys(field("Code from the email"), wrong)).at("/email-link/code", 403).says("This code does not work.")
	b.types("Code from the email", code).at("/email-link/code", 403)
	b.presses("Continue").isApp("/", "anna@example.com")
}
