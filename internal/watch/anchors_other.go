//go:build !linux

package watch

// anchors are of no use here: every look goes by the path.
type anchors struct{}

type anchor int32

const (
	noAnchor   anchor = 0
	unanchored anchor = -1
)

func newAnchors(disk) *anchors                        { return &anchors{} }
func (a *anchors) reserve(disk, int)                  {}
func (a *anchors) close()                             {}
func (a *anchors) moved() bool                        { return false }
func (a *anchors) drop(disk, []byte, identity) anchor { return unanchored }
func (a *anchors) weigh(anchor)                       {}
func (c anchor) stat() (stamp, bool, error)           { return stamp{}, false, errMissing }
