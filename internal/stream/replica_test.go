package stream

import (
	"slices"
	"testing"
	"testing/synctest"

	scoutv1 "scout/proto/scout/v1"
)

// Nothing of an update is visible before its last part has come, and nothing
// of one that was left unfinished ever.
func TestWholeUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := welcomed(t, n)
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := m.registry.last().history(); !slices.Equal(got, want) {
				t.Errorf("%s: the member was told %q, not %q", what, got, want)
			}
		}
		first := many(20_000)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		for _, part := range saySnapshot(5, first) {
			expect("snapshot under way")
			r.say(part)
		}
		script := []string{"reset 5: 20000 names"}
		expect("snapshot", script...)
		for _, part := range sayChange(6, first, setOf("z")) {
			expect("update under way", script...)
			r.say(part)
		}
		script = append(script, "apply 6: -20000 +1")
		expect("update", script...)
		r.say(sayChange(7, setOf("z"), first)[0], sayUnavailable("vanished"))
		script = append(script, "hide vanished 0")
		expect("update broken off", script...)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(8, first)[0], sayUnavailable("vanished again"), sayBeat(0, setOf()), sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(9, setOf())...)
		expect("snapshot broken off", append(script, "hide vanished again 0", "reset 9: ")...)
	})
}

// A copy that is not the scout's is found out by an update or a beat, hidden at
// once, and right again with the next snapshot. What was on its way is ignored.
func TestResync(t *testing.T) {
	wrong := func(u *scoutv1.Update) *scoutv1.SessionRequest {
		u.Revision, u.Added = 2, coded("b")
		return sayUpdate(u)
	}
	ab := setOf("a", "b")
	for _, tc := range []struct {
		name  string
		wrong *scoutv1.SessionRequest
	}{
		{"digest of an update", wrong(&scoutv1.Update{Count: 2, Digest: 1})},
		{"count of an update", wrong(&scoutv1.Update{Count: 3, Digest: ab.Digest()})},
		{"removed what the copy lacks", sayChange(2, setOf("a", "x"), ab)[0]},
		{"digest of a beat", sayBeat(1, setOf("b"))},
		{"revision of a beat", sayBeat(2, setOf("a"))},
		{"beat of a scout that has forgotten", sayBeat(0, setOf())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				r := synced(t, n, "a")
				r.say(tc.wrong)
				r.say(sayChange(3, ab, setOf("c"))...)
				r.say(sayBeat(3, setOf("c")))
				r.say(sayUpdate(&scoutv1.Update{Revision: 4, More: true}))
				r.expect("Resync", isResync)
				synctest.Wait()
				if m.registry.last().shown() != nil {
					t.Error("the wrong copy is shown")
				}
				if m.logs.count("copy differs") != 1 {
					t.Errorf("logged %v", m.logs.seen.All())
				}
				r.say(sayOffer(), sayBeat(0, setOf()))
				r.expect("Grant", isGrant)
				r.say(saySnapshot(9, ab)...)
				r.say(sayChange(10, ab, setOf("d"))...)
				r.say(sayBeat(10, setOf("d")))
				synctest.Wait()
				if got := namesOf(m.registry.last().shown()); !slices.Equal(got, []string{"d"}) {
					t.Errorf("then it shows %q", got)
				}
			})
		})
	}
}

// A scout that has something on offer when it is asked for a resync offers
// again, and is granted again, though it may have missed the first.
func TestResyncWhileGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		startMaster(t, n)
		r := synced(t, n, "a")
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(sayBeat(1, setOf("b")))
		r.expect("Resync", isResync)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
	})
}

// A snapshot that does not add up is asked for again.
func TestResyncOfSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := welcomed(t, n)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(sayUpdate(&scoutv1.Update{Revision: 1, Reset_: true, Added: coded("a"), Count: 1}))
		r.expect("Resync", isResync)
		r.say(sayUnavailable("busy"), sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(2, setOf("a"))...)
		synctest.Wait()
		want := []string{"hide the copy differs, waiting for a snapshot 0", "hide busy 0", "reset 2: a"}
		if got := m.registry.last().history(); !slices.Equal(got, want) {
			t.Errorf("the member was told %q", got)
		}
	})
}
