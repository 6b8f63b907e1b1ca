package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/alert"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// topic is a place that alerts are posted to.
type topic struct {
	*httptest.Server
	mu   sync.Mutex
	all  []posted // guarded by mu
	text string   // guarded by mu
}

// checkStored looks whether the database holds, while an alert is being posted, that it was sent: whoever is killed now sends it no second time.
func checkStored(t *testing.T, kind string) {
	parts, ok := module.Running()
	if !ok {
		t.Error("an alert is posted while no gate runs")
		return
	}
	err := parts.Store.View(context.Background(), func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get("alerts")
		if err == nil && !strings.Contains(string(value), `"`+kind+`":`) {
			t.Errorf("%s is posted before it is stored: %s", kind, value)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// posted is an alert as it was posted.
type posted struct {
	Kind  string
	Total int
	Keys  []alert.Key
}

func newTopic(t *testing.T) *topic {
	s := new(topic)
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var one posted
		if err := json.Unmarshal(body, &one); err != nil || r.Header.Get("Authorization") == "" {
			t.Errorf("posted %v: %s", r.Header, body)
		}
		checkStored(t, one.Kind)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all, s.text = append(s.all, one), s.text+string(body)
	}))
	t.Cleanup(s.Close)
	return s
}

// kinds returns what was posted, by kind.
func (s *topic) kinds() map[string]posted {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]posted{}
	for _, one := range s.all {
		found[one.Kind] = one
	}
	return found
}

func (s *topic) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// look has the gate look for alerts that are due, as it does once a minute.
func (w *world) look() {
	w.t.Helper()
	parts, ok := module.Running()
	if !ok {
		w.t.Fatal("no gate runs")
	}
	parts.Alert(context.Background())
}

// attackers are so many, the mailboxes that they write to so many.
const attackers, attacked = 1000, 50

// attack has each of a thousand addresses ask for a link to one of fifty mailboxes and guess a code; ten guess more, and one address goes
// through many mailboxes.
func (w *world) attack() {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	each := func(do func()) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do()
		})
	}
	for n := range attackers {
		each(func() {
			eve := w.at(fmt.Sprintf("10.%d.%d.9", n/200, n%200))
			defer eve.CloseIdleConnections()
			eve.ask(url.Values{"email": {fmt.Sprintf("victim%d@example.net", n%attacked)}})
			guesses := 1
			if n < 10 {
				guesses = 7
			}
			for range guesses {
				eve.try(http.MethodPost, "/email-link/code", url.Values{"code": {"12345678"}})
			}
		})
	}
	for n := range 30 {
		each(func() {
			w.at("198.51.100.9").ask(url.Values{"email": {fmt.Sprintf("spray%d@example.net", n)}})
		})
	}
	wg.Wait()
}

// ordinary is what people do: they sign up and in, mistype a code, and open an old link once more.
func (w *world) ordinary() (used []string) {
	w.t.Helper()
	for n := range 12 {
		c := w.at(fmt.Sprintf("192.0.2.%d", n))
		if n%2 == 0 {
			c = w.at(fmt.Sprintf("172.16.%d.5", n))
		}
		var link string
		err := c.SignUp(context.Background(), fmt.Sprintf("person%d@example.com", n), func() string {
			_, link = w.mail()
			return link
		}, c.header)
		if err != nil {
			w.t.Fatal(err)
		}
		if n < 4 {
			c = w.at(fmt.Sprintf("192.0.2.%d", n))
			c.ask(url.Values{"email": {fmt.Sprintf("person%d@example.com", n)}})
			_, link = w.mail()
			if status, _, _ := c.visit(link); status != http.StatusSeeOther {
				w.t.Fatalf("signing in: %d", status)
			}
			used = append(used, link)
		}
	}
	c := w.at("192.0.2.77")
	c.ask(url.Values{"email": {"person1@example.com"}})
	w.mail()
	c.try(http.MethodPost, "/email-link/code", url.Values{"code": {"12345678"}})
	_, _, _ = w.at("192.0.2.78").visit(used[0])
	return used
}

