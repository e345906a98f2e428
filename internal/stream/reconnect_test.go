package stream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/dial"
	"scout/internal/files"
)

// However the master is lost, the scout says so with the reason, and is back
// with all its files when a master is.
func TestMasterLost(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose func(*network, *master)
		want string
		took time.Duration
	}{
		{"stops", func(_ *network, m *master) { m.stop() }, "NOT_SERVING: the scoutmaster is stopping", 0},
		{"dies", func(_ *network, m *master) { m.kill() }, "EOF", 0},
		{"is not heard", func(n *network, _ *master) { n.down.lose() }, "the master was silent past the deadline of 3s", deadline},
		{"is frozen", func(n *network, _ *master) { n.down.hold() }, "the master was silent past the deadline of 3s", deadline},
		{"does not hear", func(n *network, _ *master) { n.up.lose() }, "the scout was silent past the deadline of 3s", deadline},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				c := startScout(t, n, newDirectory("a"))
				time.Sleep(10*time.Second + time.Millisecond)
				tc.lose(n, m)
				time.Sleep(tc.took)
				synctest.Wait()
				if got := c.logs.field(t, "master lost", "reason").(string); !strings.Contains(got, tc.want) {
					t.Errorf("lost because of %q", got)
				}
				c.directory.list("a", "b")
				n.up.open()
				n.down.open()
				n.unlisten()
				m.kill()
				again := startMaster(t, n)
				time.Sleep(2 * lastRetry)
				if got := namesOf(again.registry.last().shown()); !slices.Equal(got, []string{"a", "b"}) {
					t.Errorf("the next master shows %q", got)
				}
			})
		})
	}
}

// A master that falls silent while a snapshot is stuck on its way is noticed.
func TestMasterSilentDuringSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		startMaster(t, n)
		dir := newDirectory()
		dir.cannot("scanning")
		c := startScout(t, n, dir)
		synctest.Wait()
		dir.show(files.View{Set: many(400_000)})
		n.up.limit(40_000)
		time.Sleep(time.Minute) // with beats heard all the time
		if c.logs.count("master lost") != 0 {
			t.Fatal("lost while it was heard")
		}
		n.up.hold()
		n.down.hold()
		time.Sleep(deadline)
		synctest.Wait()
		if c.logs.count("master lost") != 1 {
			t.Error("not noticed")
		}
		n.up.open()
		n.down.open()
	})
}

// An orphan says so after ten seconds and each minute from then on, and tries
// at least every five seconds.
func TestOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		c := startScout(t, n, newDirectory("a"))
		synctest.Wait()
		m.kill()
		lost := time.Now()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		var at []time.Duration
		for _, entry := range c.logs.seen.FilterMessage("orphaned").All() {
			at = append(at, entry.Time.Sub(lost))
		}
		want := []time.Duration{orphanedAfter}
		for len(want) < 10 {
			want = append(want, want[len(want)-1]+orphanedAgain)
		}
		if !slices.Equal(at, want) {
			t.Errorf("orphaned at %v", at)
		}
		if seconds := c.logs.field(t, "orphaned", "seconds"); seconds != 550.0 {
			t.Errorf("orphaned for %v s", seconds)
		}
		if reason := c.logs.field(t, "orphaned", "reason").(string); !strings.Contains(reason, "connection refused") {
			t.Errorf("orphaned because %q", reason)
		}
		if attempts := n.attempts(); attempts < 120 || attempts > 260 {
			t.Errorf("%d attempts in ten minutes", attempts)
		}
		startMaster(t, n)
		time.Sleep(time.Hour)
		if got := c.logs.count("orphaned"); got != 10 {
			t.Errorf("%d complaints, with a master", got-10)
		}
	})
}

// A refusal once it has been registered is news once, and no reason to give up.
func TestRefusedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		c := startScout(t, n, newDirectory("a"))
		synctest.Wait()
		m.stop()
		m = startMaster(t, n)
		held := make(chan struct{})
		m.registry.decide(func(context.Context, Peer) error {
			select {
			case <-held:
				return nil
			default:
				return &HeldError{Origin: web01, Holder: "another"}
			}
		})
		time.Sleep(time.Minute)
		if c.logs.count("registration refused") != 1 {
			t.Errorf("refused %d times", c.logs.count("registration refused"))
		}
		close(held)
		time.Sleep(lastRetry)
		synctest.Wait()
		if m.registry.last() == nil || c.logs.count("registered") != 2 {
			t.Error("not registered in the end")
		}
	})
}

