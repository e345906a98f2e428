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
// becomes of others their parents tell. The last one is the library's mark of a
// recursive watch. The library has no name for it outside: asked for a recursive
// watch it would watch by itself what is below.
var eventSelf = []notify.Event{notify.InDeleteSelf, notify.InMoveSelf, notify.Create << 4}

// groupChannel returns the channel of a new group.
func groupChannel(chan notify.EventInfo) chan notify.EventInfo {
	return make(chan notify.EventInfo)
}

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
