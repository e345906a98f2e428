package watch

import (
	"os"
	"strconv"
	"strings"

	"github.com/rjeczalik/notify"
)

// eventSet is what a directory is watched for: the coming and going of entries.
var eventSet = []notify.Event{notify.InCreate, notify.InDelete, notify.InMovedFrom, notify.InMovedTo}

// eventSelf is what the watched directory itself is watched for besides; what
// becomes of others their parents tell.
var eventSelf = []notify.Event{notify.InDeleteSelf, notify.InMoveSelf}

const (
	// eventMore makes the set of events grow as the library sees it, and stay
	// as it is for the kernel.
	eventMore = notify.Create
	// eventMoved is among the events of a thing that was moved to the path.
	eventMoved = notify.InMovedTo
)

// floodLevel is a quarter of what the kernel's queue holds.
func floodLevel() int {
	const usual = 16384
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		return usual / 4
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		n = usual
	}
	return max(1, min(n, eventBuffer)/4)
}
