package stream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"scout/internal/files"
)

// fakeDirectory is a directory that the test changes as it likes.
type fakeDirectory struct {
	mu      sync.Mutex
	view    files.View
	changed chan time.Time
	takes   time.Duration // how long a rescan takes
	finds   []string      // what it then lists; nil: nothing new
	rescans int           // so far
}

func newDirectory(names ...string) *fakeDirectory {
	d := &fakeDirectory{changed: make(chan time.Time, 1)}
	d.list(names...)
	return d
}

func (d *fakeDirectory) View() files.View {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.view
}

func (d *fakeDirectory) Changed() <-chan time.Time { return d.changed }

func (d *fakeDirectory) Rescan() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rescans++
	finds, done := d.finds, make(chan struct{})
	time.AfterFunc(d.takes, func() {
		if finds != nil {
			d.list(finds...)
		}
		close(done)
	})
	return done
}

// finding makes rescans take so long and find these names.
func (d *fakeDirectory) finding(takes time.Duration, names ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takes, d.finds = takes, names
}

func (d *fakeDirectory) rescanned() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rescans
}

func (d *fakeDirectory) show(v files.View) {
	d.mu.Lock()
	d.view = v
	d.mu.Unlock()
	select {
	case d.changed <- time.Now():
	default:
	}
}

func (d *fakeDirectory) list(names ...string) { d.show(files.View{Set: setOf(names...)}) }
func (d *fakeDirectory) cannot(reason string) { d.show(files.View{Reason: reason}) }

func setOf(names ...string) *files.Set {
	var b files.Builder
	for _, name := range slices.Sorted(slices.Values(names)) {
		b.Add([]byte(name))
	}
	return b.Set()
}

// many is a set of n names.
func many(n int) *files.Set {
	var b files.Builder
	for i := range n {
		b.Add(fmt.Appendf(nil, "directory-%06d/file-%03d.log", i/100, i%100))
	}
	return b.Set()
}

func namesOf(s *files.Set) []string {
	names := []string{}
	for c := s.Cursor(); c.Next(); {
		names = append(names, string(c.Name()))
	}
	return names
}

// registry holds members and remembers what each was asked to do, in the words
// of a script: "reset 1: a b", "hide scanning", "leave deregistered".
type registry struct {
	mu      sync.Mutex
	members []*member
	refuse  func(ctx context.Context, p Peer) error // nil: nobody
	keep    func(p Peer) *files.Set                 // what the list has of a newcomer; nil: nothing
}

// keeping makes r keep what keep returns of each newcomer.
func (r *registry) keeping(keep func(p Peer) *files.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep = keep
}

// decide makes f refuse who wants to join, or not.
func (r *registry) decide(f func(ctx context.Context, p Peer) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}

func (r *registry) Join(ctx context.Context, p Peer) (Member, error) {
	r.mu.Lock()
	refuse := r.refuse
	r.mu.Unlock()
	if refuse != nil {
		if err := refuse(ctx, p); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &member{peer: p, left: make(chan struct{})}
	if r.keep != nil {
		m.keep(r.keep(p))
	}
	r.members = append(r.members, m)
	return m, nil
}

// last is the member that joined last.
func (r *registry) last() *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) == 0 {
		return nil
	}
	return r.members[len(r.members)-1]
}

// live returns the members that have not left.
func (r *registry) live() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.members), func(m *member) bool { return isClosed(m.left) })
}

func (r *registry) joined() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

// member is what one session shows.
type member struct {
	peer Peer
	left chan struct{} // closed by Leave
	kept *Kept

	mu      sync.Mutex
	set     *files.Set // nil: hidden
	script  []string
	said    Condition // last
	reports int
	busy    time.Duration // how long it takes to take in a snapshot
	lag     time.Duration // of the last change: from when it was learned to when it was shown
}

// keep shows what the list has of the scout, if that is one of the states that it
// has sent.
func (m *member) keep(set *files.Set) {
	if set != nil && slices.Contains(m.peer.Sent, stateOf(set)) {
		m.set, m.kept = set, &Kept{stateOf(set), set.Bytes()}
		m.note("keep %d", set.Len())
	}
}

func (m *member) Kept() *Kept { return m.kept }

func (m *member) keepBusy(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = d
}

func (m *member) note(format string, args ...any) {
	m.script = append(m.script, fmt.Sprintf(format, args...))
}

func (m *member) Reset(set *files.Set, by Arrival) {
	m.mu.Lock()
	busy := m.busy
	m.mu.Unlock()
	time.Sleep(busy)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = set
	if set.Len() > 10 {
		m.note("reset %d: %d names", by.Revision, set.Len())
		return
	}
	m.note("reset %d: %s", by.Revision, strings.Join(namesOf(set), " "))
}

func (m *member) Apply(d files.Delta, by Arrival) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	set, err := m.set.Apply(d)
	if err != nil {
		return err
	}
	m.set = set
	m.lag = time.Since(by.Learned)
	m.note("apply %d: -%d +%d", by.Revision, d.Removed.Len(), d.Added.Len())
	return nil
}

func (m *member) Hide(reason string, scanned uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = nil
	m.note("hide %s %d", reason, scanned)
}

func (m *member) Report(c Condition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = c
	m.reports++
}

func (m *member) Leave(reason LeaveReason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = nil
	m.note("leave %s", reason)
	close(m.left)
}

func (m *member) lagged() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lag
}

func (m *member) shown() *files.Set {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

func (m *member) history() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.script)
}

func (m *member) condition() Condition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said
}

func (m *member) beats() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reports
}
