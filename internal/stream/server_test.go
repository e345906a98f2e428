package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/internal/files"
	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

// lastWord waits until the member has left and returns what it was told last.
func (m *member) lastWord() string {
	<-m.left
	history := m.history()
	return history[len(history)-1]
}

func TestWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := openRaw(t, n)
		r.say(hello(&Scout{Origin: web01, Version: "v1.2\n" + strings.Repeat("x", 100)}, new(sentStates)))
		msg, err := r.hear()
		if err != nil {
			t.Fatal(err)
		}
		w, p := msg.GetWelcome(), m.registry.last().peer
		if w.GetHeartbeat().AsDuration() != heartbeat || w.GetDeadline().AsDuration() != deadline || w.GetSession() != p.Session {
			t.Errorf("welcomed with %v", w)
		}
		if p.Origin != web01 || p.Address != "bufconn" || p.Session == "" {
			t.Errorf("registered as %+v", p)
		}
		if strings.Contains(p.Version, "\n") || len(p.Version) > maxVersion {
			t.Errorf("with version %q", p.Version)
		}
	})
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{&HeldError{web01, "another"}, codes.AlreadyExists, "another"},
		{&NotServingError{Reason: "cut off"}, codes.Unavailable, "NOT_SERVING: cut off"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			m := startMaster(t, n)
			m.registry.decide(func(context.Context, Peer) error { return tc.err })
			r := openRaw(t, n)
			r.say(sayHello(web01))
			if err := r.end(); status.Code(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("ended with %v", err)
			}
			synctest.Wait()
			m.none(t) // its place under the limit of scouts is free
		})
	}
}

// While the registry makes up its mind the newcomer owes no sign of life, and
// is free to leave.
func TestSlowJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		m.registry.decide(func(context.Context, Peer) error {
			time.Sleep(2 * deadline)
			return nil
		})
		welcomed(t, n)
		gaveUp := make(chan error, 1)
		m.registry.decide(func(ctx context.Context, _ Peer) error {
			<-ctx.Done()
			gaveUp <- ctx.Err()
			return ctx.Err()
		})
		r := openRaw(t, n)
		r.say(sayHello(web01))
		synctest.Wait()
		r.cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("the registry was told %v", err)
		}
	})
}

// How a session ends, what the scout is told, and what the registry.
func TestEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(*network, *master, *raw)
		code codes.Code
		text string
		left LeaveReason
		took time.Duration
	}{
		{"half-close", func(_ *network, _ *master, r *raw) { _ = r.stream.CloseSend() }, codes.OK, "EOF", LeftDeregistered, 0},
		{"cancelled", func(_ *network, _ *master, r *raw) { r.cancel() }, codes.Canceled, "", LeftBroken, 0},
		{"connection closed", func(_ *network, _ *master, r *raw) { _ = r.conn.Close() }, codes.Canceled, "", LeftBroken, 0},
		{"silent", func(*network, *master, *raw) {}, codes.DeadlineExceeded, "the scout was silent past the deadline of 3s", LeftSilent, deadline},
		{"not heard", func(n *network, _ *master, _ *raw) { n.up.lose() }, codes.DeadlineExceeded, "silent", LeftSilent, deadline},
		{"evicted", func(_ *network, m *master, _ *raw) { m.registry.last().peer.Evict("replaced by 10.0.0.7:40112") }, codes.Aborted, "replaced by 10.0.0.7:40112", LeftReplaced, 0},
		{"dismissed", func(_ *network, m *master, _ *raw) { m.registry.last().peer.Dismiss("cut off") }, codes.Unavailable, "NOT_SERVING: cut off", LeftStopping, 0},
		{"stopping", func(_ *network, m *master, _ *raw) { m.stop() }, codes.Unavailable, "NOT_SERVING", LeftStopping, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				r := synced(t, n, "a")
				began := time.Now()
				tc.end(n, m, r)
				if got := m.registry.last().lastWord(); got != "leave "+string(tc.left) || time.Since(began) != tc.took {
					t.Errorf("the member was told to %q after %v", got, time.Since(began))
				}
				if m.registry.last().shown() != nil {
					t.Error("its files are still shown")
				}
				err := r.end()
				if errors.Is(err, io.EOF) != (tc.code == codes.OK) || !errors.Is(err, io.EOF) && status.Code(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("the scout was told %v", err)
				}
			})
		})
	}
}

