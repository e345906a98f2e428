package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"scout/internal/roster"
	"scout/internal/stream"
	"scout/internal/web"
)

// Scoutmaster has the metrics of a scoutmaster. It implements [stream.Recorder]
// and [web.Recorder].
type Scoutmaster struct {
	exposition

	refusals, drops *prometheus.CounterVec
	added, removed  prometheus.Counter
	latency         prometheus.Histogram
	snapshotTime    prometheus.Histogram
	snapshotBytes   prometheus.Histogram
	snapshotNames   prometheus.Counter
	resyncs, missed prometheus.Counter
	requests        *prometheus.CounterVec
	requestTime     *prometheus.HistogramVec
	requestBytes    *prometheus.CounterVec
	inFlight        prometheus.Gauge
}

var (
	_ stream.Recorder = (*Scoutmaster)(nil)
	_ web.Recorder    = (*Scoutmaster)(nil)
)

// lefts and refusals are all values of the reason labels.
var (
	lefts = []string{
		string(stream.LeftDeregistered), string(stream.LeftBroken), string(stream.LeftSilent),
		string(stream.LeftReplaced), string(stream.LeftViolation), string(stream.LeftStopping),
		string(stream.LeftExceeded), string(stream.LeftDenied), string(stream.LeftNoRoom),
	}
	refusals = []string{
		string(stream.RefusedHeld), string(stream.LeftViolation), string(stream.LeftSilent),
		string(stream.LeftBroken), string(stream.LeftStopping),
		string(stream.LeftExceeded), string(stream.LeftDenied), string(stream.LeftNoRoom),
	}
)

// NewScoutmaster returns metrics that are all zero.
func NewScoutmaster(version string) *Scoutmaster {
	e := newExposition("scoutmaster", version)
	changes := e.counters("changes_total", "Names that changes added to the list or removed from it, without snapshots.",
		"change", "added", "removed")
	m := &Scoutmaster{
		exposition: e,
		refusals:   e.counters("registrations_refused_total", "Refused registrations.", "reason", refusals...),
		drops:      e.counters("scouts_dropped_total", "Registered scouts that left or were dropped.", "reason", lefts...),
		added:      changes.WithLabelValues("added"),
		removed:    changes.WithLabelValues("removed"),
		latency: e.histogram("change_visible_seconds",
			"Time from when a scout learned of a change until the list shows it, without the time on the network.", quickly),
		snapshotTime:  e.histogram("snapshot_seconds", "Time from the first part of a snapshot until the list shows it.", slowly),
		snapshotBytes: e.histogram("snapshot_bytes", "Size of snapshots on the wire.", sizes),
		snapshotNames: e.counter("snapshot_files_total", "Names received in snapshots."),
		resyncs:       e.counter("resyncs_total", "Copies that differed from the scout's files, so that the scoutmaster requested a snapshot."),
		missed:        e.counter("heartbeats_missed_total", "Heartbeats of scouts that did not arrive in time."),
	}
	m.addHTTP()
	return m
}

func (m *Scoutmaster) addHTTP() {
	m.requests = m.make.NewCounterVec(prometheus.CounterOpts{
		Name: m.prefix + "http_requests_total", Help: "Answered requests.",
	}, []string{"route", "code"})
	m.requestTime = m.make.NewHistogramVec(prometheus.HistogramOpts{
		Name: m.prefix + "http_request_duration_seconds", Buckets: quickly,
		Help: "Time from a request to the end of its answer, without endless answers.",
	}, []string{"route"})
	m.requestBytes = m.make.NewCounterVec(prometheus.CounterOpts{
		Name: m.prefix + "http_response_bytes_total", Help: "Bytes of answers' bodies, as sent.",
	}, []string{"route"})
	m.inFlight = m.make.NewGauge(prometheus.GaugeOpts{
		Name: m.prefix + "http_requests_in_flight", Help: "Requests in progress.",
	})
}

