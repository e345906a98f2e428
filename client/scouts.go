package client

import (
	"context"
	"encoding/json"
	"time"
)

// State is how a scout is doing.
type State string

// The states of a scout.
const (
	Live        State = "live"        // its files are listed
	Degraded    State = "degraded"    // its files are listed, and some may be missing
	Scanning    State = "scanning"    // it is hidden until it knows its files
	Unavailable State = "unavailable" // it is hidden because it cannot read its directory
)

// Scout is a registered scout.
type Scout struct {
	Host, Directory string
	State           State
	Reason          string // why it is not live, for people
	Files           int
	Scanned         int           // files that it has found so far, while it is scanning
	Unreadable      int           // directories that it cannot read
	Polled          int           // directories that it cannot watch
	Poll            time.Duration // how long it takes to check all directories once
	Registered      time.Time
	Heard           time.Time // when the scoutmaster last heard from it; zero if it is another scoutmaster's
	Version         string
	Session         string
	Address         string
	Scoutmaster     string // the scoutmaster that it is registered with; empty if there is only one
}

// ScoutmasterState is how a scoutmaster of a fleet is doing.
type ScoutmasterState string

// The states of a scoutmaster.
const (
	ScoutmasterLive   ScoutmasterState = "live"    // it answers for the whole list
	ScoutmasterCutOff ScoutmasterState = "cut off" // nothing comes through the log, from it or to it
	ScoutmasterGone   ScoutmasterState = "gone"    // it has stopped, or was lost and is not back
)

// Scoutmaster is one of the scoutmasters that share a list.
type Scoutmaster struct {
	Name     string           `json:"name"`
	URL      string           `json:"url"`
	State    ScoutmasterState `json:"state"`
	Scouts   int              `json:"scouts"`   // registered with it
	Revision uint64           `json:"revision"` // of its list, when it was heard last
	Version  string           `json:"version"`
}

// Left is a registration that has ended. Registrations of one host and directory are
// one.
type Left struct {
	Host, Directory string
	Reason          string // of the last one: [Deregistered], or another word of the log
	When            time.Time
	Times           int
	Session         string // of the last one, as in the logs
	Address         string // likewise
}

// Deregistered is why a scout left that was stopped. With any other reason a scout is
// gone until it is back.
const Deregistered = "deregistered"

// Roster is the scouts of a list at one time, and its totals.
type Roster struct {
	Files        int            `json:"files"`                  // in the list
	States       map[string]int `json:"states"`                 // how many scouts are in each state, those that are gone too
	Scouts       []Scout        `json:"scouts"`                 // by host, then directory
	Left         []Left         `json:"left"`                   // recently, the newest first
	Scoutmasters []Scoutmaster  `json:"scoutmasters,omitempty"` // by name; none if the scoutmaster is alone
}

// scoutJSON is a scout as the scoutmaster writes it.
type scoutJSON struct {
	Host            string    `json:"host"`
	Directory       string    `json:"directory"`
	DirectoryBase64 []byte    `json:"directory_base64,omitempty"`
	State           State     `json:"state"`
	Reason          string    `json:"reason,omitempty"`
	Files           int       `json:"files"`
	Scanned         int       `json:"scanned,omitempty"` // 0 is nothing to tell
	Unreadable      int       `json:"unreadable"`
	Polled          int       `json:"polled"`
	PollSeconds     float64   `json:"poll_seconds,omitempty"`
	Registered      time.Time `json:"registered"`
	Heard           time.Time `json:"heard,omitzero"`
	Version         string    `json:"version"`
	Session         string    `json:"session"`
	Address         string    `json:"address"`
	Scoutmaster     string    `json:"scoutmaster,omitempty"`
}

// UnmarshalJSON decodes a scout.
func (s *Scout) UnmarshalJSON(text []byte) error {
	var e scoutJSON
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	*s = Scout{
		Host: e.Host, Directory: exact(e.Directory, e.DirectoryBase64), State: e.State, Reason: e.Reason,
		Files: e.Files, Scanned: e.Scanned, Unreadable: e.Unreadable, Polled: e.Polled, Poll: time.Duration(e.PollSeconds * float64(time.Second)),
		Registered: e.Registered, Heard: e.Heard, Version: e.Version, Session: e.Session, Address: e.Address, Scoutmaster: e.Scoutmaster,
	}
	return nil
}

// MarshalJSON encodes a scout as the scoutmaster does.
func (s Scout) MarshalJSON() ([]byte, error) {
	return json.Marshal(scoutJSON{
		Host: s.Host, Directory: s.Directory, DirectoryBase64: inexact(s.Directory), State: s.State, Reason: s.Reason,
		Files: s.Files, Scanned: s.Scanned, Unreadable: s.Unreadable, Polled: s.Polled, PollSeconds: s.Poll.Seconds(),
		Registered: s.Registered, Heard: s.Heard, Version: s.Version, Session: s.Session, Address: s.Address, Scoutmaster: s.Scoutmaster,
	})
}

// leftJSON is a registration that has ended, as the scoutmaster writes it.
type leftJSON struct {
	Host            string    `json:"host"`
	Directory       string    `json:"directory"`
	DirectoryBase64 []byte    `json:"directory_base64,omitempty"`
	Reason          string    `json:"reason"`
	When            time.Time `json:"when"`
	Times           int       `json:"times"`
	Session         string    `json:"session"`
	Address         string    `json:"address"`
}

// UnmarshalJSON decodes a registration that has ended.
func (l *Left) UnmarshalJSON(text []byte) error {
	var e leftJSON
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	*l = Left{Host: e.Host, Directory: exact(e.Directory, e.DirectoryBase64), Reason: e.Reason, When: e.When, Times: e.Times, Session: e.Session, Address: e.Address}
	return nil
}

// MarshalJSON encodes a registration that has ended as the scoutmaster does.
func (l Left) MarshalJSON() ([]byte, error) {
	return json.Marshal(leftJSON{l.Host, l.Directory, inexact(l.Directory), l.Reason, l.When, l.Times, l.Session, l.Address})
}

// Scouts returns the scouts that are registered, and those that have left.
func (c *Client) Scouts(ctx context.Context) (Roster, error) {
	answer, err := c.get(ctx, "scouts", nil, nil)
	if err != nil {
		return Roster{}, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	var roster Roster
	if err := json.NewDecoder(answer.Body).Decode(&roster); err != nil {
		return Roster{}, cut(err)
	}
	return roster, nil
}
