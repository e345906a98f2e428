// Package master knows which scouts are live, and shows in the list what each
// of them shows. It knows nothing of disks and HTTP, and of sessions only the
// interface that they call.
//
// # A function of a log
//
// What counts is decided in one place: a [State] applies the entries of a [Log]
// one after the other, and is the only writer of the list. A [Registry] lets
// scouts in, and appends what their sessions say. A scoutmaster that is alone has
// a log that is a function call; the State cannot tell the difference.
//
// Several scoutmasters that [Share] a list have a log in common, which may be
// late, doubled, cut short or made anew. Each is known by an Instance from its
// first Tick on. One that has missed entries takes the State of another. One that
// was taken for lost, or finds another epoch, ends its sessions and begins anew as
// another Instance.
//
// The position is how far a State has followed the log. The revision is the
// position of the last entry that changed names, or who shows them.
//
// # Phases
//
// A session holds its origin from Joined to Left. Its entries count if its
// scoutmaster is live, and change its phase as follows:
//
//	phase    Update, Reset  Update           Hidden      Status    Left
//	waiting  → shown        → hidden: error  → hidden    is noted  → left
//	hidden   → shown        → hidden: error  new reason  is noted  → left
//	shown    is shown       is shown         → hidden    is noted  → left
//	left     ignored        ignored          ignored     ignored   ignored
//
// A session waits until its scout's first snapshot has come. An Update that does
// not fit hides the scout and is an error for its writer. A session that was
// replaced has left: its late entries never touch its successor.
//
// A scoutmaster's phase:
//
//	phase    Tick, and entries    Suspect, Lost   Leaving    Buried
//	         of its sessions
//	live     count, and refute    → lost          → leaving  ignored
//	         a Suspect
//	leaving  ignored              ignored         ignored    → removed
//	lost     ignored              ignored         ignored    → removed
//
// The origins of a scoutmaster that is leaving or lost are free: they stay shown
// until another session takes them, or the scoutmaster is buried.
package master
