package stream

import (
	"context"
	"fmt"
	"time"

	"scout/internal/files"
)

// Registry knows the live scouts and their files. Many sessions call it at once.
type Registry interface {
	// Join registers p and returns the handle through which its session shows
	// files. It returns a *HeldError if a live scout holds the origin, and a
	// *NotServingError if scouts have to go to another scoutmaster. Join may
	// probe the holder (Peer.Probe). If the holder does not answer, Join evicts it
	// (Peer.Evict) and removes its files at once, without waiting for the Leave of
	// that session. Join returns when ctx is done: the newcomer has left.
	Join(ctx context.Context, p Peer) (Member, error)
}

// Peer is a scout that requests a registration, with functions that act on its
// session. Any goroutine may call them, even before Join returns and after the session
// has ended.
type Peer struct {
	Origin  files.Origin
	Version string
	Session string // the id of the session in the logs of both sides
	Address string // of the scout, for people
	// Identity is the proven name of the scout, for people; empty if none is
	// required.
	Identity string
	// Before is the id of the session that the scout had before; empty if it names
	// none. Sent are the last states that it has sent. The scout says both, so they
	// prove nothing.
	Before string
	Sent   []SentState

	// Probe asks the scout for a sign of life, and reports whether a message arrived
	// after the call. It returns false if ctx is done first or the session has ended.
	Probe func(ctx context.Context) bool
	// Rescan asks the scout to read its directory again. The channel is closed when
	// the member shows everything that was on the disk at the time of the call. It
	// stays open if the session ends first. Concurrent callers share one rescan.
	Rescan func() <-chan struct{}
	// Silence returns the time since the last message of the scout.
	Silence func() time.Duration
	// Evict ends the session and returns at once. The session leaves with
	// LeftReplaced. The reason is for people and names the successor, such as
	// "replaced by 10.0.0.7:40112".
	Evict func(reason string)
	// Dismiss ends the session and returns at once. The session leaves with
	// LeftStopping, and the scout goes to another scoutmaster. The reason is for
	// people.
	Dismiss func(reason string)
}

// Member is one session's handle on the registry. One goroutine uses it, calls it in
// the order of the scout's messages, and ends with Leave. Calls after the member was
// evicted have no effect, because the last messages of its session may arrive while its
// successor is live.
//
// The session checks revisions, counts, digests and the syntax of names before it calls.
// The member may keep and share the sets and deltas that it gets.
type Member interface {
	// Kept returns the state that the member has shown since Join, because the list
	// had it of the scout and it is one of Peer.Sent. It returns nil if there is none.
	Kept() *Kept
	// Reset replaces all files of the scout with set.
	Reset(set *files.Set, by Arrival)
	// Apply changes the files of the scout as one step. If a removed name is not shown,
	// an added one is shown already, or a name is in both, it returns an error with the
	// name and changes nothing. It is called only after a Reset, or with files that
	// were Kept, without a later Hide.
	Apply(d files.Delta, by Arrival) error
	// Hide hides the files of the scout until the next Reset. The scout stays
	// registered. Hide is called again when the reason or the number of scanned files
	// changes.
	Hide(reason string, scanned uint64)
	// Report records the condition of the directory as of the scout's last beat.
	Report(c Condition)
	// Leave ends the registration and removes the files of the scout.
	Leave(reason LeaveReason)
}

// Condition is the state of a scout's directory.
type Condition struct {
	Unreadable uint64        // directories that cannot be read
	Polled     uint64        // directories that are polled because they cannot be watched
	Incomplete string        // why files may be missing, one line for people; "": none are
	PollRound  time.Duration // time in which the poll verifies every directory once; 0: not known
}

// Arrival describes a complete update.
type Arrival struct {
	Revision uint64
	Began    time.Time // when its first part arrived
	// Learned is when the scout learned of the oldest change in the update, without
	// the time on the network. It has no meaning for a snapshot.
	Learned time.Time
}

// Authorizer decides which scouts may register, by the credentials in the context of
// the call. Its errors have the gRPC status for the scout. Many sessions call it at
// once.
type Authorizer interface {
	// Identify returns the identity of the caller, for people; empty if none is
	// required.
	Identify(ctx context.Context) (string, error)
	// Authorize returns an error if the caller may not show the files of o now.
	Authorize(ctx context.Context, o files.Origin) error
}

// anybody is an Authorizer that permits everything.
type anybody struct{}

func (anybody) Identify(context.Context) (string, error)      { return "", nil }
func (anybody) Authorize(context.Context, files.Origin) error { return nil }

// Recorder counts events of a master's sessions. Many sessions call its methods at
// once, and expect them to return at once.
type Recorder interface {
	// Refused: a peer was not registered, for a reason that is one of the constants
	// below.
	Refused(reason LeaveReason)
	// Left: a registered scout's session has ended.
	Left(reason LeaveReason)
	// Snapshot: a snapshot is visible. It had this number of names, and of bytes on the
	// wire, and took this time since its first part.
	Snapshot(names, bytes int, took time.Duration)
	// Change: a change is visible, this time after its scout learned of it.
	Change(added, removed int, latency time.Duration)
	// Resync: a copy differed from the scout's files; a new snapshot is requested.
	Resync()
	// HeartbeatMissed: a heartbeat of a scout did not arrive in time.
	HeartbeatMissed()
}

// LeaveReason is the reason why a session ended, as it is logged.
type LeaveReason string

// The reasons of the end of a session.
const (
	LeftDeregistered LeaveReason = "deregistered"
	LeftBroken       LeaveReason = "stream broken"
	LeftSilent       LeaveReason = "silent past deadline"
	LeftReplaced     LeaveReason = "replaced"
	LeftViolation    LeaveReason = "protocol violation"
	LeftStopping     LeaveReason = "scoutmaster stopping"
	LeftNoRoom       LeaveReason = "no room"
	LeftExceeded     LeaveReason = "limit exceeded"
	LeftDenied       LeaveReason = "permission withdrawn"
)

// RefusedHeld is the reason of a refused registration whose origin a live scout
// holds.
const RefusedHeld LeaveReason = "held"

// HeldError says that a live scout holds the origin of a registration.
type HeldError struct {
	Origin files.Origin
	Holder string // its address and session, for people
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%q on host %q is watched by a live scout, %s", e.Origin.Directory, e.Origin.Host, e.Holder)
}

// NotServingError says that the master takes no scouts now.
type NotServingError struct {
	Reason string
	Cause  error // what the Reason is an instance of, or nil
}

func (e *NotServingError) Error() string { return e.Reason }
func (e *NotServingError) Unwrap() error { return e.Cause }
