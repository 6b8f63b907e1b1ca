package integration

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// healthIs waits until /health answers with a status.
func (p *process) healthIs(want int) {
	p.t.Helper()
	c := p.client()
	err := p.cmd.Await(50*time.Millisecond, func() error {
		res, err := c.Get(p.origin() + "/email-link/health")
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			return fmt.Errorf("/health answers %d, want %d", res.StatusCode, want)
		}
		return nil
	})
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.out)
	}
}

// TestCFG2_AReloadIsNoStop: what a load balancer asks stays available.
func TestCFG2_AReloadIsNoStop(t *testing.T) {
	t.Parallel()
	s := setup{global: "sign_up open\n" + unlimited, top: "shutdown_delay 1h\n"}
	p := startProcess(t, s)
	if err := p.reload(p.caddyfile(s)); err != nil {
		t.Fatal(err)
	}
	p.healthIs(http.StatusOK)
}

// TestCFG2_HealthTellsOfAStopAtOnce stops Caddy with a delay: /health is unavailable from then on, while people are served until the delay
// is over. It does so without a reload before: Caddy skips the delay while the servers of an earlier configuration still hold the listeners.
func TestCFG2_HealthTellsOfAStopAtOnce(t *testing.T) {
	t.Parallel()
	s := setup{global: "sign_up open\n" + unlimited, top: "shutdown_delay 1h\n"}
	p := startProcess(t, s)
	c := p.client()
	p.signUp(c, "ada@example.com")
	p.healthIs(http.StatusOK)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.healthIs(http.StatusServiceUnavailable)
	if status, body := c.get("/x"); status != http.StatusOK || body != "hello" {
		t.Errorf("while the delay lasts: %d %q", status, body)
	}
	select {
	case <-p.ended:
		t.Error(errors.Join(errors.New("Caddy has ended before the delay was over"), p.cmd.Err))
	default:
	}
}
