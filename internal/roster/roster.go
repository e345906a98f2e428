// Package roster is the vocabulary for the scouts of a fleet, as people and
// programs are told of them: who is there and in which state, who has left, who
// was refused. It knows neither how that is found out nor how it is served.
package roster

import (
	"time"

	"scout/internal/files"
)

// Roster is the fleet at one moment, or nearly: each Scout is true of a moment
// of its own.
type Roster struct {
	Scouts  []Scout   // by host, then directory
	Left    []Left    // lately, newest first
	Refused []Refused // lately, newest first
}

// State is how a registered scout is doing.
type State string

// A scout is in one of these.
const (
	// Live: its files are listed, all of them.
	Live State = "live"
	// Degraded: its files are listed, but it has directories that it cannot read,
	// or polls for want of watches.
	Degraded State = "degraded"
	// Scanning: it is hidden until it has found out which files exist, and the
	// master has them.
	Scanning State = "scanning"
	// Unavailable: it is hidden, because it cannot say which files exist.
	Unavailable State = "unavailable"
)

// States are all that there are.
var States = [...]State{Live, Degraded, Scanning, Unavailable}

// Scout is one that is registered.
type Scout struct {
	Origin  files.Origin
	State   State
	Reason  string // why it is hidden; "" when it is not
	Scanned uint64 // while it scans: how many files it has found

	Files      int
	Revision   uint64 // of the scout's last update; 0 when its files are not listed
	Unreadable uint64 // directories that it cannot read
	Polled     uint64 // directories that it polls because it cannot watch them

	Registered time.Time
	Heard      time.Time // when anything came from it last
	Version    string
	Session    string
	Address    string
}

// Left is a registration that has ended. Those of one host and directory are
// told as one.
type Left struct {
	Origin  files.Origin
	Reason  string // of the last
	When    time.Time
	Session string
	Address string
	Times   int
}

// Refused is a registration that was refused because a live scout holds the
// host and directory. Those of one machine for one host and directory are told
// as one.
type Refused struct {
	Origin  files.Origin
	Holder  string // of the last; for people
	When    time.Time
	Address string
	Times   int
}

// Unconfirmed is a scout that has not said that its files are listed as they
// were when it was asked.
type Unconfirmed struct {
	Origin files.Origin
	Reason string // for people
}
