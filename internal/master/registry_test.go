package master

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/stream"
)

var home = files.Origin{Host: "web-01", Directory: "/srv/data"}

// fakePeer is a scout that answers probes or does not.
type fakePeer struct {
	answers bool
	evicted atomic.Value  // the reason
	rescans chan struct{} // closed when it has rescanned; nil: never
	silence func() time.Duration
	leave   func() // called by its session when it is dismissed; nil: nothing
}

func (f *fakePeer) peer(session string) stream.Peer {
	return stream.Peer{
		Origin: home, Version: "v1", Session: session, Address: session + ".example:1",
		Probe: func(ctx context.Context) bool {
			if f.answers {
				return true
			}
			<-ctx.Done()
			return false
		},
		Rescan: func() <-chan struct{} { return f.rescans },
		Silence: func() time.Duration {
			if f.silence != nil {
				return f.silence()
			}
			return 1500 * time.Millisecond
		},
		Evict: func(reason string) { f.evicted.Store(reason) },
		Dismiss: func(reason string) {
			f.evicted.Store("dismissed: " + reason)
			if f.leave != nil {
				go f.leave()
				for range 1000 {
					runtime.Gosched() // the session is faster than its scoutmaster
				}
			}
		},
	}
}

func observed() (*Registry, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return NewRegistry(listing.New(), zap.New(core)), logs
}

func join(t *testing.T, r *Registry, p stream.Peer) stream.Member {
	t.Helper()
	m, err := r.Join(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func listed(r *Registry) (names []string) {
	for e := r.state.list.Current().Entries(); e.Next(); {
		names = append(names, string(e.Name()))
	}
	return names
}

func expectShown(t *testing.T, r *Registry, names ...string) {
	t.Helper()
	if got := listed(r); !slices.Equal(got, names) {
		t.Errorf("shown: %q, want %q", got, names)
	}
}

// messages returns the log as "message field=value" for the fields named.
func messages(logs *observer.ObservedLogs, fields ...string) (out []string) {
	for _, e := range logs.AllUntimed() {
		line := e.Message
		for _, f := range fields {
			if v, ok := e.ContextMap()[f]; ok {
				line += " " + f + "=" + strings.TrimSpace(strings.ReplaceAll(toString(v), "\n", " "))
			}
		}
		out = append(out, line)
	}
	return out
}

func toString(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return "?"
}

// A scout that was refused, or has left, leaves nothing behind.
func TestNoMemberIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := observed()
		holder := join(t, r, (&fakePeer{answers: true}).peer("a"))
		for range 3 {
			if _, err := r.Join(t.Context(), (&fakePeer{}).peer("b")); err == nil {
				t.Fatal("it took the place of a live scout")
			}
		}
		if n := len(r.life.members); n != 1 {
			t.Errorf("after refusals there are %d members", n)
		}
		holder.Leave(stream.LeftDeregistered)
		if n := len(r.life.members); n != 0 {
			t.Errorf("after all have left there are %d members", n)
		}
	})
}

