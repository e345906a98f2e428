package files

import (
	"cmp"
	"strings"
)

// Origin is whose files a Set holds: a directory on a host.
type Origin struct {
	Host      string
	Directory string // absolute; raw bytes, as file systems do not promise UTF-8
}

// Compare orders origins by host, then directory, bytewise.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(strings.Compare(o.Host, p.Host), strings.Compare(o.Directory, p.Directory))
}

// View is what is known of a directory now: its Set, or the Reason why there
// is none.
type View struct {
	Set        *Set   // nil when the directory cannot be served, and Reason says why
	Reason     string // one line for people, when Set is nil
	Scanned    int    // files found so far, while a first scan is under way
	Unreadable int    // directories that cannot be read, and so are not in Set
	Polled     int    // directories that are polled because they cannot be watched
}

// Delta is what changed between two Sets. No name is in both parts.
type Delta struct {
	Removed, Added *Set
}

// Empty reports whether nothing changed.
func (d Delta) Empty() bool { return d.Removed.Len() == 0 && d.Added.Len() == 0 }
