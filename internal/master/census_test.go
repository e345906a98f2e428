package master

import (
	"maps"
	"testing"

	"scout/internal/files/filestest"
	"scout/internal/roster"
	"scout/internal/stream"
)

func TestCensus(t *testing.T) {
	r, _ := observed()
	peer := new(fakePeer).peer("s1")
	expect := func(want map[roster.State]int) {
		t.Helper()
		if got := r.Census(); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	expect(map[roster.State]int{})
	m := join(t, r, peer)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Hide("no such directory", 0)
	expect(map[roster.State]int{roster.Unavailable: 1})
	m.Hide("reading it again", 17)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Hide(stream.Scanning, 0)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Reset(filestest.Set("a"), stream.Arrival{Revision: 1})
	expect(map[roster.State]int{roster.Live: 1})
	m.Report(0, 2)
	expect(map[roster.State]int{roster.Degraded: 1})
	m.Hide(stream.Resyncing, 0)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Reset(filestest.Set("a"), stream.Arrival{Revision: 1})
	m.Report(0, 0)
	other := peer
	other.Origin.Host = "web-02"
	n := join(t, r, other)
	expect(map[roster.State]int{roster.Live: 1, roster.Scanning: 1})
	m.Leave(stream.LeftDeregistered)
	n.Leave(stream.LeftBroken)
	expect(map[roster.State]int{})
}
