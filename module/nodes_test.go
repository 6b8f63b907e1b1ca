package module

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// share makes the database of a core one that other nodes use too, or one that none does.
func (s *shared) share(others bool) {
	s.Store = map[bool]storage.Store{true: enginetest.Nodes(s.Store, 2)[0], false: s.Store}[others]
}

// sent tells of each mail.
type sent chan string

func (s sent) Send(_ context.Context, m mailer.Message) error {
	s <- m.To
	return nil
}
func (sent) Close(context.Context) error { return nil }

// TestNODE1_AStartSendsNothingOfOthersAgain starts a core on a queue with a mail that is on its way. Where others use the database they may be
// sending it; else nobody is.
func TestNODE1_AStartSendsNothingOfOthersAgain(t *testing.T) {
	for _, others := range []bool{true, false} {
		s := newShared(t)
		s.cancel() // run makes another context
		s.share(others)
		s.worker = &outbox.Worker{Store: s.Store, Ring: s.Ring, Clock: s.Clock, Limiter: s.limiter, Shared: others, Log: slog.New(slog.DiscardHandler)}
		box := make(sent, 9)
		d := s.configuration(time.Hour)
		d.mailer.inner = box
		s.use(d.delivery)
		queue := func(to string) {
			t.Helper()
			now := s.Clock.Now()
			m := storage.Mail{ID: outbox.NewID(now), Due: now, Queued: now, End: now.Add(time.Hour), Purpose: outbox.Notice, Site: hotOrigin}
			var err error
			m.Sealed, err = outbox.Payload{To: to, Account: s.account, Notice: mailer.KindNewDevice}.Seal(s.Ring, m.ID)
			if err == nil {
				err = s.Store.Update(t.Context(), func(tx storage.Tx) error { return tx.Outbox().Enqueue(m) })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		queue("leased@example.com")
		err := s.Store.Update(t.Context(), func(tx storage.Tx) error {
			_, err := tx.Outbox().Lease(storage.LaneDirect, s.Clock.Now(), s.Clock.Now().Add(2*time.Minute), 9)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		queue("ada@example.com")
		s.run()
		var got []string
		for patience := time.After(2 * time.Minute); !slices.Contains(got, "ada@example.com") || !others && len(got) < 2; {
			select {
			case to := <-box:
				got = append(got, to)
			case <-patience:
				t.Fatalf("others use the database: %v; sent %q", others, got)
			}
		}
		if err := s.worker.Flush(t.Context()); err != nil { // and whatever else is due
			t.Fatal(err)
		}
		for len(box) > 0 {
			got = append(got, <-box)
		}
		if again := slices.Contains(got, "leased@example.com"); again == others {
			t.Errorf("others use the database: %v; sent %q", others, got)
		}
	}
}

// TestNODE3_AReloadSealsNothingForOthers gives a core a new first key, as a reload does.
func TestNODE3_AReloadSealsNothingForOthers(t *testing.T) {
	before, next := []byte("a master key of thirty-two bytes"), []byte("another key of thirty-two bytes.")
	for _, others := range []bool{true, false} {
		s := newShared(t)
		s.share(others)
		if err := s.rekey(t.Context(), secrets{masters: [][]byte{next, before}}); err != nil {
			t.Fatal(err)
		}
		var by string
		err := s.Store.View(t.Context(), func(tx storage.Tx) error {
			sealed, _, err := tx.Meta().Get(storage.MetaDataKey)
			if err == nil {
				by, err = keyring.SealedBy(sealed)
			}
			return err
		})
		if err != nil || (by == keyring.Fingerprint(before)) != others {
			t.Errorf("others use the database: %v; it is sealed by %s, %v", others, by, err)
		}
		if others {
			if err := s.rekey(t.Context(), secrets{masters: [][]byte{next}}); !errors.Is(err, keyring.ErrForeignKey) {
				t.Errorf("a reload without the key of the database: %v", err)
			}
		}
	}
}

// TestNODE2_TheMetricsOfSeveralNodes reads the five metrics of a database that nodes share: while all is well, and while it cannot be reached.
func TestNODE2_TheMetricsOfSeveralNodes(t *testing.T) {
	node := enginetest.Nodes(enginetest.Open(t, t.TempDir()), 3)[0]
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	read := func() map[string]float64 {
		t.Helper()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(sharedCollector{metrics.gauges, node})
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			m := f.GetMetric()[0]
			got[strings.TrimPrefix(f.GetName(), metricsPrefix)] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		return got
	}
	before := read()
	if len(before) != 5 || before["nodes"] != 3 || before["lag_seconds"] != 0 || before["serving_cached"] != 0 || before["steps_run_again"] != 0 {
		t.Errorf("all is well: %v", before)
	}
	if err := node.View(t.Context(), func(storage.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := read(); got["trips"] != before["trips"]+1 {
		t.Errorf("after one look at the database: %v, before %v", got, before)
	}
	node.Cut(true)
	if got := read(); got["serving_cached"] != 1 || got["lag_seconds"] < 3600 {
		t.Errorf("the database cannot be reached: %v", got)
	}
	node.Cut(false)
	if got := read(); got["serving_cached"] != 0 {
		t.Errorf("nothing is served any more: %v", got)
	}
}

// sharedCollector collects what is of a shared database alone.
type sharedCollector struct {
	gauges
	node *enginetest.Node
}

func (c sharedCollector) Collect(ch chan<- prometheus.Metric) {
	c.collectShared(context.Background(), ch, c.node)
}
