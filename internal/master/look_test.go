package master

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/roster"
	"scout/internal/stream"
)

// fleet is members that look when the test says so.
type fleet struct {
	*testing.T
	*Registry
	peers   map[string]*fakePeer
	members map[string]stream.Member
}

func newFleet(t *testing.T, hosts ...string) *fleet {
	r, _ := observed()
	f := &fleet{t, r, map[string]*fakePeer{}, map[string]stream.Member{}}
	for _, host := range hosts {
		f.peers[host] = &fakePeer{looks: make(chan struct{})}
		p := f.peers[host].peer("session of " + host)
		p.Origin.Host = host
		f.members[host] = join(t, r, p)
	}
	return f
}

func (f *fleet) show(host string) {
	f.members[host].Reset(filestest.Set("of "+host), stream.Arrival{Revision: 1})
}

func (f *fleet) looked(host string) { close(f.peers[host].looks) }

// expect looks for that long and fails unless the list has that many entries
// and these scouts are named: "host: a part of the reason".
func (f *fleet) expect(limit time.Duration, entries int, named ...string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), limit)
	defer cancel()
	v, unconfirmed := f.Look(ctx, everybody)
	if v.Len != entries {
		f.Errorf("%d entries, want %d", v.Len, entries)
	}
	f.named(unconfirmed, named...)
}

func (f *fleet) named(unconfirmed []roster.Unconfirmed, named ...string) {
	f.Helper()
	ok := len(unconfirmed) == len(named)
	var got []string
	for i, u := range unconfirmed {
		got = append(got, u.Origin.Host+": "+u.Reason)
		ok = ok && strings.HasPrefix(got[i], named[i])
	}
	if !ok {
		f.Errorf("unconfirmed: %q, want %q", got, named)
	}
}

// Whatever a scout does meanwhile, either it has looked or it is named.
func TestLook(t *testing.T) {
	for _, tc := range []struct {
		name      string
		meanwhile func(f *fleet) // after a second
		entries   int
		took      time.Duration
		named     []string
	}{
		{"both look", func(f *fleet) { f.looked("a"); f.looked("b") }, 2, time.Second, nil},
		{"one looks", func(f *fleet) { f.looked("b") }, 2, time.Minute, []string{"a: no answer in time; it was last heard 1.5s ago"}},
		{"one hides", func(f *fleet) { f.looked("a"); f.members["b"].Hide("gone", 0) }, 1, time.Second, []string{"b: gone"}},
		{"one looks and hides", func(f *fleet) { f.looked("b"); f.members["b"].Hide("gone", 0); f.looked("a") }, 1, time.Second, []string{"b: gone"}},
		{"one deregisters", func(f *fleet) { f.looked("a"); f.members["b"].Leave(stream.LeftDeregistered) }, 1, time.Second, nil},
		{"one is lost", func(f *fleet) { f.looked("a"); f.members["b"].Leave(stream.LeftSilent) }, 1, time.Second, []string{"b: it has left: silent past deadline"}},
		{"one scans again", func(f *fleet) { f.looked("a"); f.members["b"].Hide("scanning", 7) }, 1, time.Second, []string{"b: scanning, 7 files so far"}},
		{"one hides and is back", func(f *fleet) {
			f.members["b"].Hide("gone", 0)
			f.show("b")
			f.looked("a")
		}, 2, time.Second, []string{"b: its files were hidden for a moment"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a", "b")
				f.show("a")
				f.show("b")
				time.AfterFunc(time.Second, func() { tc.meanwhile(f) })
				began := time.Now()
				f.expect(time.Minute, tc.entries, tc.named...)
				if took := time.Since(began); took != tc.took {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A hidden scout is named without being waited for, one whose first snapshot is
// on its way is waited for.
func TestLookAtWhatIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a", "b", "c")
		f.show("a")
		f.looked("a")
		f.members["b"].Hide("scanning", 0)
		began := time.Now()
		f.expect(time.Second, 1, "b: scanning", "c: its first snapshot has not come yet")
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		f.members["c"].Hide("", 0)
		f.members["c"].Hide("", 0)
		f.expect(time.Minute, 1, "b: scanning", "c: the scout gives no reason")
		if took := time.Since(began); took != time.Second {
			t.Errorf("hidden scouts were waited for: %v", took)
		}
		f.show("c")
		f.looked("c")
		f.members["b"].Leave(stream.LeftBroken)
		f.expect(time.Minute, 2)
	})
}

// Only those are asked who are asked for.
func TestLookAtSome(t *testing.T) {
	f := newFleet(t, "a", "b")
	f.show("a")
	f.show("b")
	f.looked("a")
	v, unconfirmed := f.Look(t.Context(), func(o files.Origin) bool { return o.Host == "a" })
	if v.Len != 2 || len(unconfirmed) != 0 {
		t.Errorf("%d entries, unconfirmed: %v", v.Len, unconfirmed)
	}
}

// A list that was taken while a scout was hidden is not taken for whole because
// it is shown again.
func TestLookNoticesAGap(t *testing.T) {
	f := newFleet(t, "a")
	f.show("a")
	f.looked("a")
	m := f.Registry.members[files.Origin{Host: "a", Directory: home.Directory}]
	l := m.look()
	l.wait(t.Context())
	m.Hide("gone", 0)
	f.show("a")
	if got := l.doubt(); got != "its files were hidden for a moment" {
		t.Errorf("doubt: %q", got)
	}
}

// One that has not looked, and deregisters when its files are in the list, is
// named.
func TestLookNoticesWhoLeavesLate(t *testing.T) {
	f := newFleet(t, "a")
	f.show("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := f.Registry.members[files.Origin{Host: "a", Directory: home.Directory}]
	early, late := m.look(), m.look()
	for _, l := range []*look{early, late} {
		l.wait(ctx)
	}
	late.took = m.hasLeft()
	m.Leave(stream.LeftDeregistered)
	early.took = m.hasLeft()
	if got := early.doubt(); got != "" {
		t.Errorf("it has taken its files along: %q", got)
	}
	if got := late.doubt(); got != "it has left: deregistered" {
		t.Errorf("its files are listed: %q", got)
	}
}

func BenchmarkLook(b *testing.B) {
	r, _ := observed()
	done := make(chan struct{})
	close(done)
	for i := range 10_000 {
		p := (&fakePeer{looks: done}).peer("s")
		p.Origin.Host = fmt.Sprint("host-", i)
		m, err := r.Join(b.Context(), p)
		if err != nil {
			b.Fatal(err)
		}
		m.Reset(filestest.Set(), stream.Arrival{Revision: 1})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, unconfirmed := r.Look(b.Context(), everybody); unconfirmed != nil {
			b.Fatal(unconfirmed)
		}
	}
}
