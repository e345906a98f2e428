package history

import "time"

// fault is a fault and the times of its stages.
type fault struct {
	id                    int
	kind                  Kind
	scout                 int
	begin, on, off, ended time.Duration
}

func newFault(s Step, at time.Duration) *fault {
	return &fault{s.ID, s.Kind, s.Scout, at - s.Before, Forever, Forever, Forever}
}

func (f *fault) reach(s Stage, at time.Duration) {
	switch s {
	case Begins:
	case On:
		f.on = at
	case Off:
		f.off = at
	case Over:
		f.ended = at
	}
}

// of reports whether f affects the scout.
func (f *fault) of(scout int) bool { return f.harms() && (f.scout == scout || f.scout == All) }

// within reports whether f may have had effects at any time between from and to, if
// its effects last for some time after its end.
func (f *fault) within(from, to, more time.Duration) bool {
	return f.begin <= to && (f.ended == Forever || f.ended+more >= from)
}

// recovery is how long f may have effects after it is over. A stall that is too short
// for a deadline delays changes and has no other effect.
func (f *fault) recovery(b Bounds) time.Duration {
	if f.kind == Stalled && f.ended-f.begin < b.Deadline/2 {
		return b.Fresh
	}
	return b.Recovery
}

// slows reports whether f only delays changes.
func (f *fault) slows() bool {
	switch f.kind { //nolint:exhaustive // the others do more
	case Slow, Limited, OneMaster, OneServer, StandsStill:
		return true
	}
	return false
}

// harms reports whether f may affect the list at all. A hanging or slow disk below
// the directory does not.
func (f *fault) harms() bool { return f.kind != DiskHangs && f.kind != DiskCrawls }

// removal is how soon f must remove the scout's files from the list if no other fault
// interferes, or 0 if it need not.
func (f *fault) removal(b Bounds) time.Duration {
	switch f.kind {
	case Dead, Cut:
		return b.Break
	case Frozen, Flooded, Silent, Deaf:
		return b.silence()
	case Moved:
		return b.Fresh
	case Slow, Limited, DiskHangs, DiskCrawls, MasterDead, MasterFrozen, OneMaster, OneServer, StandsStill, NoMajority, LogLost, Stalled, Rival:
	}
	return 0
}

// waits reports whether g delays the effect of f on the list: the master does not
// count its own pauses as silence of its scouts, and a stopped program notices
// nothing.
func (f *fault) waits(g *fault) bool {
	if g.scout == All {
		return true
	}
	stopped := g.kind == Frozen || g.kind == Flooded
	return g != f && g.of(f.scout) && (f.kind == Deaf && stopped || f.kind == Moved)
}

// faults are all faults so far, in the order of their beginnings.
type faults []*fault

// calm reports whether no fault had effects on the scout at any time between from
// and to.
func (fs faults) calm(scout int, from, to time.Duration, b Bounds) bool {
	for _, f := range fs {
		if f.of(scout) && !f.slows() && f.within(from, to, f.recovery(b)) {
			return false
		}
	}
	return true
}

// lag is how long a change may take to be listed while the scout is calm.
func (fs faults) lag(scout int, from, to time.Duration, b Bounds) time.Duration {
	for _, f := range fs {
		if f.of(scout) && f.slows() && f.within(from-b.Late, to, b.Late) {
			return b.Late
		}
	}
	return b.Fresh
}

// back is the earliest time whose state may be listed of a scout at a given time: lag
// before it, or the beginning of faults whose effects last until then.
func (fs faults) back(scout int, at time.Duration, b Bounds) time.Duration {
	lag := fs.lag(scout, at, at, b)
	from := at - lag
	for moved := true; moved; {
		moved = false
		for _, f := range fs {
			if f.of(scout) && !f.slows() && f.within(from, at, f.recovery(b)) && f.begin-lag < from {
				from, moved = f.begin-lag, true
			}
		}
	}
	return max(from, fs.born(scout, at, b))
}

// born is the earliest start of the process that shows the scout's files at a time.
// It cannot list files that were gone before.
func (fs faults) born(scout int, at time.Duration, b Bounds) (born time.Duration) {
	for _, f := range fs {
		if f.kind == Dead && f.of(scout) && f.off <= at && fs.gone(f, b) <= at {
			born = max(born, f.off)
		}
	}
	return born
}

// absent returns a fault that must keep the scout's files out of the list at all times
// between from and to, or nil.
func (fs faults) absent(scout int, from, to time.Duration, b Bounds) *fault {
	for _, f := range fs {
		if f.removal(b) > 0 && f.of(scout) && f.off >= to && fs.departed(f, b) <= from {
			return f
		}
	}
	return nil
}

// gone is when f must have removed the scout's files from the list.
func (fs faults) gone(f *fault, b Bounds) time.Duration {
	limit := fs.limit(f, b)
	from := f.on
	for moved := true; moved && from != Forever; {
		moved = false
		for _, g := range fs {
			if f.waits(g) && g.within(from, from+limit, 0) && g.ended > from {
				from, moved = g.ended, true
			}
		}
	}
	if from == Forever {
		return Forever
	}
	return from + limit
}

// departed is when f must have removed the scout's files from the lists of all masters.
// When a scout ends together with its master, the others bury that one, and a master
// that hears nothing goes on with its list until it is cut off. What happens to one of
// several puts that off no further.
func (fs faults) departed(f *fault, b Bounds) time.Duration {
	if !b.Several || f.kind != Dead || f.on == Forever {
		return fs.gone(f, b)
	}
	limit, from := f.removal(b), f.on
	for _, g := range fs {
		switch {
		case (g.kind == OneServer || g.kind == StandsStill) && g.within(f.begin-b.Late, f.on+b.Burial+b.Late, 0):
			limit = b.Burial + b.Late
		case g.kind == OneMaster && g.within(f.begin-b.Burial, f.on+b.Burial, 0):
			limit = max(limit, b.Burial)
		}
	}
	for moved := true; moved; {
		moved = false
		for _, g := range fs {
			if g.scout != All || g.slows() || !g.within(from, from+limit, b.Recovery) {
				continue
			}
			if g.ended == Forever {
				return Forever
			}
			if after := g.ended + g.recovery(b); after > from {
				from, moved = after, true
			}
		}
	}
	return from + limit
}

// limit is how long f may take to remove the scout's files. The end of a connection
// arrives after all data before it, and not at all on a silent link.
func (fs faults) limit(f *fault, b Bounds) time.Duration {
	limit := f.removal(b)
	for _, g := range fs {
		if g == f || f.on == Forever || !g.of(f.scout) || !g.within(f.begin-b.Late, f.on+limit, 0) {
			continue
		}
		switch {
		case g.slows():
			limit = b.silence() + b.Late
		case g.removal(b) == b.silence():
			limit = max(limit, b.silence())
		}
	}
	return limit
}