// replay presses the button of used links in a browser that has not used them.
func (w *world) replay(used []string) {
	w.t.Helper()
	for _, link := range used {
		eve := w.at("203.0.113.66")
		_, _, _ = eve.visit(link)
		if status, _, _ := eve.post("/email-link/confirm", url.Values{"h": {"x"}}); status != http.StatusGone {
			w.t.Errorf("a used link: %d", status)
		}
	}
}

// TestALERT3_AnAttackPlayedByAScript: which alerts come, by mail and by post, what the events tell afterwards, and what fail2ban makes of the
// log. Before it, ordinary traffic alerts nobody; after it, neither a reload nor another start alerts twice.
func TestALERT3_AnAttackPlayedByAScript(t *testing.T) {
	to := newTopic(t)
	file := filepath.Join(t.TempDir(), "caddy.log")
	s := setup{
		global: "sign_up open example.com\nsite_name Example\nlog_client full\nalerts {\n to ops@example.com\n post " + to.URL +
			"/topic-s3cret Authorization \"Bearer {env.EMAIL_LINK_TEST_SECRET}\"\n format json\n}",
		top: behindProxy + "\nlog default {\n output file " + file + " {\n mode 0600\n }\n}",
	}
	w := start(t, s)
	used := w.ordinary()
	w.look()
	if n := to.count(); n > 0 {
		t.Fatalf("ordinary traffic alerts: %+v", to.kinds())
	}
	w.attack()
	w.replay(used)
	w.look()
	found := to.kinds()
	want := []string{"budget", "failures", "mailboxes", "networks", "replays"}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) || to.count() != len(want) {
		t.Fatalf("%v were posted, want %v", got, want)
	}
	w.checkAlerts(found, to)
	w.mailedAlerts(want)
	w.replayedEvents()

	// Nothing twice within the hour: on and on, over a reload, and over a start that remembers nothing.
	again := func() {
		w.t.Helper()
		for n := range 30 {
			w.at("198.51.100.9").ask(url.Values{"email": {fmt.Sprintf("spray%d@example.net", n)}})
		}
		w.look()
	}
	again()
	w.load(s)
	again()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	w.load(s)
	again()
	if n := to.count(); n != len(want) {
		t.Errorf("%d alerts were posted, want %d", n, len(want))
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	w.checkAttackLog(file)
}

// checkAlerts looks at what the posted alerts say. On a slow machine the gate itself looks once a minute, in the middle of the attack: an alert
// then has what was counted so far, which is at least what makes one.
func (w *world) checkAlerts(found map[string]posted, to *topic) {
	w.t.Helper()
	if k := found["mailboxes"].Keys[0]; k.Name != "198.51.100.0/24" || k.Count < 20 || k.Count > 30 {
		w.t.Errorf("mailboxes: %+v", k)
	}
	if one := found["networks"]; len(one.Keys) == 0 || one.Keys[0].Name != "v•••@example.net" || one.Keys[0].Count < 10 || one.Keys[0].Count > attackers/attacked {
		w.t.Errorf("networks: %+v", one)
	}
	if k := found["failures"].Keys[0]; !strings.HasPrefix(k.Name, "10.0.") || !strings.HasSuffix(k.Name, ".0/24") || k.Count < 5 {
		w.t.Errorf("failures: %+v", k)
	}
	if k := found["replays"].Keys[0]; strings.Contains(k.Name, "@") || strings.Contains(k.Name, "/") {
		w.t.Errorf("replays: %+v, want the id of an account", k)
	}
	if bad := regexp.MustCompile(`victim|spray|person|://|10\.\d+\.\d+\.9|s3cret|Bearer`).FindString(to.text); bad != "" {
		w.t.Errorf("the alerts hold %q:\n%s", bad, to.text)
	}
}

