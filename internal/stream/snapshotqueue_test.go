package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

func isReady(s *slot) bool {
	select {
	case <-s.ready():
		return true
	default:
		return false
	}
}

// admitted is which of the slots are ready.
func admitted(slots []*slot) []int {
	var ready []int
	for i, s := range slots {
		if isReady(s) {
			ready = append(ready, i)
		}
	}
	return ready
}

func TestSnapshotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSnapshotQueue(2, 1000)
		var slots []*slot
		for range 6 {
			slots = append(slots, q.request(1))
		}
		expect := func(what string, want ...int) {
			t.Helper()
			if got := admitted(slots); !slices.Equal(got, want) {
				t.Errorf("%s: %v are ready, not %v", what, got, want)
			}
		}
		expect("at first", 0, 1)
		slots[0].release()
		slots[0].release()
		expect("one released, twice", 0, 1, 2)
		slots[3].release()
		slots[1].release()
		expect("one has left the queue", 0, 1, 2, 4)
		slots[2].arrive(1)
		slots[4].arrive(1)
		time.Sleep(slotIdle)
		synctest.Wait()
		expect("held for a while", 0, 1, 2, 4)
		time.Sleep(slotHold - slotIdle)
		synctest.Wait()
		expect("held for long", 0, 1, 2, 4, 5)
		time.Sleep(slotIdle)
		synctest.Wait()
		for _, s := range slots {
			s.release()
		}
		q.isIdle(t, 2, 1000)
	})
}

// isIdle fails unless nobody holds anything nor waits.
func (q *snapshotQueue) isIdle(t *testing.T, slots int, bytes int64) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.slots != slots || q.bytes != bytes || q.waiting.Len() != 0 {
		t.Errorf("%d slots and %d bytes are free and %d sessions wait, after all have left", q.slots, q.bytes, q.waiting.Len())
	}
}

// Many small snapshots come in at once, and few large ones, whatever their
// scouts said of their size.
func TestSnapshotQueueByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSnapshotQueue(100, 1000)
		var slots []*slot
		for _, size := range []int64{100, 200, 1 << 62, 250, 250, 10, 10} {
			slots = append(slots, q.request(size))
		}
		expect := func(what string, want ...int) {
			t.Helper()
			if got := admitted(slots); !slices.Equal(got, want) {
				t.Errorf("%s: %v are ready, not %v", what, got, want)
			}
		}
		expect("at first", 0, 1, 2, 3) // 800 bytes
		slots[0].release()
		expect("100 bytes more are free", 0, 1, 2, 3, 4, 5, 6) // 970
		slots[2].arrive(2000)
		slots = append(slots, q.request(1))
		slots[1].release()
		expect("one is larger than all room", 0, 1, 2, 3, 4, 5, 6)
		slots[2].release()
		expect("it is in", 0, 1, 2, 3, 4, 5, 6, 7)
		slots[2].arrive(5000) // what is said late counts no more
		time.Sleep(slotIdle)
		synctest.Wait()
		q.isIdle(t, 100, 1000)
		for _, s := range slots {
			s.release()
		}
		q.isIdle(t, 100, 1000)
	})
}

// A session without a slot waits for none and has none to give.
func TestNoSlot(t *testing.T) {
	var s *slot
	s.release()
	if isReady(s) {
		t.Error("no slot is ready")
	}
}

// A thousand scouts that come back at once are let in a few at a time, all of
// them in the end.
func TestAdmissionOfFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const scouts, slots = 1000, 8
		n := newNetwork(t)
		startMaster(t, n, func(c *Config) { c.Snapshots = slots })
		granted := make(chan *raw, scouts)
		for i := range scouts {
			r := openRaw(t, n)
			r.say(sayHello(files.Origin{Host: fmt.Sprint(i), Directory: "/srv"}), sayOffer())
			go func() {
				for {
					msg, err := r.hear()
					if err != nil {
						return
					}
					if isGrant(msg) {
						granted <- r
					}
				}
			}()
		}
		for done := range scouts {
			synctest.Wait()
			if len(granted) != min(slots, scouts-done) {
				t.Fatalf("%d snapshots are granted, with %d done", len(granted), done)
			}
			r := <-granted
			switch done % 3 {
			case 0:
				r.say(saySnapshot(1, setOf("a"))...)
			case 1:
				r.say(sayUnavailable("vanished"))
			case 2:
				r.cancel()
			}
		}
	})
}

