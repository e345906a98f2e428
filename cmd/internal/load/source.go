package load

import (
	"sync"
	"time"

	"scout/internal/files"
)

// Source shows a Set that its owner changes. It implements stream.Directory.
type Source struct {
	mu      sync.Mutex
	view    files.View
	changed chan time.Time
}

// NewSource returns a Source that shows set.
func NewSource(set *files.Set) *Source {
	return &Source{view: files.View{Set: set}, changed: make(chan time.Time, 1)}
}

// View returns what is shown now.
func (s *Source) View() files.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// Changed says that View may have changed.
func (s *Source) Changed() <-chan time.Time { return s.changed }

// Rescan says at once that View has all there is.
func (s *Source) Rescan() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// Change adds and removes names.
func (s *Source) Change(d files.Delta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, err := s.view.Set.Apply(d)
	if err != nil {
		return err
	}
	s.view.Set = set
	select {
	case s.changed <- time.Now():
	default:
	}
	return nil
}

// Add adds a name.
func (s *Source) Add(name string) error {
	return s.Change(files.Delta{Removed: new(files.Set), Added: only(name)})
}

// Remove removes a name.
func (s *Source) Remove(name string) error {
	return s.Change(files.Delta{Removed: only(name), Added: new(files.Set)})
}

func only(name string) *files.Set {
	var b files.Builder
	b.Add([]byte(name))
	return b.Set()
}
