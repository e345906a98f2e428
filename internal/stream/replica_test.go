package stream

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"scout/internal/files"
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
		{"beat of nothing with a count", sayThat(&scoutv1.Beat{Count: 1, Digest: setOf("a").Digest()})},
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

// A scout whose copy differs again and again is resynced ever more rarely, and
// so is one that does not wait to be told; a quiet time later it is resynced at
// once.
func TestResyncsAreSpaced(t *testing.T) {
	for name, impatient := range map[string][]*scoutv1.SessionRequest{
		"patient":     nil,
		"offers":      {sayOffer()},
		"unavailable": {sayUnavailable("again"), sayOffer()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n, func(c *Config) { c.Heartbeat, c.Deadline = time.Hour, 2*time.Hour })
				r := welcomed(t, n)
				fails := func() time.Duration {
					t.Helper()
					r.say(sayOffer())
					r.expect("Grant", isGrant)
					began := time.Now()
					r.say(sayUpdate(&scoutv1.Update{Revision: 1, Reset_: true, Added: coded("a"), Count: 7}))
					r.say(impatient...)
					r.expect("Resync", isResync)
					return time.Since(began)
				}
				for i, want := range []int{0, 1, 2, 4, 8, 16, 32, 60, 60} {
					if got := fails(); got != time.Duration(want)*time.Second {
						t.Errorf("Resync %d came after %v, not %d s", i, got, want)
					}
				}
				if lines := m.logs.count("copy differs"); lines < 5 || lines > 9 {
					t.Errorf("logged %d times", lines)
				}
				r.say(sayOffer())
				r.expect("Grant", isGrant)
				time.Sleep(2 * lastResync)
				r.say(sayUnavailable("again"))
				if got := fails(); got != 0 {
					t.Errorf("after a quiet time the Resync came after %v", got)
				}
			})
		})
	}
}

// coded is names as they travel, whatever the names.
func coded(names ...string) []byte {
	var b []byte
	for _, name := range names {
		b = binary.AppendUvarint(b, 0)
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return b
}

// change is a change of what "a" and "b" are at revision 1. Its sums fit, whether
// or not the names make sense.
func change(revision uint64, removed, added []byte) *scoutv1.SessionRequest {
	sum := fingerprint{1, 2, setOf("a", "b").Digest()}.after(revision, files.Delta{Removed: decoded(removed), Added: decoded(added)})
	return sayUpdate(&scoutv1.Update{
		Revision: revision, Removed: removed, Added: added, Count: sum.count, Digest: sum.digest,
	})
}

// decoded is the set of the names, up to one that breaks a rule.
func decoded(names []byte) *files.Set {
	var b files.Builder
	_ = b.Append(names)
	return b.Set()
}

// unknown is a message of a later version of the protocol.
func unknown() *scoutv1.SessionRequest {
	msg := &scoutv1.SessionRequest{}
	msg.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	return msg
}

// sayThat says a Beat as it is.
func sayThat(b *scoutv1.Beat) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: b}}
}

// What a scout may do, though ours does not. The session has shown "a" and "b" at
// revision 1, and shows "a", "b" and "c" in the end.
func TestLiberties(t *testing.T) {
	abc := setOf("a", "b", "c")
	last := func(u *scoutv1.Update) *scoutv1.SessionRequest {
		u.Revision, u.Count, u.Digest = 2, uint64(abc.Len()), abc.Digest()
		return sayUpdate(u)
	}
	for _, tc := range []struct {
		name string
		say  []*scoutv1.SessionRequest
	}{
		{"an empty part", []*scoutv1.SessionRequest{
			sayUpdate(&scoutv1.Update{Revision: 2, More: true}),
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("c")}),
			last(&scoutv1.Update{}),
		}},
		{"sums in an early part", []*scoutv1.SessionRequest{
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("c"), Count: 99, Digest: 99}),
			last(&scoutv1.Update{}),
		}},
		{"numbers longer than needed", []*scoutv1.SessionRequest{
			last(&scoutv1.Update{Added: []byte{0x80, 0x80, 0, 0x81, 0x80, 0x80, 0, 'c'}}),
		}},
		{"a change of nothing", []*scoutv1.SessionRequest{
			last(&scoutv1.Update{Added: coded("c")}),
			sayUpdate(&scoutv1.Update{Revision: 3, Count: 3, Digest: abc.Digest()}),
		}},
		{"another snapshot", []*scoutv1.SessionRequest{
			sayOffer(), sayBeat(1, setOf("a", "b")), sayUnavailable("no"), sayUnavailable("not yet"), sayBeat(0, setOf()),
		}},
		{"parts left at a Resync", []*scoutv1.SessionRequest{
			sayBeat(7, abc),
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("x")}),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				r := synced(t, n, "a", "b")
				r.say(tc.say...)
				synctest.Wait()
				member := m.registry.last()
				if member.shown() == nil {
					r.say(sayOffer())
					m.drain(t, r)
					r.say(saySnapshot(5, abc)...)
					synctest.Wait()
				}
				if isClosed(member.left) {
					t.Fatalf("the call ended with %v", r.end())
				}
				if got := namesOf(member.shown()); !slices.Equal(got, namesOf(abc)) {
					t.Errorf("it shows %q", got)
				}
			})
		})
	}
}

