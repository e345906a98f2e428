package stream

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

func limited(l Limits) func(*Config) { return func(c *Config) { c.Limits = l } }

// exceeded fails unless a call that ended with err did so for a limit, which it
// names.
func exceeded(t *testing.T, err error, limit string) {
	t.Helper()
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), limit+" ") && !strings.HasSuffix(err.Error(), limit) {
		t.Errorf("ended with %v, not for %s", err, limit)
	}
}

// none fails when anything is still counted.
func (m *master) none(t *testing.T) {
	t.Helper()
	m.quota.mu.Lock()
	defer m.quota.mu.Unlock()
	if m.quota.scouts != 0 || m.quota.held != (load{}) {
		t.Errorf("%d scouts and %+v are still counted", m.quota.scouts, m.quota.held)
	}
}

func (m *master) holds(t *testing.T, what string, want load) {
	t.Helper()
	synctest.Wait()
	m.quota.mu.Lock()
	defer m.quota.mu.Unlock()
	if m.quota.held != want {
		t.Errorf("%s: %+v is counted, not %+v", what, m.quota.held, want)
	}
}

func TestMaxScouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n, limited(Limits{Scouts: 2}))
		first := synced(t, n, "a")
		second := openRaw(t, n)
		second.say(sayHello(files.Origin{Host: "web-02", Directory: "/srv"}))
		second.expect("Welcome", isWelcome)
		for range 3 {
			third := openRaw(t, n)
			third.say(sayHello(files.Origin{Host: "web-03", Directory: "/srv"}))
			exceeded(t, third.end(), "-max-scouts")
		}
		if reason := m.logs.field(t, "registration refused", "reason").(string); !strings.Contains(reason, "at most 2 scouts") {
			t.Errorf("logged as %q", reason)
		}
		second.cancel()
		synctest.Wait()
		again := openRaw(t, n)
		again.say(sayHello(files.Origin{Host: "web-03", Directory: "/srv"}))
		again.expect("Welcome", isWelcome)
		if got := m.registry.members[0].history(); len(got) != 1 {
			t.Errorf("the first was told %q", got)
		}
		first.cancel()
		again.cancel()
		synctest.Wait()
		m.none(t)
	})
}

// Each limit on what a scout shows, exceeded by a snapshot and by a change. The
// session has shown "a" and "b", and another "0123456789".
func TestLimits(t *testing.T) {
	long := strings.Repeat("n", 100)
	for _, tc := range []struct {
		limits Limits
		flag   string
		names  []string // as many as are too many
	}{
		{Limits{FilesPerScout: 3}, "-max-files-per-scout", []string{"a", "b", "c", "d"}},
		{Limits{Files: 4}, "-max-files", []string{"a", "b", "c", "d"}},
		{Limits{NameBytesPerScout: 50}, "-max-name-bytes-per-scout", []string{"a", "b", long}},
		{Limits{NameBytes: 60}, "-max-name-bytes", []string{"a", "b", long}},
	} {
		for name, exceed := range map[string]func(r *raw, set *files.Set){
			"by a snapshot": func(r *raw, set *files.Set) {
				r.say(sayOffer())
				r.expect("Grant", isGrant)
				r.say(saySnapshot(2, set)...)
			},
			"by a change": func(r *raw, set *files.Set) { r.say(sayChange(2, setOf("a", "b"), set)...) },
			"by parts that never end": func(r *raw, _ *files.Set) {
				for i := range 100 {
					r.say(sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded(fmt.Sprintf("x%03d", i))}))
				}
			},
		} {
			t.Run(tc.flag+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newNetwork(t)
					m := startMaster(t, n, limited(tc.limits))
					other := openRaw(t, n)
					other.say(sayHello(files.Origin{Host: "web-02", Directory: "/srv"}))
					other.expect("Welcome", isWelcome)
					other.say(sayOffer())
					other.expect("Grant", isGrant)
					other.say(saySnapshot(1, setOf("0123456789"))...)
					synctest.Wait()
					bystander := m.registry.last()

					r := synced(t, n, "a", "b")
					exceed(r, setOf(tc.names...))
					exceeded(t, r.end(), tc.flag)
					if got := m.registry.last().lastWord(); got != "leave limit exceeded" {
						t.Errorf("the member was told to %q", got)
					}
					if limit := m.logs.field(t, "limit exceeded", "limit").(string); !strings.Contains(limit, tc.flag) {
						t.Errorf("logged as %q", limit)
					}
					m.holds(t, "afterwards", load{1, 10})
					if got := namesOf(bystander.shown()); len(got) != 1 {
						t.Errorf("the other shows %q", got)
					}
					other.cancel()
					synctest.Wait()
					m.none(t)
				})
			})
		}
	}
}

// An Offer of too many names is refused before any has come.
func TestOfferOfTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		startMaster(t, n, limited(Limits{FilesPerScout: 3}))
		r := welcomed(t, n)
		r.say(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{Offer: &scoutv1.Offer{Count: 4}}})
		exceeded(t, r.end(), "-max-files-per-scout")
	})
}

// What is counted is what is held, through all that can happen to it.
func TestQuotaFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n, limited(Limits{FilesPerScout: 3, Files: 6, NameBytes: 1000}))
		r := synced(t, n, "a", "bb")
		m.holds(t, "a snapshot", load{2, 3})
		r.say(sayChange(2, setOf("a", "bb"), setOf("bb", "ccc", "dddd"))...)
		m.holds(t, "a change", load{3, 9})
		r.say(sayChange(3, setOf("bb", "ccc", "dddd"), setOf("x", "y", "z"))...)
		m.holds(t, "all exchanged", load{3, 3})
		r.say(sayUpdate(&scoutv1.Update{Revision: 4, More: true, Added: coded("zz")}))
		m.holds(t, "half a change", load{4, 5})
		r.say(sayUnavailable("gone"))
		m.holds(t, "hidden", load{})
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(5, setOf("a", "b", "c"))...)
		m.holds(t, "shown again", load{3, 3})
		r.say(sayUpdate(&scoutv1.Update{Revision: 6, Added: coded("e"), Count: 9}))
		r.expect("Resync", isResync)
		m.holds(t, "differs", load{})
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(7, setOf("q"))...)
		m.holds(t, "healed", load{1, 1})
		r.cancel()
		synctest.Wait()
		m.none(t)
	})
}

// More removed names than there are need not be held to know that they are not
// there.
func TestRemovedOfTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a", "b")
		r.say(sayUpdate(&scoutv1.Update{Revision: 2, More: true, Removed: coded("a", "b", "c")}))
		m.violated(t, r.end(), "more names are removed than there are")
	})
}

// A scout that shows too much does not hammer at the master, which takes its
// registration each time.
func TestUnwantedScout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n, limited(Limits{FilesPerScout: 2}))
		dir := newDirectory("a", "b", "c")
		c := startScout(t, n, dir)
		time.Sleep(time.Minute)
		if joined := m.registry.joined(); joined < 10 || joined > 30 {
			t.Errorf("it came %d times a minute", joined)
		}
		if reason := c.logs.field(t, "master lost", "reason").(string); !strings.Contains(reason, "-max-files-per-scout") {
			t.Errorf("it logs %q", reason)
		}
		dir.list("a")
		time.Sleep(lastRetry)
		synctest.Wait()
		if got := m.registry.last().shown(); got == nil || got.Len() != 1 {
			t.Error("it is not shown in the end")
		}
	})
}
