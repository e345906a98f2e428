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
// # When the log fails
//
//   - Entries are missing, because the ring has run over them: the scoutmaster is not
//     ready until it has another's State, of the log as it is now.
//   - The log is another one, or has gone back: nothing in it counts until an epoch
//     begins. A scoutmaster that has asked in vain for another's State begins one,
//     once the log has answered and stayed silent for the deadline, or for a heartbeat
//     if it has the log from its first entry on. Each logs why as "log rebuilt".
//   - Ticks show that lists differ: a scoutmaster whose list differs from those of
//     most others takes another's State. If that does not help within a minute, it
//     begins an epoch, but not within five minutes of the last beginning.
//   - An entry is of a kind that is not known: see the protocol's formats. The
//     scoutmaster stands aside until it has a State that it understands, or another
//     epoch has begun, if need be by itself when nobody else lives.
//   - Nothing comes: the scoutmaster is cut off, and its sessions end.
//   - Entries come, and its own word does not, for longer than the deadline: the
//     scoutmaster lags, and is not ready. The others take it for lost at about that time.
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
