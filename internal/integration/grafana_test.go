//go:build apps

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// prometheus is Debian's, which scrapes a gate once a second.
type prometheus struct {
	*gatetest.Child
	t       *testing.T
	address string
}

// watched starts a Prometheus with the rules of the example.
func (w *world) watched(t *testing.T) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("Debian's package prometheus, which scripts/tools installs: %v", err)
	}
	rules, err := filepath.Abs("../../examples/grafana/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{t: t, address: "127.0.0.1:" + freePort(t)}
	dir := t.TempDir()
	config := fmt.Sprintf("global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [%q]\nscrape_configs:\n  - job_name: caddy\n"+
		"    static_configs:\n      - targets: [%q]\n", rules, "localhost:"+w.port)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address)
	if p.Child, err = gatetest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// ask asks the API until it answers what check takes.
func (p *prometheus) ask(path string, into any, check func() error) {
	p.t.Helper()
	err := p.Await(50*time.Millisecond, func() error {
		res, err := http.Get("http://" + p.address + "/api/v1/" + path) //nolint:noctx // Await has a bound
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return check()
	})
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", path, err, p.Output)
	}
}

// value waits until a query has an answer that is wanted, and returns it.
func (p *prometheus) value(query string, wanted func(n float64) bool) (n float64) {
	p.t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	p.ask("query?query="+url.QueryEscape(query), &answer, func() error {
		if len(answer.Data.Result) == 0 {
			return errors.New("it has no answer")
		}
		text, _ := answer.Data.Result[0].Value[1].(string)
		if n, _ = strconv.ParseFloat(text, 64); !wanted(n) {
			return errors.New("it answers " + text)
		}
		return nil
	})
	return n
}

// dashboard returns the queries of the dashboard.
func dashboard(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("../../examples/grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, target.Expr)
		}
	}
	if len(d.Panels) < 8 || len(queries) < len(d.Panels) {
		t.Fatalf("%d panels, %d queries", len(d.Panels), len(queries))
	}
	return queries
}

// TestCFG2_TheDashboardAndTheRulesOnDebiansPrometheus: each query of the dashboard has an answer and each rule is evaluated, before and after a reload,
// over which counts go on.
func TestCFG2_TheDashboardAndTheRulesOnDebiansPrometheus(t *testing.T) {
	s := setup{
		global: "sign_up open\nlimit mail_ip 3-H",
		sites:  "$ADDR {\n handle /metrics {\n metrics\n }\n handle {\n email_link\n reverse_proxy $BACKEND\n }\n}\n",
	}
	w := start(t, s)
	c := w.client()
	w.signUp(c, "ada@example.com")
	c.get("/x")
	for n := range 5 { // the last are refused by the limit
		eve := w.client()
		eve.post("/email-link/sign-up", url.Values{"email": {fmt.Sprintf("eve%d@example.com", n)}})
		eve.post("/email-link/code", url.Values{"code": {"12345678"}})
	}
	p := w.watched(t)
	whatever := func(float64) bool { return true } // a quantile of nothing is NaN
	const scrapes = "max(count_over_time(up[1h]))"
	for range 2 {
		for _, query := range dashboard(t) {
			p.value(query, whatever)
		}
		var rules struct {
			Data struct {
				Groups []struct {
					Rules []struct{ Name, Health, State, LastError string }
				}
			}
		}
		p.ask("rules", &rules, func() error {
			n := 0
			for _, g := range rules.Data.Groups {
				for _, r := range g.Rules {
					if n++; r.Health != "ok" || r.State != "inactive" || !strings.HasPrefix(r.Name, "EmailLink") {
						return fmt.Errorf("%+v", r)
					}
				}
			}
			if n != 4 {
				return fmt.Errorf("%d rules", n)
			}
			return nil
		})
		sent := p.value(`sum(caddy_email_link_mails_total{outcome="sent"})`, func(n float64) bool { return n >= 1 })
		w.load(s)
		before := p.value(scrapes, whatever)
		p.value(scrapes, func(n float64) bool { return n >= before+2 }) // the first of these may have begun before the reload
		if n := p.value(`sum(caddy_email_link_mails_total{outcome="sent"})`, whatever); n < sent {
			t.Errorf("%v mails before the reload, %v after it", sent, n)
		}
		p.value("sum(resets(caddy_email_link_mails_total[1h]))", func(n float64) bool { return n == 0 })
	}
}
