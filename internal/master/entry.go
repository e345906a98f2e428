package master

import (
	"time"

	"scout/internal/files"
	"scout/internal/stream"
)

// Instance names one life of a scoutmaster. It is drawn at random.
type Instance uint64

// SessionID names a scout's session: the scoutmaster that it came to, and a
// number there, from 1 on.
type SessionID struct {
	Instance Instance
	Number   uint64
}

// Entry is one step of the log: something that a scoutmaster, or one of its
// sessions, has to say. Apply counts an entry only if its Serial follows that of
// the last entry of the same session that counted, so that an entry may be
// appended again as long as it is not known whether it is in the log.
type Entry struct {
	Epoch   uint64
	Session SessionID // Number 0 is the scoutmaster itself
	Serial  uint64    // counts the entries of the session, from 1 on
	// Body is one of the types below, or nil for a kind that this version does
	// not know.
	Body Body
}

// Body is what an Entry says.
type Body interface{ isBody() }

// The entries of a scoutmaster.
type (
	// Begin begins another epoch, which the Entry names, after the one before.
	// Of several entries that name one epoch as the one before, the first counts.
	// It empties the list: all scoutmasters and their scouts begin anew.
	Begin struct {
		Before uint64
		Reason string
	}

	// Tick is a scoutmaster's sign of life. The first one makes it known.
	Tick struct {
		Name, URL, Version string
		Address            string // where requests of other scoutmasters reach it
		// Position is how far the scoutmaster has followed the log, and Digest that
		// of its list there.
		Position, Digest uint64
		Revision         uint64 // of its list, for people
		// Reads is the latest format that the scoutmaster reads.
		Reads uint32
		// Deadline is the silence after which the scoutmaster is lost.
		Deadline time.Duration
	}

	// Suspect says that nothing has come from a scoutmaster for the deadline. Any
	// later entry of that scoutmaster refutes it.
	Suspect struct{ Of Instance }

	// Lost frees the origins of a suspected scoutmaster, whose files stay shown
	// while its scouts move. It counts only if nothing has refuted the Suspect,
	// which was at a position.
	Lost struct {
		Of      Instance
		Suspect uint64
	}

	// Buried removes what is left of a scoutmaster that is lost or has left.
	Buried struct{ Of Instance }

	// Leaving frees the origins of the scoutmaster that says so, which stay shown
	// while its scouts move. No later entry of it counts.
	Leaving struct{}
)

// The entries of a session.
type (
	// Joined registers a scout. It counts only if no session holds the origin, or
	// if the holder's scoutmaster is lost or leaving, or if the holder is Replaces.
	Joined struct {
		Origin files.Origin
		// Replaces is a holder that does not answer. The zero SessionID is none.
		Replaces SessionID
		// Before is the session that the scout had before, as the logs name it, and
		// Has what it may show of it again: the states that it sent last.
		Before string
		Has    []Shown

		Session    string // names the session in both sides' logs
		Version    string
		Address    string
		Registered time.Time
	}

	// Update changes what a scout shows, or, with Reset, replaces all of it. One
	// that is too large for an entry comes in parts, one after the other, of which
	// the last one has no More.
	Update struct {
		Reset, More bool
		Delta       files.Delta // of an Update that was made here
		// Parts are the names of an Update that has come through the log, encoded.
		Parts Parts
		// Of the last part:
		Revision uint64 // the scout's own
		Shown    Shown  // what the scout shows after the Update
	}

	// Hidden removes what a scout shows. It keeps its registration.
	Hidden struct {
		Reason  string
		Scanned uint64
	}

	// Status is how well a scout sees its directory.
	Status struct{ Condition stream.Condition }

	// Left ends a registration.
	Left struct{ Reason string }
)

// Shown identifies a set of names.
type Shown struct{ Count, Digest uint64 }

// Parts are names that were removed and added, each a list of names as it
// travels, see the protocol. Either may be empty.
type Parts struct{ Removed, Added []byte }

// formatRead is the latest format of entries that this version reads. A kind of
// entry that is added has a format of its own.
const formatRead = 1

// firstFormat is the format that every scoutmaster reads.
const firstFormat = 1

// formatOf returns the format of a kind of entry.
func formatOf(Body) uint32 { return firstFormat }

func (*Begin) isBody()   {}
func (*Tick) isBody()    {}
func (*Suspect) isBody() {}
func (*Lost) isBody()    {}
func (*Buried) isBody()  {}
func (*Leaving) isBody() {}
func (*Joined) isBody()  {}
func (*Update) isBody()  {}
func (*Hidden) isBody()  {}
func (*Status) isBody()  {}
func (*Left) isBody()    {}