// mailedAlerts waits for the mails of alerts, one of each kind.
func (w *world) mailedAlerts(kinds []string) {
	w.t.Helper()
	var alerts []mailertest.Mail
	for len(alerts) < len(kinds) {
		m, _ := w.mail()
		if strings.Contains(m.To, "ops@example.com") {
			alerts = append(alerts, m)
		}
	}
	for _, kind := range kinds {
		title := alert.Alert{Kind: alert.Kind(kind)}.Title()
		if !slices.ContainsFunc(alerts, func(m mailertest.Mail) bool {
			return strings.Contains(m.Text, "Example: "+title) && !strings.Contains(m.Text, "://")
		}) {
			w.t.Errorf("no mail says %q", title)
		}
	}
}

// replayedEvents counts the events of the audit log, as an operator does afterwards: they name the networks, and whose links were replayed.
func (w *world) replayedEvents() {
	w.t.Helper()
	parts, _ := module.Running()
	requested, replayed := map[string]int{}, 0
	err := parts.Store.View(context.Background(), func(tx storage.Tx) error {
		list, err := tx.Events().List(storage.EventFilter{}, 5000)
		for _, e := range list {
			switch {
			case e.Name == "requested":
				requested[e.Client]++
			case e.Name == "replayed" && e.Account != "" && e.Client == "203.0.113.0/24":
				replayed++
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("events: %d networks have requested mails, the heaviest %d, %d replays", len(requested), requested["198.51.100.0/24"], replayed)
	if len(requested) < attackers*9/10 || requested["198.51.100.0/24"] != 30 || replayed != 4 {
		w.t.Errorf("events: %d networks, %d requests of the one that sprays, %d replays", len(requested), requested["198.51.100.0/24"], replayed)
	}
}

// checkAttackLog looks for the lines that ban: five of each client that fails five times, by its whole address, and none of the secrets.
func (w *world) checkAttackLog(file string) {
	w.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, secret := range []string{"s3cret", "Bearer", os.Getenv("EMAIL_LINK_TEST_SECRET"), "victim1@", "ops@"} {
		if strings.Contains(string(text), secret) {
			w.t.Errorf("the log holds %q", secret)
		}
	}
	denied := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"event":"denied"`) && strings.Contains(line, `"outcome":"wrong_code"`) {
			denied[regexp.MustCompile(`"client":"([^"]*)"`).FindStringSubmatch(line)[1]]++
		}
	}
	for n := range 10 {
		if client := fmt.Sprintf("10.0.%d.9", n); denied[client] != 5 {
			w.t.Errorf("%s has %d lines, want 5", client, denied[client])
		}
	}
	w.checkBans(file)
}

// TestALERT1_NoMailLeavesGoesByPost: what mail cannot say goes by post, when the server refuses the account.
func TestALERT1_NoMailLeavesGoesByPost(t *testing.T) {
	to := newTopic(t)
	w := start(t, setup{global: "sign_up open\nalerts {\n to ops@example.com\n post " + to.URL + " X-Token {env.EMAIL_LINK_TEST_SECRET}\n format json\n off replays\n}"})
	to.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var one posted
		_ = json.NewDecoder(r.Body).Decode(&one)
		to.mu.Lock()
		defer to.mu.Unlock()
		to.all = append(to.all, one)
	})
	w.mails.Fault(mailertest.From, mailertest.Fault{Code: 535, Text: "5.7.8 the account is closed"})
	w.client().post("/email-link/sign-up", url.Values{"email": {"ada@example.com"}})
	for end := time.Now().Add(2 * time.Minute); to.count() == 0; time.Sleep(10 * time.Millisecond) { // polling the worker
		if w.look(); time.Now().After(end) {
			t.Fatal("nothing was posted")
		}
	}
	if found := to.kinds(); len(found) != 1 || found["no_mail"].Kind == "" {
		t.Errorf("%+v", found)
	}
	if n := len(w.mails.Mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
}
