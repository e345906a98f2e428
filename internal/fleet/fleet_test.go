package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/fleet"
	"scout/internal/jetstream"
	"scout/internal/jetstream/natstest"
	"scout/internal/listing"
	"scout/internal/master"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scoutmaster is one that shares its list over real NATS servers.
type scoutmaster struct {
	*testing.T
	*master.Registry
	list *listing.Listing
	stop func()
}

func start(t *testing.T, servers []*natstest.Server, name string, bytes int64) *scoutmaster {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL())
	}
	log := zaptest.NewLogger(t).Named(name)
	conn, err := jetstream.Open(t.Context(), jetstream.Options{URLs: urls, Fleet: "test", Name: name, Bytes: bytes, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	f := fleet.New(conn)
	list := listing.New()
	r := master.Share(list, master.Sharing{
		Sequence: f, Peers: f, Name: name, Version: "v1", Address: f.Address(),
		Heartbeat: 200 * time.Millisecond, Deadline: time.Second, CutOff: 15 * time.Second,
	}, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.Run(ctx) }()
	go func() { done <- f.Serve(ctx, r) }()
	m := &scoutmaster{T: t, Registry: r, list: list}
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		conn.Close()
	}
	t.Cleanup(m.stop)
	m.await("ready", func() bool { return m.Ready() == nil })
	return m
}

func (m *scoutmaster) await(what string, ok func() bool) {
	m.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			m.Fatalf("in vain: %s; the list has %q", what, m.names())
		}
	}
}

func (m *scoutmaster) names() (names []string) {
	for e := m.list.Current().Entries(); e.Next(); {
		names = append(names, string(e.Name()))
	}
	return names
}

func agree(masters []*scoutmaster, names ...string) {
	for _, m := range masters {
		m.Helper()
		m.await(fmt.Sprintf("%d names", len(names)), func() bool { return m.Ready() == nil && slices.Equal(m.names(), names) })
	}
	tag := masters[0].list.Current().Tag()
	for _, m := range masters {
		if got := m.list.Current().Tag(); got != tag {
			m.Errorf("one list has the tags %s and %s", got, tag)
		}
	}
}

// rescanned is the answer of a scout that has rescanned.
var rescanned = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// arrive registers a scout that answers probes.
func (m *scoutmaster) arrive(host string) (stream.Member, error) {
	return m.Join(context.Background(), stream.Peer{
		Origin: files.Origin{Host: host, Directory: "/srv"}, Session: "session of " + host, Address: "192.0.2.1:1",
		Probe:   func(context.Context) bool { return true },
		Rescan:  func() <-chan struct{} { return rescanned },
		Silence: func() time.Duration { return 0 },
		Evict:   func(string) {},
		Dismiss: func(string) {},
	})
}

func (m *scoutmaster) show(host string, names ...string) stream.Member {
	m.Helper()
	s, err := m.arrive(host)
	if err != nil {
		m.Fatal(err)
	}
	s.Reset(filestest.Set(names...), stream.Arrival{Revision: 1})
	return s
}

// Three scoutmasters over one NATS server have one list; one that starts later
// takes the state, and the death of one costs nobody else anything.
func TestFleet(t *testing.T) {
	servers := natstest.Start(t, 1)
	masters := []*scoutmaster{start(t, servers, "a", 64<<20), start(t, servers, "b", 64<<20)}
	for i, m := range masters {
		m.show(fmt.Sprint("host-", i), fmt.Sprint("f", i))
	}
	agree(masters, "f0", "f1")

	var held *stream.HeldError
	if _, err := masters[1].arrive("host-0"); !errors.As(err, &held) {
		t.Errorf("a twin is let in: %v", err)
	}
	var names []string
	for i := range 100_000 {
		names = append(names, fmt.Sprintf("large/directory-%05d/%06d", i/3, i))
	}
	masters[0].show("large", names...)
	all := append([]string{"f0", "f1"}, names...)
	agree(masters, all...)
	masters = append(masters, start(t, servers, "c", 64<<20))
	agree(masters, all...)
	masters[2].show("host-2", "f2")
	all = slices.Insert(all, 2, "f2")
	agree(masters, all...)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if list, unconfirmed := masters[1].Barrier(ctx, func(files.Origin) bool { return true }); len(unconfirmed) > 0 || list.Len != len(all) {
		t.Errorf("%d entries, unconfirmed: %v", list.Len, unconfirmed)
	}

	masters[1].stop()
	left := []*scoutmaster{masters[0], masters[2]}
	agree(left, all...)
	left[0].show("host-1", "f1")
	agree(left, all...)
}

