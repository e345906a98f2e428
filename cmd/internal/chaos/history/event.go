// Package history judges what consumers of a scoutmaster saw against what was
// true when. It is a pure function of the events it is given: it knows no
// clock, no process and no disk, so that a history that was recorded can be
// judged again, and one that was written by hand tests the judge.
//
// What is true is known up to the time that an operation or a fault took: it
// holds surely from the end of one to the beginning of the next, and possibly
// from the beginning to the end. The judge blames only what no moment within
// the bounds explains.
package history

import (
	"math"
	"time"
)

// Forever is the time of what has not happened yet.
const Forever = time.Duration(math.MaxInt64)

// All is the scout of a fault that all scouts suffer from.
const All = -1

// Name is a name that a scout has to list.
type Name struct {
	Scout int    `json:"s"`
	Path  []byte `json:"p"` // as the file system has it, not always UTF-8
}

// Event is one thing that happened, at a time since the beginning of the
// history. Exactly one of the fields after At is set. Whoever does something
// records its beginning before, and its end after.
type Event struct {
	At    time.Duration `json:"at"`
	Begin *Operation    `json:"begin,omitempty"`
	End   int           `json:"end,omitempty"` // the ID of the operation that is done
	Fault *Step         `json:"fault,omitempty"`
	List  *List         `json:"list,omitempty"` // At is when all of it had come
}

// Operation is something that is done to files. What it does not name it does
// not change.
type Operation struct {
	ID   int    `json:"id"` // from 1
	Text string `json:"text"`
	Gone []Name `json:"gone,omitempty"`
	Come []Name `json:"come,omitempty"`
}

// Kind is what is wrong with a scout, or with the master for all scouts.
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
	LogLost      Kind = "log removed"
	Stalled      Kind = "machine stalled"
)

// Stage is how far a fault has come.
type Stage string

// A fault may be felt from Begins until Over, and is felt for sure from On
// until Off. What it has left behind is mended some time after Over.
const (
	Begins Stage = "begins"
	On     Stage = "on"
	Off    Stage = "off"
	Over   Stage = "over"
)

// Step is a stage that a fault has reached.
type Step struct {
	ID    int   `json:"id"`
	Kind  Kind  `json:"kind"`
	Scout int   `json:"scout"` // or All
	Stage Stage `json:"stage"`
	// Before is how long before this was recorded it was so.
	Before time.Duration `json:"before,omitempty"`
}

// List is what a consumer was given: how it differs from what the same
// consumer was given before, or that it was given nothing.
type List struct {
	Consumer string        `json:"consumer"`
	Start    time.Duration `json:"start"`            // when it was asked for
	Prefix   string        `json:"prefix,omitempty"` // of all names that were asked for
	Came     []Name        `json:"came,omitempty"`
	Went     []Name        `json:"went,omitempty"`
	Error    string        `json:"error,omitempty"` // why there is no list
	Wrong    string        `json:"wrong,omitempty"` // what no list may be, apart from being untrue

	Epoch    string `json:"epoch,omitempty"`    // of the ETag or event
	Revision uint64 `json:"revision,omitempty"` // of the ETag or event
	Digest   uint64 `json:"digest,omitempty"`   // of all entries
	Pushed   bool   `json:"pushed,omitempty"`   // it was not asked for, and may have been under way for long

	// The ETag that the consumer had brought, if it did.
	HadEpoch    string `json:"had_epoch,omitempty"`
	HadRevision uint64 `json:"had_revision,omitempty"`
}

// Bounds are what is promised, in time. They are generous: the judge looks for
// what is wrong, not for what is slow.
type Bounds struct {
	Heartbeat time.Duration `json:"heartbeat"`
	Deadline  time.Duration `json:"deadline"`

	// Fresh is how long a change may take to be listed while nothing is wrong.
	Fresh time.Duration `json:"fresh"`
	// Late is the same while a scout's connection is slow, or its directories
	// are polled for want of watches.
	Late time.Duration `json:"late"`
	// Break is how long what belongs to a broken connection may be listed.
	Break time.Duration `json:"break"`
	// Slack is how long after deadline and heartbeat have passed what belongs to
	// somebody silent may be listed.
	Slack time.Duration `json:"slack"`
	// Recovery is how long it may take after a fault until all is as if it had
	// never been: the longest pause between two attempts to register (5 s), an
	// attempt that was under way, a scan and a snapshot.
	Recovery time.Duration `json:"recovery"`
	// Answer is how long the master may take to answer.
	Answer time.Duration `json:"answer"`
	// Several says that several masters share the list, and may be asked in turn. Who
	// brings no ETag may be answered by one that is behind another.
	Several bool `json:"several,omitempty"`
}

// Usual returns the bounds for a master with these settings, on a machine that
// is so many times as slow as a quiet one of its own.
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
// until their log has elected a leader and everybody has come back to it.
func (b Bounds) Shared(cutOff time.Duration, scale float64) Bounds {
	b.Several = true
	b.Late = max(b.Late, time.Duration(float64(12*time.Second)*scale)+cutOff)
	b.Recovery = max(b.Recovery, b.Late)
	return b
}

// silence is how long what belongs to somebody silent may be listed.
func (b Bounds) silence() time.Duration { return b.Deadline + b.Heartbeat + b.Slack }