// What a scout may not do, each with the words that name the rule. The session
// has shown "a" and "b" at revision 1, unless it is a matter of the beginning.
func TestRules(t *testing.T) {
	shown := setOf("a", "b")
	type say = []*scoutv1.SessionRequest
	for _, rule := range []struct {
		name  string
		begin func(*testing.T, *network) *raw // nil: synced
		say   say
		want  string
	}{
		{"beat before Hello", openRaw, say{sayBeat(0, setOf())}, "the first message must be a Hello"},
		{"unknown before Hello", openRaw, say{unknown()}, "the first message must be a Hello"},
		{"second Hello", nil, say{sayHello(web01)}, "a second Hello"},
		{"no host", openRaw, say{sayHello(files.Origin{Directory: "/srv"})}, "the host is empty"},
		{"long host", openRaw, say{sayHello(files.Origin{Host: strings.Repeat("h", 256), Directory: "/srv"})}, "the host is longer than 255 bytes"},
		{"host with an escape", openRaw, say{sayHello(files.Origin{Host: "web\x1b[2J", Directory: "/srv"})}, "the host has control characters"},
		{"no directory", openRaw, say{sayHello(files.Origin{Host: "h"})}, "the directory is not an absolute path"},
		{"relative directory", openRaw, say{sayHello(files.Origin{Host: "h", Directory: "srv"})}, "the directory is not an absolute path"},
		{"long directory", openRaw, say{sayHello(files.Origin{Host: "h", Directory: "/" + strings.Repeat("d", 4096)})}, "the directory is longer than 4096 bytes"},
		{"directory with a slash at its end", openRaw, say{sayHello(files.Origin{Host: "h", Directory: "/srv/"})}, `the directory is not clean: it should be "/srv"`},
		{"directory with dots", openRaw, say{sayHello(files.Origin{Host: "h", Directory: "/srv/../etc"})}, `the directory is not clean: it should be "/etc"`},
		{"directory with two slashes", openRaw, say{sayHello(files.Origin{Host: "h", Directory: "//srv"})}, `the directory is not clean: it should be "/srv"`},
		{"directory with NUL", openRaw, say{sayHello(files.Origin{Host: "h", Directory: "/srv\x00"})}, "the directory has a NUL"},

		{"update before snapshot", welcomed, say{change(1, nil, coded("a"))}, "an update before a snapshot"},
		{"snapshot without Grant", welcomed, saySnapshot(1, shown), "a snapshot without a Grant"},
		{"second snapshot for one Grant", nil, saySnapshot(2, shown), "a snapshot without a Grant"},
		{"update between Offer and snapshot", nil, say{sayOffer(), change(2, nil, coded("c"))}, "an update between an Offer and its snapshot"},
		{"update after Unavailable", nil, say{sayUnavailable("gone"), change(2, nil, coded("c"))}, "an update before a snapshot"},
		{"revision jumps", nil, say{change(3, nil, coded("c"))}, "the revision jumps from 1 to 3"},
		{"revision repeats", nil, say{change(1, nil, coded("c"))}, "the revision jumps from 1 to 1"},
		{"revision wraps", func(t *testing.T, n *network) *raw {
			r := welcomed(t, n)
			r.say(sayOffer())
			r.expect("Grant", isGrant)
			r.say(saySnapshot(math.MaxUint64, shown)...)
			return r
		}, say{change(0, nil, coded("c"))}, "a change with revision 0"},
		{"parts of two updates", nil, say{
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("c")}),
			sayUpdate(&scoutv1.Update{Revision: 3, Added: coded("d")}),
		}, "parts of one update differ"},
		{"beat between parts", nil, say{
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("c")}), sayBeat(1, shown),
		}, "a Beat between the parts of an update"},
		{"offer between parts", nil, say{
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("c")}), sayOffer(),
		}, "an Offer between the parts of an update"},
		{"looked between parts", nil, say{
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("c")}), sayLooked(1),
		}, "a Looked between the parts of an update"},
		{"looked before snapshot", welcomed, say{sayLooked(1)}, "a Looked before a snapshot"},
		{"looked after Unavailable", nil, say{sayUnavailable("gone"), sayLooked(1)}, "a Looked before a snapshot"},
		{"looked between Offer and snapshot", nil, say{sayOffer(), sayLooked(1)}, "a Looked between an Offer and its snapshot"},
		{"looked unasked", nil, say{sayLooked(1)}, "Looked with ticket 1, which was never issued"},
		{"looked without a ticket", nil, say{sayLooked(0)}, "Looked with ticket 0, which was never issued"},

		{"removed unknown", nil, say{change(2, coded("x"), nil)}, `"x" is not there`},
		{"added known", nil, say{change(2, nil, coded("a"))}, `"a" is there already`},
		{"both", nil, say{change(2, coded("a"), coded("a"))}, `"a" is both removed and added`},
		{"absolute name", nil, say{change(2, nil, coded("/etc/passwd"))}, `added: name "/etc/passwd" has an empty part`},
		{"empty name", nil, say{change(2, nil, coded(""))}, `added: name "" has an empty part`},
		{"empty part", nil, say{change(2, nil, coded("c//d"))}, `added: name "c//d" has an empty part`},
		{"name ends in a slash", nil, say{change(2, nil, coded("c/"))}, `added: name "c/" has an empty part`},
		{"dot", nil, say{change(2, nil, coded("c/./d"))}, `has the part "."`},
		{"dot dot", nil, say{change(2, nil, coded("../c"))}, `has the part ".."`},
		{"NUL", nil, say{change(2, nil, coded("c\x00"))}, "contains a NUL"},
		{"long name", nil, say{change(2, nil, coded(strings.Repeat("c", 4097)))}, "4097 bytes long"},
		{"bad removed name", nil, say{change(2, coded(".."), nil)}, "removed: name"},
		{"order", nil, say{change(2, nil, coded("d", "c"))}, "does not sort after"},
		{"order across parts", nil, say{
			sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("d")}),
			sayUpdate(&scoutv1.Update{Revision: 2, Added: coded("c")}),
		}, "does not sort after"},
		{"cut short", nil, say{change(2, nil, []byte{0, 9, 'c'})}, "cut short"},
		{"shares with nothing", nil, say{change(2, nil, []byte{3, 1, 'c'})}, "shares 3 bytes"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				var r *raw
				if rule.begin != nil {
					r = rule.begin(t, n)
				} else {
					r = synced(t, n, "a", "b")
				}
				r.say(rule.say...)
				m.violated(t, r.end(), rule.want)
			})
		})
	}
}

