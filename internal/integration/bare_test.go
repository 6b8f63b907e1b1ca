package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// traffic is what clients with kept connections have seen of one Caddy.
type traffic struct {
	answers, lost, wrong atomic.Int64
	// first is the first wrong answer.
	first sync.Once
}

// users sends POSTs, which no client sends twice by itself, over kept connections until ctx ends. A request without an answer
// is lost; an answer that is not the backend's is wrong.
func (x *traffic) users(ctx context.Context, t *testing.T, wg *sync.WaitGroup, w *world, cookie string, n int) {
	for range n {
		c := w.client()
		wg.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequest(http.MethodPost, w.origin()+"/x", strings.NewReader("a=b"))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Cookie", cookie)
				res, err := c.Do(r)
				if err != nil {
					x.lost.Add(1)
					continue
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				switch {
				case err != nil:
					x.lost.Add(1)
				case res.StatusCode != http.StatusOK || string(body) != "hello":
					x.wrong.Add(1)
					x.first.Do(func() { t.Errorf("an answer that is not the backend's: %d %.200q", res.StatusCode, body) })
				default:
					x.answers.Add(1)
				}
			}
		})
	}
}

// goOn waits for n more answers.
func (x *traffic) goOn(t *testing.T, n int64) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for until := x.answers.Load() + n; x.answers.Load() < until; time.Sleep(time.Millisecond) { // polling a counter
		if time.Now().After(deadline) {
			t.Fatal("no answers come")
		}
	}
}

// kept is how many connections are kept to each Caddy.
const kept = 4

// most returns how many lost requests are no more than those of another Caddy. Caddy closes connections that are idle when
// their old server shuts down, and a request that is just then on its way is lost: a coincidence for each reload, of 0 to
// kept requests. So the variance of a count is at most kept times its mean, and that of a difference twice as much. Three
// deviations let chance pass; in a long run a gate that lost twice as much as bare Caddy would not.
func most(lost int64) int64 {
	return lost + int64(3*math.Sqrt(2*kept*float64(lost+1)))
}

// TestCFG2_ReloadsBesideBareCaddy reloads a gate and a Caddy without it, in turn and under the same load: people who are signed
// in get the backend's answers alone, no more requests are lost than by the bare Caddy, no session and no mail.
func TestCFG2_ReloadsBesideBareCaddy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) { reloadsBesideBareCaddy(t, secure) })
	}
}

func reloadsBesideBareCaddy(t *testing.T, secure bool) {
	s := setup{tls: secure, global: "sign_up open\n" + unlimited}
	gate := startProcess(t, s)
	ada := gate.client()
	gate.signUp(ada, "ada@example.com")

	bare := newProcess(t, setup{tls: secure})
	bare.backend = gate.backend
	text := bare.caddyfile(setup{sites: "$ADDR {\n respond /email-link/health 200\n reverse_proxy $BACKEND\n}\n"})
	head, rest, _ := strings.Cut(text, "\temail_link {")
	_, sites, _ := strings.Cut(rest, "\n}\n") // the end of the global options
	bare.write(head + "}\n" + sites)
	bare.start()

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var seen, seenBare traffic
	seen.users(ctx, t, &wg, gate.world, ada.cookie(), kept)
	seenBare.users(ctx, t, &wg, bare.world, ada.cookie(), kept)
	asked := make(chan string, 100_000)
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			email := fmt.Sprintf("u%d@example.com", n)
			if status, _ := gate.client().try(http.MethodPost, "/email-link/sign-up", url.Values{"email": {email}}); status == http.StatusSeeOther {
				asked <- email
			} else if status != 0 {
				t.Errorf("asking during a reload: %d", status)
			}
		}
	})
	config, bareConfig := gate.caddyfile(s), head+"}\n"+sites
	few, n := rounds(t, "RELOADS", 10), 0
	for ; n < few || n < 4*few && seen.lost.Load() > most(seenBare.lost.Load()); n++ { // chance evens out, a fault does not
		seen.goOn(t, 200)
		seenBare.goOn(t, 200)
		if err := errors.Join(gate.reload(config), bare.reload(bareConfig)); err != nil {
			t.Error(err)
			break
		}
	}
	stop()
	wg.Wait()
	close(asked)
	t.Logf("%d reloads: %d answers and %d lost requests, bare Caddy %d and %d; %d sign-ups", n,
		seen.answers.Load(), seen.lost.Load(), seenBare.answers.Load(), seenBare.lost.Load(), len(asked))
	if lost, bareLost := seen.lost.Load(), seenBare.lost.Load(); lost > most(bareLost) {
		t.Errorf("%d requests were lost, and %d by bare Caddy", lost, bareLost)
	}
	if secure && seen.lost.Load() > 0 {
		t.Errorf("%d requests were lost over HTTP/2", seen.lost.Load())
	}
	if seen.answers.Load() == 0 || seenBare.answers.Load() == 0 || len(asked) == 0 {
		t.Fatal("there was no load")
	}
	if ada.session() == nil {
		t.Error("the session is gone")
	}
	inbox := &inboxes{server: gate.mails, links: map[string][]string{}}
	for email := range asked {
		if inbox.wait(t.Context(), email) == "" {
			t.Errorf("no mail for %s", email)
		}
	}
	if strings.Contains(gate.out.String(), `"outcome":"retry"`) {
		t.Error("a reload has made a mail wait")
	}
}
