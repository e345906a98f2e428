package watch

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// looks runs a doubt for that long, in which each look everywhere takes cost,
// and returns when they began. Notifications are lost whenever lost says so.
func looks(d *doubt, cost, span time.Duration, lost func(at time.Duration) bool) []time.Duration {
	var all []time.Duration
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < span {
		select {
		case <-d.timer.C:
			all = append(all, time.Since(began))
			d.begin()
			time.Sleep(cost)
			if lost(time.Since(began)) {
				d.raise()
			}
			d.end(cost)
		case <-tick.C:
			if lost(time.Since(began)) {
				d.raise()
			}
		}
	}
	return all
}

func TestDoubtLooksUntilQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoubt(zap.NewNop())
		defer d.stop()
		d.raise()
		got := looks(d, 0, 10*time.Second, func(time.Duration) bool { return false })
		want := []time.Duration{0, 10 * time.Millisecond, 110 * time.Millisecond, 1110 * time.Millisecond}
		if !slices.Equal(got, want) {
			t.Errorf("looked at %v, want %v", got, want)
		}
		if d.active {
			t.Error("doubt lasts")
		}
	})
}

func TestDoubtIsBoundedInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		d := newDoubt(zap.New(core))
		defer d.stop()
		const cost, span, flood = 50 * time.Millisecond, 10 * time.Minute, 9 * time.Minute
		got := looks(d, cost, span, func(at time.Duration) bool { return at < flood })
		if spent, most := cost*time.Duration(len(got)), doubtCredit+span/doubtShare+cost; spent > most {
			t.Errorf("%d looks took %s of %s, want at most %s", len(got), spent, span, most)
		}
		if least := int(flood / doubtShare / cost / 2); len(got) < least {
			t.Errorf("%d looks in a flood of %s, want at least %d", len(got), flood, least)
		}
		if d.active {
			t.Error("doubt lasts after the flood")
		}
		var messages []string
		for _, e := range logs.All() {
			messages = append(messages, e.Message)
		}
		if want := []string{"events lost", "events lost again and again", "events caught up"}; !slices.Equal(messages, want) {
			t.Errorf("logged %q, want %q", messages, want)
		}
	})
}

// Lost notifications are made good without the poll, in virtual time: only the
// look everywhere that follows can find these files.
func TestLostEventsAreMadeGood(t *testing.T) {
	dir := in(t)
	for i := range 10 {
		mkdir(t, fmt.Sprintf("%s/d%d", dir, i))
	}
	synctest.Test(t, func(t *testing.T) {
		quiet := func(w *Watcher) { w.notify = func(*hints) notifier { return new(fakeNotifier) } }
		s := start(t, dir, modes[0].options, quiet)
		defer s.stop()
		synctest.Wait()
		for i := range 10 {
			write(t, fmt.Sprintf("%s/d%d/lost", dir, i))
			s.hints.add(fmt.Sprintf("%s/d%d/told", s.dir, i), false) // hides what was lost in the stamp
		}
		synctest.Wait()
		if n := s.View().Set.Len(); n != 0 {
			t.Fatalf("%d files were found without a hint", n)
		}
		s.hints.lose()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := s.View().Set.Len(); n != 10 {
			t.Errorf("%d files of 10 were found", n)
		}
		if n := s.logs.FilterMessage("events lost").Len(); n != 1 {
			t.Errorf("%d warnings of lost events, want 1", n)
		}
	})
}