// A message of any kind, at any time, is a sign of life.
func TestAnyMessageIsLife(t *testing.T) {
	part := func(revision uint64, name string) *scoutv1.SessionRequest {
		return sayUpdate(&scoutv1.Update{Revision: revision, More: true, Added: coded(name)})
	}
	for name, say := range map[string]func(i int) *scoutv1.SessionRequest{
		"offers":      func(int) *scoutv1.SessionRequest { return sayOffer() },
		"parts":       func(i int) *scoutv1.SessionRequest { return part(2, fmt.Sprintf("x%d", i)) },
		"unavailable": func(int) *scoutv1.SessionRequest { return sayUnavailable("scanning") },
		"beats":       func(int) *scoutv1.SessionRequest { return sayBeat(1, setOf("a")) },
		"unknown":     func(int) *scoutv1.SessionRequest { return unknown() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				r := synced(t, n, "a")
				for i := range 9 {
					time.Sleep(deadline - time.Millisecond)
					r.say(say(i))
				}
				synctest.Wait()
				select {
				case <-m.registry.last().left:
					t.Errorf("it was told to %q", m.registry.last().lastWord())
				default:
				}
			})
		})
	}
}

// A probe is answered by whatever comes after the question.
func TestProbe(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer func(*network, *raw)
		want   bool
	}{
		{"beat", func(_ *network, r *raw) { r.say(sayBeat(1, setOf("a"))) }, true},
		{"anything", func(_ *network, r *raw) { r.say(unknown()) }, true},
		{"nothing", func(*network, *raw) {}, false},
		{"gone", func(_ *network, r *raw) { r.cancel() }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				r := synced(t, n, "a")
				r.say(sayBeat(1, setOf("a"))) // before the question
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
				defer cancel()
				answers := make(chan bool)
				for range 100 {
					go func() { answers <- m.registry.last().peer.Probe(ctx) }()
				}
				r.expect("Probe", isProbe)
				synctest.Wait()
				select {
				case got := <-answers:
					t.Fatalf("answered %v by what came before", got)
				default:
				}
				tc.answer(n, r)
				for range 100 {
					if got := <-answers; got != tc.want {
						t.Fatalf("the answer is %v", got)
					}
				}
			})
		})
	}
}

// What one had still to say who has left is no answer.
func TestProbeOfOneWhoHasLeft(t *testing.T) {
	for range 20 { // which of the two is read first is chance
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			m := startMaster(t, n)
			r := synced(t, n, "a")
			busy := m.registry.last()
			busy.keepBusy(time.Second)
			r.say(sayOffer())
			r.expect("Grant", isGrant)
			r.say(saySnapshot(2, setOf("b"))...)
			for range 3 * inboxSize {
				r.say(sayBeat(2, setOf("b")))
			}
			synctest.Wait()
			r.cancel()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if busy.peer.Probe(ctx) {
				t.Error("one who has left answers")
			}
		})
	}
}

// While the registry is busy with a session's snapshot, that session is alive
// all the same: beats go down, probes are answered, and however much it sends
// meanwhile, nobody takes the wait for its silence.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		busy := m.registry.last()
		busy.keepBusy(5 * deadline)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(2, setOf("b"))...)
		synctest.Wait()

		if msg, err := r.stream.Recv(); err != nil || msg.GetBeat() == nil {
			t.Errorf("heard %v, %v instead of a beat", msg, err)
		}
		answer := make(chan bool)
		go func() { answer <- busy.peer.Probe(t.Context()) }()
		r.expect("Probe", isProbe)
		r.say(sayBeat(2, setOf("b")))
		if !<-answer {
			t.Error("not answered while busy")
		}
		for range 3 * inboxSize { // more than there is room for
			r.say(sayBeat(2, setOf("b")))
		}
		time.Sleep(5 * deadline)
		r.say(sayBeat(2, setOf("b")))
		time.Sleep(deadline - time.Second)
		synctest.Wait()
		if got := busy.history(); !slices.Equal(got, []string{"reset 1: a", "reset 2: b"}) {
			t.Errorf("the member was told %q", got)
		}
		if got := busy.lastWord(); got != "leave silent past deadline" {
			t.Errorf("in the end it was told to %q", got)
		}
	})
}

// What an evicted session had sent before it learned of that is not applied.
func TestLateMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		old := m.registry.last()
		old.keepBusy(time.Second)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(2, setOf("b"))...)
		r.say(sayChange(3, setOf("b"), setOf("late"))...)
		r.say(sayChange(4, setOf("late"), setOf("later"))...)
		synctest.Wait()
		old.peer.Evict("replaced by another")
		if old.peer.Probe(t.Context()) {
			t.Error("an evicted session answers")
		}
		old.lastWord()
		if got := old.history(); !slices.Equal(got, []string{"reset 1: a", "reset 2: b", "leave replaced"}) {
			t.Errorf("the member was told %q", got)
		}
	})
}

