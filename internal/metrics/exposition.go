package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// exposition is all the metrics of one program.
type exposition struct {
	registry *prometheus.Registry
	make     promauto.Factory
	prefix   string // of the metrics that are the program's own
}

// newExposition has what every Go program has, and which version this one is.
func newExposition(program, version string) exposition {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	e := exposition{registry: registry, make: promauto.With(registry), prefix: program + "_"}
	e.make.NewGauge(prometheus.GaugeOpts{
		Name:        e.prefix + "build_info",
		Help:        "1, labelled with the version that this is.",
		ConstLabels: prometheus.Labels{"version": version},
	}).Set(1)
	return e
}

// handler serves the metrics. What cannot be collected is logged.
func (e exposition) handler(log *zap.Logger) http.Handler {
	return promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(log),
		// Compression would cost more than the connection to a scraper nearby,
		// and whoever serves this compresses or not as it likes.
		DisableCompression: true,
		EnableOpenMetrics:  true,
	})
}

func (e exposition) counter(name, help string) prometheus.Counter {
	return e.make.NewCounter(prometheus.CounterOpts{Name: e.prefix + name, Help: help})
}

// counters is a counter for each value of a label; each is there from the
// start, so that the first event of its kind is an increase.
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
