package module

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const metricsPrefix = "caddy_email_link_"

// The collectors live as long as the process: Caddy's registry is a new one at each load, the counts are not.
var metrics = struct {
	mails, flows, denied *prometheus.CounterVec
	issued               prometheus.Counter
	commits              prometheus.Histogram
	gauges               gauges
}{
	mails: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: metricsPrefix + "mails_total", Help: "Mails by purpose and outcome of an attempt: sent, dropped, retry, dead.",
	}, []string{"purpose", "outcome"}),
	flows: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: metricsPrefix + "flows_total", Help: "Steps of flows by purpose, step and outcome.",
	}, []string{"purpose", "step", "outcome"}),
	denied: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: metricsPrefix + "denied_total", Help: "Requests and mails refused by a limit.",
	}, []string{"limit"}),
	issued: prometheus.NewCounter(prometheus.CounterOpts{
		Name: metricsPrefix + "assertions_minted_total", Help: "Assertions made; one serves many requests.",
	}),
	commits: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: metricsPrefix + "store_commit_seconds", Help: "Time from asking for a durable step to its commit.",
		Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, 1, 5},
	}),
	gauges: gauges{
		queue:    prometheus.NewDesc(metricsPrefix+"mail_queue_length", "Mails that wait to be sent.", nil, nil),
		oldest:   prometheus.NewDesc(metricsPrefix+"mail_oldest_seconds", "Age of the oldest mail that waits, 0 when none does.", nil, nil),
		machines: prometheus.NewDesc(metricsPrefix+"machine_tokens", "Machine tokens that were issued and whose time is not over.", nil, nil),
		sessions: prometheus.NewDesc(metricsPrefix+"sessions", "Sessions held in memory.", nil, nil),
		nodes:    prometheus.NewDesc(metricsPrefix+"nodes", "Caddys that share the database, heard of in the last half minute.", nil, nil),
		lag:      prometheus.NewDesc(metricsPrefix+"lag_seconds", "Time since what other nodes have changed was last known.", nil, nil),
		serving:  prometheus.NewDesc(metricsPrefix+"serving_cached", "1 while the database cannot be reached and what was read before is served.", nil, nil),
		again:    prometheus.NewDesc(metricsPrefix+"steps_run_again", "Steps that ran again because others came between, since the start.", nil, nil),
		trips:    prometheus.NewDesc(metricsPrefix+"trips", "Messages to the database, since the start.", nil, nil),
	},
}

// registerMetrics adds the collectors to the registry of a load. One that is there already is no error.
func registerMetrics(registry *prometheus.Registry) {
	if registry == nil {
		return
	}
	for _, c := range []prometheus.Collector{metrics.mails, metrics.flows, metrics.denied, metrics.issued, metrics.commits, metrics.gauges} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			panic(err) // two collectors of this package with one name
		}
	}
}

// observer counts for the packages that know nothing of metrics and alerts.
type observer struct{ alerts *alertSink }

// Mailed implements outbox.Observer.
func (observer) Mailed(purpose, outcome string) {
	metrics.mails.WithLabelValues(purpose, outcome).Inc()
}

// Denied implements outbox.Observer and flow.Observer.
func (observer) Denied(limit string) { metrics.denied.WithLabelValues(limit).Inc() }

// Flow implements flow.Observer.
func (observer) Flow(purpose, step, outcome string) {
	metrics.flows.WithLabelValues(purpose, step, outcome).Inc()
}

// Requested implements flow.Observer.
func (o observer) Requested(client netip.Addr, mailbox storage.Digest, masked string) {
	if counter := o.alerts.counter.Load(); counter != nil {
		counter.Requested(o.alerts.clock.Now(), client, binary.BigEndian.Uint64(mailbox[:]), masked)
	}
}

// gauges reads what runs at the moment it is asked.
type gauges struct {
	queue, oldest, sessions, machines *prometheus.Desc
	// Those of a database that several nodes share.
	nodes, lag, serving, again, trips *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (g gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.queue
	ch <- g.oldest
	ch <- g.sessions
	ch <- g.machines
	ch <- g.nodes
	ch <- g.lag
	ch <- g.serving
	ch <- g.again
	ch <- g.trips
}

// gaugeWait bounds how long a scrape waits for the store.
const gaugeWait = 2 * time.Second

// Collect implements prometheus.Collector.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	p, ok := Running()
	if !ok {
		return
	}
	ch <- prometheus.MustNewConstMetric(g.sessions, prometheus.GaugeValue, float64(p.Sessions.Stats().Sessions))
	ch <- prometheus.MustNewConstMetric(g.machines, prometheus.GaugeValue, float64(p.Machines.Stats().Issued))
	ctx, cancel := context.WithTimeout(context.Background(), gaugeWait)
	defer cancel()
	if shared, ok := p.Store.(storage.Shared); ok {
		g.collectShared(ctx, ch, shared)
	}
	var waiting int
	var oldest time.Time
	err := p.Store.View(ctx, func(tx storage.Tx) (err error) {
		waiting, oldest, err = tx.Outbox().Stats()
		return err
	})
	if err != nil {
		return
	}
	age := 0.0
	if waiting > 0 && !oldest.IsZero() {
		age = max(0, p.Clock.Now().Sub(oldest).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(g.queue, prometheus.GaugeValue, float64(waiting))
	ch <- prometheus.MustNewConstMetric(g.oldest, prometheus.GaugeValue, age)
}

// collectShared collects what is of a database that several nodes share.
func (g gauges) collectShared(ctx context.Context, ch chan<- prometheus.Metric, shared storage.Shared) {
	serving := 0.0
	if until, out := shared.Outage(); out && !clock.Passed(until) {
		serving = 1
	}
	again, trips := shared.Activity()
	ch <- prometheus.MustNewConstMetric(g.serving, prometheus.GaugeValue, serving)
	ch <- prometheus.MustNewConstMetric(g.lag, prometheus.GaugeValue, max(0, shared.MaxLag()-time.Until(shared.FreshUntil())).Seconds())
	ch <- prometheus.MustNewConstMetric(g.again, prometheus.CounterValue, float64(again))
	ch <- prometheus.MustNewConstMetric(g.trips, prometheus.CounterValue, float64(trips))
	if list, err := shared.Nodes(ctx); err == nil {
		ch <- prometheus.MustNewConstMetric(g.nodes, prometheus.GaugeValue, float64(len(list)))
	}
}

// timedStore measures the steps.
type timedStore struct{ storage.Store }

// Update implements storage.Store.
func (s timedStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	timer := prometheus.NewTimer(metrics.commits)
	err := s.Store.Update(ctx, fn)
	if err == nil {
		timer.ObserveDuration()
	}
	return err
}

// timedBackuper is a timedStore of an engine that makes copies.
type timedBackuper struct {
	timedStore
	storage.Backuper
}

// timedShared is a timedStore that other nodes use too.
type timedShared struct{ storage.Shared }

// Update implements storage.Store.
func (s timedShared) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return timedStore{s.Shared}.Update(ctx, fn)
}

// timed measures the steps of a store.
func timed(s storage.Store) storage.Store {
	if shared, ok := s.(storage.Shared); ok {
		return timedShared{shared}
	}
	if b, ok := s.(storage.Backuper); ok {
		return timedBackuper{timedStore{s}, b}
	}
	return timedStore{s}
}
