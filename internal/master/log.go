package master

import (
	"context"
	"errors"
	"sync"
)

// ErrUncertain says that it is not known whether an entry is in the log, or will
// be.
var ErrUncertain = errors.New("it is not known whether the entry is in the log")

// Log is one agreed order of entries, which each scoutmaster that takes part
// applies to its State.
type Log interface {
	// Append adds an entry, and returns what Apply has returned for it here. After
	// ErrUncertain its writer appends the same entry again, until the outcome is
	// known or the writer has no use for it any more. The entry is the writer's to
	// use again after the call.
	Append(ctx context.Context, e *Entry) error
}

// alone is the log of a scoutmaster that shares its list with no other: a
// function call.
type alone struct {
	state *State

	mu       sync.Mutex
	position uint64 // of the last entry
}

func newAlone(s *State) *alone { return &alone{state: s, position: s.Position()} }

// Append applies the entry at once.
func (l *alone) Append(_ context.Context, e *Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position++
	return l.state.Apply(l.position, e)
}
