package files

import (
	"cmp"
	"strings"
	"time"
)

// Origin is a directory on a host.
type Origin struct {
	Host      string
	Directory string // absolute; raw bytes, not always UTF-8
}

// Compare orders origins by host, then directory, bytewise.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(strings.Compare(o.Host, p.Host), strings.Compare(o.Directory, p.Directory))
}

// View is the current state of a directory: its Set, or the Reason why there is
// none.
type View struct {
	Set        *Set   // nil if the directory cannot be served
	Reason     string // one line for people, if Set is nil
	Scanned    int    // files found so far by a first scan
	Unreadable int    // directories that cannot be read; their files are not in Set
	Polled     int    // directories that are polled because they cannot be watched
	Incomplete string // why files may be missing from Set, one line for people; "" if none are

	PollRound time.Duration // how long the poll takes to verify every directory once; 0 if not known
}

// Delta is the difference between two Sets. No name is in both parts.
type Delta struct {
	Removed, Added *Set
}

// Empty reports whether the two Sets are equal.
func (d Delta) Empty() bool { return d.Removed.Len() == 0 && d.Added.Len() == 0 }