// violated fails unless a call that ended with err did so, and was logged, for
// the breach of a rule.
func (m *master) violated(t *testing.T, err error, rule string) {
	t.Helper()
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("the call ended with %v", err)
	}
	m.unreadable(t, err, rule)
}

// unreadable is like violated, for messages of which grpc itself decides the
// code.
func (m *master) unreadable(t *testing.T, err error, rule string) {
	t.Helper()
	if !strings.Contains(status.Convert(err).Message(), rule) {
		t.Errorf("the call ended with %v, not for %q", err, rule)
	}
	synctest.Wait()
	joined := m.registry.last()
	if joined == nil {
		if reason := m.logs.field(t, "session refused", "reason").(string); !strings.Contains(reason, rule) {
			t.Errorf("logged as %q", reason)
		}
		return
	}
	if said := m.logs.field(t, "protocol violation", "rule").(string); !strings.Contains(said, rule) {
		t.Errorf("logged as %q", said)
	}
	if m.logs.count("protocol violation") != 1 {
		t.Error("logged more than once")
	}
	if got := joined.history(); got[len(got)-1] != "leave protocol violation" {
		t.Errorf("the member was told %q", got)
	}
}

func TestSnapshotRules(t *testing.T) {
	for _, rule := range []struct {
		name string
		say  []*scoutv1.SessionRequest
		want string
	}{
		{"revision 0", saySnapshot(0, setOf("a")), "a snapshot with revision 0"},
		{"removed names", []*scoutv1.SessionRequest{
			sayUpdate(&scoutv1.Update{Revision: 1, Reset_: true, Removed: coded("a")}),
		}, "a snapshot with removed names"},
		{"parts that differ", []*scoutv1.SessionRequest{
			sayUpdate(&scoutv1.Update{Revision: 1, Reset_: true, More: true, Added: coded("a")}),
			sayUpdate(&scoutv1.Update{Revision: 1, Added: coded("b")}),
		}, "parts of one update differ"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				r := welcomed(t, n)
				r.say(sayOffer())
				r.expect("Grant", isGrant)
				r.say(rule.say...)
				m.violated(t, r.end(), rule.want)
			})
		})
	}
}