// An Offer said again before it was used is the same Offer: it gets one Grant.
func TestOfferAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		startMaster(t, n, func(c *Config) { c.Snapshots = 10 })
		r := welcomed(t, n)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(sayOffer(), sayOffer())
		synctest.Wait()
		r.say(saySnapshot(1, setOf("a"))...)
		synctest.Wait()
		r.say(sayUpdate(&scoutv1.Update{Revision: 1, Reset_: true}))
		if msg, err := r.hear(); !strings.Contains(fmt.Sprint(err), "a snapshot without a Grant") {
			t.Errorf("heard %v, %v", msg, err)
		}
	})
}

// Grants do not add up: however often an Offer was granted and taken back, one
// snapshot may come.
func TestGrantsDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := welcomed(t, n)
		for range 5 {
			r.say(sayOffer())
			r.expect("Grant", isGrant)
			r.say(sayUnavailable("again"))
		}
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(1, setOf("a"))...)
		r.say(saySnapshot(2, setOf("b"))...)
		m.violated(t, r.end(), "a snapshot without a Grant")
		m.queue.isIdle(t, defaultSnapshots, defaultSnapshotBytes)
	})
}

// fakeStream is the stream of a session that is not run.
type fakeStream struct {
	scoutv1.ScoutmasterService_SessionServer
	ctx context.Context
}

func (s fakeStream) Context() context.Context { return s.ctx }

// A Grant that was not sent yet is not sent any more when the scout withdraws
// its Offer, or has to begin anew: it would pass for the Grant of the next.
func TestGrantIsWithdrawn(t *testing.T) {
	for name, msg := range map[string]*scoutv1.SessionRequest{
		"unavailable": sayUnavailable("scanning"), "a copy that differs": sayBeat(7, setOf("x")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := startMaster(t, newNetwork(t)).Server
				m := newMasterSession(server, fakeStream{ctx: t.Context()})
				m.replica.member = &member{}
				for _, err := range []error{m.handle(sayOffer()), m.grant(), m.handle(msg)} {
					if err != nil {
						t.Fatal(err)
					}
				}
				for msg := m.answers.take(); msg != nil; msg = m.answers.take() {
					if isGrant(msg) {
						t.Error("the Grant is sent")
					}
				}
			})
		})
	}
}

// A Grant that was taken back does not let a snapshot come while others wait for
// their turn. The scout may not have known, so it breaks no rule.
func TestGrantCrossesUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n, func(c *Config) { c.Snapshots = 1 })
		r := welcomed(t, n)
		crossed := m.registry.last()
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(sayUnavailable("again"))
		synctest.Wait()
		other := openRaw(t, n)
		other.say(sayHello(files.Origin{Host: "web-02", Directory: "/srv"}))
		other.expect("Welcome", isWelcome)
		other.say(sayOffer())
		other.expect("Grant", isGrant)

		r.say(sayOffer())
		r.say(saySnapshot(1, many(10_000))...)
		r.expect("Resync", isResync)
		r.say(sayOffer())
		synctest.Wait()
		if crossed.shown() != nil {
			t.Error("the snapshot is shown")
		}
		other.say(saySnapshot(1, setOf("b"))...)
		r.expect("Grant", isGrant)
		r.say(saySnapshot(1, setOf("a"))...)
		synctest.Wait()
		want := []string{"hide again 0", "hide " + Resyncing + " 0", "reset 1: a"}
		if got := crossed.history(); !slices.Equal(got, want) {
			t.Errorf("the member was told %q", got)
		}
	})
}

