package stream

import (
	"encoding/binary"
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
	sum := state{1, 2, setOf("a", "b").Digest()}.after(revision, files.Delta{Removed: decoded(removed), Added: decoded(added)})
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
		{"directory with NUL", openRaw, say{sayHello(files.Origin{Host: "h", Directory: "/srv\x00"})}, "the directory has a NUL"},

		{"update before snapshot", welcomed, say{change(1, nil, coded("a"))}, "an update before a snapshot"},
		{"snapshot without Grant", welcomed, saySnapshot(1, shown), "a snapshot without a Grant"},
		{"second snapshot for one Grant", nil, saySnapshot(2, shown), "a snapshot without a Grant"},
		{"update between Offer and snapshot", nil, say{sayOffer(), change(2, nil, coded("c"))}, "an update between an Offer and its snapshot"},
		{"update after Unavailable", nil, say{sayUnavailable("gone"), change(2, nil, coded("c"))}, "an update before a snapshot"},
		{"revision jumps", nil, say{change(3, nil, coded("c"))}, "the revision jumps from 1 to 3"},
		{"revision repeats", nil, say{change(1, nil, coded("c"))}, "the revision jumps from 1 to 1"},
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

// One who asks and asks and never reads the answers cannot make the master hold
// them, nor wait.
func TestNotReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := welcomed(t, n)
		n.down.hold()
		go func() {
			for range 20_000 {
				r.say(sayOffer(), sayUnavailable("again"))
			}
		}()
		m.registry.last().lastWord()
		n.down.open()
		m.violated(t, r.end(), "without reading")
	})
}
