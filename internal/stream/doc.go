// Package stream is one session between a scout and its scoutmaster, both ends
// of it: registration, snapshots and changes, heartbeats, and how each end
// notices that the other is gone. It knows the protocol of proto/scout/v1 and
// must not know what a disk or an HTTP request is.
//
// A scout is in scout.go, which keeps it registered, and scoutsession.go; a
// scoutmaster in server.go, mastersession.go (the handler), masterio.go (its
// sender and receiver) and replica.go (the rules).
//
// # What a scoutmaster makes of each message
//
// The phase of a session says what its scout may send. "copy" is the list that
// is shown, "!" ends the session as a violation, "→" enters a phase. In every
// phase Hello is a violation, and a message that says nothing known is a sign of
// life.
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
// queued becomes granted, and a Grant is sent, when the snapshot queue has a slot;
// nothing else lets a snapshot come. "compare" and the last part of an update
// enter differing where they do not fit the copy, which is hidden then. differing
// becomes resyncing, and a Resync is sent: at once, or later where Resyncs follow
// each other. A copy stays shown while the next snapshot is on offer and on its
// way.
//
// # What a scout makes of each message
//
//	phase        View with a Set      View without one     Grant      Resync
//	untold       Offer, →offered      →unavailable         ignored    →untold
//	unavailable  Offer, →offered      Unavailable if new   ignored    →untold
//	offered      wait                 →unavailable         →allowed   →untold
//	allowed      snapshot, →synced    →unavailable         ignored    →untold
//	synced       change if it differs →unavailable         ignored    →untold
//
// "→unavailable" says Unavailable. An Offer that answers a Resync waits where
// Resyncs follow each other. A Probe is answered by a Beat in every phase, a Look
// by Looked in synced, once the Directory was rescanned and its View was sent.
package stream
