package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"scout/internal/files"
	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

type serverStream = scoutv1.ScoutmasterService_SessionServer

func welcome(heartbeat, deadline time.Duration) *scoutv1.SessionResponse {
	return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Welcome{Welcome: &scoutv1.Welcome{
		Session: "s1", Heartbeat: durationpb.New(heartbeat), Deadline: durationpb.New(deadline),
	}}}
}

var (
	grant  = &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Grant{Grant: &scoutv1.Grant{}}}
	resync = &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Resync{Resync: &scoutv1.Resync{Reason: "differs"}}}
	look   = func(ticket uint64) *scoutv1.SessionResponse {
		return &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Look{Look: &scoutv1.Look{Ticket: ticket}}}
	}
	probe = &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Probe{Probe: &scoutv1.Probe{}}}
	alive = &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Beat{Beat: &scoutv1.MasterBeat{}}}
)

// Every way in which a first registration can fail: soon, and with a line that
// says why and what to do.
func TestFirstRegistrationFails(t *testing.T) {
	answer := func(msgs ...*scoutv1.SessionResponse) func(*testing.T, *network) {
		return func(t *testing.T, n *network) {
			startScripted(t, n, func(s serverStream) error {
				for _, msg := range msgs {
					if err := s.Send(msg); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	for _, tc := range []struct {
		name  string
		there func(*testing.T, *network)
		want  []string
		last  time.Duration
	}{
		{"nobody", func(*testing.T, *network) {}, []string{"scoutmaster at master:3000: connect: connection refused", "is it running"}, 0},
		{"swallowed", func(t *testing.T, n *network) {
			startMaster(t, n)
			n.up.lose()
		}, []string{"master:3000", "no answer within 4s", "firewall"}, registerBound},
		{"answers swallowed", func(t *testing.T, n *network) {
			startMaster(t, n)
			n.down.lose()
		}, []string{"no answer within 4s"}, registerBound},
		{"undecided", func(t *testing.T, n *network) {
			m := startMaster(t, n)
			m.registry.decide(func(ctx context.Context, _ Peer) error {
				<-ctx.Done()
				return ctx.Err()
			})
		}, []string{"master:3000", "no answer within 4s", "whether its NATS servers answer"}, registerBound},
		{"held", func(t *testing.T, n *network) {
			m := startMaster(t, n)
			m.registry.decide(func(context.Context, Peer) error {
				return &HeldError{Origin: web01, Holder: "session abc from 10.0.0.7:4711"}
			})
		}, []string{
			"registration refused by the scoutmaster at master:3000", `"/srv/data" on host "web-01"`,
			"session abc from 10.0.0.7:4711", "stop that scout",
		}, 0},
		{"stopping", func(t *testing.T, n *network) {
			m := startMaster(t, n)
			m.Server.close()
		}, []string{"NOT_SERVING"}, 0},
		{"another gRPC service", func(t *testing.T, n *network) {
			serve(t, n, grpc.NewServer())
		}, []string{"no scoutmaster at master:3000", "unknown service"}, 0},
		{"an HTTP server", func(t *testing.T, n *network) {
			server := &http.Server{Handler: http.NotFoundHandler()}
			listener := n.listen()
			var running sync.WaitGroup
			running.Go(func() { _ = server.Serve(listener) })
			t.Cleanup(func() {
				_ = server.Close()
				running.Wait()
			})
		}, []string{"scoutmaster at master:3000", "is this its gRPC address?"}, 0},
		{"ends at once", answer(), []string{"no scoutmaster at master:3000", "the master ended the call"}, 0},
		{"a beat first", answer(alive), []string{"no scoutmaster at master:3000", "Welcome"}, 0},
		{"an unknown message first", answer(&scoutv1.SessionResponse{}), []string{"no scoutmaster at master:3000", "Welcome"}, 0},
		{"no heartbeat", answer(welcome(0, time.Second)), []string{"Welcome", "the heartbeat of 0s is below 10ms", "-heartbeat"}, 0},
		{"absurd heartbeat", answer(welcome(1, time.Second)), []string{"the heartbeat of 1ns is below 10ms"}, 0},
		{"no time to beat", answer(welcome(time.Second, time.Second)), []string{"Welcome", "the deadline of 1s is not greater"}, 0},
		{"absurd deadline", answer(welcome(time.Second, 25*time.Hour)), []string{"the deadline of 25h0m0s is above 24h0m0s"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				tc.there(t, n)
				began := time.Now()
				c := startScout(t, n, newDirectory("a"))
				<-c.done
				if c.err == nil || strings.Contains(c.err.Error(), "\n") {
					t.Fatalf("Run returned %v", c.err)
				}
				t.Log(c.err)
				for _, want := range tc.want {
					if !strings.Contains(c.err.Error(), want) {
						t.Errorf("%q does not say %q", c.err, want)
					}
				}
				if took := time.Since(began); took != tc.last {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Credentials that cannot be read are an error, and no reason to dial.
func TestCredentialsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		c := startScout(t, n, newDirectory(), func(s *Scout) {
			s.Credentials = func() ([]grpc.DialOption, error) { return nil, errors.New("token: permission denied") }
		})
		if <-c.done; c.err == nil || !strings.Contains(c.err.Error(), "scoutmaster at master:3000: token: permission denied") || n.attempts() != 0 {
			t.Errorf("Run returned %v after %d attempts", c.err, n.attempts())
		}
	})
}

// Told to stop while it registers for the first time, a scout does so at once.
func TestLeaveWhileRegistering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		startMaster(t, n)
		n.up.lose()
		c := startScout(t, n, newDirectory("a"))
		synctest.Wait()
		began := time.Now()
		if err := c.leave(); err != nil || time.Since(began) != 0 {
			t.Errorf("Run returned %v after %v", err, time.Since(began))
		}
	})
}

// In whatever state the wire is, a scout that is told to stop does so within a
// second.
func TestLeave(t *testing.T) {
	for _, tc := range []struct {
		name  string
		wire  func(*network)
		names int
		want  string // what the master makes of it, if it hears
		most  time.Duration
	}{
		{"idle", func(*network) {}, 1, "leave deregistered", 0},
		{"while a snapshot is on its way", func(n *network) { n.up.limit(2 << 20) }, 400_000, "leave deregistered", leaveGrace},
		{"while a snapshot creeps along", func(n *network) { n.up.limit(1 << 10) }, 100_000, "leave stream broken", leaveGrace},
		{"while nothing gets through", func(n *network) { n.up.hold() }, 100_000, "", leaveGrace},
		{"while nothing is heard", func(n *network) { n.down.hold() }, 1, "leave deregistered", leaveGrace},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				dir := newDirectory()
				dir.cannot("scanning")
				c := startScout(t, n, dir)
				synctest.Wait()
				tc.wire(n)
				dir.show(files.View{Set: many(tc.names)})
				time.Sleep(leaveGrace)
				began := time.Now()
				err := c.leave()
				n.up.open()
				n.down.open()
				if took := time.Since(began); err != nil || took > tc.most {
					t.Errorf("Run returned %v after %v", err, took)
				}
				if tc.want == "" {
					return
				}
				<-m.registry.last().left
				if got := m.registry.last().history(); got[len(got)-1] != tc.want {
					t.Errorf("the member was told %q", got)
				}
			})
		})
	}
}