// The master's own pause is not its scouts' silence; the scouts that have left
// meanwhile are dropped all the same.
func TestMasterFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		stays, silent := synced(t, n, "a"), synced(t, n, "b")
		time.Sleep(deadline - 100*time.Millisecond)
		m.clock.freeze(3 * deadline)
		time.Sleep(200 * time.Millisecond) // past the deadline
		thawed := time.Now()
		for range 10 {
			stays.say(sayBeat(1, setOf("a")))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := m.registry.members[0].history(); len(got) != 1 {
			t.Errorf("the one who stays was told %q", got)
		}
		if got := m.registry.members[1].lastWord(); got != "leave silent past deadline" || time.Since(thawed) < deadline {
			t.Errorf("the silent one was told %q", got)
		}
		if err := silent.end(); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("and ended with %v", err)
		}
	})
}

// A master that stops tells everyone, whatever they are at, and takes no more.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		var all []*raw
		for range 30 {
			all = append(all, openRaw(t, n), welcomed(t, n), synced(t, n, "a"))
		}
		pending := openRaw(t, n)
		m.registry.decide(func(ctx context.Context, _ Peer) error {
			<-ctx.Done()
			return ctx.Err()
		})
		pending.say(sayHello(web01))
		synctest.Wait()
		began := time.Now()
		m.stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		for _, r := range append(all, pending) {
			if err := r.end(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "NOT_SERVING") {
				t.Fatalf("a scout was told %v", err)
			}
		}
		for _, member := range m.registry.members {
			if got := member.lastWord(); got != "leave scoutmaster stopping" {
				t.Fatalf("a member was told to %q", got)
			}
		}
	})
}

// Lines that peers cause are few for each peer and reason and in all, and say how
// many there would have been.
func TestLinesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		breakRule := func(host string) {
			r := openRaw(t, n)
			r.say(sayHello(files.Origin{Host: host, Directory: "/srv"}), sayHello(web01))
			r.end()
		}
		for range eachLines + 4 {
			breakRule("one")
		}
		breakRule("other")
		synctest.Wait()
		if got := m.logs.count("protocol violation"); got != eachLines+1 {
			t.Errorf("%d lines of two peers", got)
		}
		if got := m.logs.field(t, "protocol violation", "withheld"); got != int64(4) {
			t.Errorf("%v withheld", got)
		}
		r := openRaw(t, n)
		r.say(sayHello(files.Origin{Host: "one", Directory: "/srv"}), sayLooked(1))
		r.end()
		synctest.Wait()
		if got := m.logs.count("protocol violation"); got != eachLines+2 {
			t.Errorf("another rule makes %d lines", got)
		}
		for i := range 2 * mostLines {
			breakRule(fmt.Sprint(i))
		}
		synctest.Wait()
		if got := m.logs.count("protocol violation"); got != mostLines {
			t.Errorf("%d lines of many peers", got)
		}
		time.Sleep(lineInterval)
		breakRule("one")
		synctest.Wait()
		if got := m.logs.field(t, "protocol violation", "withheld"); got != int64(mostLines+eachLines+2) {
			t.Errorf("%v withheld", got)
		}
	})
}

// fakeAuthorizer answers as the test says.
type fakeAuthorizer struct {
	mu                  sync.Mutex
	identify, authorize error
	asked               []files.Origin
}

func (d *fakeAuthorizer) tell(identify, authorize error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.identify, d.authorize = identify, authorize
}

func (d *fakeAuthorizer) Identify(context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return "token:web", d.identify
}

func (d *fakeAuthorizer) Authorize(_ context.Context, o files.Origin) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, o)
	return d.authorize
}

func TestAuthorizer(t *testing.T) {
	unknown := status.Error(codes.Unauthenticated, "the token is not known")
	denied := status.Error(codes.PermissionDenied, "token:web may not\nshow that")
	for name, tc := range map[string]struct {
		identify, authorize error
		code                codes.Code
		text                string
	}{
		"a stranger":              {unknown, nil, codes.Unauthenticated, "the token is not known"},
		"somebody else":           {nil, denied, codes.PermissionDenied, "token:web may not show that"},
		"an error without status": {nil, errors.New("closed today"), codes.PermissionDenied, "closed today"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				authorizer := &fakeAuthorizer{}
				m := startMaster(t, n, func(c *Config) { c.Authorizer = authorizer })
				authorizer.tell(tc.identify, tc.authorize)
				r := openRaw(t, n)
				if tc.identify == nil {
					r.say(sayHello(web01))
				}
				if err := r.end(); status.Code(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("ended with %v", err)
				}
				synctest.Wait()
				if reason := m.logs.field(t, "registration refused", "reason").(string); !strings.Contains(reason, tc.text) {
					t.Errorf("logged as %q", reason)
				}
				if m.registry.joined() != 0 {
					t.Error("it is registered")
				}
				m.none(t)
			})
		})
	}
}

