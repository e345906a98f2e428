package stream

import "time"

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

// ScoutRecorder counts what a scout's session does. Its methods are called in
// the middle of its work: they return at once.
type ScoutRecorder interface {
	// Registered: the master has accepted the scout.
	Registered()
	// MasterLost: the session has ended, and not because the scout wanted it.
	MasterLost()
	// SnapshotSent: a whole list of so many names and bytes has gone out.
	SnapshotSent(names, bytes int, took time.Duration)
	// ChangeSent: a change has gone out, so long after it was learned.
	ChangeSent(added, removed, bytes int, age time.Duration)
	// ResyncRequested: the master's copy was not this scout's.
	ResyncRequested()
}

// unrecorded is a recorder of either kind for those who do not count.
type unrecorded struct{}

func (unrecorded) Refused(LeaveReason)                     {}
func (unrecorded) Left(LeaveReason)                        {}
func (unrecorded) Snapshot(int, int, time.Duration)        {}
func (unrecorded) Change(int, int, time.Duration)          {}
func (unrecorded) Resync()                                 {}
func (unrecorded) HeartbeatMissed()                        {}
func (unrecorded) Registered()                             {}
func (unrecorded) MasterLost()                             {}
func (unrecorded) SnapshotSent(int, int, time.Duration)    {}
func (unrecorded) ChangeSent(int, int, int, time.Duration) {}
func (unrecorded) ResyncRequested()                        {}
