package stream

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// expectClosed fails unless these requests, and no others, are answered.
func expectClosed(t *testing.T, what string, answered, others []<-chan struct{}) {
	t.Helper()
	synctest.Wait()
	for i, c := range slices.Concat(answered, others) {
		if want := i < len(answered); isClosed(c) != want {
			t.Errorf("%s: request %d: answered is %v", what, i, !want)
		}
	}
}

// A member shows what a rescan has found before the request is answered.
func TestRescan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		c := startScout(t, n, newDirectory("a"))
		synctest.Wait()
		c.directory.finding(time.Second, "a", "b")
		began := time.Now()
		<-m.registry.last().peer.Rescan()
		if got := namesOf(m.registry.last().shown()); !slices.Equal(got, []string{"a", "b"}) || time.Since(began) != time.Second {
			t.Errorf("after %v it shows %q", time.Since(began), got)
		}
	})
}

// Many requests cost few Looks, and a Look answers only requests from before it was
// sent.
func TestRescansAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		p := m.registry.last().peer
		early, late := []<-chan struct{}{p.Rescan(), p.Rescan()}, []<-chan struct{}{}
		r.expect("Look", isLook(1))
		for range 100 {
			late = append(late, p.Rescan())
		}
		r.say(sayLooked(1))
		expectClosed(t, "first answer", early, late)
		r.expect("Look", isLook(2))
		latest := []<-chan struct{}{p.Rescan()}
		r.say(sayLooked(1), sayBeat(1, setOf("a"))) // once more
		expectClosed(t, "an old answer", early, slices.Concat(late, latest))
		r.say(sayLooked(2))
		expectClosed(t, "second answer", slices.Concat(early, late), latest)
		r.expect("Look", isLook(3))
		r.cancel()
		m.registry.last().lastWord()
		expectClosed(t, "the end", nil, append(latest, p.Rescan()))
	})
}

// A real scout shares rescans too: the next one answers a thousand requests that
// come during one.
func TestRescansOfASlowScout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		c := startScout(t, n, newDirectory("a"))
		synctest.Wait()
		c.directory.finding(time.Second)
		p := m.registry.last().peer
		var all []<-chan struct{}
		for range 1000 {
			all = append(all, p.Rescan())
			time.Sleep(time.Millisecond / 2)
		}
		time.Sleep(2 * time.Second)
		expectClosed(t, "two rescans later", all, nil)
		if got := c.directory.rescanned(); got != 2 {
			t.Errorf("%d rescans", got)
		}
	})
}

// An answer that crosses a Resync says nothing of the copy that comes next: the
// master asks again.
func TestRescanAcrossResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		asked := []<-chan struct{}{m.registry.last().peer.Rescan()}
		r.expect("Look", isLook(1))
		r.say(sayBeat(1, setOf("b")), sayLooked(1))
		next := []string{}
		for range 2 { // in either order
			msg, err := r.hear()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case isResync(msg):
				next = append(next, "resync")
			case isLook(2)(msg):
				next = append(next, "look")
			}
		}
		if slices.Sort(next); !slices.Equal(next, []string{"look", "resync"}) {
			t.Fatalf("heard %q", next)
		}
		expectClosed(t, "an answer about a wrong copy", nil, asked)
		r.say(sayOffer())
		r.expect("Grant", isGrant)
		r.say(saySnapshot(1, setOf("b"))...)
		expectClosed(t, "snapshot", nil, asked)
		r.say(sayLooked(2))
		expectClosed(t, "the next answer", asked, nil)
	})
}

// A scout that does not know what a Look is goes on as ever.
func TestLookIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		p := m.registry.last().peer
		asked := p.Rescan()
		for range 100 {
			time.Sleep(heartbeat)
			p.Rescan()
			r.say(sayBeat(1, setOf("a")))
		}
		synctest.Wait()
		if isClosed(asked) || isClosed(m.registry.last().left) {
			t.Error("a request that was not answered has ended")
		}
		looks := 0
		go r.cancelAfter(time.Second)
		for {
			msg, err := r.hear()
			if err != nil {
				break
			}
			if msg.GetLook() != nil {
				looks++
			}
		}
		if looks != 1 {
			t.Errorf("asked %d times", looks)
		}
	})
}

