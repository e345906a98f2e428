// Package stream is a session between a scout and its scoutmaster, both ends:
// registration, snapshots and changes, heartbeats, and how each end notices that
// the other one is gone. It knows the protocol of proto/scout/v1. It must not know
// disks or HTTP.
//
// The scout's end is in scout.go, which keeps the scout registered, and
// scoutsession.go. The master's end is in server.go, mastersession.go (the handler),
// masterio.go (the sender and the receiver) and replica.go (the rules). Adoption is in
// adoption.go: a scout that comes back goes on from a state that the list still has.
//
// # Messages to the scoutmaster
//
// The phase of a session determines which messages its scout may send. "!" ends the
// session as a violation, "→" enters a phase, "compare" compares the fingerprint in
// the message with the copy. In every phase Hello is a violation, and a message with
// unknown content is only a sign of life.
//
//	phase      Offer     snapshot part      change part        Unavailable  Beat      Looked
//	hidden     →queued   !                  !                  hide         compare   !
//	queued     the same  →differing         !                  →hidden      compare   !
//	granted    the same  →snapshot, →shown  !                  →hidden      compare   !
//	snapshot   !         next; last: →shown !                  →hidden      !         !
//	shown      →queued   !                  →change, →shown    →hidden      compare   answers
//	change     !         !                  next; last: →shown →hidden      !         !
//	differing  ignored   ignored            ignored            hide         ignored   asked again
//	resyncing  →queued   ignored            ignored            →hidden      ignored   asked again
//
// A session begins as hidden, or as shown if the Welcome keeps files. When the
// snapshot queue has a slot, queued becomes granted and the master sends a
// Grant. Nothing else admits a snapshot. If "compare" or the last part of an update
// does not fit the copy, the session enters differing and hides the copy. Then it
// sends a Resync and enters resyncing: at once, or later if Resyncs repeat. The copy
// stays shown while the next snapshot is offered and arrives.
//
// # Messages to the scout
//
//	phase        View with a Set      View without one     Grant      Resync
//	untold       Offer, →offered      →unavailable         ignored    →untold
//	unavailable  Offer, →offered      Unavailable if new   ignored    →untold
//	offered      wait                 →unavailable         →allowed   →untold
//	allowed      snapshot, →synced    →unavailable         ignored    →untold
//	synced       change if it differs →unavailable         ignored    →untold
//
// A session begins as untold, or as synced with the state that the Welcome keeps.
// "→unavailable" sends Unavailable. An Offer that answers a Resync is delayed if
// Resyncs repeat. In every phase a Beat answers a Probe. In synced, Looked answers a
// Look after the Directory was rescanned and its View was sent.
package stream