// slow is a scoutmaster whose state takes longer than an answer may.
type slow struct{ *master.Registry }

const slowFor = 6 * time.Second

func (slow) Ready() error { return nil }

func (slow) Parts(int, uint32) iter.Seq[*scoutv1.StatePart] {
	return func(yield func(*scoutv1.StatePart) bool) {
		if yield(&scoutv1.StatePart{Head: &scoutv1.StateHead{Epoch: 7}}) {
			time.Sleep(slowFor)
			yield(&scoutv1.StatePart{Session: &scoutv1.StateSession{Session: 8}})
		}
	}
}

// A large state is taken, however long its parts take.
func TestASlowState(t *testing.T) {
	t.Parallel()
	servers := natstest.Start(t, 1)
	var sides [2]*fleet.Fleet
	for i := range sides {
		conn, err := jetstream.Open(t.Context(), jetstream.Options{URLs: []string{servers[0].URL()}, Fleet: "slow", Bytes: 1 << 20, Log: zaptest.NewLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		sides[i] = fleet.New(conn)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := sides[0].Serve(ctx, slow{}); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer cancel()
	var got []*scoutv1.StatePart
	for end := time.Now().Add(time.Minute); len(got) == 0 && time.Now().Before(end); {
		for p, err := range sides[1].State(t.Context()) {
			if err != nil {
				break // it does not serve yet
			}
			got = append(got, p)
		}
	}
	if len(got) != 2 || got[0].GetHead().GetEpoch() != 7 || got[1].GetSession().GetSession() != 8 {
		t.Errorf("the parts are %v", got)
	}
}

// The answers to requests that are made at once come in any order. One that is missing,
// or comes twice, ends the transfer.
func TestAnswersInAnyOrder(t *testing.T) {
	t.Parallel()
	servers := natstest.Start(t, 1)
	conn, err := jetstream.Open(t.Context(), jetstream.Options{URLs: []string{servers[0].URL()}, Fleet: "answers", Bytes: 1 << 20, Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	for _, tc := range []struct {
		numbers []int // of the answers after the first one, 0; -1 has no parts yet
		want    bool  // the parts come in order, and all
	}{
		{[]int{1, 2, 3, 4, 5}, true},
		{[]int{3, 1, 2, 5, 4}, true},
		{[]int{5, 4, 3, 2, 1}, true},
		{[]int{-1, 2, -1, -1, 1, 3, 4, -1, 5}, true},
		{[]int{1, 2, 4, 5}, false},
		{[]int{2, 3, 4, 5}, false},
		{[]int{1, 2, 3, 4}, false},
		{[]int{1, 2, 2, 3, 4, 5}, false},
		{[]int{3, 3, 1, 2, 4, 5}, false},
		{[]int{0, 1, 2, 3, 4, 5}, false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		var mu sync.Mutex
		left := append([]int{0}, tc.numbers...)
		serving.Go(func() {
			err := conn.Serve(ctx, "ready", func(context.Context, []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				answer := &scoutv1.PeerAnswer{Number: 6}
				if len(left) > 0 {
					answer = &scoutv1.PeerAnswer{Transfer: 7, Address: "ready", AtOnce: 3}
					if n := uint64(left[0]); left[0] >= 0 {
						answer.Number, answer.Parts = n, []*scoutv1.StatePart{{Of: n}}
					}
					left = left[1:]
				}
				return proto.Marshal(answer)
			})
			if err != nil {
				t.Error(err)
			}
		})
		var got []uint64
		for err = errors.New("not asked"); err != nil && len(got) == 0; { // it may not serve yet
			err = nil
			for p, e := range fleet.New(conn).State(t.Context()) {
				if err = e; e == nil {
					got = append(got, p.GetOf())
				}
			}
		}
		if all := slices.Equal(got, []uint64{0, 1, 2, 3, 4, 5}); all != tc.want || (err == nil) != tc.want {
			t.Errorf("%v: the parts are %v, error %v", tc.numbers, got, err)
		}
		cancel()
		serving.Wait()
	}
}

// dying is a scoutmaster that ends in the middle of a transfer.
type dying struct {
	*given
	end func()
}

func (d *dying) Parts(_ int, form uint32) iter.Seq[*scoutv1.StatePart] {
	return func(yield func(*scoutv1.StatePart) bool) {
		n := 0
		for p := range d.given.Parts(1<<10, form) {
			if n++; n == 150 {
				d.end()
			}
			if !yield(p) {
				return
			}
		}
	}
}

// A scoutmaster that dies while it gives its state is replaced by another one, of
// either version.
func TestTheGiverDies(t *testing.T) {
	t.Parallel()
	servers := natstest.Start(t, 1)
	open := func() *jetstream.Conn {
		conn, err := jetstream.Open(t.Context(), jetstream.Options{URLs: []string{servers[0].URL()}, Fleet: "dying", Bytes: 1 << 20, Log: zaptest.NewLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	state := manyNames(t, 100, 200)
	taker := fleet.New(open())
	for _, form := range []uint32{1, master.FormRead} {
		first, second := open(), open()
		state.form = form
		ctx, cancel := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serve := func(ctx context.Context, conn *jetstream.Conn, r fleet.Registry) {
			serving.Go(func() {
				if err := fleet.New(conn).Serve(ctx, r); err != nil {
					t.Error(err)
				}
			})
		}
		died := make(chan struct{})
		life, die := context.WithCancel(ctx)
		serve(life, first, &dying{state, func() { die(); close(died) }})
		to := listing.New()
		newcomer := master.NewState(to, nil)
		for end, alive := time.Now().Add(time.Minute), true; ; {
			err := newcomer.Restore(0, taker.State(t.Context()))
			if err == nil {
				break
			}
			if time.Now().After(end) || to.Current().Len > 0 {
				t.Fatalf("form %d: %v, %d names", form, err, to.Current().Len)
			}
			select {
			case <-died:
				if alive {
					serve(ctx, second, state)
				}
				alive = false
			default:
			}
			time.Sleep(5 * time.Millisecond)
		}
		select {
		case <-died:
		default:
			t.Errorf("form %d: the first scoutmaster has not died", form)
		}
		want, got := state.list.Current().Entries(), to.Current().Entries()
		for want.Next() {
			if !got.Next() || !bytes.Equal(got.Name(), want.Name()) || got.Source().Origin != want.Source().Origin {
				t.Fatalf("form %d: the lists differ at %q", form, want.Name())
			}
		}
		if got.Next() {
			t.Errorf("form %d: %q is listed too", form, got.Name())
		}
		if merged := to.Current().Merged(); merged != (form == master.FormRead) {
			t.Errorf("form %d: the list of the newcomer is merged: %v", form, merged)
		}
		cancel()
		serving.Wait()
	}
}

// narrow lets connections to a server pass, each of which it holds once it has sent so
// many bytes, until release.
func narrow(t *testing.T, server string, most int64) (url string, release func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	release = sync.OnceFunc(func() { close(open) })
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", strings.TrimPrefix(server, "nats://"))
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			passing.Go(func() {
				defer to.Close()
				io.CopyN(to, client, most)
				<-open
				io.Copy(to, client)
			})
			passing.Go(func() {
				defer client.Close()
				io.Copy(client, to)
			})
		}
	})
	t.Cleanup(func() { // after the connections were closed
		release()
		listener.Close()
		passing.Wait()
	})
	return "nats://" + listener.Addr().String(), release
}

// Entries of a scoutmaster come through the log while the state that it gives does not
// get through.
func TestATransferDelaysNoEntries(t *testing.T) {
	t.Parallel()
	servers := natstest.Start(t, 1)
	url, release := narrow(t, servers[0].URL(), 100<<10)
	open := func(url string) *jetstream.Conn {
		conn, err := jetstream.Open(t.Context(), jetstream.Options{URLs: []string{url}, Fleet: "narrow", Bytes: 1 << 20, Log: zaptest.NewLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	giver, taker := open(url), open(servers[0].URL())
	state := manyNames(t, 100, 500)
	state.form = master.FormRead
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	serving.Go(func() {
		if err := fleet.New(giver).Serve(ctx, state); err != nil {
			t.Error(err)
		}
	})
	taken := make(chan error, 1)
	to := listing.New()
	serving.Go(func() {
		newcomer := master.NewState(to, nil)
		err := errors.New("not asked")
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end) && ctx.Err() == nil; {
			err = newcomer.Restore(0, fleet.New(taker).State(ctx)) // the giver may not serve yet
		}
		taken <- err
	})
	for end := time.Now().Add(time.Minute); state.sent.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody asks for the state")
		}
	}
	log, err := taker.Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	delivered := make(chan struct{}, 1)
	serving.Go(func() {
		taker.Follow(ctx, log.Made, log.Last+1, func([]jetstream.Entry) error {
			delivered <- struct{}{}
			return nil
		})
	})
	for range 10 {
		if err := giver.Append(make([]byte, 66)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-delivered:
		case <-time.After(30 * time.Second):
			t.Fatal("an entry waits for the transfer")
		}
	}
	select {
	case err := <-taken:
		t.Fatalf("the state came through: %v", err)
	default:
	}
	release()
	if err := <-taken; err != nil || to.Current().Len != state.list.Current().Len {
		t.Errorf("error %v, %d names", err, to.Current().Len)
	}
}

// A log that is a small ring forgets what a newcomer would need, and the newcomer
// takes the state.
func TestRingThatForgets(t *testing.T) {
	servers := natstest.Start(t, 1)
	masters := []*scoutmaster{start(t, servers, "a", 1<<20)}
	s := masters[0].show("host", "x")
	for i := range 40 { // 4 MB
		var names []string
		for n := range 5000 {
			names = append(names, fmt.Sprintf("%d-%s-%d", 10000+n, bytes.Repeat([]byte{'a' + byte(i%26)}, 20), i))
		}
		slices.Sort(names)
		s.Reset(filestest.Set(names...), stream.Arrival{Revision: uint64(i) + 2})
	}
	s.Reset(filestest.Set("last"), stream.Arrival{Revision: 100})
	masters = append(masters, start(t, servers, "b", 1<<20))
	agree(masters, "last")
	masters[1].show("other", "y")
	agree(masters, "last", "y")
}

// A NATS server that is frozen, and one that comes back without its data.
func TestServerTrouble(t *testing.T) {
	servers := natstest.Start(t, 1)
	masters := []*scoutmaster{start(t, servers, "a", 64<<20), start(t, servers, "b", 64<<20)}
	s := masters[0].show("host-0", "f0")
	masters[1].show("host-1", "f1")
	agree(masters, "f0", "f1")

	servers[0].Freeze()
	time.Sleep(3 * time.Second) // of the deadline
	servers[0].Thaw()
	s.Reset(filestest.Set("f0", "g0"), stream.Arrival{Revision: 2})
	agree(masters, "f0", "f1", "g0")

	epoch := masters[0].list.Current().Epoch
	servers[0].Kill()
	servers[0].Erase()
	servers[0].Start()
	for _, m := range masters {
		m.await("a new epoch", func() bool { return m.list.Current().Epoch > epoch && m.Ready() == nil })
	}
	agree(masters)
	masters[1].show("host-0", "f0")
	agree(masters, "f0")
}
