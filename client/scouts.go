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
}

// Deregistered is why a scout left that was stopped. With any other reason a scout is
// gone until it is back.
const Deregistered = "deregistered"

// Roster is the scouts of a list at one time, and its totals.
type Roster struct {
	Files        int            // in the list
	States       map[string]int // how many scouts are in each state, those that are gone too
	Scouts       []Scout        // by host, then directory
	Left         []Left         // recently, the newest first
	Scoutmasters []Scoutmaster  // by name; none if the scoutmaster is alone
}

// UnmarshalJSON decodes a scout.
func (s *Scout) UnmarshalJSON(text []byte) error {
	var e struct {
		Host            string    `json:"host"`
		Directory       string    `json:"directory"`
		DirectoryBase64 []byte    `json:"directory_base64"`
		State           State     `json:"state"`
		Reason          string    `json:"reason"`
		Files           int       `json:"files"`
		Unreadable      int       `json:"unreadable"`
		Polled          int       `json:"polled"`
		PollSeconds     float64   `json:"poll_seconds"`
		Registered      time.Time `json:"registered"`
		Heard           time.Time `json:"heard"`
		Version         string    `json:"version"`
		Session         string    `json:"session"`
		Address         string    `json:"address"`
		Scoutmaster     string    `json:"scoutmaster"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	*s = Scout{
		Host: e.Host, Directory: exact(e.Directory, e.DirectoryBase64), State: e.State, Reason: e.Reason,
		Files: e.Files, Unreadable: e.Unreadable, Polled: e.Polled, Poll: time.Duration(e.PollSeconds * float64(time.Second)),
		Registered: e.Registered, Heard: e.Heard, Version: e.Version, Session: e.Session, Address: e.Address, Scoutmaster: e.Scoutmaster,
	}
	return nil
}

// UnmarshalJSON decodes a registration that has ended.
func (l *Left) UnmarshalJSON(text []byte) error {
	var e struct {
		Host            string    `json:"host"`
		Directory       string    `json:"directory"`
		DirectoryBase64 []byte    `json:"directory_base64"`
		Reason          string    `json:"reason"`
		When            time.Time `json:"when"`
		Times           int       `json:"times"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	*l = Left{Host: e.Host, Directory: exact(e.Directory, e.DirectoryBase64), Reason: e.Reason, When: e.When, Times: e.Times}
	return nil
}

// Scouts returns the scouts that are registered, and those that have left.
func (c *Client) Scouts(ctx context.Context) (Roster, error) {
	answer, err := c.get(ctx, "scouts", nil, nil)
	if err != nil {
		return Roster{}, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	var body struct {
		Files        int            `json:"files"`
		States       map[string]int `json:"states"`
		Scouts       []Scout        `json:"scouts"`
		Left         []Left         `json:"left"`
		Scoutmasters []Scoutmaster  `json:"scoutmasters"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return Roster{}, cut(err)
	}
	return Roster(body), nil
}
