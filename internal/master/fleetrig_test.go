package master

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/stream"
	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

// ring is a Sequence in memory.
type ring struct {
	mu         sync.Mutex
	generation uint64
	first      uint64
	messages   [][]byte
	times      []time.Time // when each came
	all        [][]byte    // those too that were dropped
	changed    wake.Broadcast
	hesitation atomic.Int64 // how long Bounds takes for the heartbeat
}

func (r *ring) append(message []byte) {
	r.mu.Lock()
	r.messages, r.times, r.all = append(r.messages, message), append(r.times, time.Now()), append(r.all, message)
	r.mu.Unlock()
	r.changed.Wake()
}

// begun counts the epochs that some entry was to begin.
func (r *ring) begun() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, message := range r.all {
		if e, err := decode(message); err == nil {
			if _, ok := e.Body.(*Begin); ok {
				n++
			}
		}
	}
	return n
}

// registrations counts the entries that were to register a scout of a host.
func (r *ring) registrations(host string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, message := range r.all {
		if e, err := decode(message); err == nil {
			if j, ok := e.Body.(*Joined); ok && j.Origin.Host == host {
				n++
			}
		}
	}
	return n
}

// drop removes all messages but the last few.
func (r *ring) drop(but int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := max(0, len(r.messages)-but)
	r.messages, r.times, r.first = r.messages[n:], r.times[n:], r.first+uint64(n)
}

// renew loses everything.
func (r *ring) renew() {
	r.mu.Lock()
	r.generation++
	r.messages, r.times, r.first = nil, nil, 1
	r.mu.Unlock()
	r.changed.Wake()
}

// line is one scoutmaster's connection to the ring.
type line struct {
	*ring

	state   sync.Mutex
	cut     bool
	held    [][]byte     // came while it was cut, and will be in the ring later
	faults  *rand.Rand   // nil: none
	lag     atomic.Int64 // how long each delivery takes
	late    atomic.Int64 // how long after a message was appended it may be delivered
	instead []byte       // is delivered in place of the next message
	last    time.Time    // when the last message comes that is not delayed
	pending sync.WaitGroup
}

const latency = time.Millisecond

func (l *line) setCut(cut bool) {
	l.state.Lock()
	l.cut = cut
	held := l.held
	l.held = nil
	l.state.Unlock()
	for _, message := range held {
		l.append(message)
	}
	l.changed.Wake()
}

// lose loses what came while the line was cut.
func (l *line) lose() {
	l.state.Lock()
	defer l.state.Unlock()
	l.held = nil
}

// fate decides how often and how late a message comes.
func (l *line) fate() (copies int, delay time.Duration, cut bool) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.cut {
		return 0, 0, true
	}
	copies, delay = 1, latency
	if l.faults != nil {
		copies = []int{0, 1, 1, 1, 1, 2}[l.faults.IntN(6)]
		if l.faults.IntN(10) == 0 {
			delay = time.Duration(l.faults.Int64N(int64(5 * time.Second)))
		}
	}
	return copies, delay, false
}

func (l *line) Append(message []byte) error {
	copies, delay, cut := l.fate()
	if cut {
		l.state.Lock()
		defer l.state.Unlock()
		l.held = append(l.held, message)
		return nil
	}
	l.state.Lock()
	defer l.state.Unlock()
	at := time.Now().Add(delay)
	if delay == latency && !at.After(l.last) { // in order
		at = l.last.Add(1)
	}
	if delay == latency {
		l.last = at
	}
	for range copies {
		l.pending.Go(func() {
			time.Sleep(time.Until(at))
			l.append(message)
		})
	}
	return nil
}

func (l *line) Follow(ctx context.Context, made, from uint64, deliver func(uint64, [][]byte) error) error {
	for ctx.Err() == nil {
		later := l.changed.Wait()
		messages, due, err := l.next(made, from)
		if err != nil {
			return err
		}
		if messages == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-later:
			case <-due:
			}
			continue
		}
		time.Sleep(time.Duration(l.lag.Load()))
		if err := deliver(from, messages); err != nil {
			return err
		}
		from += uint64(len(messages))
	}
	return ctx.Err()
}

