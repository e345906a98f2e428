// Package history checks the lists that consumers of a scoutmaster received against
// the true state at that time. It is a pure function of events: it knows no clock,
// no process and no disk. So a recorded history can be checked again, and histories
// that are written by hand test the checker.
//
// The true state is known except for the time that an operation or a fault took. It
// is certain from the end of one operation to the beginning of the next, and only
// possible during an operation. A list is a violation if no state within the bounds
// explains it.
package history

import (
	"math"
	"time"
)

// Forever is the time of an event that has not happened yet.
const Forever = time.Duration(math.MaxInt64)

// All is the scout of a fault that affects all scouts.
const All = -1

// Name is a name that a scout must list.
type Name struct {
	Scout int    `json:"s"`
	Path  []byte `json:"p"` // as the file system has it, not always UTF-8
}

// Event is an event at a time since the beginning of the history. Exactly one of the
// fields after At is set. The beginning of an operation is recorded before it, and
// its end after it.
type Event struct {
	At    time.Duration `json:"at"`
	Begin *Operation    `json:"begin,omitempty"`
	End   int           `json:"end,omitempty"` // the ID of the operation that is done
	Fault *Step         `json:"fault,omitempty"`
	List  *List         `json:"list,omitempty"` // At is when all of it was received
}

// Operation is an operation on files. It changes only the names in it.
type Operation struct {
	ID   int    `json:"id"` // from 1
	Text string `json:"text"`
	Gone []Name `json:"gone,omitempty"`
	Come []Name `json:"come,omitempty"`
}

// Kind is a kind of fault, of a scout or of the master for all scouts.
type Kind string

// The kinds of faults.
const (
	Dead         Kind = "scout ended"
	Frozen       Kind = "scout stopped"
	Silent       Kind = "nothing comes from the scout"
	Deaf         Kind = "nothing comes to the scout"
	Cut          Kind = "connection cut"
	Slow         Kind = "connection slow"
	Moved        Kind = "directory moved away"
	Flooded      Kind = "scout stopped in a flood of changes"
	Limited      Kind = "watch limit exhausted"
	DiskHangs    Kind = "disk hangs"
	DiskCrawls   Kind = "disk crawls"
	MasterDead   Kind = "master ended"
	MasterFrozen Kind = "master stopped"
	OneMaster    Kind = "one master of several ended, stopped or cut off"
	OneServer    Kind = "one NATS server of several ended or stopped"
	NoMajority   Kind = "most NATS servers stopped"
	StandsStill  Kind = "most NATS servers stopped for a moment"
	LogLost      Kind = "log removed"
	Stalled      Kind = "machine stalled"
	Rival        Kind = "another scout of the same host and directory"
)

// Stage is a stage of a fault.
type Stage string

// A fault may have effects from Begins until Over, and certainly has them from On
// until Off. Its last effects end some time after Over.
const (
	Begins Stage = "begins"
	On     Stage = "on"
	Off    Stage = "off"
	Over   Stage = "over"
)

// Step is the event that a fault has reached a stage.
type Step struct {
	ID    int   `json:"id"`
	Kind  Kind  `json:"kind"`
	Scout int   `json:"scout"` // or All
	Stage Stage `json:"stage"`
	// Before is how long before the record the stage was reached.
	Before time.Duration `json:"before,omitempty"`
}

// List is an answer to a consumer: the difference from the last list of the same
// consumer, or no list.
type List struct {
	Consumer string        `json:"consumer"`
	Start    time.Duration `json:"start"`            // when the request was sent
	Prefix   string        `json:"prefix,omitempty"` // of all requested names
	Came     []Name        `json:"came,omitempty"`
	Went     []Name        `json:"went,omitempty"`
	Error    string        `json:"error,omitempty"` // why there is no list
	Wrong    string        `json:"wrong,omitempty"` // why the list is malformed

	Epoch    string `json:"epoch,omitempty"`    // of the ETag or event
	Revision uint64 `json:"revision,omitempty"` // of the ETag or event
	Digest   uint64 `json:"digest,omitempty"`   // of all entries
	Pushed   bool   `json:"pushed,omitempty"`   // it came from events, and may have been under way for long

	// The ETag in the request, if there was one.
	HadEpoch    string `json:"had_epoch,omitempty"`
	HadRevision uint64 `json:"had_revision,omitempty"`
}

// Bounds are the promises about time. They are generous: the checker finds wrong
// lists, not slow ones.
type Bounds struct {
	Heartbeat time.Duration `json:"heartbeat"`
	Deadline  time.Duration `json:"deadline"`

	// Fresh is how long a change may take to be listed without faults.
	Fresh time.Duration `json:"fresh"`
	// Late is the same while a scout's connection is slow, or its directories are
	// polled because watches are missing.
	Late time.Duration `json:"late"`
	// Break is how long the files of a scout may be listed after its connection broke.
	Break time.Duration `json:"break"`
	// Slack is how long after deadline and heartbeat the files of a silent scout may
	// be listed.
	Slack time.Duration `json:"slack"`
	// Recovery is how long a fault may have effects after its end: the longest pause
	// between two attempts to register (5 s), an attempt that was under way, a scan
	// and a snapshot.
	Recovery time.Duration `json:"recovery"`
	// Answer is how long the master may take to answer.
	Answer time.Duration `json:"answer"`
	// Several says that several masters share the list, and requests go to any of
	// them. Without an ETag, a master that is behind another may answer.
	Several bool `json:"several,omitempty"`
	// Burial is how long the files of a scout may be listed by any of several masters
	// after the scout and its master ended.
	Burial time.Duration `json:"burial,omitempty"`
}

// Usual returns the bounds for a master with these settings, on a machine that is
// slower than a quiet one by a factor.
func Usual(heartbeat, deadline time.Duration, scale float64) Bounds {
	slow := func(d time.Duration) time.Duration { return time.Duration(float64(d) * scale) }
	return Bounds{
		Heartbeat: heartbeat,
		Deadline:  deadline,
		Fresh:     slow(2 * time.Second),
		Late:      slow(6 * time.Second),
		Break:     slow(time.Second),
		Slack:     slow(time.Second),
		Recovery:  slow(8 * time.Second),
		Answer:    slow(5 * time.Second),
	}
}

// Shared returns the bounds for several masters that share a list. Changes may wait
// until the log has elected a leader and all masters have reconnected.
func (b Bounds) Shared(cutOff time.Duration, scale float64) Bounds {
	b.Several = true
	b.Late = max(b.Late, time.Duration(float64(12*time.Second)*scale)+cutOff)
	b.Recovery = max(b.Recovery, b.Late)
	b.Burial = 2*(b.Deadline+b.Heartbeat) + cutOff + b.Slack
	return b
}

// silence is how long the files of a silent scout may be listed.
func (b Bounds) silence() time.Duration { return b.Deadline + b.Heartbeat + b.Slack }
