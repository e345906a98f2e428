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

// Scouts adds the metrics that are read at each scrape: the registered scouts by
// state, and how many files are listed. It is called once, before Handler.
func (m *Scoutmaster) Scouts(counts func() map[roster.State]int, files func() int) {
	m.registry.MustRegister(stateCounts{
		counts: counts,
		scouts: prometheus.NewDesc(m.prefix+"scouts", "Registered scouts by state; `gone` counts hosts and directories whose scouts left without deregistering in the last day and have not come back.", []string{"state"}, nil),
	})
	m.gauge("files", "Listed files.", func() float64 { return float64(files()) })
}

// stateCounts collects how many scouts are in each state.
type stateCounts struct {
	counts func() map[roster.State]int
	scouts *prometheus.Desc
}

func (c stateCounts) Describe(descs chan<- *prometheus.Desc) { descs <- c.scouts }

func (c stateCounts) Collect(metrics chan<- prometheus.Metric) {
	counts := c.counts()
	for _, state := range append(roster.States[:], roster.Gone) {
		metrics <- prometheus.MustNewConstMetric(c.scouts, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
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
