package stream

import (
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
func TestNoRoom(t *testing.T) {
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
		synced(t, n, "c")
		if got := m.registry.last().history(); !slices.Equal(got, []string{"reset 1: c"}) {
			t.Errorf("with room again the member was told %q", got)
		}
	})
}