// A host that is not UTF-8 cannot even be read; nor can a message that is too
// large, or no message at all.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := openRaw(t, n)
		bad := &scoutv1.SessionRequest{}
		hello := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "web\xff")
		bad.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), hello))
		r.say(bad)
		m.unreadable(t, r.end(), "invalid UTF-8")
	})
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n)
		r.say(sayUpdate(&scoutv1.Update{Added: make([]byte, maxMessage)}))
		if err := r.end(); status.Code(err) != codes.ResourceExhausted || plain(err) != overlong {
			t.Errorf("ended with %v, which is explained as %q", err, plain(err))
		}
		synctest.Wait()
		if limit := m.logs.field(t, "limit exceeded", "limit"); limit != overlong {
			t.Errorf("logged as %q", limit)
		}
	})
}

// No Hello within the deadline.
func TestNoHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		began := time.Now()
		err := openRaw(t, n).end()
		if status.Code(err) != codes.DeadlineExceeded || time.Since(began) != deadline {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
		if reason := m.logs.field(t, "session refused", "reason"); reason != "the scout was silent past the deadline of 3s" {
			t.Errorf("logged as %q", reason)
		}
	})
}

// Half-closed before anything was said.
func TestNothingSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := openRaw(t, n)
		if err := r.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		m.violated(t, r.end(), "the first message must be a Hello")
	})
}

// What is not known yet is a sign of life, and no more.
func TestUnknownMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		for range 10 {
			time.Sleep(deadline - time.Second)
			r.say(unknown())
		}
		synctest.Wait()
		if got := namesOf(m.registry.last().shown()); len(got) != 1 {
			t.Errorf("it shows %q", got)
		}
	})
}

// However often a scout offers and takes that back, read or unread, no rule is
// broken and the session goes on.
func TestOfferManyTimes(t *testing.T) {
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprint("reads ", reads), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				r := welcomed(t, n)
				if !reads {
					n.down.hold()
				}
				for range 100 {
					r.say(sayOffer(), sayUnavailable("again"))
				}
				synctest.Wait()
				n.down.open()
				r.say(sayBeat(0, setOf()))
				if n := len(m.drain(t, r)); n > 100 {
					t.Errorf("%d Grants for 100 Offers", n)
				}
				r.say(sayOffer())
				r.expect("Grant", isGrant)
				r.say(saySnapshot(1, setOf("a"))...)
				synctest.Wait()
				if got := m.registry.last().shown(); got == nil {
					t.Error("the snapshot is not shown")
				}
			})
		})
	}
}

// drain returns what the master has sent so far, other than beats.
func (m *master) drain(t *testing.T, r *raw) (all []*scoutv1.SessionResponse) {
	t.Helper()
	synctest.Wait()
	asked, cancel := context.WithCancel(t.Context())
	defer cancel()
	go m.registry.last().peer.Probe(asked) // the Probe comes last
	for {
		msg, err := r.hear()
		if err != nil {
			t.Fatal(err)
		}
		if isProbe(msg) {
			return all
		}
		all = append(all, msg)
	}
}
