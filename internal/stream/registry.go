package stream

import (
	"context"
	"fmt"
	"time"

	"scout/internal/files"
)

// Registry knows the live scouts and what each of them shows. Many sessions call
// it at once.
type Registry interface {
	// Join registers p and returns the only handle through which its session
	// shows anything. A *HeldError refuses p because a live scout holds its
	// origin. To find out whether the holder is still there Join may ask it
	// (Peer.Probe) and, when it does not answer, end its session (Peer.Evict);
	// it then takes the holder's files away itself, without waiting for that
	// session's Leave. Join gives up when ctx is done: the newcomer has left.
	Join(ctx context.Context, p Peer) (Member, error)
}

// Peer is a scout that asks to be registered, and what can be done to its
// session. The functions may be called by any goroutine, from before Join
// returns until long after the session has ended.
type Peer struct {
	Origin  files.Origin
	Version string
	Session string // names the session in both sides' logs
	Address string // where the scout connected from, for people
	// Identity is who the scout proved to be, for people; empty when nobody asked.
	Identity string

	// Probe asks the scout for a sign of life and reports whether anything came
	// from it after the question: false when ctx was done first, or the session
	// has ended.
	Probe func(ctx context.Context) bool
	// Rescan asks the scout to read its directory again. The channel is closed when
	// the member shows all that was on the disk at the call, and stays open when
	// the session ends before that. Concurrent callers share one rescan.
	Rescan func() <-chan struct{}
	// Silence is how long ago anything came from the scout.
	Silence func() time.Duration
	// Evict ends the session and returns at once. The reason is for people and
	// says what came in its place: "replaced by 10.0.0.7:40112". The session
	// leaves with LeftReplaced.
	Evict func(reason string)
}

// Member is one session's handle on the registry. One goroutine uses it, calls
// it in the order in which the scout spoke, and ends with Leave. What a member
// does after it was evicted has no effect: the session's last messages may
// still be on their way while its successor is live.
//
// The session has checked revisions, counts, digests and the shape of names
// before it calls; sets and deltas are the member's to keep and to share.
type Member interface {
	// Reset makes set all that the scout shows.
	Reset(set *files.Set, by Arrival)
	// Apply changes what the scout shows, all of it at once. An error says which
	// removed name is not shown or which added one is already, and means that
	// nothing has changed; a name in both is such a one. Apply is called only
	// after a Reset that no Hide followed.
	Apply(d files.Delta, by Arrival) error
	// Hide takes away what the scout shows, until the next Reset. It keeps its
	// registration. It is called again as the reason or the number of files
	// scanned so far changes.
	Hide(reason string, scanned uint64)
	// Report notes the condition of the directory as of the scout's last beat.
	Report(c Condition)
	// Leave ends the registration, and with it all that the scout shows.
	Leave(reason LeaveReason)
}

// Condition says how well a scout sees its directory.
type Condition struct {
	Unreadable uint64        // directories that cannot be read
	Polled     uint64        // directories that are polled because they cannot be watched
	Incomplete string        // why files may be missing, one line for people; "" if none are
	PollRound  time.Duration // how long the poll takes to verify every directory once; 0 if not known
}

// Arrival is what is to be said of an update that has come whole.
type Arrival struct {
	Revision uint64
	Began    time.Time // when its first part came
	// Learned is when the scout learned of the oldest change in it, as if it
	// had arrived the moment that it was sent. Of a snapshot it says nothing.
	Learned time.Time
}

// Authorizer decides who may register, by what came with the call of ctx. Its
// errors carry the gRPC status that refuses the scout. Many sessions call it at
// once.
type Authorizer interface {
	// Identify says who opened the call, for people; empty when anybody may.
	Identify(ctx context.Context) (string, error)
	// Authorize returns nil if that peer may show the files of o now.
	Authorize(ctx context.Context, o files.Origin) error
}

// anybody is the Authorizer of a master that has none.
type anybody struct{}

func (anybody) Identify(context.Context) (string, error)      { return "", nil }
func (anybody) Authorize(context.Context, files.Origin) error { return nil }

// Recorder counts what a master's sessions do. Its methods are called by many
// sessions at once, in the middle of their work: they return at once.
type Recorder interface {
	// Refused: a peer was not registered. The reason is one of LeaveReason, or
	// RefusedHeld.
	Refused(reason LeaveReason)
	// Left: a registered scout's session has ended.
	Left(reason LeaveReason)
	// Snapshot: a whole list of so many names, which took so many bytes on the
	// wire and so long from its first part on, is visible.
	Snapshot(names, bytes int, took time.Duration)
	// Change: a change is visible, so long after its scout learned of it.
	Change(added, removed int, latency time.Duration)
	// Resync: a copy was not the scout's, and a new snapshot is wanted.
	Resync()
	// HeartbeatMissed: a scout was not heard when it should have been.
	HeartbeatMissed()
}

// LeaveReason is why a session ended, in the words of the log.
type LeaveReason string

// Why a session ended.
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

// RefusedHeld is why a session was not registered whose origin a live scout
// holds.
const RefusedHeld LeaveReason = "held"

// HeldError refuses a registration: a live scout holds the origin.
type HeldError struct {
	Origin files.Origin
	Holder string // for people: where it connected from, and its session
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%q on host %q is watched by a live scout, %s", e.Origin.Directory, e.Origin.Host, e.Holder)
}