// A snapshot that leaves the queue lets those behind it through.
func TestSnapshotLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSnapshotQueue(10, 1000)
		for range reserveShare {
			q.request(1000)
		}
		large, small := q.request(1000), q.request(0)
		if isReady(large) || isReady(small) {
			t.Error("a snapshot is admitted for which there is no memory")
		}
		large.release()
		if !isReady(small) {
			t.Error("a snapshot waits for one that has left")
		}
	})
}

// Those who hold their slots for long do not hold up the others.
func TestAdmissionOfSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n, func(c *Config) { c.Snapshots = 1 })
		slow, quick := welcomed(t, n), welcomed(t, n)
		slow.say(sayOffer())
		slow.expect("Grant", isGrant)
		quick.say(sayOffer())
		began := time.Now()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for _, part := range saySnapshot(1, many(30_000)) {
				slow.say(part)
				time.Sleep(2 * time.Second)
				quick.say(unknown())
			}
		}()
		quick.expect("Grant", isGrant)
		if waited := time.Since(began); waited != slotHold {
			t.Errorf("waited for %v", waited)
		}
		quick.say(saySnapshot(1, setOf("q"))...)
		<-sent
		synctest.Wait()
		if got := m.registry.members[0].history(); !slices.Equal(got, []string{"reset 1: 30000 names"}) {
			t.Errorf("the slow one was told %q", got)
		}
	})
}

// A master without room refuses those who come, with the reason, and does not
// begin to take in what is offered; those who are listed stay. With room again
// all are welcome.
func TestNoCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var full atomic.Bool
		m := startMaster(t, n, func(c *Config) {
			c.Capacity = func() error {
				if full.Load() {
					return errors.New("memory is short")
				}
				return nil
			}
		})
		stays, late := synced(t, n, "a"), welcomed(t, n)
		full.Store(true)
		late.say(sayOffer())
		newcomer := openRaw(t, n)
		newcomer.say(sayHello(files.Origin{Host: "new", Directory: "/srv"}))
		for name, r := range map[string]*raw{"offers": late, "newcomer": newcomer} {
			if err := r.end(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "memory is short") {
				t.Errorf("%s: the call ended with %v", name, err)
			}
		}
		synctest.Wait()
		if got := m.logs.count("session refused"); got != 2 {
			t.Errorf("logged %d times", got)
		}
		stays.say(sayChange(2, setOf("a"), setOf("a", "b"))...)
		synctest.Wait()
		if got := m.registry.members[0].history(); !slices.Equal(got, []string{"reset 1: a", "apply 2: -0 +1"}) {
			t.Errorf("the one who stays was told %q", got)
		}
		full.Store(false)
		last := synced(t, n, "c")
		if got := m.registry.last().history(); !slices.Equal(got, []string{"reset 1: c"}) {
			t.Errorf("with room again the member was told %q", got)
		}
		stays.cancel()
		last.cancel()
		synctest.Wait()
		m.none(t)
	})
}

// What an Offer says of its bytes is reserved, and where it says nothing its names
// count.
func TestOfferReservesBytes(t *testing.T) {
	for name, offer := range map[string]*scoutv1.Offer{
		"bytes": {Count: 1, Bytes: 250}, "names": {Count: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n, func(c *Config) { c.Snapshots, c.SnapshotBytes = 100, 1000 })
				for i := range reserveShare {
					r := openRaw(t, n)
					r.say(sayHello(files.Origin{Host: fmt.Sprint(i), Directory: "/srv"}),
						&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{Offer: offer}})
					r.expect("Welcome", isWelcome)
					r.expect("Grant", isGrant)
				}
				last := welcomed(t, n)
				last.say(sayOffer(), sayBeat(0, setOf()))
				synctest.Wait()
				m.queue.mu.Lock()
				defer m.queue.mu.Unlock()
				if m.queue.bytes != 0 {
					t.Errorf("%d bytes are free", m.queue.bytes)
				}
			})
		})
	}
}
