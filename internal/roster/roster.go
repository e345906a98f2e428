// Package roster is the vocabulary for the scouts of a fleet as consumers see them:
// registered scouts and their states, scouts that left, refused registrations. It
// knows neither how the master keeps this nor how it is served.
package roster

import (
	"errors"
	"time"

	"scout/internal/files"
)

// Roster is the current state of the fleet. Each Scout is consistent in itself, but
// not with the others: they are read one after the other.
type Roster struct {
	Scouts  []Scout   // by host, then directory
	Left    []Left    // recent, newest first
	Refused []Refused // recent, newest first
	// Scoutmasters share the list, by name. A scoutmaster that is alone has none.
	Scoutmasters []Scoutmaster
	// Gone counts the hosts and directories whose scouts left without
	// deregistering in the last day and have not come back.
	Gone int
}

// Reasons why a scoutmaster must not serve the list that it shares with others.
var (
	// ErrCutOff: nothing has come through the log for too long.
	ErrCutOff = errors.New("nothing comes through the log")
	// ErrNoState: the scoutmaster does not have the list yet.
	ErrNoState = errors.New("the state of the fleet is not known yet")
	// ErrBehind: the list is older than the deadline.
	ErrBehind = errors.New("the scoutmaster lags behind the log")
)

// State is how a registered scout is doing.
type State string

// The states of a scout.
const (
	// Live: all its files are listed.
	Live State = "live"
	// Degraded: its files are listed, but it cannot list a part of its directory, or
	// polls directories that it cannot watch.
	Degraded State = "degraded"
	// Scanning: it is hidden until it has scanned its directory and the master has
	// its files.
	Scanning State = "scanning"
	// Unavailable: it is hidden because it cannot list its directory.
	Unavailable State = "unavailable"
)

// Gone is the state of a scout that left without deregistering and has not come
// back: it is not registered.
const Gone State = "gone"

// States are the states of registered scouts.
var States = [...]State{Live, Degraded, Scanning, Unavailable}

// Scout is a registered scout.
type Scout struct {
	Origin  files.Origin
	State   State
	Reason  string // why it is hidden, or why files may be missing; "" if neither
	Scanned uint64 // while it scans: number of files found so far

	Files      int
	Revision   uint64        // of the scout's last update; 0 when its files are not listed
	Unreadable uint64        // directories that it cannot read
	Polled     uint64        // directories that it polls because it cannot watch them
	PollRound  time.Duration // how long its poll takes to verify every directory once; 0 if not known

	Registered  time.Time
	Heard       time.Time // when the master last heard from it; zero if it is another scoutmaster's
	Version     string
	Session     string
	Address     string
	Scoutmaster string // the name of the one that it is registered with; "" if that is alone
}

// ScoutmasterState is how a scoutmaster of a fleet is doing.
type ScoutmasterState string

// The states of a scoutmaster.
const (
	// ScoutmasterLive: it takes part.
	ScoutmasterLive ScoutmasterState = "live"
	// ScoutmasterCutOff: nothing comes through the log, from it or to it.
	ScoutmasterCutOff ScoutmasterState = "cut off"
	// ScoutmasterGone: it has stopped, or what it left behind was dropped. It is
	// remembered until it is back, for a day at most, unless it stopped as planned.
	ScoutmasterGone ScoutmasterState = "gone"
)

// ScoutmasterStates are all of them.
var ScoutmasterStates = [...]ScoutmasterState{ScoutmasterLive, ScoutmasterCutOff, ScoutmasterGone}

// Scoutmaster is one of those that share a list.
type Scoutmaster struct {
	Name     string
	URL      string // where consumers reach it
	State    ScoutmasterState
	Scouts   int    // registered with it
	Revision uint64 // of its list, when it was heard last
	Version  string
}

// Counts are totals for monitoring. What is a scoutmaster's own adds up, over all
// scoutmasters of a fleet, to what each of them says of the fleet, but for what one
// that is lost has left behind.
type Counts struct {
	Own, Fleet Tally
	// Scoutmasters counts the scoutmasters of the fleet by state. It is empty for
	// one that is alone.
	Scoutmasters map[ScoutmasterState]int
	// CutOff: nothing comes through the log.
	CutOff bool
	// Foreign counts the messages in the log that are no entries of the fleet.
	Foreign uint64
	// Lag is the time since the scoutmaster wrote what has come back to it last
	// through the log; 0 for one that is alone.
	Lag time.Duration
}

// Tally counts scouts and files.
type Tally struct {
	Scouts map[State]int // registered, by state, and those that are Gone
	Files  int           // listed
}

// Left is a registration that has ended. Registrations of one host and directory
// are reported as one.
type Left struct {
	Origin  files.Origin
	Reason  string // of the last one
	When    time.Time
	Session string
	Address string
	Times   int
}

// Refused is a registration that was refused because a live scout holds the host
// and directory. Refusals of one machine for one host and directory are reported
// as one.
type Refused struct {
	Origin  files.Origin
	Holder  string // of the last one; for people
	When    time.Time
	Address string
	Times   int
}

// Unconfirmed is a scout that has not confirmed, in a read barrier, that the list
// has all its files; or a scoutmaster, if it is not certain which scouts there are.
type Unconfirmed struct {
	Origin      files.Origin // of the scout
	Scoutmaster string       // the name of the scoutmaster; "": it is a scout
	Reason      string       // for people
}