func (r *raw) cancelAfter(d time.Duration) {
	time.Sleep(d)
	r.cancel()
}

// How long ago a scout was heard is known.
func TestSilenceOfAPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		r := synced(t, n, "a")
		p := m.registry.last().peer
		time.Sleep(2 * time.Second)
		if got := p.Silence(); got < 2*time.Second-masterTick || got > 2*time.Second {
			t.Errorf("silent for %v after 2s", got)
		}
		r.say(&scoutv1.SessionRequest{})
		synctest.Wait()
		if got := p.Silence(); got != 0 {
			t.Errorf("silent for %v after a word", got)
		}
	})
}

// Nothing waits for a beat: however requests follow each other, each is answered as
// soon as the directory was rescanned.
func TestRescansFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		startScout(t, n, newDirectory("a"))
		synctest.Wait()
		p, began := m.registry.last().peer, time.Now()
		for range 200 {
			first := p.Rescan()
			for range 3 {
				<-p.Rescan()
			}
			<-first
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("800 rescans took %v", took)
		}
	})
}

// surprising is a directory whose rescan has found everything when Rescan
// returns, or when the View is next asked for.
type surprising struct {
	*fakeDirectory
	found files.View
	later bool // at the next View
	done  chan struct{}
}

func (s *surprising) Rescan() <-chan struct{} {
	s.done = make(chan struct{})
	if !s.later {
		s.find()
	}
	return s.done
}

func (s *surprising) find() {
	s.show(s.found)
	close(s.done)
}

func (s *surprising) View() files.View {
	v := s.fakeDirectory.View()
	if s.later && s.done != nil {
		s.later = false
		s.find()
	}
	return v
}

// A rescan that ends between the two readings of the scout, of the rescan and of
// the files, is not answered before its files are shown.
func TestRescanEndsBetweenReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var words []string
		done := make(chan struct{})
		startScripted(t, n, func(s serverStream) error {
			defer close(done)
			words = append(words, word(s))
			for _, msg := range []*scoutv1.SessionResponse{welcome(heartbeat, deadline), grant, look(1)} {
				if err := s.Send(msg); err != nil {
					return err
				}
				words = append(words, word(s))
			}
			words = append(words, word(s))
			return nil
		})
		dir := newDirectory("a")
		startScout(t, n, dir, func(s *Scout) {
			s.Directory = &surprising{fakeDirectory: dir, found: files.View{Set: setOf("a", "b")}, later: true}
		})
		<-done
		if want := []string{"hello", "offer", "snapshot", "update", "looked 1"}; !slices.Equal(words, want) {
			t.Errorf("the scout says %q, want %q", words, want)
		}
	})
}

// The master knows what a rescan could not see before the rescan is answered.
func TestRescanThatIsIncomplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		dir := newDirectory("a")
		found := dir.View()
		found.Incomplete = "a part does not answer"
		startScout(t, n, dir, func(s *Scout) { s.Directory = &surprising{fakeDirectory: dir, found: found} })
		synctest.Wait()
		<-m.registry.last().peer.Rescan()
		if got := m.registry.last().condition().Incomplete; got != found.Incomplete {
			t.Errorf("the member knows of %q", got)
		}
	})
}

// The age of a change counts from when it was learned, not from an earlier one.
func TestAgeOfALaterChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		dir := newDirectory("a")
		startScout(t, n, dir, func(s *Scout) {
			s.Directory = &surprising{fakeDirectory: dir, found: files.View{Set: setOf("b", "c")}}
		})
		synctest.Wait()
		dir.list("b")
		time.Sleep(time.Minute)
		<-m.registry.last().peer.Rescan()
		if lag := m.registry.last().lagged(); lag != 0 {
			t.Errorf("a change that was told at once was %v on its way", lag)
		}
	})
}