// Only a session that goes on after its snapshot makes the next retry come soon
// again.
func TestBackoffReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var mu sync.Mutex
		var calls, ends []time.Time
		startScripted(t, n, func(s serverStream) error {
			mu.Lock()
			calls = append(calls, time.Now())
			call := len(calls)
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				ends = append(ends, time.Now())
			}()
			if call%3 == 0 {
				return errStopping
			}
			_ = s.Send(welcome(time.Hour, 2*time.Hour))
			if call != 10 && call != 20 && call != 40 {
				return nil
			}
			word(s) // offer
			if call == 10 {
				time.Sleep(10 * provenAfter) // for nothing
				return nil
			}
			_ = s.Send(grant)
			word(s) // snapshot
			if call == 20 {
				time.Sleep(provenAfter)
			} else {
				time.Sleep(provenAfter - time.Millisecond)
			}
			return nil
		})
		startScout(t, n, newDirectory("a"))
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		apart := func(i int) time.Duration { return calls[i].Sub(ends[i-1]) }
		for _, soon := range []int{1, 20} {
			if apart(soon) >= firstRetry {
				t.Errorf("call %d came after %v", soon, apart(soon))
			}
		}
		for i := range 50 {
			if i == 0 || i < 7 || 20 <= i && i < 26 {
				continue
			}
			if apart(i) < lastRetry/10 || apart(i) > lastRetry {
				t.Errorf("call %d came after %v", i, apart(i))
			}
		}
	})
}

// The scout's own pause is not its master's silence.
func TestScoutFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		startMaster(t, n)
		c := startScout(t, n, newDirectory("a"))
		time.Sleep(10*time.Second + time.Millisecond)
		n.down.hold()
		time.Sleep(deadline - 100*time.Millisecond)
		c.clock.freeze(time.Minute)
		time.Sleep(200 * time.Millisecond) // past the deadline
		n.down.open()
		time.Sleep(time.Minute)
		if c.logs.count("master lost") != 0 {
			t.Error("blamed the master")
		}
	})
}

func TestBackoffInterval(t *testing.T) {
	var least, most [20]time.Duration
	for range 1000 {
		b := newBackoff()
		for i := range least {
			d := b.interval()
			if least[i] == 0 || d < least[i] {
				least[i] = d
			}
			most[i] = max(most[i], d)
		}
	}
	ceiling := firstRetry
	for i := range least {
		if least[i] < ceiling/10 || most[i] >= ceiling {
			t.Errorf("interval %d is between %v and %v, its ceiling is %v", i, least[i], most[i], ceiling)
		}
		if spread := most[i] - least[i]; spread < ceiling/2 {
			t.Errorf("interval %d varies by %v only", i, spread)
		}
		ceiling = min(2*ceiling, lastRetry)
	}
}

// Intervals lie between the starts of attempts, however long one takes.
func TestBackoffStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff()
		last := time.Now()
		for range 50 {
			if !b.wait(t.Context()) {
				t.Fatal("not done")
			}
			if apart := time.Since(last); apart > lastRetry {
				t.Errorf("attempts %v apart", apart)
			}
			last = time.Now()
			time.Sleep(registerBound)
		}
	})
}

func TestBackoffDone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := &backoff{started: time.Now(), ceiling: time.Hour}
	if b.wait(ctx) {
		t.Error("it waited though nobody wants another attempt")
	}
}

// several is networks, each with an address of its own, and what a scout of all
// of them dials with.
func several(t *testing.T, count int) ([]*network, func(*Scout)) {
	var all []*network
	byAddress := make(map[string]*network)
	var masters []string
	for i := range count {
		n, address := newNetwork(t), fmt.Sprintf("10.0.0.%d:3000", i+1)
		all, masters = append(all, n), append(masters, address)
		byAddress[address] = n
	}
	return all, func(s *Scout) {
		s.Dialer = &dial.Dialer{Masters: masters, Connect: func(ctx context.Context, network, address string) (net.Conn, error) {
			return byAddress[address].connect(ctx, network, address)
		}}
	}
}

// A scout that does not run for longer than its start may take tries all the same.
func TestAPauseDuringTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nets, configure := several(t, 1)
		startMaster(t, nets[0])
		c := startScout(t, nets[0], newDirectory("a"), func(s *Scout) {
			configure(s)
			s.Dialer.Proxy = func(string) (*url.URL, error) {
				time.Sleep(startBound + time.Second)
				return nil, nil //nolint:nilnil // no proxy
			}
		})
		time.Sleep(startBound + 2*time.Second)
		if c.logs.count("registered") != 1 {
			t.Errorf("it is not registered: %v", c.err)
		}
	})
}

// A scout that loses its master goes on to another at once, and comes back to
// the first only when that is lost; so it does where one name stands for all.
func TestNextMaster(t *testing.T) {
	for name, oneName := range map[string]bool{"addresses": false, "a name": true} {
		t.Run(name, func(t *testing.T) { testNextMaster(t, oneName) })
	}
}