// Read adds the metrics that are read at each scrape. It is called once, before
// Handler. replicas returns how many copies of the log are current.
//
// Metrics of the scoutmaster's own scouts add up over the scoutmasters of a fleet.
// Those of the fleet are the same at each of them.
func (m *Scoutmaster) Read(counts func() roster.Counts, replicas func() int) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(m.prefix+name, help, labels, nil)
	}
	m.registry.MustRegister(totals{
		counts: counts, replicas: replicas,
		scouts:       desc("scouts", "Scouts that are registered with this scoutmaster, by state; `gone` counts hosts and directories whose scouts left it without deregistering in the last day and have not come back to any.", "state"),
		files:        desc("files", "Listed files of the scouts that are registered with this scoutmaster."),
		fleetScouts:  desc("fleet_scouts", "Scouts of the whole fleet, by state, as this scoutmaster knows them: about the same at each, so take the maximum and not the sum.", "state"),
		fleetFiles:   desc("fleet_files", "Files in the list that this scoutmaster serves, of the whole fleet."),
		scoutmasters: desc("fleet_scoutmasters", "Scoutmasters of the fleet, by state, as this one knows them; all 0 without -nats.", "state"),
		cutOff:       desc("cut_off", "1 while nothing comes to this scoutmaster through the log of its fleet, so that it does not answer."),
		lag:          desc("log_lag_seconds", "Time since this scoutmaster wrote what has come back to it last through the log: about a heartbeat while it keeps up, 0 without -nats."),
		foreign:      desc("log_foreign_messages_total", "Messages in the log that are no entries of the fleet and were ignored."),
		copies:       desc("log_replicas", "Copies of the log that are current; 0 without -nats or as long as that is not known."),
	})
}

// totals collects what a scoutmaster counts.
type totals struct {
	counts   func() roster.Counts
	replicas func() int

	scouts, files, fleetScouts, fleetFiles *prometheus.Desc
	scoutmasters, cutOff, lag, foreign     *prometheus.Desc
	copies                                 *prometheus.Desc
}

func (t totals) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{t.scouts, t.files, t.fleetScouts, t.fleetFiles, t.scoutmasters, t.cutOff, t.lag, t.foreign, t.copies} {
		descs <- d
	}
}

func (t totals) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	c := t.counts()
	for _, state := range append(roster.States[:], roster.Gone) {
		gauge(t.scouts, float64(c.Own.Scouts[state]), string(state))
		gauge(t.fleetScouts, float64(c.Fleet.Scouts[state]), string(state))
	}
	gauge(t.files, float64(c.Own.Files))
	gauge(t.fleetFiles, float64(c.Fleet.Files))
	for _, state := range roster.ScoutmasterStates {
		gauge(t.scoutmasters, float64(c.Scoutmasters[state]), string(state))
	}
	gauge(t.cutOff, one(c.CutOff))
	gauge(t.lag, c.Lag.Seconds())
	metrics <- prometheus.MustNewConstMetric(t.foreign, prometheus.CounterValue, float64(c.Foreign))
	gauge(t.copies, float64(t.replicas()))
}

// Handler serves the metrics.
func (m *Scoutmaster) Handler(log *zap.Logger) http.Handler { return m.handler(log) }

// Refused is part of [stream.Recorder].
func (m *Scoutmaster) Refused(reason stream.LeaveReason) {
	m.refusals.WithLabelValues(string(reason)).Inc()
}

// Left is part of [stream.Recorder].
func (m *Scoutmaster) Left(reason stream.LeaveReason) { m.drops.WithLabelValues(string(reason)).Inc() }

// Snapshot is part of [stream.Recorder].
func (m *Scoutmaster) Snapshot(names, bytes int, took time.Duration) {
	m.snapshotTime.Observe(took.Seconds())
	m.snapshotBytes.Observe(float64(bytes))
	m.snapshotNames.Add(float64(names))
}

// Change is part of [stream.Recorder].
func (m *Scoutmaster) Change(added, removed int, latency time.Duration) {
	m.added.Add(float64(added))
	m.removed.Add(float64(removed))
	m.latency.Observe(latency.Seconds())
}

// Resync is part of [stream.Recorder].
func (m *Scoutmaster) Resync() { m.resyncs.Inc() }

// HeartbeatMissed is part of [stream.Recorder].
func (m *Scoutmaster) HeartbeatMissed() { m.missed.Inc() }

// Began is part of [web.Recorder].
func (m *Scoutmaster) Began() { m.inFlight.Inc() }

// Answered is part of [web.Recorder].
func (m *Scoutmaster) Answered(a web.Answer) {
	m.inFlight.Dec()
	m.requests.WithLabelValues(a.Route, strconv.Itoa(a.Status)).Inc()
	m.requestBytes.WithLabelValues(a.Route).Add(float64(a.Bytes))
	if !a.Stream {
		m.requestTime.WithLabelValues(a.Route).Observe(a.Took.Seconds())
	}
}
