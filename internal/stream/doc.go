// Package stream is one session between a scout and its scoutmaster, both ends
// of it: registration, snapshots and changes, heartbeats, and how each end
// notices that the other is gone. It knows the protocol of proto/scout/v1 and
// must not know what a disk or an HTTP request is.
package stream
