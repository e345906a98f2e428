//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
	"time"

	"scout/cmd/internal/chaos/history"
)

const (
	// pulseEvery is how often the recorder sees that it runs, and longestGap how
	// long it may not have run before nobody is blamed for that time.
	pulseEvery = 10 * time.Millisecond
	longestGap = 250 * time.Millisecond
)

// recorder keeps the one order of all events and hands them to the judge.
// Any goroutine may use it.
type recorder struct {
	start time.Time

	mu     sync.Mutex
	queue  []history.Event // not judged yet
	alive  time.Duration   // when beat was last known to run
	ids    int             // of operations and faults
	counts map[history.Kind]int
}

func newRecorder() *recorder {
	return &recorder{start: time.Now(), counts: map[history.Kind]int{}}
}

func (r *recorder) now() time.Duration { return time.Since(r.start) }

// add records an event that happens now.
func (r *recorder) add(e history.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pulse()
	e.At = r.now()
	r.queue = append(r.queue, e)
}

// id returns a number that is unique in the history.
func (r *recorder) id() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids++
	return r.ids
}

// pulse notes that this process runs. If it did not run for a while, the programs
// may not have run either.
func (r *recorder) pulse() {
	now := r.now()
	if gap := now - r.alive; gap > longestGap {
		r.ids++
		r.counts[history.Stalled]++
		for _, s := range []history.Stage{history.Begins, history.On, history.Off, history.Over} {
			step := &history.Step{ID: r.ids, Kind: history.Stalled, Scout: history.All, Stage: s}
			if s == history.Begins {
				step.Before = gap
			}
			r.queue = append(r.queue, history.Event{At: now, Fault: step})
		}
	}
	r.alive = now
}

// take returns the events since the last call.
func (r *recorder) take() []history.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := r.queue
	r.queue = nil
	return queue
}

// fault records the stages of a fault.
type fault struct {
	recorder *recorder
	step     history.Step
}

func (r *recorder) fault(kind history.Kind, scout int) *fault {
	f := &fault{r, history.Step{ID: r.id(), Kind: kind, Scout: scout}}
	f.reach(history.Begins)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[kind]++
	return f
}

// count counts what is no fault for the list.
func (r *recorder) count(kind history.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[kind]++
}

func (f *fault) reach(s history.Stage) {
	step := f.step
	step.Stage = s
	f.recorder.add(history.Event{Fault: &step})
}

// beat calls pulse regularly until stop is closed.
func (r *recorder) beat(stop <-chan struct{}) {
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	for {
		select {
		case <-stop:
			return
		case <-pulse.C:
			r.mu.Lock()
			r.pulse()
			r.mu.Unlock()
		}
	}
}

// judge checks recorded events until stop is closed, and writes the whole history
// to a file.
func (r *recorder) judge(b history.Bounds, file *os.File, stop <-chan struct{}) (verdict, error) {
	v := verdict{checker: history.NewChecker(b)}
	out := bufio.NewWriter(file)
	lines := json.NewEncoder(out)
	if err := lines.Encode(b); err != nil {
		return v, err
	}
	for last := false; !last; {
		select {
		case <-stop:
			last = true
		case <-time.After(pulseEvery):
		}
		for _, e := range r.take() {
			if err := lines.Encode(e); err != nil {
				return v, err
			}
			v.add(e)
		}
	}
	return v, out.Flush()
}

// verdict is the result of judge.
type verdict struct {
	checker           *history.Checker
	operations, lists int
	violations        []history.Violation
}

func (v *verdict) add(e history.Event) {
	switch {
	case e.Begin != nil:
		v.operations++
	case e.List != nil:
		v.lists++
	}
	v.violations = append(v.violations, v.checker.Add(e)...)
}
