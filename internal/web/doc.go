// Package web serves the list over HTTP. It knows what a request asks for, which
// entries that selects, and how an answer is told; internal/render knows how
// entries look. It must not know sessions or disks.
//
// A request to /files becomes a plan (plan.go), before anything is answered. If it has
// a tag, cursor or id of another scoutmaster of the fleet, it waits until this one has
// reached that revision (ready.go). Each endpoint is in one file: files.go, watch.go
// (events), scouts.go, page.go, openapi.go, and handler.go for health.
package web
