package stream

import (
	"errors"
	"slices"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// Adoption: a scout that comes back goes on from a state that the list still has of
// it, and does not send its files again.

const (
	// featureAdoption is the name of this feature in Hello and Welcome.
	featureAdoption = "adoption"
	// adoptedRevision is the revision of a copy that was kept.
	adoptedRevision = 1
	// mostStates is how many states a Hello may have.
	mostStates = 128
	// mostStateBytes is the maximum size of the changes between them, in bytes of
	// names. Larger changes are rare, and a snapshot after them costs little more.
	mostStateBytes = 128 << 10
)

// SentState identifies a set of names that a scout has sent.
type SentState struct{ Count, Digest uint64 }

func stateOf(s *files.Set) SentState { return SentState{uint64(s.Len()), s.Digest()} }

func (s SentState) encode() *scoutv1.SentState {
	return &scoutv1.SentState{Count: s.Count, Digest: s.Digest}
}

func decodeState(s *scoutv1.SentState) SentState { return SentState{s.GetCount(), s.GetDigest()} }

// Kept is a state that stays listed when a scout comes back.
type Kept struct {
	SentState
	Bytes uint64 // in the names
}

func (k *Kept) encode() *scoutv1.SentState {
	if k == nil {
		return nil
	}
	return k.SentState.encode()
}

// sentBefore returns what the scout says of its sessions before.
func sentBefore(h *scoutv1.Hello) (session string, sent []SentState) {
	if !slices.Contains(h.GetFeatures(), featureAdoption) {
		return "", nil
	}
	states := h.GetStates()
	for _, s := range states[:min(len(states), mostStates)] {
		sent = append(sent, decodeState(s))
	}
	return oneLine(h.GetBefore(), maxVersion), sent
}

// sentStates remembers the last states that a scout has sent, and outlasts its
// sessions. Of the newest it has the names, which it shares with the directory's View.
// Of an older one it has the change that came after it. One goroutine uses it.
type sentStates struct {
	session string     // the last one, of whatever master; "": none
	newest  *files.Set // nil: no state is remembered
	older   []olderState
	size    int // of the names in older
}

// olderState is a state and what the next one has removed and added, each as a list of
// names as it travels.
type olderState struct {
	SentState
	removed, added []byte
}

func (o *olderState) size() int { return len(o.removed) + len(o.added) }

// note adds the state that u makes. The states before a snapshot are of no use: the
// list has none of them.
func (s *sentStates) note(u update) {
	before, d := s.newest, u.delta
	s.newest = u.set
	switch {
	case u.reset, before == nil, d.Removed.Bytes()+d.Added.Bytes() > mostStateBytes:
		s.older, s.size = nil, 0
	case !d.Empty():
		s.push(olderState{stateOf(before), encoded(d.Removed), encoded(d.Added)})
	}
}

func encoded(set *files.Set) (names []byte) {
	for part := range set.Parts(mostStateBytes) {
		names = append(names, part...)
	}
	return names
}

// push adds an older state, and forgets the oldest ones if there are too many.
func (s *sentStates) push(o olderState) {
	s.older = append(s.older, o)
	s.size += o.size()
	surplus := 0
	for ; len(s.older)-surplus >= mostStates || s.size > mostStateBytes; surplus++ {
		s.size -= s.older[surplus].size()
	}
	s.older = slices.Delete(s.older, 0, surplus)
}

// pop goes back by one state.
func (s *sentStates) pop() {
	n := len(s.older) - 1
	if n < 0 {
		s.newest = nil
		return
	}
	o := s.older[n]
	s.older[n] = olderState{}
	s.older, s.size = s.older[:n], s.size-o.size()
	s.newest = o.names(s.newest)
}

// names returns the names of the state, by those of the next one; nil if that was not
// the next one.
func (o *olderState) names(next *files.Set) *files.Set {
	var removed, added files.Builder
	if err := errors.Join(removed.Append(o.removed), added.Append(o.added)); err != nil {
		return nil
	}
	set, err := next.Apply(files.Delta{Removed: added.Set(), Added: removed.Set()})
	if err != nil || stateOf(set) != o.SentState {
		return nil
	}
	return set
}

// offer returns the states for a Hello, the newest one first.
func (s *sentStates) offer() []*scoutv1.SentState {
	if s.newest == nil {
		return nil
	}
	states := []*scoutv1.SentState{stateOf(s.newest).encode()}
	for _, o := range slices.Backward(s.older) {
		states = append(states, o.encode())
	}
	return states
}

// adopt goes back to a state, and returns its names. It returns nil if the state is
// not remembered; then no state is.
func (s *sentStates) adopt(kept SentState) *files.Set {
	for s.newest != nil && stateOf(s.newest) != kept {
		s.pop()
	}
	return s.newest
}

// forget forgets all states.
func (s *sentStates) forget() { *s = sentStates{session: s.session} }

// adopt takes in what the Welcome keeps. A state that was not offered makes no sense.
func (c *scoutSession) adopt(kept *scoutv1.SentState) error {
	if kept == nil {
		return nil
	}
	if c.kept = c.scout.sent.adopt(decodeState(kept)); c.kept == nil {
		return errNoWelcome
	}
	return nil
}
