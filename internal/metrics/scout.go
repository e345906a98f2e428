package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/stream"
)

// Scout has the metrics of a scout. It implements [stream.ScoutRecorder].
type Scout struct {
	exposition

	registered     atomic.Bool
	registrations  prometheus.Counter
	losses         prometheus.Counter
	resyncs        prometheus.Counter
	added, removed prometheus.Counter
	changeBytes    prometheus.Counter
	age            prometheus.Histogram
	snapshotTime   prometheus.Histogram
	snapshotBytes  prometheus.Histogram
}

var _ stream.ScoutRecorder = (*Scout)(nil)

// NewScout returns metrics that are zero. A scrape reads the state of the directory
// from view.
func NewScout(version string, view func() files.View) *Scout {
	e := newExposition("scout", version)
	changes := e.counters("changes_sent_total", "Names that were sent as added or removed, without snapshots.",
		"change", "added", "removed")
	s := &Scout{
		exposition:    e,
		registrations: e.counter("registrations_total", "Accepted registrations of this scout."),
		losses:        e.counter("master_losses_total", "Lost connections to the scoutmaster."),
		resyncs:       e.counter("resyncs_total", "Resyncs that the scoutmaster requested because its copy differed."),
		added:         changes.WithLabelValues("added"),
		removed:       changes.WithLabelValues("removed"),
		changeBytes:   e.counter("change_sent_bytes_total", "Bytes of names that were sent as added or removed."),
		age:           e.histogram("change_sent_seconds", "Time from when the scout learned of a change until it was sent.", quickly),
		snapshotTime:  e.histogram("snapshot_sent_seconds", "Time to send a snapshot.", slowly),
		snapshotBytes: e.histogram("snapshot_sent_bytes", "Size of snapshots on the wire.", sizes),
	}
	e.gauge("registered", "1 while this scout is registered.", func() float64 { return one(s.registered.Load()) })
	s.addDirectory(view)
	return s
}

func (s *Scout) addDirectory(view func() files.View) {
	s.gauge("directory_available", "1 while the scout can list its directory.", func() float64 { return one(view().Set != nil) })
	s.gauge("files", "Files in the directory, or files found so far by a scan.", func() float64 { return float64(found(view())) })
	s.gauge("directories_unreadable", "Directories that cannot be read; their files are missing from the list.",
		func() float64 { return float64(view().Unreadable) })
	s.gauge("directories_polled", "Directories that are polled because they cannot be watched.",
		func() float64 { return float64(view().Polled) })
}

func found(v files.View) int {
	if v.Set == nil {
		return v.Scanned
	}
	return v.Set.Len()
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Handler serves the metrics.
func (s *Scout) Handler(log *zap.Logger) http.Handler { return s.handler(log) }

// IsRegistered reports whether the scout is registered now.
func (s *Scout) IsRegistered() bool { return s.registered.Load() }

// Registered is part of [stream.ScoutRecorder].
func (s *Scout) Registered() {
	s.registered.Store(true)
	s.registrations.Inc()
}

// MasterLost is part of [stream.ScoutRecorder].
func (s *Scout) MasterLost() {
	s.registered.Store(false)
	s.losses.Inc()
}

// SnapshotSent is part of [stream.ScoutRecorder].
func (s *Scout) SnapshotSent(_, bytes int, took time.Duration) {
	s.snapshotTime.Observe(took.Seconds())
	s.snapshotBytes.Observe(float64(bytes))
}

// ChangeSent is part of [stream.ScoutRecorder].
func (s *Scout) ChangeSent(added, removed, bytes int, age time.Duration) {
	s.added.Add(float64(added))
	s.removed.Add(float64(removed))
	s.changeBytes.Add(float64(bytes))
	s.age.Observe(age.Seconds())
}

// ResyncRequested is part of [stream.ScoutRecorder].
func (s *Scout) ResyncRequested() { s.resyncs.Inc() }