// What a scout may show is asked for by what it says, its identity is known to
// the registry, and what it may no longer do ends its session.
func TestPermissionWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		authorizer := &fakeAuthorizer{}
		m := startMaster(t, n, func(c *Config) { c.Authorizer = authorizer })
		c := startScout(t, n, newDirectory("a"))
		synctest.Wait()
		if authorizer.asked[0] != web01 || m.registry.last().peer.Identity != "token:web" {
			t.Errorf("asked of %+v, registered as %+v", authorizer.asked, m.registry.last().peer)
		}
		withdrawn := m.registry.last()
		authorizer.tell(nil, status.Error(codes.PermissionDenied, "not any more"))
		began := time.Now()
		if got := withdrawn.lastWord(); got != "leave permission withdrawn" {
			t.Errorf("the member was told to %q", got)
		}
		if took := time.Since(began); took > 2*heartbeat {
			t.Errorf("that took %v", took)
		}
		synctest.Wait()
		if m.logs.count("permission withdrawn") != 1 || !strings.Contains(c.logs.field(t, "master lost", "reason").(string), "not any more") {
			t.Error("nobody was told why")
		}
		authorizer.tell(nil, nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		if m.registry.last() == withdrawn {
			t.Error("it does not come back")
		}
	})
}

// A message that fills the inbox of a busy session is heard, though nothing takes it
// out: it answers a Probe.
func TestHeardWithFullInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		busy := m.registry.last()
		busy.keepBusy(time.Hour)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(2, setOf("b"))...)
		for range inboxSize {
			r.say(unknown())
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer := make(chan bool)
		go func() { answer <- busy.peer.Probe(ctx) }()
		synctest.Wait()
		r.say(unknown())
		if !<-answer {
			t.Error("the message does not answer the Probe")
		}
	})
}

// The Authorizer is asked once each heartbeat, however much the scout says.
func TestAuthorizerIsAskedEachHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		authorizer := &fakeAuthorizer{}
		startMaster(t, n, func(c *Config) { c.Authorizer = authorizer })
		r := synced(t, n, "a")
		const heartbeats = 100
		for range 10 * heartbeats {
			time.Sleep(heartbeat / 10)
			r.say(sayBeat(1, setOf("a")))
		}
		synctest.Wait()
		authorizer.mu.Lock()
		defer authorizer.mu.Unlock()
		if asked := len(authorizer.asked); asked < heartbeats*8/10 || asked > heartbeats+1 {
			t.Errorf("asked %d times in %d heartbeats", asked, heartbeats)
		}
	})
}

// A server that stops waits until each session has left the registry.
func TestStopWaitsForSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &registry{}
		server := NewServer(reg, Config{Heartbeat: heartbeat, Deadline: deadline, Log: zap.NewNop()})
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan struct{})
		go func() { defer close(stopped); _ = server.Run(ctx) }()
		calling, hangUp := context.WithCancel(context.Background())
		call := &fed{ctx: calling, up: make(chan []byte)}
		go func() { _ = server.Session(call); hangUp() }()
		say := func(msgs ...*scoutv1.SessionRequest) {
			for _, b := range frames(framed(msgs...)) {
				call.up <- b
			}
			synctest.Wait()
		}
		say(sayHello(web01), sayOffer())
		reg.last().keepBusy(time.Second)
		say(saySnapshot(1, setOf("a"))...)
		cancel()
		<-stopped
		if !isClosed(reg.last().left) {
			t.Error("a session has not left")
		}
	})
}

// A Resync and a Grant that wait to be sent are both sent, in this order.
func TestAnswersAreSentInOrder(t *testing.T) {
	a := answers{ready: wake.NewSignal()}
	a.resync("the copy differs")
	a.grant()
	for _, want := range []func(*scoutv1.SessionResponse) bool{isResync, isGrant} {
		select {
		case <-a.ready:
		default:
			t.Fatal("nothing says that an answer is due")
		}
		if msg := a.take(); !want(msg) {
			t.Errorf("%v is sent", msg)
		}
	}
	if msg := a.take(); msg != nil {
		t.Errorf("%v is sent as well", msg)
	}
}
