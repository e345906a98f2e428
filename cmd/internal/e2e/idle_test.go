//go:build linux

package e2e

import (
	"testing"
	"time"
)

// Ten minutes of nothing: no connection is closed, no session begins anew, and
// the next change is seen at once. A minute more than grpc's ages and time-outs
// would take to show.
func TestIdleStream(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("takes ten minutes")
	}
	m := startMaster(t)
	dir := tempDir(t)
	fill(t, dir, 3)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	masterSaid, scoutSaid := len(m.Events()), len(s.Events())
	time.Sleep(10*time.Minute + 30*time.Second)
	if m, s := m.Events()[masterSaid:], s.Events()[scoutSaid:]; len(m)+len(s) > 0 {
		t.Errorf("the master said %v, the scout %v", m, s)
	}
	write(t, dir, "later")
	converges(t, m, s)
}
