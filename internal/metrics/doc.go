// Package metrics has the metrics of both programs for Prometheus. No other
// package knows Prometheus: each declares the recorder interface that it calls,
// and this package implements it. Dashboards and alert rules depend on names and
// labels, so these never change. No label has more values than the code has
// constants.
package metrics
