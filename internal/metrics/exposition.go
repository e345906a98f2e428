package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// exposition has all metrics of one program.
type exposition struct {
	registry *prometheus.Registry
	make     promauto.Factory
	prefix   string // of the program's own metrics
}

// newExposition returns the metrics of every Go program, and the version.
func newExposition(program, version string) exposition {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	e := exposition{registry: registry, make: promauto.With(registry), prefix: program + "_"}
	e.make.NewGauge(prometheus.GaugeOpts{
		Name:        e.prefix + "build_info",
		Help:        "Always 1; the label is the version.",
		ConstLabels: prometheus.Labels{"version": version},
	}).Set(1)
	return e
}

// handler serves the metrics. It logs errors of collectors.
func (e exposition) handler(log *zap.Logger) http.Handler {
	return promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(log),
		// For a nearby scraper compression costs more than it saves. The caller may
		// compress.
		DisableCompression: true,
		EnableOpenMetrics:  true,
	})
}

func (e exposition) counter(name, help string) prometheus.Counter {
	return e.make.NewCounter(prometheus.CounterOpts{Name: e.prefix + name, Help: help})
}

// counters returns a counter for each value of a label. All of them exist from the
// start, so the first event is visible as an increase.
func (e exposition) counters(name, help, label string, values ...string) *prometheus.CounterVec {
	vec := e.make.NewCounterVec(prometheus.CounterOpts{Name: e.prefix + name, Help: help}, []string{label})
	for _, v := range values {
		vec.WithLabelValues(v)
	}
	return vec
}

func (e exposition) gauge(name, help string, read func() float64) {
	e.make.NewGaugeFunc(prometheus.GaugeOpts{Name: e.prefix + name, Help: help}, read)
}

func (e exposition) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return e.make.NewHistogram(prometheus.HistogramOpts{Name: e.prefix + name, Help: help, Buckets: buckets})
}

// The buckets of the histograms: seconds and bytes.
var (
	quickly = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	slowly  = []float64{.001, .01, .1, .5, 1, 5, 10, 30, 60, 300, 1800}
	sizes   = prometheus.ExponentialBuckets(1<<10, 8, 8) // 1 KiB to 2 GiB
)
