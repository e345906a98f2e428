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

// rescans runs a recovery for that long, in which each rescan takes cost, and
// returns when they began. Events are lost whenever lost says so.
func rescans(d *recovery, cost, span time.Duration, lost func(at time.Duration) bool) []time.Duration {
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
				d.lost()
			}
			d.end(cost)
		case <-tick.C:
			if lost(time.Since(began)) {
				d.lost()
			}
		}
	}
	return all
}

func TestRecoveryRescansUntilQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newRecovery(zap.NewNop())
		defer d.stop()
		d.lost()
		got := rescans(d, 0, 10*time.Second, func(time.Duration) bool { return false })
		want := []time.Duration{0, 10 * time.Millisecond, 110 * time.Millisecond, 1110 * time.Millisecond}
		if !slices.Equal(got, want) {
			t.Errorf("looked at %v, want %v", got, want)
		}
		if d.active {
			t.Error("recovery lasts")
		}
	})
}

func TestRecoveryIsBoundedInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		d := newRecovery(zap.New(core))
		defer d.stop()
		const cost, span, flood = 50 * time.Millisecond, 10 * time.Minute, 9 * time.Minute
		got := rescans(d, cost, span, func(at time.Duration) bool { return at < flood })
		if spent, most := cost*time.Duration(len(got)), recoveryCredit+span/10+cost; spent > most {
			t.Errorf("%d looks took %s of %s, want at most %s", len(got), spent, span, most)
		}
		if least := int(flood / 10 / cost / 2); len(got) < least {
			t.Errorf("%d looks in a flood of %s, want at least %d", len(got), flood, least)
		}
		if d.active {
			t.Error("recovery lasts after the flood")
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

// Lost events are made good without the poll: only the rescans that follow can
// find these files.
func TestLostEventsAreMadeGood(t *testing.T) {
	dir := in(t)
	for i := range 10 {
		mkdir(t, fmt.Sprintf("%s/d%d", dir, i))
	}
	f := scanned(t, dir, quietNotifier)
	for i := range 10 {
		write(t, fmt.Sprintf("%s/d%d/lost", dir, i))
		f.forest.router.add(f.absolute(fmt.Sprintf("d%d/told", i)), 0) // hides what was lost in the stamp
	}
	f.round()
	must(t, f.settle())
	if n := f.forest.View().Set.Len(); n != 0 {
		t.Fatalf("%d files were found without an event", n)
	}
	f.forest.router.lose()
	for f.round(); f.recovery.active; f.recover() {
		<-f.recovery.timer.C
	}
	if n := f.forest.View().Set.Len(); n != 10 {
		t.Errorf("%d files of 10 were found", n)
	}
}