// next returns the messages from a position on, nil when none may be delivered yet, and
// when the first of them may.
func (l *line) next(made, from uint64) (messages [][]byte, due <-chan time.Time, err error) {
	l.state.Lock()
	defer l.state.Unlock()
	cut := l.cut
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.instead != nil && from >= l.first && from < l.first+uint64(len(l.messages)) {
		defer func() { l.instead = nil }()
		return [][]byte{l.instead}, nil, nil
	}
	switch {
	case cut:
		return nil, nil, nil
	case made != l.generation:
		return nil, nil, ErrRewritten
	case from < l.first:
		return nil, nil, ErrGap
	case from >= l.first+uint64(len(l.messages)):
		return nil, nil, nil
	}
	late := time.Duration(l.late.Load())
	for i := from - l.first; i < uint64(len(l.messages)); i++ {
		if wait := time.Until(l.times[i].Add(late)); wait > 0 {
			due = time.After(wait)
			break
		}
		messages = append(messages, l.messages[i])
	}
	return messages, due, nil
}

func (l *line) Bounds(ctx context.Context) (Bounds, error) {
	if _, _, cut := l.fate(); cut {
		<-ctx.Done()
		return Bounds{}, ctx.Err()
	}
	if _, ok := ctx.Deadline(); ok { // the heartbeat's has one
		time.Sleep(time.Duration(l.hesitation.Load()))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return Bounds{l.generation, l.first, l.first + uint64(len(l.messages)) - 1}, nil
}

// testMaster is a scoutmaster of a testFleet.
type testMaster struct {
	*Registry
	fleet *testFleet
	line  *line
	logs  *observer.ObservedLogs
	stop  context.CancelFunc
	done  chan error
	dead  atomic.Bool
}

// testFleet is scoutmasters that share a ring, in virtual time.
type testFleet struct {
	*testing.T
	ring     *ring
	transfer atomic.Int64 // how long it takes to give a state to another
	newer    atomic.Bool  // states are of a newer version

	mu      sync.Mutex
	masters []*testMaster
}

const (
	testHeartbeat = time.Second
	testDeadline  = 6 * time.Second
	testCutOff    = 30 * time.Second
)

func newTestFleet(t *testing.T, n int) *testFleet {
	f := &testFleet{T: t, ring: &ring{first: 1}}
	for range n {
		f.start()
	}
	f.await("all are ready", func() bool { return f.all(func(m *testMaster) bool { return m.Ready() == nil }) })
	return f
}

// start adds a scoutmaster.
func (f *testFleet) start() *testMaster { return f.startAs(fmt.Sprint("master-", len(f.list()))) }

// startAs adds a scoutmaster that has a name.
func (f *testFleet) startAs(name string, configure ...func(*Sharing)) *testMaster {
	core, logs := observer.New(zapcore.DebugLevel)
	m := &testMaster{fleet: f, line: &line{ring: f.ring}, logs: logs, done: make(chan error, 1)}
	how := Sharing{
		Sequence: m.line, Peers: peers{m}, Name: name, URL: "http://" + name, Version: "v1",
		Address:   fmt.Sprint(len(f.masters)),
		Heartbeat: testHeartbeat, Deadline: testDeadline, CutOff: testCutOff,
	}
	for _, c := range configure {
		c(&how)
	}
	m.Registry = Share(listing.New(), how, zap.New(core))
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	f.mu.Lock()
	f.masters = append(f.masters, m)
	f.mu.Unlock()
	go func() { m.done <- m.Run(ctx) }()
	return m
}

func (f *testFleet) list() []*testMaster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.masters)
}

// kill ends a scoutmaster without a word.
func (m *testMaster) kill() {
	m.line.setCut(true)
	m.dead.Store(true)
	m.stop()
	if err := <-m.done; err != nil {
		m.fleet.Error(err)
	}
}

func (f *testFleet) end() {
	for _, m := range f.list() {
		if !m.dead.Load() {
			m.kill()
		}
		m.life.end()
		m.line.pending.Wait()
	}
}

func (f *testFleet) all(ok func(*testMaster) bool) bool {
	return !slices.ContainsFunc(f.list(), func(m *testMaster) bool { return !m.dead.Load() && !ok(m) })
}

// peers are the Peers of a testMaster.
type peers struct{ *testMaster }

// State is part of Peers.
func (p peers) State(ctx context.Context) iter.Seq2[*scoutv1.StatePart, error] {
	return func(yield func(*scoutv1.StatePart, error) bool) {
		m := p.testMaster
		time.Sleep(latency + time.Duration(m.fleet.transfer.Load()))
		for _, other := range m.fleet.list() {
			if other == m || other.dead.Load() || other.line.isCut() || m.line.isCut() || other.Ready() != nil {
				continue
			}
			for part := range other.state.Parts(100, FormRead) {
				message, err := proto.Marshal(part)
				time.Sleep(latency) // entries are applied meanwhile
				var got scoutv1.StatePart
				err = errors.Join(err, proto.Unmarshal(message, &got), ctx.Err())
				if got.GetHead() != nil && m.fleet.newer.Load() {
					got.Head.Format = formatRead + 1
				}
				if !yield(&got, err) {
					return
				}
			}
			return
		}
		yield(nil, errors.New("nobody is there"))
	}
}