func testNextMaster(t *testing.T, oneName bool) {
	synctest.Test(t, func(t *testing.T) {
		nets, configure := several(t, 3)
		if oneName {
			addressed := configure
			configure = func(s *Scout) {
				addressed(s)
				s.Dialer.Masters = []string{"masters:3000"}
				s.Dialer.Lookup = func(context.Context, string) (addrs []netip.Addr, err error) {
					for i := range nets {
						addrs = append(addrs, netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
					}
					return addrs, nil
				}
			}
		}
		var masters []*master
		for _, n := range nets {
			masters = append(masters, startMaster(t, n))
		}
		startScout(t, nets[0], newDirectory("a"), configure)
		for range 5 {
			time.Sleep(provenAfter)
			at := slices.IndexFunc(masters, func(m *master) bool { return len(m.registry.live()) == 1 })
			if at < 0 {
				t.Fatal("it is registered nowhere")
			}
			masters[at].stop()
			synctest.Wait()
			if got := slices.IndexFunc(masters, func(m *master) bool { return len(m.registry.live()) == 1 }); got < 0 || got == at {
				t.Fatalf("it left %d and is at %d", at, got)
			}
			masters[at] = startMaster(t, nets[at])
		}
	})
}

// A scout waits for the Welcome of a master that many scouts have come to at once, and
// does not make others let it in as well.
func TestSlowWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nets, configure := several(t, 3)
		var masters []*master
		for _, n := range nets {
			masters = append(masters, startMaster(t, n))
		}
		startScout(t, nets[0], newDirectory("a"), configure)
		synctest.Wait()
		var lost *master
		var asked atomic.Int32
		for i, m := range masters {
			if len(m.registry.live()) == 1 {
				lost = m
				continue
			}
			m.registry.decide(func(ctx context.Context, _ Peer) error {
				asked.Add(1)
				time.Sleep(welcomeBound - time.Second)
				if ctx.Err() != nil {
					t.Errorf("the scout has not waited at %d", i)
				}
				return ctx.Err()
			})
		}
		lost.stop()
		time.Sleep(welcomeBound)
		live := 0
		for _, m := range masters {
			live += len(m.registry.live())
		}
		if live != 1 || asked.Load() != 1 {
			t.Errorf("%d masters have let it in, %d were asked", live, asked.Load())
		}
	})
}

// Several masters that end each session at once are not asked without end.
func TestMastersThatEndSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nets, configure := several(t, 3)
		for _, n := range nets {
			startScripted(t, n, func(s serverStream) error { return s.Send(welcome(heartbeat, deadline)) })
		}
		startScout(t, nets[0], newDirectory("a"), configure)
		time.Sleep(time.Minute)
		attempts := 0
		for _, n := range nets {
			attempts += n.attempts()
		}
		if attempts < 10 || attempts > 40 {
			t.Errorf("%d attempts in a minute", attempts)
		}
	})
}

// The first registration fails only when all masters do, within the limit, and
// says why for each.
func TestFirstRegistrationAtSeveral(t *testing.T) {
	for name, tc := range map[string]struct {
		there func(t *testing.T, nets []*network)
		took  time.Duration
		want  []string // in the error; none: it is registered
	}{
		"the last one": {func(t *testing.T, nets []*network) { startMaster(t, nets[2]) }, 0, nil},
		"none":         {func(*testing.T, []*network) {}, 0, []string{"10.0.0.1:3000: connect: connection refused", "; scoutmaster at 10.0.0.", "10.0.0.3:3000: connect"}},
		"two that swallow": {func(t *testing.T, nets []*network) {
			for i, n := range nets {
				startMaster(t, n)
				if i != 1 {
					n.up.lose()
				}
			}
		}, registerBound, nil},
		"all swallow": {func(t *testing.T, nets []*network) {
			for _, n := range nets {
				startMaster(t, n)
				n.up.lose()
			}
		}, registerBound, []string{"no answer within 1.333s", "; "}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nets, configure := several(t, 3)
				tc.there(t, nets)
				began := time.Now()
				c := startScout(t, nets[0], newDirectory("a"), configure)
				for !isClosed(c.done) && c.logs.count("registered") == 0 {
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				if took := time.Since(began); took > tc.took+time.Millisecond {
					t.Errorf("it took %v", took)
				}
				if isClosed(c.done) != (tc.want != nil) {
					t.Fatalf("Run returned %v", c.err)
				}
				for _, want := range tc.want {
					if !strings.Contains(c.err.Error(), want) || strings.Contains(c.err.Error(), "\n") {
						t.Errorf("%v does not say %q", c.err, want)
					}
				}
			})
		})
	}
}

// A name server that is slower than an attempt delays a scout, and does not keep
// it from its master; one that never answers is named as the cause, in time.
func TestSlowNameServer(t *testing.T) {
	for name, tc := range map[string]struct {
		after time.Duration
		took  time.Duration
		want  string
	}{
		"late":  {7 * time.Second, 7 * time.Second, ""},
		"never": {time.Hour, startBound, "no name server has answered what the address of master is, within 9.5s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				startMaster(t, n)
				began := time.Now()
				c := startScout(t, n, newDirectory("a"), func(s *Scout) {
					s.Dialer.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
						select {
						case <-time.After(tc.after):
							return lookup(ctx, host)
						case <-ctx.Done():
							return nil, ctx.Err()
						}
					}
				})
				for !isClosed(c.done) && c.logs.count("registered") == 0 {
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				if took := time.Since(began); took < tc.took || took > tc.took+time.Millisecond {
					t.Errorf("it took %v", took)
				}
				if tc.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), tc.want)) {
					t.Errorf("Run returned %v", c.err)
				}
				if awaited := c.logs.field(t, "waiting for the scoutmaster", "awaited"); awaited != "address" {
					t.Errorf("it says that it awaits %v", awaited)
				}
			})
		})
	}
}
