package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// behindProxy makes the gate believe X-Forwarded-For from this machine, so that a test has as many addresses as it likes.
const behindProxy = "servers {\n trusted_proxies static 127.0.0.0/8\n trusted_proxies_strict\n}"

// at returns a new browser at an address.
func (w *world) at(address string) *client {
	c := w.client()
	c.Transport.(*http.Transport).DisableKeepAlives = true // a thousand clients need no thousand connections
	c.header = http.Header{"X-Forwarded-For": {address}}
	return c
}

// TestRL6_AThousandAddresses lets an attacker with 1000 addresses ask for links for one mailbox and guess codes, 100 at a time,
// and kills the gate in the middle. The cap of the mailbox is exact all the same, the answers of what follows it say when, and
// its owner gets a link at once, at a browser that has signed in before, even where strangers share its address.
func TestRL6_AThousandAddresses(t *testing.T) {
	t.Parallel()
	bothModes(t, testAThousandAddresses)
}

func testAThousandAddresses(t *testing.T, links string) {
	const attackers, parallel = 1000, 100
	const limit = 20 - 1 // the owner has asked once, as a stranger
	p := startProcess(t, setup{global: "sign_up open\n" + links, top: behindProxy})
	p.must("accounts", "add", "ada@example.com")
	ada := p.client()
	ada.header = http.Header{"X-Forwarded-For": {"203.0.113.7"}}
	ada.post("/email-link/sign-in", url.Values{"email": {"ada@example.com"}})
	_, link := p.mail()
	if status, _, _ := ada.visit(link); status != http.StatusSeeOther || ada.session() == nil {
		t.Fatalf("signing in: %d", status)
	}
	ada.post("/email-link/sign-out", url.Values{})
	old := map[string]bool{link: true}

	var taken, limited, unanswered atomic.Int64
	attack := func(from, to int, until func() bool) {
		var wg sync.WaitGroup
		slots := make(chan struct{}, parallel)
		for n := from; n < to && !until(); n++ {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				eve := p.at(fmt.Sprintf("10.%d.%d.9", n/200, n%200))
				defer eve.CloseIdleConnections()
				form := url.Values{"email": {fmt.Sprintf("ada+%d@example.com", n%3)}}
				if n%3 == 0 {
					form.Set("email", "Ada@Example.com")
				}
				switch status, header := eve.ask(form); {
				case status == http.StatusSeeOther:
					taken.Add(1)
					eve.try(http.MethodPost, "/email-link/code", url.Values{"code": {"12345678"}})
				case status == http.StatusTooManyRequests && header.Get("Retry-After") != "":
					limited.Add(1)
				case status == 0:
					unanswered.Add(1)
				default:
					t.Errorf("asking: %d, Retry-After %q", status, header.Get("Retry-After"))
				}
			})
		}
		wg.Wait()
	}
	killed := make(chan struct{})
	var once sync.Once
	attack(0, attackers/2, func() bool {
		if taken.Load() >= limit/2 {
			once.Do(func() { p.kill(); close(killed) })
			return true
		}
		return false
	})
	once.Do(func() { t.Error("the gate was to be killed in the middle") })
	p.start()
	attack(attackers/2, attackers, func() bool { return false })
	// What was counted and not answered is at most what was on its way.
	if n := taken.Load(); n > limit || n < limit-unanswered.Load() {
		t.Errorf("%d requests were taken, %d were not answered, and the limit is %d", n, unanswered.Load(), limit)
	}
	t.Logf("%d were taken, %d limited, %d without an answer", taken.Load(), limited.Load(), unanswered.Load())

	// Strangers behind the owner's own address: 60 in an hour, and as many again where an hour ends just now.
	status := http.StatusSeeOther
	for n := 0; status == http.StatusSeeOther && n <= 2*60; n++ {
		status, _ = p.at("203.0.113.7").ask(url.Values{"email": {fmt.Sprintf("u%d@example.com", n)}})
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("another stranger there: %d", status)
	}
	if status, header := ada.ask(url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
		t.Fatalf("the owner asks: %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	// Strangers' mails are of other flows: the owner's is the one that the owner's browser takes by one click.
	inbox := &inboxes{server: p.mails, links: map[string][]string{}}
	for end := time.Now().Add(30 * time.Second); ada.session() == nil; time.Sleep(5 * time.Millisecond) { // polling the mail server
		for _, link := range inbox.of("ada@example.com") {
			if link != "" && !old[link] {
				old[link] = true
				_, _, _ = ada.visit(link)
			}
		}
		if time.Now().After(end) {
			t.Fatal("the owner's link does not come")
		}
	}
	if distinct := len(old) - 2; distinct > limit {
		t.Errorf("%d links were mailed for strangers, the limit is %d", distinct, limit)
	}
}

// ask asks for a sign-in link as a form does.
func (c *client) ask(form url.Values) (int, http.Header) {
	return c.try(http.MethodPost, "/email-link/sign-in", form)
}