func TestMembersShowWhatTheyShow(t *testing.T) {
	r, logs := observed()
	m := join(t, r, (&fakePeer{}).peer("a"))
	m.Hide("scanning", 0)
	m.Hide("scanning", 10)
	expectShown(t, r)
	m.Reset(filestest.Set("x", "y"), stream.Arrival{Revision: 1})
	expectShown(t, r, "x", "y")
	if err := m.Apply(files.Delta{Removed: filestest.Set("x"), Added: filestest.Set("z")}, stream.Arrival{Revision: 2}); err != nil {
		t.Fatal(err)
	}
	expectShown(t, r, "y", "z")
	if err := m.Apply(files.Delta{Removed: filestest.Set("x"), Added: filestest.Set()}, stream.Arrival{Revision: 3}); err == nil {
		t.Error("what is not there was removed")
	}
	m.Hide("the directory vanished", 0)
	expectShown(t, r)
	m.Reset(filestest.Set("new"), stream.Arrival{Revision: 3})
	expectShown(t, r, "new")
	m.Leave(stream.LeftDeregistered)
	m.Leave(stream.LeftBroken)
	expectShown(t, r)
	m.Reset(filestest.Set("late"), stream.Arrival{Revision: 4})
	m.Hide("late", 0)
	expectShown(t, r)
	want := []string{
		"scout registered", "scout hidden reason=scanning", "scout shown reason=snapshot received", "files synced", "files synced",
		"scout hidden reason=the directory vanished", "scout shown reason=snapshot received", "files synced", "scout dropped reason=deregistered",
	}
	if got := messages(logs, "reason"); !slices.Equal(got, want) {
		t.Errorf("log:\n%q, want\n%q", got, want)
	}
	synced := logs.FilterMessage("files synced").All()[1].ContextMap()
	if synced["files"] != int64(2) || synced["added"] != int64(1) || synced["removed"] != int64(1) || synced["revision"] != uint64(2) {
		t.Errorf("files synced: %v", synced)
	}
}

func TestALiveHolderIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logs := observed()
		first := &fakePeer{answers: true}
		join(t, r, first.peer("first")).Reset(filestest.Set("x"), stream.Arrival{Revision: 1})
		for range 3 {
			_, err := r.Join(t.Context(), (&fakePeer{}).peer("second"))
			var held *stream.HeldError
			if !errors.As(err, &held) || !strings.Contains(held.Holder, "first") {
				t.Fatalf("error %v", err)
			}
		}
		expectShown(t, r, "x")
		if first.evicted.Load() != nil {
			t.Error("the holder was evicted")
		}
		time.Sleep(logInterval)
		synctest.Wait()
		refusals := logs.FilterMessage("registration refused").All()
		if len(refusals) != 2 || !strings.Contains(refusals[0].ContextMap()["holder"].(string), "first") ||
			refusals[1].ContextMap()["withheld"] != int64(1) {
			t.Errorf("refusals: %v", refusals)
		}
	})
}

func TestAStaleHolderIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logs := observed()
		stale := &fakePeer{}
		old := join(t, r, stale.peer("stale"))
		old.Reset(filestest.Set("x"), stream.Arrival{Revision: 1})
		began := time.Now()
		m := join(t, r, (&fakePeer{answers: true}).peer("successor"))
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stale holder was replaced after %v", took)
		}
		expectShown(t, r)
		if !strings.Contains(fmt.Sprint(stale.evicted.Load()), "replaced by successor") {
			t.Errorf("the stale holder was told %q", stale.evicted.Load())
		}
		m.Reset(filestest.Set("y"), stream.Arrival{Revision: 1})
		old.Reset(filestest.Set("late"), stream.Arrival{Revision: 2})
		old.Leave(stream.LeftBroken)
		expectShown(t, r, "y")
		if _, err := r.Join(t.Context(), (&fakePeer{}).peer("third")); err == nil {
			t.Error("the stale holder's end took the register from its successor")
		}
		if got := messages(logs.FilterMessage("scout dropped"), "reason"); !slices.Equal(got, []string{"scout dropped reason=replaced"}) {
			t.Errorf("%q", got)
		}
	})
}

// Of many newcomers that ask for a stale holder's place at once, one gets it.
func TestOneSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := observed()
		join(t, r, (&fakePeer{}).peer("stale"))
		const newcomers = 20
		results := make(chan error, newcomers)
		for range newcomers {
			go func() {
				_, err := r.Join(t.Context(), (&fakePeer{answers: true}).peer("newcomer"))
				results <- err
			}()
		}
		in := 0
		for range newcomers {
			if err := <-results; err == nil {
				in++
			}
		}
		if in != 1 {
			t.Errorf("%d newcomers hold one origin", in)
		}
	})
}

func TestANewcomerThatLeavesReplacesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := observed()
		holder := &fakePeer{}
		join(t, r, holder.peer("holder")).Reset(filestest.Set("x"), stream.Arrival{Revision: 1})
		ctx, cancel := context.WithTimeout(t.Context(), probeTimeout/2)
		defer cancel()
		if _, err := r.Join(ctx, (&fakePeer{}).peer("gone")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		expectShown(t, r, "x")
		if holder.evicted.Load() != nil {
			t.Error("the holder was evicted for nobody")
		}
	})
}

func TestDegradation(t *testing.T) {
	r, logs := observed()
	m := join(t, r, (&fakePeer{}).peer("a"))
	m.Report(stream.Condition{})
	m.Report(stream.Condition{Unreadable: 1, Polled: 2})
	m.Report(stream.Condition{Unreadable: 1, Polled: 2})
	m.Report(stream.Condition{})
	if got := messages(logs); !slices.Equal(got, []string{"scout registered", "scout degraded", "scout recovered"}) {
		t.Errorf("%q", got)
	}
	if all := logs.All(); all[1].Level != zap.WarnLevel || all[2].Level != zap.InfoLevel {
		t.Errorf("at levels %s and %s", all[1].Level, all[2].Level)
	}
}

// A scout that comes back while its session before is not known to be over goes on
// with what it showed, or keeps it until its snapshot comes. Where the session is over
// nothing is left to go on with.
func TestAScoutThatComesBack(t *testing.T) {
	for _, tc := range []struct {
		name          string
		before        string
		sent          []string
		over          bool
		listed, after []string // at once, and once it has said what it has
		kept          bool
	}{
		{"with its files", "first", []string{"a", "b"}, false, []string{"a", "b"}, []string{"b", "c"}, true},
		{"with other files", "first", []string{"a"}, false, []string{"a", "b"}, []string{"c"}, false},
		{"as another scout", "", []string{"a"}, false, nil, []string{"c"}, false},
		{"later", "first", []string{"a", "b"}, true, nil, []string{"c"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, logs := observed()
				m := join(t, r, new(fakePeer).peer("first"))
				if m.Kept() != nil {
					t.Errorf("the first session has kept %+v", m.Kept())
				}
				m.Reset(filestest.Set("a", "b"), stream.Arrival{Revision: 5})
				if tc.over {
					m.Leave(stream.LeftBroken)
				}
				time.Sleep(time.Minute)
				set := filestest.Set(tc.sent...)
				p := new(fakePeer).peer("second")
				p.Before, p.Sent = tc.before, []stream.SentState{{Count: uint64(set.Len()), Digest: set.Digest()}}
				again := join(t, r, p)
				if got := listed(r); !slices.Equal(got, tc.listed) {
					t.Errorf("the list has %q", got)
				}
				if kept := again.Kept(); (kept != nil) != tc.kept || kept != nil && (kept.SentState != p.Sent[0] || kept.Bytes != set.Bytes()) {
					t.Errorf("kept: %+v", kept)
				}
				if tc.kept {
					line := logs.FilterMessage("files synced").All()[1].ContextMap()
					if line["files"] != int64(2) || line["added"] != int64(0) || line["revision"] != uint64(1) {
						t.Errorf("logged: %v", line)
					}
					err := again.Apply(files.Delta{Removed: filestest.Set("a"), Added: filestest.Set("c")}, stream.Arrival{Revision: 2})
					if err != nil {
						t.Error(err)
					}
				} else {
					again.Reset(filestest.Set("c"), stream.Arrival{Revision: 1})
				}
				if got := listed(r); !slices.Equal(got, tc.after) {
					t.Errorf("then the list has %q", got)
				}
				m.Leave(stream.LeftReplaced)
				if got := listed(r); !slices.Equal(got, tc.after) {
					t.Errorf("in the end the list has %q", got)
				}
				again.Leave(stream.LeftDeregistered)
			})
		})
	}
}
