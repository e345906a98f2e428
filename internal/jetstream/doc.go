// Package jetstream is a totally ordered log and a way to send requests between
// scoutmasters, over the NATS servers that the user runs. It knows nothing of
// what the entries and the requests say.
//
// # The log
//
// The log of a fleet is one stream with one subject: a ring of bounded size. The
// stream republishes each entry on a second subject, and every follower subscribes
// to that: after the death of the stream's leader a subscription goes on as soon as
// the stream does, and a consumer takes seconds more. A subscription may miss
// entries and may see one twice; Follow reads missing entries from the stream and
// skips entries that it has delivered.
//
//	scout.FLEET.log             entries are published here
//	scout.FLEET.followed        and republished here, in the order of the log
//	scout.FLEET.to.NAME         requests to the scoutmaster NAME
//	SCOUT_FLEET                 the stream
//
// # What is not promised
//
// An append that fails may have been written, and may still be written later.
// The log may lose entries that were acknowledged, go back in time, or be made
// anew with other entries under the same sequences: Follow reports what it can
// see of this (ErrLost, ErrRewritten); the entries themselves must prove the
// rest.
package jetstream
