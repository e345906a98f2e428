// Package web serves the list over HTTP. It knows what a request asks for, which
// entries that selects, and how an answer is told; internal/render knows how
// entries look. It must not know sessions or disks.
//
// A request to /files becomes a plan (plan.go), before anything is answered. If it
// brings what another scoutmaster of the fleet has told the client, it waits until
// this one has come as far (reach.go). Each
// endpoint is in one file: files.go, watch.go (events), scouts.go, page.go,
// openapi.go, and handler.go for those that say how the scoutmaster is doing.
package web