// word is what the scout says next that is not a beat, in a word.
func word(s serverStream) string {
	for {
		msg, err := s.Recv()
		switch x := msg.GetMessage().(type) {
		case *scoutv1.SessionRequest_Beat:
			continue
		case *scoutv1.SessionRequest_Hello:
			return "hello"
		case *scoutv1.SessionRequest_Offer:
			return "offer"
		case *scoutv1.SessionRequest_Unavailable:
			return "unavailable " + x.Unavailable.GetReason()
		case *scoutv1.SessionRequest_Update:
			if x.Update.GetReset_() {
				return "snapshot"
			}
			return "update"
		case *scoutv1.SessionRequest_Looked:
			return fmt.Sprintf("looked %d", x.Looked.GetTicket())
		}
		return err.Error()
	}
}

// What the scout answers to each thing that a master may ask, and when. Each
// line is what the master does, then the word that it hears.
func TestAnswers(t *testing.T) {
	type line struct {
		do   func(serverStream, *fakeDirectory)
		want string
	}
	say := func(msg *scoutv1.SessionResponse) func(serverStream, *fakeDirectory) {
		return func(s serverStream, _ *fakeDirectory) { _ = s.Send(msg) }
	}
	cannot := func(reason string) func(serverStream, *fakeDirectory) {
		return func(_ serverStream, dir *fakeDirectory) { dir.cannot(reason) }
	}
	list := func(names ...string) func(serverStream, *fakeDirectory) {
		return func(_ serverStream, dir *fakeDirectory) { dir.list(names...) }
	}
	both := func(first, second func(serverStream, *fakeDirectory)) func(serverStream, *fakeDirectory) {
		return func(s serverStream, dir *fakeDirectory) {
			first(s, dir)
			second(s, dir)
		}
	}
	nothing := func(serverStream, *fakeDirectory) {}
	pause := func(serverStream, *fakeDirectory) { time.Sleep(time.Millisecond) }
	finding := func(takes time.Duration, names ...string) func(serverStream, *fakeDirectory) {
		return func(_ serverStream, dir *fakeDirectory) { dir.finding(takes, names...) }
	}
	for _, script := range []struct {
		name  string
		lines []line
	}{
		{"snapshot and change", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {list("b"), "update"}}},
		{"resync", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {say(resync), "offer"}, {say(grant), "snapshot"}, {list("b"), "update"}}},
		{"resync before the grant", []line{{nothing, "offer"}, {say(resync), "offer"}, {say(grant), "snapshot"}}},
		{"unavailable and back", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {cannot("gone"), "unavailable gone"}, {cannot("locked"), "unavailable locked"}, {list("a"), "offer"}}},
		{"granted too late", []line{{nothing, "offer"}, {cannot("gone"), "unavailable gone"}, {both(both(say(grant), pause), list("a")), "offer"}, {say(grant), "snapshot"}}},
		{"granted when it has just become unavailable", []line{{nothing, "offer"}, {both(cannot("gone"), say(grant)), "unavailable gone"}}},
		{"granted twice", []line{{nothing, "offer"}, {both(say(grant), say(grant)), "snapshot"}, {list("b"), "update"}}},
		{"resync when it is unavailable", []line{{nothing, "offer"}, {cannot("gone"), "unavailable gone"}, {say(resync), "unavailable gone"}, {list("a"), "offer"}}},
		{"resync and grant", []line{{nothing, "offer"}, {both(say(resync), say(grant)), "offer"}, {nothing, "snapshot"}}},
		{"resync behind a grant", []line{{cannot("busy"), "unavailable busy"}, {both(say(grant), say(resync)), "unavailable busy"}, {list("a"), "offer"}}},
		{"look", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {say(look(7)), "looked 7"}, {say(look(9)), "looked 9"}}},
		{"look that finds something", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {both(finding(2*time.Second, "b"), say(look(1))), "update"}, {nothing, "looked 1"}}},
		{"look before the snapshot", []line{{nothing, "offer"}, {both(both(finding(0, "b"), say(look(1))), both(pause, say(grant))), "snapshot"}, {nothing, "looked 1"}}},
		{"look while unavailable", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {cannot("gone"), "unavailable gone"}, {both(both(say(look(1)), pause), list("a")), "offer"}, {say(grant), "snapshot"}, {nothing, "looked 1"}}},
		{"look that makes it unavailable", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {both(both(finding(time.Second), say(look(1))), cannot("gone")), "unavailable gone"}, {both(pause, list("a")), "offer"}, {say(grant), "snapshot"}, {nothing, "looked 1"}}},
		{"resync during a look", []line{{nothing, "offer"}, {say(grant), "snapshot"}, {both(finding(time.Second, "b"), both(say(look(1)), say(resync))), "offer"}, {both(pause, say(grant)), "snapshot"}, {nothing, "update"}, {nothing, "looked 1"}}},
		{"looks while one is under way", []line{
			{nothing, "offer"},
			{say(grant), "snapshot"},
			{both(finding(time.Second, "b"), both(both(say(look(1)), pause), both(say(look(2)), say(look(3))))), "update"},
			{nothing, "looked 1"},
			{nothing, "looked 3"},
		}},
		{"what is not known yet", []line{{both(say(&scoutv1.SessionResponse{}), nothing), "offer"}}},
	} {
		t.Run(script.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				dir := newDirectory("a")
				done := make(chan struct{})
				startScripted(t, n, func(s serverStream) error {
					defer close(done)
					if got := word(s); got != "hello" {
						t.Errorf("the scout began with %q", got)
					}
					_ = s.Send(welcome(heartbeat, deadline))
					for i, line := range script.lines {
						line.do(s, dir)
						if got := word(s); got != line.want {
							t.Errorf("line %d: the scout said %q, not %q", i, got, line.want)
							break
						}
					}
					return nil
				})
				startScout(t, n, dir)
				<-done
			})
		})
	}
}

