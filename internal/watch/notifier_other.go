//go:build !linux

package watch

import "github.com/rjeczalik/notify"

// eventSet is what a directory is watched for.
var eventSet = []notify.Event{notify.Create, notify.Remove, notify.Rename}

// eventSelf is empty: the set above covers the directory itself.
var eventSelf []notify.Event

const (
	// eventMore makes the set of events grow, as the library sees it.
	eventMore = notify.Write
	// eventMoved is among the events of a thing that was moved to the path.
	eventMoved = notify.Rename
)

// floodLevel is a quarter of what the library's channel holds.
func floodLevel() int { return eventBuffer / 4 }