func (l *line) isCut() bool {
	l.state.Lock()
	defer l.state.Unlock()
	return l.cut
}

// Probe is part of Reach.
func (p peers) Probe(ctx context.Context, address string, id SessionID) bool {
	for i, other := range p.fleet.list() {
		if address == fmt.Sprint(i) && !other.dead.Load() && !other.line.isCut() {
			return other.Registry.Probe(ctx, id)
		}
	}
	return false
}

// Rescan is part of Reach.
func (p peers) Rescan(ctx context.Context, address string, i Instance, sessions []uint64) (Rescanned, error) {
	for n, other := range p.fleet.list() {
		if address == fmt.Sprint(n) && !other.dead.Load() && !other.line.isCut() {
			end, _ := ctx.Deadline()
			ctx, cancel := context.WithTimeout(ctx, time.Until(end)*9/10)
			defer cancel()
			done := other.Registry.Rescan(ctx, i, sessions)
			time.Sleep(latency)
			return done, nil
		}
	}
	<-ctx.Done()
	return Rescanned{}, ctx.Err()
}

// await waits until something is true, for a while of virtual time.
func (f *testFleet) await(what string, ok func() bool) time.Duration {
	f.Helper()
	began := time.Now()
	for ; !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			f.Fatalf("in vain: %s; %s", what, f.describe())
		}
	}
	return time.Since(began)
}

func (f *testFleet) describe() string {
	var b strings.Builder
	for i, m := range f.list() {
		v := m.state.list.Current()
		fmt.Fprintf(&b, "\n%d: dead %v, ready %v, epoch %d, position %d, revision %d, %q", i, m.dead.Load(), m.Ready(), v.Epoch, v.Position, v.Revision, m.names())
	}
	return b.String()
}

func (m *testMaster) names() (names []string) {
	for e := m.state.list.Current().Entries(); e.Next(); {
		names = append(names, string(e.Name()))
	}
	return names
}

// agree waits until all scoutmasters that live list these names, and have one
// history.
func (f *testFleet) agree(names ...string) {
	f.Helper()
	f.await(fmt.Sprintf("all list %q", names), func() bool {
		return f.all(func(m *testMaster) bool { return m.Ready() == nil && slices.Equal(m.names(), names) })
	})
	var tag string
	f.all(func(m *testMaster) bool {
		v := m.state.list.Current()
		if tag == "" {
			tag = v.Tag()
		}
		if v.Tag() != tag {
			f.Fatalf("one list, several tags: %s", f.describe())
		}
		return true
	})
}

// testScout is a scout that shows one name, its host's.
type testScout struct {
	fakePeer
	stream.Member
	at *testMaster
}

// arrive registers a scout.
func (m *testMaster) arrive(host string) *testScout {
	m.fleet.Helper()
	s, err := m.tryArrive(host)
	if err != nil {
		m.fleet.Fatal(err)
	}
	return s
}

// arriveWith registers a scout that was in a session before, and has sent these names.
func (m *testMaster) arriveWith(host string, names ...string) *testScout {
	m.fleet.Helper()
	s, err := m.arriveAs(context.Background(), host, names...)
	if err != nil {
		m.fleet.Fatal(err)
	}
	return s
}

func (m *testMaster) tryArrive(host string) (*testScout, error) {
	return m.arriveAs(context.Background(), host)
}

func (m *testMaster) arriveAs(ctx context.Context, host string, names ...string) (*testScout, error) {
	s := &testScout{fakePeer: fakePeer{answers: true}, at: m}
	p := s.peer("session of " + host)
	p.Origin.Host = host
	if names != nil {
		p.Before, p.Sent = p.Session, []stream.SentState{stream.SentState(shownOf(names...))}
	}
	var err error
	s.Member, err = m.Join(ctx, p)
	return s, err
}

func (s *testScout) show(names ...string) *testScout {
	s.Reset(filestest.Set(names...), stream.Arrival{Revision: 1})
	return s
}

// inVirtualTime runs a test with a fleet.
func inVirtualTime(t *testing.T, masters int, test func(f *testFleet)) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet(t, masters)
		defer f.end()
		test(f)
	})
}