// Beats come at the pace that the master asked for, say what its copy must be,
// and at once when it asks.
func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		dir := newDirectory()
		dir.show(files.View{Set: setOf("a"), Unreadable: 2, Polled: 3, Incomplete: "bad\xff", PollRound: 1500 * time.Millisecond})
		done := make(chan struct{})
		startScripted(t, n, func(s serverStream) error {
			defer close(done)
			word(s)
			_ = s.Send(welcome(7*time.Second, 20*time.Second))
			began := time.Now()
			expect := func(after time.Duration, want *scoutv1.Beat) {
				msg, err := s.Recv()
				if beat := msg.GetBeat(); err != nil || !proto.Equal(beat, want) || time.Since(began) != after {
					t.Errorf("heard %v, %v after %v, not %v after %v", msg, err, time.Since(began), want, after)
				}
			}
			word(s) // offer
			expect(7*time.Second, &scoutv1.Beat{Unreadable: 2, Polled: 3, PollMillis: 1500, Incomplete: "bad\ufffd"})
			_ = s.Send(grant)
			word(s) // snapshot
			_ = s.Send(probe)
			want := &scoutv1.Beat{Revision: 1, Count: 1, Digest: setOf("a").Digest(), Unreadable: 2, Polled: 3, PollMillis: 1500, Incomplete: "bad\ufffd"}
			expect(7*time.Second, want)
			expect(14*time.Second, want)
			return nil
		})
		startScout(t, n, dir)
		<-done
	})
}

