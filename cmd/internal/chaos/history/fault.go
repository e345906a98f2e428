package history

import "time"

// fault is one fault and when it had come how far.
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

// of reports whether the scout suffers from f.
func (f *fault) of(scout int) bool { return f.harms() && (f.scout == scout || f.scout == All) }

// within reports whether f may have been felt at some time from from to to,
// when its effects last for some time more.
func (f *fault) within(from, to, more time.Duration) bool {
	return f.begin <= to && (f.ended == Forever || f.ended+more >= from)
}

// recovery is how long f has effects after it is over. A stall too short for
// anybody to be taken for dead is made up for like any change.
func (f *fault) recovery(b Bounds) time.Duration {
	if f.kind == Stalled && f.ended-f.begin < b.Deadline/2 {
		return b.Fresh
	}
	return b.Recovery
}

// slows reports whether f only makes things slow.
func (f *fault) slows() bool {
	return f.kind == Slow || f.kind == Limited || f.kind == OneMaster || f.kind == OneServer
}

// harms reports whether f may be felt in the list at all. A disk below the
// directory that hangs or crawls is set aside.
func (f *fault) harms() bool { return f.kind != DiskHangs && f.kind != DiskCrawls }

// removal is how soon f must take what the scout shows out of the list when no
// other fault gets in the way, or 0 when it need not.
func (f *fault) removal(b Bounds) time.Duration {
	switch f.kind {
	case Dead, Cut:
		return b.Break
	case Frozen, Flooded, Silent, Deaf:
		return b.silence()
	case Moved:
		return b.Fresh
	case Slow, Limited, DiskHangs, DiskCrawls, MasterDead, MasterFrozen, OneMaster, OneServer, NoMajority, LogLost, Stalled:
	}
	return 0
}

// waits reports whether what f does to the list is put off by g: the master
// does not hold its own pause against its scouts, and who is stopped notices
// nothing.
func (f *fault) waits(g *fault) bool {
	if g.scout == All {
		return true
	}
	stopped := g.kind == Frozen || g.kind == Flooded
	return g != f && g.of(f.scout) && (f.kind == Deaf && stopped || f.kind == Moved)
}

// faults are all that have been, by their beginnings.
type faults []*fault

// calm reports whether the scout has long recovered from all faults, at all
// times from from to to.
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

// back is how old what is listed of a scout may be at a time: lag, and no
// faster than that through faults, and as long after each as it takes to
// recover.
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

// born is when the process that shows something of a scout at a time was
// started at the earliest: it knows nothing of the time before.
func (fs faults) born(scout int, at time.Duration, b Bounds) (born time.Duration) {
	for _, f := range fs {
		if f.kind == Dead && f.of(scout) && f.off <= at && fs.gone(f, b) <= at {
			born = max(born, f.off)
		}
	}
	return born
}

// absent returns the fault that must keep the scout out of the list at all
// times from from to to, or nil.
func (fs faults) absent(scout int, from, to time.Duration, b Bounds) *fault {
	for _, f := range fs {
		if f.removal(b) > 0 && f.of(scout) && f.off >= to && fs.gone(f, b) <= from {
			return f
		}
	}
	return nil
}

// gone is when f must have taken the scout out of the list.
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

// limit is how long f may take to remove what the scout shows. The end of a
// connection cannot overtake what is on its way, nor pass where nothing passes.
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
