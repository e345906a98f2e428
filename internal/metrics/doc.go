// Package metrics counts what both programs do, and tells Prometheus. It alone
// knows Prometheus: those who do something declare what is to be recorded of it,
// and here is what records. Names and labels are what dashboards and alert rules
// hold on to, so they never change; no label has more values than the code has
// constants.
package metrics