// The progress of a scan is told with the beats, not each time that it moves.
func TestScanProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		dir := newDirectory()
		dir.show(files.View{Reason: "scanning"})
		startScout(t, n, dir)
		for i := range 35 {
			time.Sleep(100 * time.Millisecond)
			dir.show(files.View{Reason: "scanning", Scanned: 100 * i})
		}
		synctest.Wait()
		want := []string{"hide scanning 0", "hide scanning 900", "hide scanning 1900", "hide scanning 2900"}
		if got := m.registry.last().history(); len(got) < 3 || len(got) > 5 {
			t.Errorf("the member was told %q rather than %q", got, want)
		}
	})
}

// The reason may quote anything.
func TestReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		dir := newDirectory()
		dir.cannot("open /srv/\xff\n\x1b[2J: permission denied" + strings.Repeat("!", 1000))
		startScout(t, n, dir)
		synctest.Wait()
		got := m.registry.last().history()
		if len(got) != 1 || !strings.HasPrefix(got[0], "hide open /srv/\ufffd  [2J: permission denied!") || len(got[0]) > maxReason+20 {
			t.Errorf("the member was told %q", got)
		}
	})
}

// What no master could accept is refused without asking one.
func TestHopelessHello(t *testing.T) {
	s := &Scout{Origin: files.Origin{Host: "web\xff", Directory: "/srv"}}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the host is not UTF-8") {
		t.Errorf("Run returned %v", err)
	}
}

// A master that is never content is offered a snapshot ever more rarely, and the
// log has few lines of it.
func TestOffersAreSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var at []time.Time
		done := make(chan struct{})
		startScripted(t, n, func(s serverStream) error {
			defer close(done)
			word(s)
			_ = s.Send(welcome(time.Hour, 2*time.Hour))
			for range 10 {
				if got := word(s); got != "offer" {
					t.Errorf("the scout said %q", got)
				}
				at = append(at, time.Now())
				_ = s.Send(grant)
				word(s)
				_ = s.Send(resync)
			}
			return nil
		})
		c := startScout(t, n, newDirectory("a"))
		<-done
		for i, want := range []int{0, 1, 2, 4, 8, 16, 32, 60, 60} {
			if got := at[i+1].Sub(at[i]); got != time.Duration(want)*time.Second {
				t.Errorf("Offer %d came after %v, not %d s", i+1, got, want)
			}
		}
		if lines := c.logs.count("resync requested"); lines < 5 || lines > 9 {
			t.Errorf("%d Resyncs are logged", lines)
		}
	})
}

