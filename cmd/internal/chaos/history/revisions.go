package history

import (
	"fmt"
	"sort"
	"time"
)

// revisions judges the ETags of lists.
type revisions struct {
	tops   map[string][]top // by epoch, and what was asked for
	bodies map[version]uint64
}

// top is the highest revision that had come by a time.
type top struct {
	at       time.Duration
	revision uint64
}

// version is what an ETag says that a list is.
type version struct {
	epoch, prefix string
	revision      uint64
}

func newRevisions() revisions {
	return revisions{tops: map[string][]top{}, bodies: map[version]uint64{}}
}

func (r *revisions) add(l *List, end time.Duration) (found []Violation) {
	if l.Epoch == "" {
		return nil
	}
	tops := r.tops[l.Epoch]
	before := sort.Search(len(tops), func(i int) bool { return tops[i].at > l.Start })
	if before > 0 && !l.Pushed && tops[before-1].revision > l.Revision {
		found = append(found, Violation{end, Backwards, All, "", fmt.Sprintf("%s: revision %d of %s asked for at %s, %d had come at %s",
			l.Consumer, l.Revision, l.Epoch, l.Start, tops[before-1].revision, tops[before-1].at)})
	}
	if n := len(tops); n == 0 || tops[n-1].revision < l.Revision && tops[n-1].at <= end {
		r.tops[l.Epoch] = append(tops, top{end, l.Revision})
	}
	v := version{l.Epoch, l.Prefix, l.Revision}
	if body, ok := r.bodies[v]; ok && body != l.Digest {
		found = append(found, Violation{end, Reused, All, "", fmt.Sprintf("%s: revision %d of %s", l.Consumer, l.Revision, l.Epoch)})
	}
	r.bodies[v] = l.Digest
	return found
}
