package master

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/stream"
)

// The lines "files synced" have exact sums, the first after a quiet time comes at
// once, and there are at most two in a second. Updates are logged before the
// line that says that the scout is hidden or has left.
func TestFilesSyncedSumsUp(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			registry, logs := observed()
			m := join(t, registry, new(fakePeer).peer("s"))
			shown := map[string]bool{}
			var updates, added, removed int
			var last time.Time // of an update
			for revision := uint64(1); revision < 200; revision++ {
				time.Sleep(pause(r))
				before := logs.FilterMessage("files synced").Len()
				quiet := last.IsZero() || time.Since(last) >= 2*logInterval
				switch {
				case r.IntN(20) == 0:
					m.Hide("away", 0)
					checkSums(t, logs, updates, added, removed)
					continue
				case len(shown) == 0 || r.IntN(30) == 0 || registry.Counts().Own.Scouts["live"] == 0:
					removedNow := 0
					if registry.Counts().Own.Scouts["live"] == 1 {
						removedNow = len(shown)
					}
					shown = map[string]bool{"kept": true}
					m.Reset(filestest.Set("kept"), stream.Arrival{Revision: revision, Began: time.Now()})
					added, removed = added+1, removed+removedNow
				default:
					name := fmt.Sprint("f", r.IntN(5))
					d := files.Delta{Removed: filestest.Set(), Added: filestest.Set(name)}
					if shown[name] {
						d.Removed, d.Added = d.Added, d.Removed
						delete(shown, name)
					} else {
						shown[name] = true
					}
					if err := m.Apply(d, stream.Arrival{Revision: revision, Began: time.Now()}); err != nil {
						t.Fatal(err)
					}
					added, removed = added+d.Added.Len(), removed+d.Removed.Len()
				}
				updates++
				last = time.Now()
				if after := logs.FilterMessage("files synced").Len(); quiet && after == before {
					t.Fatal("the first update of a quiet time is not logged at once")
				}
			}
			m.Leave(stream.LeftDeregistered)
			checkSums(t, logs, updates, added, removed)
			if all := logs.All(); all[len(all)-1].Message != "scout dropped" {
				t.Errorf("the last line is %q", all[len(all)-1].Message)
			}
			checkRate(t, logs)
			time.Sleep(3 * logInterval)
			checkSums(t, logs, updates, added, removed)
			if n := registry.logs.count(); n != 0 {
				t.Errorf("%d logs are kept of origins without a scout", n)
			}
		})
	}
}

func (s *scoutLogs) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byOrigin)
}

// pause is mostly short, and sometimes long enough to be quiet.
func pause(r *rand.Rand) time.Duration {
	if r.IntN(10) == 0 {
		return time.Duration(r.Int64N(int64(4 * time.Second)))
	}
	return time.Duration(r.Int64N(int64(100 * time.Millisecond)))
}

func checkSums(t *testing.T, logs *observer.ObservedLogs, updates, added, removed int) {
	t.Helper()
	var gotUpdates, gotAdded, gotRemoved int64
	for _, e := range logs.FilterMessage("files synced").All() {
		fields := e.ContextMap()
		gotAdded += fields["added"].(int64)
		gotRemoved += fields["removed"].(int64)
		if n, ok := fields["updates"]; ok {
			gotUpdates += n.(int64)
		} else {
			gotUpdates++
		}
	}
	if gotUpdates != int64(updates) || gotAdded != int64(added) || gotRemoved != int64(removed) {
		t.Fatalf("%d updates with %d added and %d removed are logged, want %d, %d and %d",
			gotUpdates, gotAdded, gotRemoved, updates, added, removed)
	}
}

// checkRate fails when "files synced" came more than twice in a second that has
// no other line.
func checkRate(t *testing.T, logs *observer.ObservedLogs) {
	t.Helper()
	var times []time.Time
	for _, e := range logs.All() {
		if e.Message != "files synced" {
			times = nil
			continue
		}
		if times = append(times, e.Time); len(times) > 2 && times[len(times)-1].Sub(times[len(times)-3]) < logInterval {
			t.Fatalf("three lines in a second: %v", times[len(times)-3:])
		}
	}
}

// A directory in churn writes one line a second.
func TestChurnWritesALineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logs := observed()
		m := join(t, r, new(fakePeer).peer("s"))
		for revision := range uint64(4300) {
			m.Reset(filestest.Set("a"), stream.Arrival{Revision: revision + 1, Began: time.Now().Add(-time.Millisecond)})
			time.Sleep(7 * time.Millisecond)
		}
		synced := logs.FilterMessage("files synced").All()
		if len(synced) < 30 || len(synced) > 31 {
			t.Errorf("%d lines in 30 s", len(synced))
		}
		if f := synced[1].ContextMap(); f["updates"] != int64(142) || f["added"] != int64(142) || f["removed"] != int64(142) || f["files"] != int64(1) || f["seconds"] != 0.001 {
			t.Errorf("%v", f)
		}
		m.Leave(stream.LeftBroken)
	})
}

// A scout that is hidden and shown, or registers, without end, writes a bounded
// log, whose last line is its last state.
func TestStatesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logs := observed()
		const seconds = 10
		began := time.Now()
		for time.Since(began) < seconds*time.Second {
			m := join(t, r, new(fakePeer).peer("s"))
			m.Hide("one reason", 0)
			m.Hide("another", 0)
			m.Report(stream.Condition{Unreadable: 1, Polled: 0})
			m.Report(stream.Condition{})
			m.Reset(filestest.Set(), stream.Arrival{Revision: 1})
			m.Leave(stream.LeftBroken)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(3 * logInterval)
		if n := logs.Len(); n > (seconds+1)*(stateLinesMost+2) {
			t.Errorf("%d lines in %d s", n, seconds)
		}
		all := logs.FilterMessage("scout dropped").All()
		last := all[len(all)-1]
		if last.ContextMap()["withheld"].(int64) < 100 || last.Time.Sub(began) < seconds*time.Second {
			t.Errorf("the last line, after %v: %v", last.Time.Sub(began), last.ContextMap())
		}
		if n := r.logs.count(); n != 0 {
			t.Errorf("%d logs are left", n)
		}
	})
}