// A directory that comes and goes writes one line a second, and loses none of
// the last.
func TestSnapshotsAreSummarised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		startMaster(t, n)
		c := startScout(t, n, newDirectory("a"))
		synctest.Wait()
		for range 99 {
			c.directory.cannot("gone")
			synctest.Wait()
			c.directory.list("a")
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		lines := c.logs.seen.FilterMessage("snapshot sent").All()
		if len(lines) > 11 {
			t.Errorf("%d lines in ten seconds", len(lines))
		}
		sent := int64(len(lines))
		for _, line := range lines {
			if n, ok := line.ContextMap()["withheld"].(int64); ok {
				sent += n
			}
		}
		if sent != 100 || lines[len(lines)-1].ContextMap()["revision"] != uint64(100) {
			t.Errorf("the lines are of %d snapshots, and the last of revision %v", sent, lines[len(lines)-1].ContextMap()["revision"])
		}
	})
}

// An Offer that waits for long is worth one line.
func TestSlowGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		done := make(chan struct{})
		startScripted(t, n, func(s serverStream) error {
			defer close(done)
			word(s)
			_ = s.Send(welcome(time.Hour, 2*time.Hour))
			word(s)
			_ = s.Send(grant)
			word(s)
			time.Sleep(10 * slowGrant) // it waits for nothing
			_ = s.Send(resync)
			word(s)
			time.Sleep(slowGrant - time.Millisecond)
			_ = s.Send(resync)
			word(s)
			time.Sleep(10 * slowGrant)
			_ = s.Send(grant)
			word(s)
			time.Sleep(10 * slowGrant)
			return nil
		})
		c := startScout(t, n, newDirectory("a"))
		<-done
		if lines := c.logs.count("waiting for the scoutmaster"); lines != 1 {
			t.Errorf("logged %d times", lines)
		}
		if awaited := c.logs.field(t, "waiting for the scoutmaster", "awaited"); awaited != "grant" {
			t.Errorf("awaited: %v", awaited)
		}
	})
}

// A Grant that comes right behind a Resync is not forgotten.
func TestGrantBehindResync(t *testing.T) {
	a := asked{ready: wake.NewSignal()}
	a.resync("the copy differs")
	a.grant()
	for i, want := range []string{"resync", "grant"} {
		select {
		case <-a.ready:
		default:
			t.Fatalf("nothing says that the %s is due", want)
		}
		if _, resync, grant := a.take(); resync != (i == 0) || grant != (i == 1) {
			t.Errorf("in the place of a %s: resync %v, grant %v", want, resync, grant)
		}
	}
}

// A Grant before a Resync is void.
func TestGrantBeforeResync(t *testing.T) {
	a := asked{ready: wake.NewSignal()}
	a.grant()
	a.resync("the copy differs")
	if _, resync, grant := a.take(); !resync || grant {
		t.Errorf("first: resync %v, grant %v", resync, grant)
	}
	if _, resync, grant := a.take(); resync || grant {
		t.Errorf("then: resync %v, grant %v", resync, grant)
	}
}

// hasty is a directory that changes again right after its View was read.
type hasty struct {
	*fakeDirectory
	next chan files.View
}

func (h *hasty) View() files.View {
	v := h.fakeDirectory.View()
	select {
	case next := <-h.next:
		h.show(next)
	default:
	}
	return v
}

// A change that comes right after the View was read waits for nothing.
func TestChangeBetweenReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		dir := &hasty{newDirectory("a"), make(chan files.View, 1)}
		done := make(chan struct{})
		startScripted(t, n, func(s serverStream) error {
			defer close(done)
			word(s)
			_ = s.Send(welcome(time.Hour, 2*time.Hour))
			word(s) // offer
			synctest.Wait()
			dir.next <- files.View{Set: setOf("b")}
			began := time.Now()
			_ = s.Send(grant)
			if first, second := word(s), word(s); first != "snapshot" || second != "update" || time.Since(began) != 0 {
				t.Errorf("the scout says %s and %s, after %v", first, second, time.Since(began))
			}
			return nil
		})
		startScout(t, n, dir.fakeDirectory, func(s *Scout) { s.Directory = dir })
		<-done
	})
}
